"""AblationTable: means over seeds with intervals over seeds and test images, and whether an order shows in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from geomeld.core.draw import generator
from geomeld.evaluate.ablation import Column, Measured, Measurements
from geomeld.evaluate.bootstrap import bounds

INTERVAL = (2.5, 97.5)
"""Percentiles."""


@dataclass(frozen=True)
class Cell:
    """A variant in a column."""

    mean: float
    """Over seeds, 0..1."""
    low: float | None
    """95 % interval over seeds and test images; None where every draw agrees."""
    high: float | None
    seeds: tuple[float, ...]

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{100 * self.mean:.1f}"
        return f"{100 * self.mean:.1f} ({100 * self.low:.1f} to {100 * self.high:.1f})"


@dataclass(frozen=True)
class Step:
    """One "lower < higher" of the expected order in one column."""

    column: Column
    lower: str
    higher: str
    gain: float
    """Mean of the higher less that of the lower, on the same test images."""
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """ "seen" where the interval of the gain lies above 0, "reversed" below, else "undecided"."""
        return "seen" if self.low > 0 else "reversed" if self.high < 0 else "undecided"

    def __str__(self) -> str:
        gain, low, high = (100 * v for v in (self.gain, self.low, self.high))
        return f"{self.higher} over {self.lower} {gain:+.1f} ({low:+.1f} to {high:+.1f})"


@dataclass(frozen=True)
class AblationTable:
    """What was measured, as rows and columns."""

    measured: Measurements
    rows: tuple[str, ...]
    """Variants, as they are to stand."""
    order: tuple[tuple[str, str], ...]
    """The expected steps (lower, higher)."""

    @property
    def columns(self) -> list[Column]:
        """In the order they were measured."""
        return list(self.measured)

    def cell(self, row: str, column: Column) -> Cell | None:
        """None where the row has no value in the column."""
        seeds = self.measured[column].get(row)
        if not seeds:
            return None
        low, high = bounds(_over_seeds(row, seeds)) or (None, None)
        values = tuple(m.value for m in seeds)
        return Cell(float(np.mean(values)), low, high, values)

    @cached_property
    def steps(self) -> list[Step]:
        """Every expected step in every column that has both sides."""
        return [
            self._step(column, lower, higher)
            for column in self.columns
            for lower, higher in self.order
            if lower in self.measured[column] and higher in self.measured[column]
        ]

    def _step(self, column: Column, lower: str, higher: str) -> Step:
        a, b = self.measured[column][lower], self.measured[column][higher]
        low, high = np.nanpercentile(_over_seeds(higher, b) - _over_seeds(lower, a), INTERVAL)
        gain = np.mean([m.value for m in b]) - np.mean([m.value for m in a])
        return Step(column, lower, higher, float(gain), float(low), float(high))

    def sentence(self) -> str:
        """Whether the expected order appears, as counted."""
        steps = self.steps
        if not steps:
            return "No two rows of the expected order were measured; nothing can be said of it."
        count = {v: sum(s.verdict == v for s in steps) for v in ("seen", "reversed", "undecided")}
        whole = [c for c in self.columns if (own := [s for s in steps if s.column == c]) and _all_seen(own, self.order)]
        appears = f"as a whole it appears in {', '.join(c.task for c in whole)}" if whole else "as a whole in no column"
        most = max(len(each) for rows in self.measured.values() for each in rows.values())
        return (
            f"Of the paper's order ({', '.join(f'{a} < {b}' for a, b in self.order)}) {len(steps)} steps can be looked "
            f"at here, {most} seed{'s' * (most != 1)} a row: {count['seen']} {_are(count['seen'])} beyond the 95 % "
            f"interval of the difference, {count['reversed']} {_are(count['reversed'])} so the other way round, and "
            f"{count['undecided']} cannot be told from chance; {appears}."
        )

    def details(self) -> list[str]:
        """A sentence per column: which differences exceed their interval."""
        return [_detail(column, [s for s in self.steps if s.column == column]) for column in self.columns]


def _over_seeds(row: str, seeds: Sequence[Measured]) -> NDArray[np.float64]:
    """(draws,): the mean over seeds drawn with replacement, on the test images of each draw."""
    draws = np.stack([m.draws for m in seeds])
    drawn = generator(0, "ablation/seeds", row).integers(0, len(seeds), (draws.shape[1], len(seeds)))
    mean: NDArray[np.float64] = draws[drawn, np.arange(draws.shape[1])[:, None]].mean(axis=1)
    return mean


def _all_seen(steps: Sequence[Step], order: Sequence[tuple[str, str]]) -> bool:
    return len(steps) == len(order) and all(s.verdict == "seen" for s in steps)


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _detail(column: Column, steps: Sequence[Step]) -> str:
    parts = []
    for verdict, said in (("seen", "as in the paper"), ("reversed", "the other way round")):
        there = "; ".join(str(s) for s in steps if s.verdict == verdict)
        if there:
            parts.append(f"{said}: {there}")
    undecided = sum(s.verdict == "undecided" for s in steps)
    if undecided:
        parts.append(f"{undecided} of {len(steps)} undecided")
    return f"{column.task}: {'. '.join(parts) or 'nothing to compare'}."
