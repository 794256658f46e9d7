"""Author: a writer that takes the tiles of a whole chunk at once, as a model behind an endpoint does."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from geomeld.caption.facts import Fact
from geomeld.caption.plan import Plan
from geomeld.caption.writers.template import Draft


@dataclass(frozen=True, slots=True)
class Asked:
    """One tile for which candidates are wanted."""

    tile_id: int
    facts: tuple[Fact, ...]
    plan: Plan
    season: str | None
    gsd_m: float


@dataclass(frozen=True, slots=True)
class Written:
    """What came of it."""

    drafts: list[Draft]
    """Perhaps none: then the template writer takes the tile over."""
    note: dict[str, Any]
    """For the caption's provenance: plain JSON."""
    error: str | None = None
    """Why the tile is left to another run."""


@dataclass(frozen=True, slots=True)
class Revision:
    """A caption that the measurements contradict, to be rewritten."""

    asked: Asked
    text: str
    problems: tuple[tuple[str, str], ...]
    """(words of the caption, what a rule demands of them); never a word of a map or a catalogue."""


class Author(Protocol):
    """Writes for a chunk; called from several threads."""

    def __call__(self, asked: Sequence[Asked], round_number: int) -> list[Written]: ...

    def revise(self, revisions: Sequence[Revision]) -> list[Written]:
        """At most one rewritten sentence for each caption."""

    def summary(self) -> dict[str, Any]:
        """What it did in this run: plain JSON."""
