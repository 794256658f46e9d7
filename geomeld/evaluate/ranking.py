"""Ranking: where the right answers stand among all items, for both directions of a square gallery, block by block."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from geomeld.core.errors import UsageError

STEPS = float(2**26)
"""Coordinates are rounded to whole multiples of 1 / STEPS. A score is then a sum of whole numbers below 2^53, which
float64 adds without error in any order: blocks, threads and machines cannot change it, and ties are ties."""
ROWS, COLUMNS, CHUNK = 1024, 4096, 128
DOUBTFUL_SHARE = 1 / 64
"""Of a block; above it, all of the block is multiplied in float64 rather than its doubtful scores one by one."""
FloatMatrix = NDArray[np.float32] | NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Ranks:
    """For every query, where the best of its right answers stands."""

    before: NDArray[np.int64]
    """(queries,) items that score higher."""
    tied: NDArray[np.int64]
    """(queries,) items that score the same, itself among them."""
    tied_right: NDArray[np.int64]
    """(queries,) right answers among these."""
    right: NDArray[np.int64]
    """(queries,) right answers among all items."""
    items: int
    """Size of the gallery."""

    def hits(self, k: int) -> NDArray[np.float64]:
        """(queries,) chance of a right answer among the first k, where items of equal score stand in random order."""
        return _hit(k - self.before, self.tied, self.tied_right)

    def positions(self) -> NDArray[np.float64]:
        """(queries,) expected rank of the first right answer, 1 or more."""
        return self.before + (self.tied + 1) / (self.tied_right + 1)

    def chance(self, k: int) -> float:
        """Mean of `hits` if all items tied."""
        return float(_hit(np.full_like(self.right, k), np.full_like(self.right, self.items), self.right).mean())


def _hit(draws: NDArray[np.int64], items: NDArray[np.int64], right: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 - C(items - right, draws) / C(items, draws): one of the `right` ones is among `draws` of `items`."""
    draws = np.minimum(draws, items)
    missed = np.ones(len(items))
    for drawn in range(max(0, int(draws.max(initial=0)))):
        left = np.maximum(items - drawn, 1)
        missed *= np.where(drawn < draws, np.maximum(left - right, 0) / left, 1.0)
        if not missed.any():
            break
    return 1.0 - missed


@dataclass(frozen=True, slots=True)
class PairRanks:
    """Both directions of a gallery of pairs (a[i], b[i]), with two notions of what is right."""

    a_to_b: Ranks
    """Right is b[i] alone."""
    b_to_a: Ranks
    a_to_group: Ranks
    """Right is every b of i's group."""
    b_to_group: Ranks


def rank_pairs(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    group: NDArray[np.int64],
    *,
    threads: int | None = None,
    progress: Callable[[int], object] = lambda rows: None,
) -> PairRanks:
    """Rank all of `b` (n, d) for every row of `a` (n, d) by their product and the other way round, in memory for a few
    blocks only.

    Rows are of unit length; `group` (n,) is equal where two pairs are the same (a repeated caption). float32 decides
    what its rounding cannot change, float64 the rest, without any rounding: the result is that of the full exact
    matrix. `progress` is told how many rows are done. Raises UsageError for rows that are not of unit length.
    """
    _check(a, b)
    own = _own(a, b)
    best = _best(a, b, group, own)
    bars = [Bar(own, own)]
    if (best.members > 1).any():
        bars.append(Bar(best.a, best.b))
    counts = _counted(a, b, bars, threads or os.cpu_count() or 1, progress)
    plain, grouped = counts[0], counts[-1]
    alone, n = np.ones(len(a), np.int64), len(a)
    return PairRanks(
        Ranks(plain.higher_b, plain.tied_b, alone, alone, n),
        Ranks(plain.higher_a, plain.tied_a, alone, alone, n),
        Ranks(grouped.higher_b, grouped.tied_b, best.tied_a, best.members, n),
        Ranks(grouped.higher_a, grouped.tied_a, best.tied_b, best.members, n),
    )


def exact(x: FloatMatrix) -> NDArray[np.float64]:
    """Rows as whole multiples of 1 / STEPS; products of two such matrices carry no rounding error."""
    return np.rint(np.asarray(x, np.float64) * STEPS) / STEPS


def _check(a: NDArray, b: NDArray) -> None:
    for name, x in (("a", a), ("b", b)):
        lengths = np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))
        wrong = np.flatnonzero(~(np.abs(lengths - 1) < 1e-3))
        if len(wrong):
            raise UsageError(
                f"Row {wrong[0]} of {name} has length {lengths[wrong[0]]:.4g}, {len(wrong)} of {len(x)} rows are "
                "not of unit length; divide each by its length."
            )
    if a.shape != b.shape:
        raise UsageError(f"A gallery of pairs needs two sides of one shape, not {a.shape} and {b.shape}.")


