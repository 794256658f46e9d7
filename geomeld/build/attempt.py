"""Attempt: one try at one tile, in whatever process: plan, read, encode, and put the sample where its shard is made."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from geomeld.build.config import BuildConfig
from geomeld.build.plan import PlanRow, plan_tile
from geomeld.build.spool import Sample, put
from geomeld.build.tile import build_tile
from geomeld.core.errors import MissingProduct, SourceError
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Timing
from geomeld.core.retry import Retry
from geomeld.core.tile import Anchor, Layer, Tile
from geomeld.dataset.sample import encode
from geomeld.modalities import MODALITIES
from geomeld.sources import Feature, Scene, Source
from geomeld.sources.pace import Pace, paced

LayerState = Literal["read", "empty", "absent", "failed"]
"""What became of a layer: read; read and without a valid pixel; no scene of it; not to be had."""

MAP = "map"
"""What the ledger calls the map features of a tile."""

UNFORESEEN = (ValueError, ArithmeticError, LookupError, RuntimeError)
"""What odd files can provoke beyond the errors that sources name: it costs the tile, never the build."""


@dataclass(frozen=True, slots=True)
class Job:
    """A place to be built."""

    position: int
    """In the order of the build."""
    place: Anchor | PlanRow
    last: bool = False
    """Whether it will not be tried again: only then may a layer be left out for a failure that could pass."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """What became of one modality of one tile."""

    modality: str
    state: LayerState
    kind: str = ""
    """Of the error: transient, auth, missing, corrupt, empty, other."""
    reason: str = ""
    scenes: tuple[str, ...] = ()
    """Identifiers of the source's items that were to be read."""
    bytes: int = 0
    """Of its array in the sample."""
    seconds: float = 0.0
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one try at a place: a sample, or a reason."""

    position: int
    tile_id: int
    sample: Sample | None = None
    stage: str = ""
    """Where it failed: "plan" or "read"."""
    kind: str = ""
    reason: str = ""
    again: bool = False
    """Whether a later try may succeed."""
    layers: tuple[LayerRow, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """The function that all processes run; `attempt(jobs)` gives their outcomes."""

    source: Source
    config: BuildConfig
    retry: Retry
    folder: Path
    """Where samples are put."""
    pace: Pace | None = None

    def __call__(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Try each place. Raises MissingProduct, which no other place can escape, and OSError where no sample can be
        put down."""
        with paced(self.pace):
            return [self._one(job) for job in jobs]

    def _one(self, job: Job) -> Outcome:
        start = time.perf_counter()
        place = job.place
        tile_id = place.tile_id if isinstance(place, Anchor) else place.anchor.tile_id
        account = _Account(self.source, self.retry, self.config, job.last, tile_id)
        stage = "plan"
        try:
            row = place if isinstance(place, PlanRow) else self._planned(place)
            if row.reason:
                outcome = Outcome(job.position, tile_id, stage=stage, kind="empty", reason=row.reason)
            else:
                stage = "read"
                tile = build_tile(row, self.source, account.read, account.features)
                outcome = Outcome(job.position, tile_id, self._put(job.position, account.noted(tile)))
        except MissingProduct:
            raise
        except SourceError as error:
            again = error.again and not job.last
            outcome = Outcome(job.position, tile_id, None, stage, error.kind, str(error), again)
        except UNFORESEEN as error:
            told = f"{type(error).__name__}: {error}"
            outcome = Outcome(job.position, tile_id, None, stage, "other", told)
        rows = account.finished(outcome.sample)
        return replace(outcome, layers=rows, seconds=time.perf_counter() - start)

    def _planned(self, anchor: Anchor) -> PlanRow:
        # In the process that reads, so that what the source keeps of a place serves twice.
        return self.retry.call(lambda: plan_tile(anchor, self.source, self.config), f"{anchor.tile_id}/plan")[0]

    def _put(self, position: int, tile: Tile) -> Sample:
        photograph = any(MODALITIES[n].timing is Timing.ANCHOR for n in tile.layers)
        return put(self.folder, position, tile.tile_id, encode(tile), photograph)


@dataclass(slots=True)
class _Account:
    """Reads layers with patience, and keeps account of each."""

    source: Source
    retry: Retry
    config: BuildConfig
    last: bool
    tile_id: int
    rows: dict[str, LayerRow] = field(default_factory=dict)

    def read(self, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> Layer | None:
        """As `Source.read`; None also for a layer that may be left out and cannot be had."""
        name, ids = modality.name, tuple(s.scene_id for s in scenes)
        start = time.perf_counter()
        try:
            layer, tries = self.retry.call(
                lambda: self.source.read(modality, scenes, grid), f"{self.tile_id}/{modality.name}"
            )
        except SourceError as error:
            spent = time.perf_counter() - start
            self.rows[name] = LayerRow(name, "failed", error.kind, str(error), ids, 0, spent, error.tries)
            if self._may_go_without(modality, error):
                return None
            raise
        state: LayerState = "read" if layer is not None and layer.valid.any() else "empty"
        self.rows[name] = LayerRow(name, state, "", "", ids, 0, time.perf_counter() - start, tries)
        return layer

    def features(self, grid: Grid) -> list[Feature] | None:
        """As `Source.features`."""
        start = time.perf_counter()
        found, tries = self.retry.call(lambda: self.source.features(grid), f"{self.tile_id}/{MAP}")
        state: LayerState = "absent" if found is None else "read"
        self.rows[MAP] = LayerRow(MAP, state, "", "", (), 0, time.perf_counter() - start, tries)
        return found

    def noted(self, tile: Tile) -> Tile:
        """The tile with the layers that it goes without, and why, in its metadata."""
        without = {n: r.kind for n, r in self.rows.items() if r.state == "failed"}
        return replace(tile, metadata={**tile.metadata, "left_out": without}) if without else tile

    def finished(self, sample: Sample | None) -> tuple[LayerRow, ...]:
        """The rows of all layers, with sizes, and with those that no scene was found for."""
        if sample is None:
            return tuple(self.rows.values())
        for name in MODALITIES:
            self.rows.setdefault(name, LayerRow(name, "absent"))
        return tuple(replace(r, bytes=_size(sample, r.modality)) for r in self.rows.values())

    def _may_go_without(self, modality: Modality, error: SourceError) -> bool:
        final = self.last or not error.again
        return self.config.allow_missing and final and modality.timing is not Timing.REFERENCE


def _size(sample: Sample, name: str) -> int:
    arrays: Mapping = sample.arrays
    found = arrays.get(name)
    return math.prod(found.shape) * np.dtype(found.dtype).itemsize if found else 0
