"""Planning through a source, anchor by anchor over a pool; what was asked for is kept until the plan is written."""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from geomeld.build.config import BuildConfig
from geomeld.build.plan import rules
from geomeld.build.plan.row import PlanRow, read_plan, write_plan
from geomeld.build.plan.tile import Place, days_between, plan_tile
from geomeld.core.config import to_json
from geomeld.core.errors import MissingProduct, SourceError
from geomeld.core.pool import Engine, in_order
from geomeld.core.retry import Retry
from geomeld.core.tile import Anchor
from geomeld.modalities import MODALITIES
from geomeld.sources import Scene, Source

CHUNK = 200
"""Anchors whose answers are kept in one file, so that a run that is interrupted does not ask for them again."""

Wish = Literal["tile", "photograph", "around"]


@dataclass(frozen=True, slots=True)
class Job:
    """What to ask a source for one anchor."""

    anchor: Anchor
    wish: Wish = "tile"
    """The whole plan of a tile, or its photograph alone, or what lies around a reference scene that is known."""
    reference: Scene | None = None
    modalities: tuple[str, ...] = ()
    """For all wishes but "tile"."""


def plan_each(
    anchors: Sequence[Anchor],
    source: Source,
    config: BuildConfig,
    *,
    workers: int = 1,
    engine: Engine = "processes",
    keep: Path | None = None,
) -> Iterator[PlanRow]:
    """The rows of all anchors, in their order; see `ask`."""
    return ask([Job(a) for a in anchors], source, config, workers=workers, engine=engine, keep=keep)


def ask(
    jobs: Sequence[Job],
    source: Source,
    config: BuildConfig,
    *,
    workers: int = 1,
    engine: Engine = "processes",
    keep: Path | None = None,
    title: str = "plan",
) -> Iterator[PlanRow]:
    """What a source answers to every job, in their order. A server that fails is asked again with growing waits; an
    anchor that it fails all the same gets the error as its reason.

    `keep`: a folder for answers; those that are there already are not asked for again (remove it with `forget`).
    Raises MissingProduct, which no anchor can escape.
    """
    work = partial(answer, source=source, config=config)
    pooled = partial(
        in_order, work, workers=min(workers, max(len(jobs), 1)), preload=(__name__, type(source).__module__),
        engine=engine,
    )  # fmt: skip
    with tqdm(total=len(jobs), desc=title, unit="tile", dynamic_ncols=True, disable=None if jobs else True) as bar:
        for row in pooled(jobs) if keep is None else _kept(jobs, pooled, keep, _identity(source, config)):
            yield row
            bar.update()


def forget(keep: Path) -> None:
    """Remove kept answers, once the plan is written."""
    shutil.rmtree(keep, ignore_errors=True)


def answer(job: Job, *, source: Source, config: BuildConfig) -> PlanRow:
    """What a source answers to one job."""
    wishes: dict[Wish, Callable[[], PlanRow]] = {
        "tile": lambda: plan_tile(job.anchor, source, config),
        "photograph": lambda: _photographs(job, source, config),
        "around": lambda: _around(job, source, config),
    }
    try:
        return Retry().call(wishes[job.wish], f"{job.anchor.tile_id}/plan")[0]
    except MissingProduct:
        raise
    except SourceError as error:
        return PlanRow(job.anchor, reason=str(error))


def _photographs(job: Job, source: Source, config: BuildConfig) -> PlanRow:
    place = Place(job.anchor, source, config)
    found = {name: place.photograph(MODALITIES[name]) for name in job.modalities}
    return PlanRow(job.anchor, {n: s for n, s in found.items() if s})


def _around(job: Job, source: Source, config: BuildConfig) -> PlanRow:
    place = Place(job.anchor, source, config)
    middle = job.reference.acquired if job.reference and job.reference.acquired else rules.EPOCH
    found = {name: place.around(MODALITIES[name], middle) for name in job.modalities}
    scenes = {n: s for n, s in found.items() if s}
    return PlanRow(job.anchor, scenes, {n: days_between(s[0], middle) for n, s in scenes.items() if s[0].acquired})


def _kept(
    jobs: Sequence[Job], pooled: Callable[[Iterable[Job]], Iterator[PlanRow]], keep: Path, identity: str
) -> Iterator[PlanRow]:
    chunks = [jobs[i : i + CHUNK] for i in range(0, len(jobs), CHUNK)]
    files = [keep / f"{_digest(identity, chunk)}.parquet" for chunk in chunks]
    there = [file.exists() for file in files]
    asked = pooled(job for chunk, known in zip(chunks, there, strict=True) if not known for job in chunk)
    for chunk, file, known in zip(chunks, files, there, strict=True):
        if known:
            yield from read_plan(file)
            continue
        rows = []
        for _ in chunk:
            rows.append(next(asked))
            yield rows[-1]
        # An answer that is an error of the moment is not kept.
        if not any(row.reason and not row.reason.startswith("no scene") for row in rows):
            write_plan(file, rows)


def _identity(source: Source, config: BuildConfig) -> str:
    return json.dumps([repr(source), to_json(config)], sort_keys=True)


def _digest(identity: str, chunk: Sequence[Job]) -> str:
    facts = [
        (j.wish, to_json(j.anchor), j.modalities, j.reference and (j.reference.scene_id, str(j.reference.acquired)))
        for j in chunk
    ]
    return blake2b(json.dumps([identity, facts]).encode(), digest_size=12).hexdigest()
