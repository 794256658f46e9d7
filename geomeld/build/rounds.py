"""Rounds: every tile is tried, then those that servers withheld are tried again; shards are written as units settle."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from geomeld.build.attempt import Attempt, Job, Outcome
from geomeld.build.config import Patience
from geomeld.build.ledger import FAILED, READ, STORED, Ledger
from geomeld.build.plan import Plan, PlanRow
from geomeld.build.units import write_unit
from geomeld.core.errors import AuthError, SourceError, TransientError
from geomeld.core.pool import Engine, as_they_come
from geomeld.core.tile import Anchor

PASSING = (TransientError.kind, AuthError.kind)
"""Kinds of failures that say more about a server than about a tile."""

AT_ONCE = 4
"""Most neighbours that one process builds in a row, so that they find files open that they share."""


FETCHED = 8192
"""Places that are taken from a plan at a time: its rows lie in another order, and a file gives them up by the group."""


@dataclass
class Rounds:
    """The work of one run."""

    places: Sequence[Anchor] | Sequence[PlanRow]
    order: NDArray[np.int64]
    """By position in the build: index of the place."""
    tile_ids: NDArray[np.int64]
    """By position in the build."""
    out: Path
    attempt: Attempt
    patience: Patience
    ledger: Ledger

    def __post_init__(self) -> None:
        self._settled = np.zeros(len(self.order), dtype=bool)
        self._left: Counter[int] = Counter()  # tiles of a unit that are not settled
        self._inherited: set[int] = set()  # units with samples of an earlier run, perhaps from before a power cut
        self._bytes, self._in_a_row = 0, 0

    def run(self, again: Sequence[int], workers: int, engine: Engine) -> None:
        """Try every tile that is not settled, and the settled ones in `again`, until none is left.

        Raises SourceError where servers fail too often in a row.
        """
        size = self.attempt.config.shard_size
        self._settled[self.ledger.positions_of(READ, STORED, FAILED)] = True
        self._settled[list(again)] = False
        self._left = Counter((np.flatnonzero(~self._settled) // size).tolist())
        done = int(self._settled.sum())
        bar = tqdm(total=len(self.order), initial=done, desc="build", unit="tile", dynamic_ncols=True)
        # Taking files away can be slow, where the disk is told of every block that falls free.
        with bar as self._bar, ThreadPoolExecutor(1) as self._sweeper:
            self._inherited = {p // size for p in self.ledger.positions_of(READ)}
            for unit in self._inherited - self._left.keys():
                self._write(unit)
            number = 0
            while not self._settled.all():
                if number:
                    self._bar.set_description(f"build, try {number + 1}")
                    time.sleep(self.attempt.retry.wait_s("round", number))
                self._round(number, workers, engine)
                number += 1

    def _round(self, number: int, workers: int, engine: Engine) -> None:
        left = np.flatnonzero(~self._settled)
        last = number >= self.patience.rounds
        at_once = max(1, min(AT_ONCE, len(left) // (8 * workers)))
        module = type(self.attempt.source).__module__
        work = as_they_come(
            self.attempt,
            self._jobs(left, last, at_once),
            min(workers, len(left)),
            preload=("geomeld.build.attempt", module),
            engine=engine,
        )
        for outcomes in work:
            for outcome in outcomes:
                self._settle(outcome)
                if number == 0:
                    self._stop_where_all_fails(outcome)

    def _jobs(self, positions: NDArray[np.int64], last: bool, at_once: int) -> Iterator[list[Job]]:
        """Neighbours, some at a time."""
        for start in range(0, len(positions), FETCHED):
            window = positions[start : start + FETCHED].tolist()
            places = _fetched(self.places, self.order[window].tolist())
            jobs = [Job(position, place, last) for position, place in zip(window, places, strict=True)]
            yield from (jobs[k : k + at_once] for k in range(0, len(jobs), at_once))

    def _settle(self, outcome: Outcome) -> None:
        unit = outcome.position // self.attempt.config.shard_size
        self.ledger.record(unit, outcome)
        if outcome.again:
            return
        self._settled[outcome.position] = True
        self._bytes += outcome.sample.bytes if outcome.sample else 0
        self._show()
        self._left[unit] -= 1
        if not self._left[unit]:
            self._write(unit)

    def _write(self, unit: int) -> None:
        """Write the shards of a unit; tiles whose samples are gone are tried anew."""
        found, verify = (self.ledger, self.tile_ids, self.attempt.folder), unit in self._inherited
        lost = write_unit(self.out, unit, *found, self._sweeper, verify=verify)
        self.ledger.forget(lost)
        self._settled[lost] = False
        self._left[unit] = len(lost)
        self._bar.update(-len(lost))

    def _show(self) -> None:
        self._bar.update()
        seconds = max(self._bar.format_dict["elapsed"], 1e-3)
        self._bar.set_postfix_str(f"{_size(self._bytes)}, {_size(self._bytes / seconds)}/s", refresh=False)

    def _stop_where_all_fails(self, outcome: Outcome) -> None:
        self._in_a_row = self._in_a_row + 1 if outcome.kind in PASSING else 0
        if self._in_a_row >= self.patience.give_up_after:
            raise SourceError(
                f"{self._in_a_row} tiles in a row could not be had; the last one: {outcome.reason} Nothing is lost: "
                "run the same command again to go on."
            )


def _fetched(places: Sequence[Anchor] | Sequence[PlanRow], wanted: Sequence[int]) -> list[Anchor | PlanRow]:
    if isinstance(places, Plan):
        return list(places.at(wanted))
    return [places[k] for k in wanted]


def _size(count: float) -> str:
    """Bytes as people read them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} TB"
