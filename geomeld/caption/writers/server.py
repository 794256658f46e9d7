"""Server: one endpoint for the length of a run: asked at a pace it bears, waited for, given up when it stays away."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from geomeld.caption.endpoint import Endpoint
from geomeld.caption.writers.answer import record_of
from geomeld.caption.writers.pace import Pace
from geomeld.caption.writers.probe import Capabilities, ask, probe
from geomeld.core.errors import CaptionError

POLL = 1.0
"""Seconds between looks at a server that has stopped answering."""
TURNED_AWAY = 8
"""How often one tile may be turned away with 429, each time through all of the client's retries."""


class Refused(Exception):
    """The server will not, or cannot, answer for this one tile."""


class Down(Exception):
    """The server answers nobody, or not now."""


@dataclass
class Trouble:
    """What one tile has met so far."""

    failures: int = 0
    turned_away: int = 0
    suspect: bool = False
    """Whether the server went down while the tile was in flight."""


class Server:
    """An endpoint, on the event loop that it was made on."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.capabilities: Capabilities | None = None
        """Known from the first answer on."""
        self.down: str | None = None
        """Why nothing more is asked; None while all is well."""
        self.pace = Pace(endpoint.concurrency, endpoint.most)
        self._client = self._connect()
        self._opening, self._looking, self._alone = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()
        self._last_good = float("-inf")

    async def close(self) -> None:
        """Let go of its connections."""
        await self._client.close()

    def _connect(self) -> Any:
        import openai

        async def look(response: Any) -> None:
            # The client asks again by itself; the pace must hear of every refusal.
            if response.status_code in (429, 503):
                self.pace.was_too_much()

        # Other services' names and keys in the environment are not for this server.
        others: Any = {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
        return openai.AsyncOpenAI(
            base_url=self.endpoint.base_url, api_key=os.environ.get(self.endpoint.key_variable) or "none",
            timeout=self.endpoint.timeout, max_retries=self.endpoint.retries, default_headers=others,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [look]}),
        )  # fmt: skip

    async def answer(
        self, trouble: Trouble, chat: list[dict[str, Any]], sampling: Mapping[str, Any], wanted: int
    ) -> dict[str, Any]:
        """Ask until there is an answer of one or more choices. Raises Refused for a tile at fault, Down for a server
        that is, CaptionError where the very first question shows that the endpoint is of no use."""
        import openai

        can = await self._open()
        settings = {k: v for k, v in sampling.items() if k != "seed" or can.seed}
        settings |= {"n": wanted} if can.several and wanted > 1 else {}
        while True:
            if self.down:
                raise Down(self.down)
            try:
                return await self._request(trouble, chat, settings)
            except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
                self.down = self._told(error)
            except openai.RateLimitError as error:  # no fault of the tile
                await self._wait(error)
                trouble.turned_away += 1
                if trouble.turned_away >= TURNED_AWAY:
                    raise Down(f"{self._told(error)}; run again to go on.") from None
            except (openai.InternalServerError, openai.APIConnectionError, ValueError) as error:
                if isinstance(error, openai.APITimeoutError):
                    self.pace.was_too_much()
                trouble.suspect |= await self._wait(error)
                trouble.failures += 1
                if trouble.failures >= self.endpoint.failures:
                    raise Refused(f"{_kind_of(error)}, {trouble.failures} times") from None
            except openai.APIStatusError as error:
                raise Refused(_kind_of(error)) from None

    async def _request(
        self, trouble: Trouble, chat: list[dict[str, Any]], settings: Mapping[str, Any]
    ) -> dict[str, Any]:
        if trouble.suspect:  # a tile that may have brought the server down travels alone with its kind
            async with self._alone:
                return await self._send(chat, settings)
        return await self._send(chat, settings)

    async def _send(self, chat: list[dict[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
        async with self.pace:
            answer = await self._client.chat.completions.create(model=self.endpoint.model, messages=chat, **settings)
        kept = record_of(answer)
        self.pace.went_well()
        self._last_good = asyncio.get_running_loop().time()
        return kept

    async def _open(self) -> Capabilities:
        """What the server can do; asked once, before the first answer."""
        async with self._opening:
            if self.capabilities is None:
                self.capabilities = await self._probed()
            return self.capabilities

    async def _probed(self) -> Capabilities:
        import openai

        where = f"The endpoint {self.endpoint.base_url}"
        try:
            can = await probe(self._client, self.endpoint)
        except (openai.OpenAIError, ValueError) as error:
            raise CaptionError(
                f"{where} does not answer for the model {self.endpoint.model} ({self._told(error)}). Start the server, "
                f"or check --endpoint.base-url, --endpoint.model and the key in ${self.endpoint.key_variable}."
            ) from None
        if self.endpoint.image and not can.images:
            raise CaptionError(
                f"{where} takes no pictures for the model {self.endpoint.model}; serve a vision-language model, or "
                "give --endpoint.no-image to have it reword measurements alone."
            )
        return can

    async def _wait(self, error: Exception) -> bool:
        """Return once the server answers others: False where it does at once, True where it had gone. Raises Down
        after the configured patience."""
        import openai

        clock = asyncio.get_running_loop().time
        failed = clock()
        async with self._looking:
            gone = False
            while self._last_good <= failed:
                if self.down:
                    raise Down(self.down)
                try:
                    quick = self._client.with_options(max_retries=0)
                    record_of(await ask(quick, self.endpoint, image=self.endpoint.image))
                    self._last_good = clock()
                except (openai.OpenAIError, ValueError) as still:
                    gone, error = True, still
                    if clock() - failed >= self.endpoint.patience:
                        self.down = f"The endpoint stopped answering ({self._told(error)}); run again to go on."
                        raise Down(self.down) from None
                    await asyncio.sleep(min(POLL, self.endpoint.patience))
            return gone

    def _told(self, error: Exception) -> str:
        return self.safe(f"{_kind_of(error)}: {error}")

    def safe(self, text: str) -> str:
        """Words that may be printed and kept: short, on one line, without the key."""
        key = os.environ.get(self.endpoint.key_variable)
        hidden = text.replace(key, "***") if key else text
        return "".join(c if c.isprintable() else " " for c in hidden)[:200]


def _kind_of(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    if status:
        return f"HTTP {status}"
    return "malformed answer" if isinstance(error, ValueError) else type(error).__name__
