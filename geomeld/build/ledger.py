"""Ledger: what became of every tile and of every layer of it, in one SQLite file beside the shards."""

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from geomeld.build.attempt import LayerRow, Outcome
from geomeld.build.spool import Sample
from geomeld.core.errors import DatasetError
from geomeld.dataset.index import Array
from geomeld.dataset.manifest import Failure

NAME = "ledger.sqlite"

State = Literal["read", "stored", "waiting", "failed"]
"""Of a tile: its sample waits for its shard; it is in its shard; it is to be tried again; it is not to be had."""

READ: Final = "read"
STORED: Final = "stored"
WAITING: Final = "waiting"
FAILED: Final = "failed"

SCHEMA = """
CREATE TABLE IF NOT EXISTS build (identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS tiles (
    position INTEGER PRIMARY KEY, tile_id INTEGER NOT NULL, unit INTEGER NOT NULL, state TEXT NOT NULL,
    stage TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,
    photograph INTEGER, bytes INTEGER NOT NULL, checksum INTEGER, arrays TEXT, seconds REAL NOT NULL);
CREATE INDEX IF NOT EXISTS tiles_by_unit ON tiles (unit);
CREATE TABLE IF NOT EXISTS layers (
    position INTEGER NOT NULL, modality TEXT NOT NULL, state TEXT NOT NULL, kind TEXT NOT NULL, reason TEXT NOT NULL,
    scenes TEXT NOT NULL, bytes INTEGER NOT NULL, seconds REAL NOT NULL, tries INTEGER NOT NULL,
    PRIMARY KEY (position, modality)) WITHOUT ROWID;
"""
"""`position` is a tile's place in the order of the build, `unit` the number of its shard."""

TWELVE, NINE = ", ".join("?" * 12), ", ".join("?" * 9)
"""Columns of the two tables."""

COMMIT_S = 1.0
"""What a killed build can lose: the rows of so many seconds, whose tiles are then read again."""


