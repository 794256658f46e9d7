"""The tags writer: map features strung together, as SkyScript's captions are; a baseline to compare with."""

from collections.abc import Sequence

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.plan import Plan
from geomeld.caption.writers.prompt import OBJECTS
from geomeld.caption.writers.template import Draft

MOST = 6
"""Things named at most."""


def drafts(
    tile_id: int, facts: Sequence[Fact], plan: Plan, config: CaptionConfig, round_number: int = 0
) -> list[Draft]:
    """One draft from the phrases of our table, "A satellite image of a, b."; none for a tile without map features."""
    things = [f for f in facts if f.role == "object" and f.detail in OBJECTS][:MOST]
    if not things:
        return []
    phrases = dict.fromkeys(f.detail.split("|")[f.count > 1] for f in things)
    return [Draft(f"A satellite image of {', '.join(phrases)}.", "overview", "tags")]
