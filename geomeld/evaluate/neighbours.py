"""Neighbours: what the labelled images nearest to an image say about it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BLOCK = 256
"""Images at a time; holds the memory."""


def votes(
    known: NDArray, labels: NDArray[np.int64], new: NDArray, classes: int, settings: Sequence[tuple[int, float]]
) -> list[NDArray[np.float32]]:
    """Share (m, classes) of the votes for each class among the k nearest of `known` (n, width), for each image of `new`
    (m, width) and each (k, temperature) of `settings`.

    Near is a high cosine. A neighbour's vote counts exp(cosine / temperature), or 1 where that is infinite. `labels`:
    (n,) one class of each, or (n, classes) zeros and ones. Where k is above n, all vote.
    """
    given = labels if labels.ndim == 2 else labels[:, None] == np.arange(classes)
    given = given.astype(np.float32)
    most = min(max(k for k, _ in settings), len(known))
    reference = _unit(known)
    found = [np.empty((len(new), classes), np.float32) for _ in settings]
    for start in range(0, len(new), BLOCK):
        likeness = _unit(new[start : start + BLOCK]) @ reference.T
        nearest = _nearest(likeness, most)
        cosine = np.take_along_axis(likeness, nearest, axis=1)
        for temperature in {t for _, t in settings}:
            # Relative to the nearest, whose vote is then 1: nothing overflows.
            weight = np.exp((cosine - cosine[:, :1]) / np.float32(temperature))
            summed = np.cumsum(given[nearest] * weight[:, :, None], axis=1)
            total = np.cumsum(weight, axis=1)
            for into, (k, t) in zip(found, settings, strict=True):
                if t == temperature:
                    last = min(k, most) - 1
                    into[start : start + BLOCK] = summed[:, last] / total[:, last, None]
    return found


def nearest_class(known: NDArray, labels: NDArray[np.int64], new: NDArray, k: int) -> NDArray[np.int64]:
    """The commonest label among the `k` rows of `known` (n, d) with the highest cosine to each row of `new` (m, d);
    of labels that tie, the lowest."""
    (share,) = votes(known, labels, new, int(labels.max()) + 1, [(k, np.inf)])
    return share.argmax(1)


def _nearest(likeness: NDArray, k: int) -> NDArray[np.int64]:
    """The k columns of the highest values in each row, the highest first; of those that tie, the first."""
    if k < likeness.shape[1]:
        held = np.sort(np.argpartition(-likeness, k - 1, axis=1)[:, :k], axis=1)
    else:
        held = np.broadcast_to(np.arange(k), (len(likeness), k))
    order = np.argsort(-np.take_along_axis(likeness, held, axis=1), axis=1, kind="stable")
    return np.take_along_axis(held, order, axis=1)


def _unit(values: NDArray) -> NDArray[np.float32]:
    length = np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
    return (values / length).astype(np.float32)
