"""Held out: the tiles of a dataset on which models may be tested, for they neither trained nor chose them by these."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from geomeld.core.errors import CorruptFile
from geomeld.core.grid import EARTH_RADIUS_M, TILE_METRES
from geomeld.dataset import Dataset
from geomeld.loader import Split

APART = 2**0.5 * TILE_METRES
"""Metres between centres from which two tiles share no ground, however they lie."""


@dataclass(frozen=True)
class Parts:
    """The tiles of a dataset by what they may be used for."""

    split: Split
    """What drew them."""
    seen: tuple[int, ...]
    """Trained on."""
    test: tuple[int, ...]
    """Neither seen nor chosen by, and on other ground than all of these."""
    chosen_by: tuple[int, ...] = ()
    """Held out of training, but weights were chosen by the loss on them: no test."""
    shared: tuple[int, ...] = ()
    """Held out, but on ground that one of `seen` or `chosen_by` shows as well: no test."""

    def __str__(self) -> str:
        """What is tested, e.g. "25 % of tiles, but for 8 by which weights were chosen"."""
        less = [
            *([f"{len(self.chosen_by):,} by which weights were chosen"] if self.chosen_by else []),
            *([f"{len(self.shared):,} that share ground with tiles of training or choice"] if self.shared else []),
        ]
        return f"{self.split}, but for {' and '.join(less)}" if less else str(self.split)

    @property
    def remedy(self) -> str:
        """What to do where too few are left for a test, as sentences; empty where none were taken away."""
        told = ""
        if self.chosen_by:
            told += (
                f" Weights were chosen by {len(self.chosen_by):,} more: evaluate the folder of the run (its last "
                "weights) instead of the best within it, or pretrain with a smaller --best-of."
            )
        if self.shared:
            told += (
                f" {len(self.shared):,} more share ground with tiles of training or choice: hold out whole cells in "
                "pretraining (--split.by cell), or give a dataset of more places."
            )
        return told


@dataclass(frozen=True)
class HeldOut:
    """What one or several models were kept from."""

    split: Split
    """What was held out of their training."""
    chosen_by: frozenset[int] = frozenset()
    """The tiles of it by which the weights of one of them were chosen."""

    def parts(self, dataset: Dataset, layer: str) -> Parts:
        """The tiles of a dataset that have a layer. A tile that shares ground with one that was trained on or chosen by
        is left out of the test."""
        seen, held_out = ([t for t in side if layer in dataset.layers_of(t)] for side in self.split.apply(dataset))
        chosen = [t for t in held_out if t in self.chosen_by]
        fresh = [t for t in held_out if t not in self.chosen_by]
        test = apart(dataset, fresh, [*seen, *chosen])
        kept = set(test)
        shared = [t for t in fresh if t not in kept]
        return Parts(self.split, tuple(seen), tuple(test), tuple(chosen), tuple(shared))


def apart(dataset: Dataset, tile_ids: Sequence[int], others: Collection[int]) -> list[int]:
    """Those of `tile_ids` that share no ground with any of `others`. A tile that does not tell where it lies, because
    it cannot be read, is no obstacle; who reads it next will say so."""
    asked, known = _points(dataset, tile_ids), _points(dataset, others)
    if not asked or not known:
        return list(tile_ids)
    tree, points = cKDTree(np.stack(list(known.values()))), np.stack(list(asked.values()))
    metres, _ = tree.query(points, distance_upper_bound=APART)  # infinite where nothing is as near
    near = {t for t, nearest in zip(asked, metres, strict=True) if nearest < APART}
    return [t for t in tile_ids if t not in near]


def _points(dataset: Dataset, tile_ids: Collection[int]) -> dict[int, NDArray[np.float64]]:
    """(3,) of every tile: where it lies on the globe, metres from its middle."""
    places = {}
    for tile_id in tile_ids:
        try:
            stored = dataset.metadata(tile_id)
        except CorruptFile:
            continue
        places[tile_id] = (float(stored["long"]), float(stored["lat"]))
    lon, lat = np.radians(np.array(list(places.values()), np.float64).reshape(-1, 2)).T
    on_globe = EARTH_RADIUS_M * np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return dict(zip(places, on_globe, strict=True))