class Ledger:
    """The rows of one build; one process writes, others may read meanwhile."""

    def __init__(self, path: Path, identity: str) -> None:
        """Open, or begin. Raises DatasetError where the file is damaged or another build's."""
        self.path = path
        with self._explained():
            # With SQLite's own journal, fully synced; a write-ahead log would need memory that network folders lack.
            self._rows = sqlite3.connect(path, timeout=60.0)
            self._rows.executescript(SCHEMA)
            known = self._rows.execute("SELECT identity FROM build").fetchone()
            if known is None:
                self._rows.execute("INSERT INTO build VALUES (?)", (identity,))
                self._rows.commit()
        if known is not None and known[0] != identity:
            self._rows.close()
            raise DatasetError(f"{path} is the ledger of another build; give another folder.")
        self._committed = time.monotonic()

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.commit()
        finally:
            self._rows.close()

    def record(self, unit: int, outcome: Outcome) -> None:
        """Note what became of a try; on the disk within `COMMIT_S`.

        A tile that is in its shard stays there when a further try at it fails.
        """
        state: State = READ if outcome.sample else WAITING if outcome.again else FAILED
        with self._explained():
            if state != READ and self._state(outcome.position) == STORED:
                return
            self._put_layers(outcome)
            row = _tile(unit, state, outcome)  # last: without it the tile is tried anew
            self._rows.execute(f"INSERT OR REPLACE INTO tiles VALUES ({TWELVE})", row)
            if time.monotonic() - self._committed >= COMMIT_S:
                self.commit()

    def samples(self, unit: int) -> list[tuple[int, Sample | None]]:
        """(position, sample) of the unit's tiles that are read, and (position, None) of those that are stored, in their
        order."""
        query = (
            "SELECT position, state, tile_id, bytes, checksum, photograph, arrays FROM tiles "
            "WHERE unit = ? AND state IN ('read', 'stored') ORDER BY position"
        )
        with self._explained():
            found = self._rows.execute(query, (unit,)).fetchall()
        return [(position, _sample(*rest) if state == READ else None) for position, state, *rest in found]

    def stored(self, unit: int) -> None:
        """Note that the shards of a unit hold all its tiles that were read."""
        with self._explained():
            self._rows.execute(
                "UPDATE tiles SET state = 'stored', arrays = NULL WHERE unit = ? AND state = 'read'", (unit,)
            )
            self.commit()

    def shards(self) -> list[tuple[int, bool]]:
        """(unit, whether of tiles with photographs) of every shard that holds tiles."""
        query = "SELECT DISTINCT unit, photograph FROM tiles WHERE state = 'stored'"
        with self._explained():
            return [(unit, bool(photograph)) for unit, photograph in self._rows.execute(query)]

    def lose(self, unit: int, photograph: bool) -> None:
        """A shard is gone: its tiles are tried anew."""
        with self._explained():
            self._rows.execute(
                "DELETE FROM tiles WHERE unit = ? AND photograph = ? AND state = 'stored'", (unit, photograph)
            )
            self.commit()

    def knows(self, position: int) -> bool:
        """Whether anything is known of a tile."""
        with self._explained():
            return self._state(position) is not None

    def adopt(self, unit: int, found: Iterable[tuple[Outcome, bool]]) -> None:
        """Take in tiles (and whether they have photographs) that lie in a shard and that nothing was known of."""
        with self._explained():
            for outcome, photograph in found:
                told = (outcome.position, outcome.tile_id, unit, STORED, "", "", "", photograph, 0, None, None, 0.0)
                self._rows.execute(f"INSERT INTO tiles VALUES ({TWELVE})", told)
                self._put_layers(outcome)
            self.commit()

    def forget(self, positions: Sequence[int]) -> None:
        """Take tiles out: they are tried anew."""
        with self._explained():
            self._rows.executemany("DELETE FROM tiles WHERE position = ?", [(p,) for p in positions])
            self.commit()

    def positions_of(self, *states: State) -> list[int]:
        """Positions of the tiles in these states."""
        query = f"SELECT position FROM tiles WHERE state IN ({', '.join('?' * len(states))}) ORDER BY position"
        with self._explained():
            return [p for (p,) in self._rows.execute(query, states)]

    def incomplete(self) -> list[int]:
        """Positions of tiles that were built without a layer that could not be had."""
        query = (
            "SELECT DISTINCT position FROM tiles JOIN layers USING (position) "
            "WHERE tiles.state IN ('read', 'stored') AND layers.state = 'failed' ORDER BY position"
        )
        with self._explained():
            return [p for (p,) in self._rows.execute(query)]

    def failures(self) -> list[Failure]:
        """The tiles that could not be had, in their order."""
        query = "SELECT tile_id, stage, reason, kind FROM tiles WHERE state = 'failed' ORDER BY position"
        with self._explained():
            return [Failure(*row) for row in self._rows.execute(query)]

    def commit(self) -> None:
        """Put everything on the disk now."""
        with self._explained():
            self._rows.commit()
        self._committed = time.monotonic()

    def _put_layers(self, outcome: Outcome) -> None:
        self._rows.execute("DELETE FROM layers WHERE position = ?", (outcome.position,))
        rows = [_layer(outcome.position, row) for row in outcome.layers]
        self._rows.executemany(f"INSERT INTO layers VALUES ({NINE})", rows)

    def _state(self, position: int) -> str | None:
        found = self._rows.execute("SELECT state FROM tiles WHERE position = ?", (position,)).fetchone()
        return found[0] if found else None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise DatasetError(
                f"The ledger {self.path} cannot be written: {error}. Free some space or change the folder's rights, "
                "then run the same command again to go on."
            ) from None
        except sqlite3.DatabaseError as error:
            raise DatasetError(
                f"The ledger {self.path} is damaged: {error}. Delete it and run the same command again: tiles in "
                "shards are kept."
            ) from None


def _layer(position: int, row: LayerRow) -> tuple[Any, ...]:
    scenes = json.dumps(row.scenes)
    return position, row.modality, row.state, row.kind, row.reason, scenes, row.bytes, row.seconds, row.tries


def _tile(unit: int, state: State, outcome: Outcome) -> tuple[Any, ...]:
    told = (outcome.position, outcome.tile_id, unit, state, outcome.stage, outcome.kind, outcome.reason)
    sample = outcome.sample
    if sample is None:
        return *told, None, 0, None, None, outcome.seconds
    arrays = json.dumps({n: [a.offset, a.dtype, a.shape] for n, a in sample.arrays.items()})
    return *told, sample.photograph, sample.bytes, sample.checksum, arrays, outcome.seconds


def _sample(tile_id: int, size: int, checksum: int, photograph: int, arrays: str) -> Sample:
    placed = {n: Array(offset, dtype, tuple(shape)) for n, (offset, dtype, shape) in json.loads(arrays).items()}
    return Sample(tile_id, size, checksum, bool(photograph), placed)
