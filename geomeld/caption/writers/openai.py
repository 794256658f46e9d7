"""The openai writer: candidates from a vision-language model behind any OpenAI-compatible endpoint."""

import asyncio
import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from geomeld.caption.batch import WAITING, Batch, Outbox, take_in
from geomeld.caption.config import CaptionConfig
from geomeld.caption.endpoint import shaping
from geomeld.caption.images import SHOWN, Picture, picture_of
from geomeld.caption.ledger import Ledger
from geomeld.caption.writers.answer import record_of, words_of
from geomeld.caption.writers.author import Asked, Revision, Written
from geomeld.caption.writers.clean import cleaned
from geomeld.caption.writers.pace import Pace
from geomeld.caption.writers.probe import Capabilities, ask, probe
from geomeld.caption.writers.prompt import messages, prompt_hash, revision_messages
from geomeld.caption.writers.template import Draft
from geomeld.core.draw import below, draw_words
from geomeld.core.errors import CaptionError, MissingExtra
from geomeld.dataset import Dataset

T = TypeVar("T")

ANSWERS = "answers.jsonl"
"""Every answer as it came, in the dataset's folder: none is ever asked (and paid) for twice."""
CALMER = 0.4
"""Temperature of a second round (captions study 1.3), where the configured one is higher."""
POLL = 1.0
"""Seconds between looks at a server that has stopped answering."""


class _Refused(Exception):
    """The server will not, or cannot, answer for this one tile."""


class _Down(Exception):
    """The server answers nobody."""


@dataclass
class _Job:
    """A tile on its way."""

    asked: Asked
    drafts: list[Draft] = field(default_factory=list)
    failures: int = 0
    suspect: bool = False
    """Whether the server went down while it was in flight."""
    tokens: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    calls: int = 0


