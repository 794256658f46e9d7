"""The openai writer: candidates from a vision-language model behind any OpenAI-compatible endpoint."""

import asyncio
import hashlib
import json
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
from geomeld.caption.writers.answer import words_of
from geomeld.caption.writers.author import Asked, Revision, Written
from geomeld.caption.writers.clean import cleaned
from geomeld.caption.writers.probe import Capabilities
from geomeld.caption.writers.prompt import messages, prompt_hash, revision_messages
from geomeld.caption.writers.server import Down, Refused, Server, Trouble
from geomeld.caption.writers.template import Draft
from geomeld.core.draw import below, draw_words
from geomeld.core.errors import CaptionError, MissingExtra
from geomeld.dataset import Dataset

T = TypeVar("T")

ANSWERS = "answers.jsonl"
"""Every answer as it came, in the dataset's folder: none is ever asked (and paid) for twice."""
CALMER = 0.4
"""Temperature of a second round (captions study 1.3), where the configured one is higher."""


@dataclass
class _Job:
    """A tile on its way."""

    asked: Asked
    drafts: list[Draft] = field(default_factory=list)
    trouble: Trouble = field(default_factory=Trouble)
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
        self.counts: Counter[str] = Counter()
        self._given_up: dict[int, str] = {}
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
        can = self._server.capabilities
        abilities = {} if can is None else {name: getattr(can, name) for name in Capabilities.__slots__}
        named = ("asked", "stored", "prompt_tokens", "completion_tokens")
        return {
            "model": self.endpoint.model, **{k: self.counts[k] for k in named}, "cost": round(spent / 1e6, 6),
            "concurrency": int(self._server.pace.limit), "capabilities": abilities, "down": self._server.down,
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
        self._server = Server(self.endpoint)
        self._rendering = asyncio.Semaphore(2)  # a NAIP tile is ten megabytes before it is a picture

    async def _finish(self) -> None:
        mine = asyncio.current_task()
        rest = [t for t in asyncio.all_tasks() if t is not mine]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._server.close()

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
        except Refused as reason:
            self._given_up[asked.tile_id] = str(reason)
            return Written(job.drafts, {**self._note(job, picture), "given_up": str(reason)})
        except Down as reason:
            return Written([], {}, str(reason))
        except CaptionError:
            raise
        except Exception as error:  # one tile must not end the others
            return Written([], {}, self._server.safe(f"{type(error).__name__}: {error}"))

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
            raise Down(WAITING)
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
            raise Down(WAITING)

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
            if job.asked.tile_id in self._given_up:
                raise Refused(self._given_up[job.asked.tile_id])
            answer = await self._server.answer(job.trouble, chat, sampling, wanted)
            self._store.append([(key, answer)])
            self.counts.update(asked=1, **answer["tokens"])
        else:
            self.counts["stored"] += 1
        job.calls += 1
        job.tokens.update(answer["tokens"])
        return answer


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
