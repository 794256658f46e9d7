"""Bootstrap: how far a score would move with other test images."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from geomeld.core.draw import generator
from geomeld.evaluate import metrics as metric
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.task import Task, TaskKind

BLOCK = 100
"""Draws at a time; holds the memory of the weights."""
WITHIN = (2.5, 97.5)
"""Percentiles that bound an interval."""
ALIKE = 1e-9
"""Draws that differ by less agree."""


def intervals(
    task: Task, outcome: Outcome, metrics: Sequence[str] | None = None, seed: int = 0, draws: int = 1000
) -> dict[str, tuple[float, float]]:
    """Bounds of the 95 % percentile interval of each of `metrics` (without it, of all) over test images; of those that
    have one (see `bounds`).

    A draw in which a class does not occur says nothing about that class. Raises what `metrics.scores_of` raises.
    """
    found = {name: bounds(values) for name, values in resampled(task, outcome, metrics, seed, draws).items()}
    return {name: each for name, each in found.items() if each is not None}


def bounds(drawn: NDArray[np.float64]) -> tuple[float, float] | None:
    """Bounds of the 95 % percentile interval of a metric (draws,), of the draws in which it is defined; None where it
    is in none, or they all agree: of three images that are all right every draw is, and nobody knows of the fourth."""
    defined = drawn[np.isfinite(drawn)]
    if not len(defined) or np.ptp(defined) < ALIKE:
        return None
    low, high = np.percentile(defined, WITHIN)
    return float(low), float(high)


def resampled(
    task: Task, outcome: Outcome, metrics: Sequence[str] | None = None, seed: int = 0, draws: int = 1000
) -> dict[str, NDArray[np.float64]]:
    """Each metric (draws,) on test images drawn with replacement, as many as there are; NaN where it is not defined.

    Which images are drawn depends on the seed and the task alone: draw i has the same images for every encoder and
    protocol, so differences between two may be taken draw by draw.
    """
    metric.check(task, outcome)
    names = metric.class_labels(task)
    counts = metric.tallies(task.kind, outcome.predicted, outcome.truth, task.classes)
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    ranked = task.kind is TaskKind.MULTILABEL and (metrics is None or any(_by_rank(name) for name in metrics))
    blocks = []
    for weights in _weights(task.fingerprint(), seed, draws, len(counts)):
        summed = (weights.astype(np.float64) @ flat).reshape(len(weights), *counts.shape[1:])
        found = metric.averages(task.kind, summed, names)
        if ranked:
            found |= metric.precisions(outcome.predicted, outcome.truth, names, weights)
        blocks.append(found)
    wanted = metric.in_order(task.kind, blocks[0]) if metrics is None else [m for m in metrics if m in blocks[0]]
    return {name: np.concatenate([block[name] for block in blocks]) for name in wanted}


def drawn_sums(counts: NDArray, data: str, seed: int = 0, draws: int = 1000) -> NDArray[np.float64]:
    """(draws, ...): `counts` (n, ...) of images summed over n of them drawn with replacement. Which those are depends
    on the seed, `data` (a fingerprint) and n alone, as in `resampled`."""
    flat = counts.reshape(len(counts), -1).astype(np.float64)
    sums = [weights.astype(np.float64) @ flat for weights in _weights(data, seed, draws, len(counts))]
    return np.concatenate(sums).reshape(draws, *counts.shape[1:])


def _by_rank(name: str) -> bool:
    return name == metric.PRECISION or name.startswith("AP/")


def _weights(data: str, seed: int, draws: int, images: int) -> Iterator[NDArray[np.int64]]:
    """How often each image is drawn, (up to BLOCK draws, images) at a time."""
    for start in range(0, draws, BLOCK):
        rng = generator(seed, f"bootstrap/{data}", start // BLOCK)
        drawn = rng.integers(0, images, (min(BLOCK, draws - start), images), dtype=np.int32)
        yield np.stack([np.bincount(row, minlength=images) for row in drawn])