# --- what is to be beaten: the score of each query's best right answer ---


def _own(a: NDArray, b: NDArray) -> NDArray[np.float64]:
    parts = range(0, len(a), COLUMNS)
    return np.concatenate([(exact(a[i : i + COLUMNS]) * exact(b[i : i + COLUMNS])).sum(axis=1) for i in parts])


@dataclass(frozen=True, slots=True)
class _Best:
    a: NDArray[np.float64]
    b: NDArray[np.float64]
    tied_a: NDArray[np.int64]
    tied_b: NDArray[np.int64]
    members: NDArray[np.int64]


def _best(a: NDArray, b: NDArray, group: NDArray[np.int64], own: NDArray[np.float64]) -> _Best:
    """The best score within each one's group, how many of the group reach it, and how large the group is."""
    _, inverse, size = np.unique(group, return_inverse=True, return_counts=True)
    found = _Best(own.copy(), own.copy(), np.ones(len(a), np.int64), np.ones(len(a), np.int64), size[inverse])
    order, ends = np.argsort(inverse, kind="stable"), np.cumsum(size)
    for end, count in zip(ends[size > 1], size[size > 1], strict=True):
        one = order[end - count : end]
        sides = exact(a[one]), exact(b[one])
        found.a[one], found.tied_a[one] = _best_of(*sides)
        found.b[one], found.tied_b[one] = _best_of(*sides[::-1])
    return found


