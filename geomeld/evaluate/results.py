"""Results: the folder of an evaluation; every part of it is computed once and found again under its keys."""

import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from geomeld.core.errors import CorruptFile
from geomeld.dataset.files import write_atomically
from geomeld.evaluate.card import Card, card_of
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.score import Score
from geomeld.evaluate.task import Task

ENDING = ".scores.jsonl"
"""Of the scores of one part, beside the part itself."""
FIGURE = ".figure.json"
OUTCOMES, TASKS, TILES, CACHE = "outcomes", "tasks", "tiles", "cache"
ENCODERS, TILE_SETS, LEFT_OUT = "encoders.json", "datasets.json", "left_out.json"
Row = TypeVar("Row")


@dataclass(frozen=True)
class Described:
    """An encoder as tables name it."""

    identity: str
    title: str
    spec: str
    """What it was opened by."""
    bands: tuple[str, ...]
    width: int
    parameters: int

    @property
    def where(self) -> str:
        """What tells it from another of the same title: the end of its path, or its spelling."""
        return self.spec if ":" in self.spec else "/".join(Path(self.spec).parts[-2:])


@dataclass(frozen=True)
class TileSet:
    """The held-out tiles of a dataset that were evaluated, as tables name them."""

    data: str
    """Fingerprint of the dataset and of what is tested."""
    name: str
    """Of its folder."""
    source: str
    """What its tiles come from, e.g. "simulated"."""
    tiles: int
    """All that it has."""
    unread: str = ""
    """Those of them that could not be read when it was evaluated last."""
    held_out: str = ""
    """Which of them are tested, in words."""

    def __str__(self) -> str:
        tested = f"; held out: {self.held_out}" if self.held_out else ""
        lost = f"; {self.unread} cannot be read" if self.unread else ""
        return f"{self.name} ({self.tiles:,} tiles, source: {self.source}{tested}{lost})"


@dataclass(frozen=True)
class LeftOut:
    """What was asked for and not done."""

    encoder: str
    task: str
    protocol: str
    scale: str
    """The statistics that were left out; "all" where it is true of any."""
    why: str
    broken: bool = False
    """Whether a set is partial or damaged; the others do not fit, or are for others."""
    partly: bool = False
    """Whether only some tiles cannot be read, and the others were evaluated."""

    def __str__(self) -> str:
        scale = "" if self.scale == "all" else f", {self.scale} statistics"
        return f"{self.encoder} on {self.task}, {self.protocol}{scale}: {self.why}"


