"""Statistics per band over valid pixels, streamed and mergeable; pixel counts per class."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import CorruptFile
from geomeld.core.modality import Categorical, Modality
from geomeld.core.tile import Layer
from geomeld.dataset.files import write_atomically

if TYPE_CHECKING:
    from geomeld.dataset.dataset import Dataset

NAME = "statistics.json"


@dataclass(frozen=True, slots=True)
class BandStatistics:
    """Of one Continuous modality; every tuple has one entry per band, NaN where a band has no valid pixel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    """Population standard deviation."""
    min: tuple[float, ...]
    max: tuple[float, ...]
    count: tuple[int, ...]
    """Valid pixels."""

    def merged(self, other: "BandStatistics") -> "BandStatistics":
        """The statistics of both sets of pixels together (Chan et al. 1979)."""
        n, m = np.array(self.count, float), np.array(other.count, float)
        total = np.maximum(n + m, 1)
        a, b = _zeroed(self.mean, n), _zeroed(other.mean, m)
        delta = b - a
        mean = a + delta * m / total
        squares = _zeroed(self.std, n) ** 2 * n + _zeroed(other.std, m) ** 2 * m + delta**2 * n * m / total
        empty = n + m == 0
        return _band_statistics(
            np.where(empty, np.nan, mean),
            np.where(empty, np.nan, np.sqrt(squares / total)),
            np.fmin(self.min, other.min),
            np.fmax(self.max, other.max),
            n + m,
        )


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """Of one Categorical modality."""

    counts: tuple[int, ...]
    """Valid pixels per class, in the order of the kind's classes."""

    def merged(self, other: "ClassCounts") -> "ClassCounts":
        """The counts of both sets of pixels together."""
        return ClassCounts(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))


def layer_statistics(modality: Modality, layer: Layer) -> BandStatistics | ClassCounts:
    """Statistics of one layer."""
    if isinstance(modality.kind, Categorical):
        indexes = modality.kind.index_of(layer.values[layer.valid].astype(np.uint8))
        return ClassCounts(tuple(int(c) for c in np.bincount(indexes, minlength=len(modality.kind.classes))))
    rows = [_of_pixels(v[ok].astype(np.float64)) for v, ok in zip(layer.values, layer.valid, strict=True)]
    return _band_statistics(*(np.array(column) for column in zip(*rows, strict=True)))


def _of_pixels(pixels: NDArray[np.float64]) -> tuple[float, float, float, float, int]:
    if not pixels.size:
        nan = float("nan")
        return nan, nan, nan, nan, 0
    return pixels.mean(), pixels.std(), pixels.min(), pixels.max(), pixels.size


def statistics_of(
    dataset: "Dataset", modalities: Mapping[str, Modality], tile_ids: Iterable[int] | None = None
) -> dict[str, BandStatistics | ClassCounts]:
    """Statistics of every modality over a dataset, or over some of its tiles; damaged tiles count for nothing."""
    found: dict[str, BandStatistics | ClassCounts] = {}
    for tile_id in dataset.tile_ids if tile_ids is None else tile_ids:
        try:
            tile = dataset.read(tile_id)
        except CorruptFile:
            continue
        for name, layer in tile.layers.items():
            found[name] = merge(found.get(name), layer_statistics(modalities[name], layer))
    return {n: found[n] for n in modalities if n in found}


def merge(
    known: BandStatistics | ClassCounts | None, new: BandStatistics | ClassCounts
) -> BandStatistics | ClassCounts:
    """`new` added to what is known so far."""
    if known is None:
        return new
    return known.merged(new)  # type: ignore[arg-type]


def save_statistics(folder: Path, statistics: Mapping[str, BandStatistics | ClassCounts]) -> None:
    """Write statistics.json; a band without pixels has null."""
    data = {n: {f: _plain(getattr(s, f)) for f in s.__slots__} for n, s in statistics.items()}
    write_atomically(folder / NAME, (json.dumps(data, indent=1) + "\n").encode())


def load_statistics(folder: Path, modalities: Mapping[str, Modality]) -> dict[str, BandStatistics | ClassCounts] | None:
    """Read statistics.json; None where there is none, or one that does not fit the table of modalities."""
    try:
        data = json.loads((folder / NAME).read_text())
        return {n: _parse(modalities[n], entry) for n, entry in data.items()}
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _parse(modality: Modality, entry: Mapping[str, list]) -> BandStatistics | ClassCounts:
    if isinstance(modality.kind, Categorical):
        if len(entry["counts"]) != len(modality.kind.classes):
            raise ValueError(modality.name)
        return ClassCounts(tuple(entry["counts"]))
    if len(entry["mean"]) != len(modality.bands):
        raise ValueError(modality.name)
    columns = [[np.nan if v is None else v for v in entry[f]] for f in ("mean", "std", "min", "max", "count")]
    return _band_statistics(*(np.array(c, float) for c in columns))


def _band_statistics(mean: NDArray, std: NDArray, low: NDArray, high: NDArray, count: NDArray) -> BandStatistics:
    means, stds, lows, highs = (tuple(float(v) for v in column) for column in (mean, std, low, high))
    return BandStatistics(means, stds, lows, highs, tuple(int(v) for v in count))


def _zeroed(values: tuple[float, ...], count: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(count > 0, np.array(values, float), 0.0)


def _plain(values: tuple[float, ...]) -> list[float | int | None]:
    return [None if isinstance(v, float) and np.isnan(v) else v for v in values]