def _best_of(queries: NDArray[np.float64], items: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The highest product of each query with the items, and how many items reach it."""
    best, tied = np.full(len(queries), -np.inf), np.zeros(len(queries), np.int64)
    for at in range(0, len(queries), ROWS):
        rows = slice(at, at + ROWS)
        for start in range(0, len(items), COLUMNS):
            scores = queries[rows] @ items[start : start + COLUMNS].T
            before, best[rows] = best[rows].copy(), np.maximum(best[rows], scores.max(axis=1))
            tied[rows] = np.where(best[rows] > before, 0, tied[rows]) + (scores == best[rows, None]).sum(axis=1)
    return best, tied


# --- one pass over all pairs ---


@dataclass(frozen=True, slots=True)
class Bar:
    """The scores that items are held against."""

    a: NDArray[np.float64]
    """(rows of a,), for the items b of each."""
    b: NDArray[np.float64]
    """(rows of b,), for the items a of each."""


@dataclass(frozen=True, slots=True)
class _Counts:
    higher_b: NDArray[np.int64]
    """(rows of a,) rows of b above the bar."""
    tied_b: NDArray[np.int64]
    higher_a: NDArray[np.int64]
    """(rows of b,) rows of a above the bar."""
    tied_a: NDArray[np.int64]

    @classmethod
    def zero(cls, a: int, b: int) -> "_Counts":
        return cls(np.zeros(a, np.int64), np.zeros(a, np.int64), np.zeros(b, np.int64), np.zeros(b, np.int64))

    def part(self, rows: slice, columns: slice) -> "_Counts":
        """A view."""
        return _Counts(self.higher_b[rows], self.tied_b[rows], self.higher_a[columns], self.tied_a[columns])


def _counted(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    bars: list[Bar],
    threads: int,
    progress: Callable[[int], object],
) -> list[_Counts]:
    """How many items are above each bar, and how many on it: every product is computed once for all of them."""
    n = len(a)
    total = [_Counts.zero(n, n) for _ in bars]
    strips = [slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS)]
    # A thread per strip, so that each multiplies and counts in its own cache; the sums do not depend on their order.
    with threadpool_limits(1), ThreadPoolExecutor(threads) as pool:
        work = pool.map(lambda rows: _strip(a[rows], b, [Bar(bar.a[rows], bar.b) for bar in bars]), strips)
        try:
            for rows, counts in zip(strips, work, strict=True):
                for whole, part in zip(total, counts, strict=True):
                    whole.higher_b[rows], whole.tied_b[rows] = part.higher_b, part.tied_b
                    whole.higher_a[:] += part.higher_a
                    whole.tied_a[:] += part.tied_a
                progress(rows.stop)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)  # Ctrl-C waits for the strips at work only
    return total


def _strip(a: NDArray[np.float32], b: NDArray[np.float32], bars: list[Bar]) -> list[_Counts]:
    """The counts of a few rows of `a` against all of `b`."""
    counts = [_Counts.zero(len(a), len(b)) for _ in bars]
    everything = slice(None)
    crowded = False
    for start in range(0, len(b), COLUMNS):
        columns = slice(start, start + COLUMNS)
        product = None if crowded else a @ b[columns].T
        whole: NDArray[np.float64] | None = None
        for bar, count in zip(bars, counts, strict=True):
            here, into = Bar(bar.a, bar.b[columns]), count.part(everything, columns)
            if product is not None and _screened(product, a, b[columns], here, into):
                continue
            # Scores lie closer together than float32 can tell (an untrained model does this): it is not asked again.
            crowded = True
            whole = exact(a) @ exact(b[columns]).T if whole is None else whole
            _count(whole, here.a, here.b, into.higher_b, into.tied_b, into.higher_a, into.tied_a)
    return counts


def _screened(product: NDArray[np.float32], a: NDArray, b: NDArray, bar: Bar, into: _Counts) -> bool:
    """Count by the float32 product where it is certain and settle the rest one by one; False, and nothing counted,
    where too much is left."""
    bound = _rounding(a.shape[1])
    low_a, high_a = (bar.a - bound).astype(np.float32), (bar.a + bound).astype(np.float32)
    low_b, high_b = (bar.b - bound).astype(np.float32), (bar.b + bound).astype(np.float32)
    chunks = -(-product.shape[1] // CHUNK)
    flags, found = np.zeros((len(product), chunks), np.bool_), _Counts.zero(*product.shape)
    doubtful = _screen(product, low_a, high_a, low_b, high_b, found.higher_b, found.higher_a, flags)
    if doubtful > DOUBTFUL_SHARE * product.size:
        return False
    _settle(
        product, a, b, low_a, high_a, low_b, high_b, bar.a, bar.b, flags,
        found.higher_b, found.tied_b, found.higher_a, found.tied_a,
    )  # fmt: skip
    for name in ("higher_b", "tied_b", "higher_a", "tied_a"):
        getattr(into, name)[:] += getattr(found, name)
    return True


def _rounding(width: int) -> float:
    """How far a float32 product of two unit vectors may lie from the exact one: the classical bound, with room for
    lengths up to 1.001, for the rounding of coordinates and for that of the bars themselves."""
    return (1.01 * width + 8) * 2.0**-24 + np.sqrt(width) / STEPS


@njit(nogil=True, cache=True)
def _screen(product, low_a, high_a, low_b, high_b, higher_b, higher_a, flags):  # type: ignore[no-untyped-def]
    rows, columns = product.shape
    doubtful = np.int64(0)
    for i in range(rows):
        low, high = low_a[i], high_a[i]
        above = np.int32(0)
        for chunk in range(flags.shape[1]):
            unsure = np.int32(0)
            for j in range(chunk * CHUNK, min(columns, (chunk + 1) * CHUNK)):
                v = product[i, j]
                above += np.int32(v > high)
                higher_a[j] += v > high_b[j]
                unsure += np.int32((v >= low) & (v <= high)) + np.int32((v >= low_b[j]) & (v <= high_b[j]))
            flags[i, chunk] = unsure > 0
            doubtful += unsure
        higher_b[i] += above
    return doubtful


@njit(nogil=True, cache=True)
def _settle(product, a, b, low_a, high_a, low_b, high_b, bar_a, bar_b, flags, higher_b, tied_b, higher_a, tied_a):  # type: ignore[no-untyped-def]
    rows, columns = product.shape
    for i in range(rows):
        for chunk in range(flags.shape[1]):
            if not flags[i, chunk]:
                continue
            for j in range(chunk * CHUNK, min(columns, (chunk + 1) * CHUNK)):
                v = product[i, j]
                by_row = (v >= low_a[i]) & (v <= high_a[i])
                by_column = (v >= low_b[j]) & (v <= high_b[j])
                if not (by_row or by_column):
                    continue
                score = 0.0
                for k in range(a.shape[1]):
                    score += np.rint(np.float64(a[i, k]) * STEPS) * np.rint(np.float64(b[j, k]) * STEPS)
                score /= STEPS * STEPS
                if by_row:
                    higher_b[i] += score > bar_a[i]
                    tied_b[i] += score == bar_a[i]
                if by_column:
                    higher_a[j] += score > bar_b[j]
                    tied_a[j] += score == bar_b[j]


@njit(nogil=True, cache=True)
def _count(product, bar_a, bar_b, higher_b, tied_b, higher_a, tied_a):  # type: ignore[no-untyped-def]
    rows, columns = product.shape
    for i in range(rows):
        for j in range(columns):
            v = product[i, j]
            higher_b[i] += v > bar_a[i]
            tied_b[i] += v == bar_a[i]
            higher_a[j] += v > bar_b[j]
            tied_a[j] += v == bar_b[j]
