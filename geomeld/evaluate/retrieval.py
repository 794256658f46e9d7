"""Retrieval: Recall@k between tiles and captions, with ties and repeated captions counted fairly."""

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray


def recall_at(similarity: NDArray, relevant: NDArray[np.bool_], ks: Sequence[int]) -> dict[int, float]:
    """Share of queries with a relevant item among the first k, for every k.

    `similarity` (queries, items) float, higher is nearer; `relevant` the same shape, at least one True per row.
    Items of equal score stand in random order, and the expected value over that order is returned: with the best
    relevant score shared by t items, r of them relevant, and b items before them, the chance of a hit within k is
    1 - C(t - r, k - b) / C(t, k - b). (Sorting by index instead would reward ties that happen to lie on the diagonal.)

    Raises ValueError where a query has no relevant item.
    """
    if not relevant.any(axis=1).all():
        raise ValueError("Every query needs at least one relevant item.")
    best = np.where(relevant, similarity, -np.inf).max(axis=1, keepdims=True)
    before = (similarity > best).sum(axis=1)
    tied = (similarity == best).sum(axis=1)
    tied_relevant = ((similarity == best) & relevant).sum(axis=1)
    counts = list(zip(before.tolist(), tied.tolist(), tied_relevant.tolist(), strict=True))
    return {k: float(np.mean([_hit(k - b, t, r) for b, t, r in counts])) for k in ks}


def _hit(draws: int, tied: int, relevant: int) -> float:
    if draws <= 0:
        return 0.0
    draws = min(draws, tied)
    return 1.0 - comb(tied - relevant, draws) / comb(tied, draws)


def chance_at(relevant: NDArray[np.bool_], ks: Sequence[int]) -> dict[int, float]:
    """Recall@k of a random order: mean over queries of 1 - C(n - r, k) / C(n, k)."""
    items = relevant.shape[1]
    return {k: float(np.mean([_hit(k, items, int(r)) for r in relevant.sum(axis=1)])) for k in ks}


def same_caption(captions: Sequence[str]) -> NDArray[np.bool_]:
    """(n, n): whether two tiles carry the same sentence, apart from case and spaces; any of them answers the query."""
    _, group = np.unique([" ".join(c.lower().split()) for c in captions], return_inverse=True)
    return group[:, None] == group[None, :]
