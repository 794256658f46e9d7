"""Class scores: how well the classes of tiles are told, every number with its interval over tiles."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from geomeld.evaluate.bootstrap import bounds, drawn_sums
from geomeld.evaluate.metrics import averages, tallies
from geomeld.evaluate.task import TaskKind

KIND = TaskKind.MULTICLASS
NAMES = {"accuracy": "overall accuracy", "balanced accuracy": "balanced accuracy", "macro F1": "macro F1"}
"""What the metrics of all classes are called here, and in `metrics`."""


@dataclass(frozen=True, slots=True)
class Share:
    """A share of tiles, 0..1."""

    value: float
    low: float | None = None
    """Bounds of its 95 % interval; None for one that is known exactly, such as chance, and where no draw differs."""
    high: float | None = None


def class_scores(
    given: NDArray[np.int64], truth: NDArray[np.int64], names: Sequence[str], data: str, seed: int = 0
) -> dict[str, Share]:
    """ "accuracy", "balanced accuracy" (mean recall of the classes that occur), "macro F1" (over those that occur or
    are given) and "recall/CLASS" (of each that occurs) of classes `given` (n,) beside the `truth` (n,), both numbers of
    `names`.

    Intervals are by bootstrap over tiles. Which tiles a draw holds follows from the seed, `data` (the fingerprint of
    the dataset) and how many tiles there are: it is the same for every classifier and for what it is held against.
    """
    counts = tallies(KIND, np.eye(len(names))[given], truth, len(names))
    values, drawn = _metrics(counts.sum(0), names), _metrics(drawn_sums(counts, data, seed), names)
    found = {name: float(value) for name, value in values.items() if np.isfinite(value)}
    return {name: Share(value, *(bounds(drawn[name]) or (None, None))) for name, value in found.items()}


def _metrics(counts: NDArray, names: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Metrics (...) of summed tallies (..., 3, classes); NaN where one is not defined."""
    found = averages(KIND, counts, list(names))
    hits, _, misses = np.moveaxis(np.asarray(counts, np.float64), -2, 0)
    there = hits + misses
    recall = np.divide(hits, there, out=np.full(there.shape, np.nan), where=there > 0)
    each = {f"recall/{name}": recall[..., i] for i, name in enumerate(names)}
    return {name: found[known] for name, known in NAMES.items()} | each
