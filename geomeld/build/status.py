"""Status: how far a build has come, read from its ledger, while it runs or afterwards."""

import fcntl
import json
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from geomeld.build.ledger import FAILED, READ, STORED, WAITING
from geomeld.build.ledger import NAME as LEDGER
from geomeld.core.errors import DatasetError
from geomeld.dataset import manifest as manifests

UNFINISHED = ".build.json"
"""File that marks a folder whose build has not finished, and says which build that is."""

SIGNS_OF_LIFE = {"running": "a build is at work", "finished": "finished", "stopped": "run the same command to go on"}


@dataclass(frozen=True, slots=True)
class LayerCount:
    """What became of one modality over all tiles that were tried."""

    modality: str
    read: int
    empty: int
    """Without a valid pixel."""
    absent: int
    """Without a scene."""
    failed: int
    bytes: int
    seconds: float
    """Spent reading it, tries and waits included, in all processes together."""
    tries: int


@dataclass(frozen=True, slots=True)
class Reason:
    """Why some tiles failed, or wait to be tried again."""

    state: str
    stage: str
    kind: str
    reason: str
    tiles: int


@dataclass(frozen=True, slots=True)
class Status:
    """A build at one moment."""

    life: str
    """running, finished or stopped."""
    places: int
    stored: int
    """Tiles in shards."""
    read: int
    """Tiles that wait for the others of their shard."""
    waiting: int
    """Tiles to be tried again."""
    failed: int
    bytes: int
    """Of the tiles."""
    seconds: float
    """Spent on tiles in all processes together."""
    layers: tuple[LayerCount, ...]
    reasons: tuple[Reason, ...]

    @property
    def untried(self) -> int:
        """Tiles that no try has ended for."""
        return self.places - self.stored - self.read - self.waiting - self.failed


def status_of(out: Path) -> Status:
    """The state of the build in a folder. Raises DatasetError where there is none, or its ledger is damaged."""
    path = out / LEDGER
    if not path.exists():
        raise DatasetError(f"{out} has no {LEDGER}: no build was begun there, or none that got to a tile.")
    try:
        rows = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=60.0)
        try:
            return _status(out, rows)
        finally:
            rows.close()
    except sqlite3.DatabaseError as error:
        raise DatasetError(f"The ledger {path} cannot be read: {error}.") from None


def described(status: Status) -> str:
    """A status for people."""
    tiles = [f"{status.stored:,} of {status.places:,} tiles in shards"]
    rest = (("read", status.read), ("to be tried again", status.waiting), ("failed", status.failed))
    tiles += [f"{count:,} {name}" for name, count in (*rest, ("not tried yet", status.untried)) if count]
    lines = [f"{', '.join(tiles)}; {status.bytes / 1e6:,.1f} MB ({SIGNS_OF_LIFE[status.life]})"]
    if status.layers:
        lines.append(f"{'':16}{'read':>10}{'empty':>10}{'absent':>10}{'failed':>10}{'MB':>12}{'s each':>9}{'tries':>8}")
    for layer in status.layers:
        asked = max(layer.read + layer.empty + layer.failed, 1)
        lines.append(
            f"{layer.modality:16}{layer.read:10,}{layer.empty:10,}{layer.absent:10,}{layer.failed:10,}"
            f"{layer.bytes / 1e6:12,.1f}{layer.seconds / asked:9.3f}{layer.tries / asked:8.2f}"
        )
    lines += [f"{r.tiles:,} {r.state} ({r.stage}, {r.kind}): {r.reason}" for r in status.reasons]
    return "\n".join(lines)


def _status(out: Path, rows: sqlite3.Connection) -> Status:
    counts = dict(rows.execute("SELECT state, count(*) FROM tiles GROUP BY state"))
    size, seconds = rows.execute("SELECT total(bytes), total(seconds) FROM tiles").fetchone()
    layers = rows.execute(
        "SELECT modality, sum(state = 'read'), sum(state = 'empty'), sum(state = 'absent'), "
        "sum(state = 'failed'), sum(bytes), total(seconds), sum(tries) FROM layers GROUP BY modality"
    )
    reasons = rows.execute(
        "SELECT state, stage, kind, reason, count(*) FROM tiles WHERE state IN ('failed', 'waiting') "
        "GROUP BY state, stage, kind, reason ORDER BY count(*) DESC, reason"
    )
    return Status(
        life=_life(out),
        places=_places(out),
        stored=counts.get(STORED, 0),
        read=counts.get(READ, 0),
        waiting=counts.get(WAITING, 0),
        failed=counts.get(FAILED, 0),
        bytes=int(size),
        seconds=seconds,
        layers=tuple(LayerCount(*row) for row in layers),
        reasons=tuple(Reason(*row) for row in reasons),
    )


def _life(out: Path) -> str:
    with (out / ".lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return "running"
    return "stopped" if (out / UNFINISHED).exists() else "finished"


def _places(out: Path) -> int:
    mark = out / UNFINISHED
    identity = json.loads(mark.read_text()) if mark.exists() else manifests.load_manifest(out).config
    return int(identity["places"])