class Model:
    """A model for the length of a run; used as a context manager, then called with the tiles of a chunk.

    Requests run on an event loop of their own; several chunks may be asked for at once, from several threads.
    """

    def __init__(self, dataset: Dataset, config: CaptionConfig, batch: Batch | None = None) -> None:
        """Opens the store of answers; the server is first spoken to when an answer is missing, with a `batch` never.
        Raises MissingExtra without the openai package, CaptionError and ConfigError as `batch` does."""
        try:
            import openai  # noqa: F401
        except ImportError:
            raise MissingExtra("--writer openai needs the openai package: pip install 'geomeld[openai]'") from None
        self.dataset, self.config, self.endpoint = dataset, config, config.endpoint
        self.capabilities: Capabilities | None = None
        self.down: str | None = None
        """Why no further tile is asked for; None while all is well."""
        self.counts: Counter[str] = Counter()
        self._given_up: dict[int, str] = {}
        self._last_good = float("-inf")
        self._offline = batch is not None
        self._outbox = Outbox(batch.requests) if batch and batch.requests else None
        self._store = Ledger(Path(dataset.path) / ANSWERS)
        try:
            self._taken_in = take_in(batch.responses, self._store) if batch else {}
        except BaseException:
            self._store.__exit__()
            raise
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Model":
        self._thread.start()
        self._on_loop(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._on_loop(self._finish())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._store.__exit__()
        if self._outbox is not None:
            self._outbox.close()

    def __call__(self, asked: Sequence[Asked], round_number: int) -> list[Written]:
        """Candidates for each tile. Raises CaptionError where the very first question shows that the endpoint is not
        there or of no use."""
        return self._on_loop(self._all(asked, round_number))

    def revise(self, revisions: Sequence[Revision]) -> list[Written]:
        """One rewritten sentence for each caption that the measurements contradict, from words alone."""
        return self._on_loop(self._all_revised(revisions))

    def summary(self) -> dict[str, Any]:
        """What was asked in this run: requests, answers that the store had, tokens, cost, what the server can do."""
        spent = self.counts["prompt_tokens"] * self.endpoint.price_in
        spent += self.counts["completion_tokens"] * self.endpoint.price_out
        can = self.capabilities
        abilities = {} if can is None else {name: getattr(can, name) for name in Capabilities.__slots__}
        named = ("asked", "stored", "prompt_tokens", "completion_tokens")
        return {
            "model": self.endpoint.model, **{k: self.counts[k] for k in named}, "cost": round(spent / 1e6, 6),
            "concurrency": int(self._pace.limit), "capabilities": abilities, "down": self.down,
            "taken_in": self._taken_in, "left_for_batch": self._outbox.requests if self._outbox else 0,
        }  # fmt: skip

    # --- the loop ---

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        running = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    async def _start(self) -> None:
        self._pace = Pace(self.endpoint.concurrency, self.endpoint.most)
        self._client, self._opening, self._looking = self._connect(), asyncio.Lock(), asyncio.Lock()
        self._alone = asyncio.Lock()
        self._rendering = asyncio.Semaphore(2)  # a NAIP tile is ten megabytes before it is a picture

    async def _finish(self) -> None:
        mine = asyncio.current_task()
        rest = [t for t in asyncio.all_tasks() if t is not mine]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._client.close()

    def _connect(self) -> Any:
        import openai

        async def look(response: Any) -> None:
            # The client asks again by itself; the pace must hear of every refusal.
            if response.status_code in (429, 503):
                self._pace.was_too_much()

        # Other services' names and keys in the environment are not for this server.
        others: Any = {"OpenAI-Organization": openai.Omit(), "OpenAI-Project": openai.Omit()}
        return openai.AsyncOpenAI(
            base_url=self.endpoint.base_url, api_key=os.environ.get(self.endpoint.key_variable) or "none",
            timeout=self.endpoint.timeout, max_retries=self.endpoint.retries, default_headers=others,
            http_client=openai.DefaultAsyncHttpxClient(event_hooks={"response": [look]}),
        )  # fmt: skip

    async def _all(self, asked: Sequence[Asked], round_number: int) -> list[Written]:
        return list(await asyncio.gather(*(self._one(a, round_number) for a in asked)))

    async def _all_revised(self, revisions: Sequence[Revision]) -> list[Written]:
        return list(await asyncio.gather(*(self._tried(r.asked, partial(self._rewrite, r)) for r in revisions)))

    # --- one tile ---

    async def _one(self, asked: Asked, round_number: int) -> Written:
        return await self._tried(asked, partial(self._look_and_draft, round_number))

    async def _tried(self, asked: Asked, work: Callable[[_Job], Coroutine[Any, Any, Picture | None]]) -> Written:
        """What came of one tile; whatever happens to it, the others go on."""
        job, picture = _Job(asked), None
        try:
            picture = await work(job)
            return Written(job.drafts, self._note(job, picture))
        except _Refused as reason:
            self._given_up[asked.tile_id] = str(reason)
            return Written(job.drafts, {**self._note(job, picture), "given_up": str(reason)})
        except _Down as reason:
            return Written([], {}, str(reason))
        except CaptionError:
            raise
        except Exception as error:  # one tile must not end the others
            return Written([], {}, self._scrubbed(f"{type(error).__name__}: {error}"))

    def _note(self, job: _Job, picture: Picture | None) -> dict[str, Any]:
        shown = None if picture is None else {"modality": picture.modality, "digest": picture.digest}
        return {
            "model": self.endpoint.model, "prompt": prompt_hash(), "image": shown, "calls": job.calls,
            "rejected": dict(sorted(job.rejected.items())), "tokens": dict(sorted(job.tokens.items())),
        }  # fmt: skip

    async def _picture(self, tile_id: int) -> Picture | None:
        async with self._rendering:
            return await asyncio.to_thread(self._render, tile_id)

    def _render(self, tile_id: int) -> Picture | None:
        tile = self.dataset.read(tile_id, [m.name for m in SHOWN])
        return picture_of(tile, self.endpoint.image_px)

    async def _look_and_draft(self, round_number: int, job: _Job) -> Picture | None:
        picture = await self._picture(job.asked.tile_id) if self.endpoint.image else None
        await self._draft(job, picture, round_number)
        return picture

    async def _rewrite(self, revision: Revision, job: _Job) -> None:
        chat = revision_messages(revision)
        sampling = {**self._sampling(job.asked.tile_id, 0, 0), "temperature": 0.0}
        key = self._key(chat, None, sampling)
        if self._left_for_batch(key, chat, sampling):
            raise _Down(WAITING)
        answer = await self._answer(job, key, chat, sampling, 1)
        job.drafts += _accepted(job, answer["choices"][:1], "revision", words_of(chat))

    def _left_for_batch(self, key: str, chat: list[dict[str, Any]], sampling: Mapping[str, Any]) -> bool:
        """Whether an answer is missing that others are to ask for."""
        if not self._offline or key in self._store:
            return False
        if self._outbox is not None:
            self._outbox.add(key, {"model": self.endpoint.model, "messages": chat, **sampling})
        return True

    async def _draft(self, job: _Job, picture: Picture | None, round_number: int) -> None:
        """Distinct candidates: one request where the server gives several answers, else as many as it takes, each from
        another angle; a further request that brings nothing new is the last."""
        wanted, got, missing = self.config.candidates, 0, False
        for call in range(wanted):
            angle = self._angle(job.asked, round_number + call)
            chat = messages(job.asked.facts, job.asked.plan, job.asked.season, job.asked.gsd_m, angle,
                            picture.url if picture else None)  # fmt: skip
            sampling = self._sampling(job.asked.tile_id, round_number, call)
            key = self._key(chat, picture, sampling)
            if self._left_for_batch(key, chat, sampling):
                missing = True
                continue
            answer = await self._answer(job, key, chat, sampling, wanted - got)
            fresh = _accepted(job, answer["choices"][: wanted - got], angle, words_of(chat))
            got += len(answer["choices"])
            job.drafts += fresh
            if got >= wanted or (call and not fresh and not self._offline):
                return
        if missing:
            raise _Down(WAITING)

    def _angle(self, asked: Asked, turn: int) -> str:
        start = below(draw_words(self.config.seed, "angle", asked.tile_id)[0], len(asked.plan.angles))
        return asked.plan.angles[(start + turn) % len(asked.plan.angles)]

    def _sampling(self, tile_id: int, round_number: int, call: int) -> dict[str, Any]:
        heat = self.endpoint.temperature
        word, _ = draw_words(self.config.seed, f"ask-{round_number}-{call}", tile_id)
        return {
            "temperature": heat if round_number == 0 else min(heat, CALMER), "top_p": self.endpoint.top_p,
            "max_tokens": self.endpoint.max_tokens, "seed": word & 0x7FFFFFFF,
        }  # fmt: skip

    def _key(self, chat: Sequence[Mapping[str, Any]], picture: Picture | None, sampling: Mapping[str, Any]) -> str:
        """Hash of all that shapes an answer; how many are asked for in one request does not."""
        told = [shaping(self.endpoint), sampling, words_of(chat), picture.digest if picture else None]
        return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=16).hexdigest()

    # --- one answer ---

    async def _answer(
        self, job: _Job, key: str, chat: list[dict[str, Any]], sampling: Mapping[str, Any], wanted: int
    ) -> dict[str, Any]:
        """The stored answer, else a new one, on the disk before it is used."""
        answer = self._store.record(key)
        if answer is None:
            answer = await self._insist(job, chat, sampling, wanted)
            self._store.append([(key, answer)])
            self.counts.update(asked=1, **answer["tokens"])
        else:
            self.counts["stored"] += 1
        job.calls += 1
        job.tokens.update(answer["tokens"])
        return answer

    async def _insist(
        self, job: _Job, chat: list[dict[str, Any]], sampling: Mapping[str, Any], wanted: int
    ) -> dict[str, Any]:
        """Ask until there is an answer. Raises _Refused for a tile at fault, _Down for a server that is."""
        import openai

        if job.asked.tile_id in self._given_up:
            raise _Refused(self._given_up[job.asked.tile_id])
        can = await self._open()
        more = {"n": wanted} if can.several and wanted > 1 else {}
        kept = {k: v for k, v in sampling.items() if k != "seed" or can.seed}
        while True:
            if self.down:
                raise _Down(self.down)
            try:
                answer = await self._request(job, chat, {**kept, **more})
                self._pace.went_well()
                self._last_good = self._loop.time()
                return answer
            except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
                self.down = self._told(error)
                raise _Down(self.down) from None
            except openai.RateLimitError as error:  # no fault of the tile
                await self._wait_for_server(error)
            except (openai.InternalServerError, openai.APIConnectionError, ValueError) as error:
                if isinstance(error, openai.APITimeoutError):
                    self._pace.was_too_much()
                job.suspect |= await self._wait_for_server(error)
                job.failures += 1
                if job.failures >= self.endpoint.failures:
                    raise _Refused(f"{_kind_of(error)}, {job.failures} times") from None
            except openai.APIStatusError as error:
                raise _Refused(_kind_of(error)) from None

    async def _request(self, job: _Job, chat: list[dict[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
        if job.suspect:  # a tile that may have brought the server down travels alone with its kind
            async with self._alone:
                return await self._send(chat, settings)
        return await self._send(chat, settings)

    async def _send(self, chat: list[dict[str, Any]], settings: Mapping[str, Any]) -> dict[str, Any]:
        async with self._pace:
            answer = await self._client.chat.completions.create(model=self.endpoint.model, messages=chat, **settings)
        return record_of(answer)

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
        self._last_good = self._loop.time()
        return can

    async def _wait_for_server(self, error: Exception) -> bool:
        """Return once the server answers others: False where it does at once, True where it had gone. Raises _Down
        after the configured patience."""
        import openai

        failed = self._loop.time()
        async with self._looking:
            gone = False
            while self._last_good <= failed:
                if self.down:
                    raise _Down(self.down)
                try:
                    quick = self._client.with_options(max_retries=0)
                    record_of(await ask(quick, self.endpoint, image=self.endpoint.image))
                    self._last_good = self._loop.time()
                except (openai.OpenAIError, ValueError) as still:
                    gone, error = True, still
                    if self._loop.time() - failed >= self.endpoint.patience:
                        self.down = f"The endpoint stopped answering ({self._told(error)}); run again to go on."
                        raise _Down(self.down) from None
                    await asyncio.sleep(min(POLL, self.endpoint.patience))
            return gone

    def _told(self, error: Exception) -> str:
        """An error in words that are safe to print: short, on one line, without the key."""
        return self._scrubbed(f"{_kind_of(error)}: {error}")

    def _scrubbed(self, text: str) -> str:
        key = os.environ.get(self.endpoint.key_variable)
        hidden = text.replace(key, "***") if key else text
        return "".join(c if c.isprintable() else " " for c in hidden)[:200]


def _accepted(job: _Job, choices: Sequence[Mapping[str, Any]], angle: str, prompt: str) -> list[Draft]:
    """The usable and new among some answers; why others are not is counted."""
    fresh: list[Draft] = []
    for choice in choices:
        text, why_not = cleaned(choice["text"], choice["finish"], prompt)
        if why_not or any(text == d.text for d in (*job.drafts, *fresh)):
            job.rejected[why_not or "repeated"] += 1
        else:
            fresh.append(Draft(text, angle, "model"))
    return fresh


def _kind_of(error: Exception) -> str:
    status = getattr(error, "status_code", None)
    return (
        f"HTTP {status}"
        if status
        else {"ValueError": "malformed answer"}.get(type(error).__name__, type(error).__name__)
    )
