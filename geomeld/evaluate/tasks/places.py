"""Places: which tiles a task learns from, chooses by and is tested on, none of which share ground."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from geomeld.core.errors import DatasetError
from geomeld.core.grid import EARTH_RADIUS_M, TILE_METRES
from geomeld.core.modality import Timing
from geomeld.dataset import Dataset
from geomeld.loader import Split
from geomeld.modalities import MODALITIES

VALID = 0.2
"""Share of the tiles that pretraining has seen on which a task chooses its settings."""
APART = 2**0.5 * TILE_METRES
"""Metres between centres from which two tiles share no ground, however they lie."""


@dataclass(frozen=True)
class Places:
    """Tiles by what they are for."""

    train: tuple[int, ...]
    """Labelled, to learn from; pretraining has seen their pixels, never the labels."""
    valid: tuple[int, ...]
    """Likewise, to choose by."""
    test: tuple[int, ...]
    """Held out of pretraining as well."""
    left_out: tuple[int, ...]
    """Tiles that share ground with one of another part."""


def input_layer() -> str:
    """The layer that tasks show."""
    return next(n for n, m in MODALITIES.items() if m.timing is Timing.REFERENCE)


def places_of(dataset: Dataset, split: Split) -> Places:
    """The tiles of a dataset: what `split` holds out of pretraining is for the test, and of the others one in five, by
    a draw of the same kind, is for choosing. A tile of the test or of the choice that overlaps one of the others is
    left out. Tiles without images are not counted.

    Raises DatasetError where a part is empty.
    """
    seen, held_out = (_with_images(dataset, side) for side in split.apply(dataset))
    chooses = replace(split, held_out=VALID, seed=split.seed + 1)
    position = {t: dataset.metadata(t) for t in seen}
    valid = [t for t in seen if chooses.holds_out(t, float(position[t]["long"]), float(position[t]["lat"]))]
    chosen = set(valid)
    train = [t for t in seen if t not in chosen]
    test = _apart(dataset, held_out, seen)
    valid = _apart(dataset, valid, train)
    for name, tiles in (("train", train), ("valid", valid), ("test", test)):
        if not tiles:
            raise DatasetError(
                f"{dataset.path} leaves no tile for {name}: of {len(dataset)}, {len(held_out)} are held out of "
                f"pretraining by {split.by}. Tasks need tiles on both sides; give a larger dataset."
            )
    left_out = sorted({*held_out, *chosen} - {*test, *valid})
    return Places(tuple(train), tuple(valid), tuple(test), tuple(left_out))


def _with_images(dataset: Dataset, tile_ids: Sequence[int]) -> list[int]:
    wanted = input_layer()
    return [t for t in tile_ids if wanted in dataset.layers_of(t)]


def _apart(dataset: Dataset, tile_ids: list[int], others: Sequence[int]) -> list[int]:
    """Those of `tile_ids` that share no ground with any of `others`."""
    if not tile_ids or not others:
        return tile_ids
    nearest, _ = cKDTree(_points(dataset, others)).query(_points(dataset, tile_ids))
    return [t for t, metres in zip(tile_ids, nearest, strict=True) if metres >= APART]


def _points(dataset: Dataset, tile_ids: Sequence[int]) -> NDArray[np.float64]:
    """(tiles, 3): where they lie on the globe, metres from its middle."""
    stored = [dataset.metadata(t) for t in tile_ids]
    lon, lat = (np.radians([float(m[key]) for m in stored]) for key in ("long", "lat"))
    return EARTH_RADIUS_M * np.column_stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