@dataclass(frozen=True)
class Results:
    """A folder of results."""

    folder: Path

    @property
    def cache(self) -> Path:
        """Where features and labels are kept; may be removed at any time."""
        return self.folder / CACHE

    def outcome_path(self, task: str, identity: str, data: str, protocol: str, scale: str, seed: int) -> Path:
        """Where the outcome of these keys lies, or will."""
        return self.folder / OUTCOMES / slug(task) / f"{identity}-{data}-{slug(protocol)}-{scale}-{seed}.npz"

    def outcomes(self) -> list[tuple[Path, Outcome]]:
        """All that were computed, encoder by encoder. Raises CorruptFile for one that is damaged."""
        return [(path, Outcome.load(path)) for path in self._in_order((self.folder / OUTCOMES).glob("*/*.npz"))]

    def keep_card(self, task: Task) -> None:
        """Keep what pages must know of a task."""
        path = self.folder / TASKS / f"{slug(task.name)}-{task.fingerprint()}.npz"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            card_of(task).save(path)

    def cards(self) -> dict[str, Card]:
        """Cards of tasks by fingerprint."""
        found = [Card.load(path) for path in sorted((self.folder / TASKS).glob("*.npz"))]
        return {card.data: card for card in found}

    def describe(self, encoders: Iterable[Described]) -> None:
        """Keep how encoders are named, behind those that are kept already: this is the order of all tables."""
        kept = self.encoders() | {e.identity: e for e in encoders}
        self._write(ENCODERS, [asdict(e) for e in kept.values()])

    def encoders(self) -> dict[str, Described]:
        """Encoders by identity."""
        found = [replace(each, bands=tuple(each.bands)) for each in self._read(ENCODERS, Described)]
        return {e.identity: e for e in found}

    def keep_tile_set(self, tiles: TileSet) -> None:
        """Keep how the held-out tiles of a dataset are named, beside those that are kept already."""
        kept = self.tile_sets() | {tiles.data: tiles}
        self._write(TILE_SETS, [asdict(each) for _, each in sorted(kept.items())])

    def tile_sets(self) -> dict[str, TileSet]:
        """Held-out tiles of datasets by fingerprint."""
        return {each.data: each for each in self._read(TILE_SETS, TileSet)}

    def leave_out(self, left_out: Sequence[LeftOut]) -> None:
        """Keep what the latest run left out."""
        self._write(LEFT_OUT, [asdict(each) for each in left_out])

    def left_out(self) -> list[LeftOut]:
        """What the latest run left out."""
        return self._read(LEFT_OUT, LeftOut)

    def scores(self) -> list[Score]:
        """Scores of all parts that were computed, encoder by encoder. Raises CorruptFile for lines of another kind."""
        return [score for path in self._in_order(self.folder.glob(f"*/**/*{ENDING}")) for score in read_part(path)]

    def figures(self) -> list[tuple[str, str]]:
        """Captions and figures (trusted HTML) of the tiles of datasets, as they were drawn when they were computed."""
        found = self._in_order((self.folder / TILES).glob(f"*{FIGURE}"))
        return [tuple(json.loads(path.read_text())) for path in found]  # type: ignore[misc]

    def keep_figure(self, name: str, caption: str, html: str) -> None:
        """Keep a figure of the tiles of a dataset under a name."""
        path = self.folder / TILES / f"{slug(name)}{FIGURE}"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps([caption, html]).encode())

    def _in_order(self, paths: Iterable[Path]) -> list[Path]:
        """Files that begin with an encoder's identity, in the order in which commands named the encoders."""
        rank = {identity: i for i, identity in enumerate(self.encoders())}
        return sorted(paths, key=lambda path: (rank.get(path.name.split("-")[0], len(rank)), path))

    def _read(self, name: str, kind: type[Row]) -> list[Row]:
        path = self.folder / name
        try:
            return [kind(**row) for row in json.loads(path.read_text())] if path.exists() else []
        except (ValueError, TypeError) as error:
            raise CorruptFile(f"{path} cannot be read ({error}); remove it and evaluate again.") from None

    def _write(self, name: str, rows: list[dict[str, Any]]) -> None:
        write_atomically(self.folder / name, (json.dumps(rows, indent=1) + "\n").encode())


def keep_part(path: Path, scores: Sequence[Score]) -> None:
    """Write the scores of one part, `path` ending in ENDING."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, "".join(json.dumps(asdict(s)) + "\n" for s in scores).encode())


def read_part(path: Path) -> list[Score]:
    """What `keep_part` wrote. Raises CorruptFile for anything else."""
    try:
        return [Score(**json.loads(line)) for line in path.read_text().splitlines()]
    except (ValueError, TypeError) as error:
        raise CorruptFile(f"{path} holds other lines than scores ({error}); remove it and evaluate again.") from None


def slug(text: str) -> str:
    """A name as part of a path."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-")


@cache
def code() -> str:
    """Commit of the code, "+" behind it where files were changed since; its version outside a checkout."""
    root = Path(__file__).parents[2]

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()

    if (root / ".git").exists():
        try:
            changed = git("status", "--porcelain", "--untracked-files=no", "--", "geomeld")
            return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
        except (OSError, subprocess.CalledProcessError):
            pass  # no git, or a checkout that it refuses: the version says the most that is known
    try:
        return version("geomeld")
    except PackageNotFoundError:
        return ""
