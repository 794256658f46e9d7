"""Plan: which facts a caption must, may and must not mention, and from which angles it can be told."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from geomeld.caption.facts import Fact
from geomeld.core.caption import Signals
from geomeld.signals.quantities import ABSENT_BELOW

Angle = Literal["overview", "layout", "objects", "terrain-first", "water-first"]
CONFUSED = ("tree", "crop", "built", "bare", "snow", "wetland", "mangrove")
"""Covers that a writer may see where there are none; a long list of don'ts would leak into captions."""
OPTIONAL = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """The Orchestrator's instruction for one tile."""

    mandatory: tuple[str, ...]
    """Fact ids: the dominant cover, water from 5 % on, the object at the centre."""
    optional: tuple[str, ...]
    """The next facts by salience."""
    forbidden: tuple[str, ...]
    """Concepts measured absent by sources that see everything."""
    angles: tuple[Angle, ...]
    """Ways to tell the tile that its facts allow."""


def plan_of(facts: Sequence[Fact], signals: Signals) -> Plan:
    """The plan of a tile from its facts (paper 3.3: the Orchestrator plans; captions study 1.2 says how)."""
    must = [f.fact_id for f in facts if _is_central(f)]
    may = [f.fact_id for f in facts if f.fact_id not in must][:OPTIONAL]
    return Plan(tuple(must), tuple(may), _absent(signals), _angles(facts))


def _is_central(fact: Fact) -> bool:
    match fact.role:
        case "cover":
            return fact.detail in ("all", "most")
        case "water":
            return fact.value >= 0.05
        case "object":
            return fact.salience >= 0.9
    return False


def _absent(signals: Signals) -> tuple[str, ...]:
    absent = []
    if signals.water is not None and signals.water.percentage < 0.1:
        absent += ["lake", "river"]
    if signals.land_cover is not None:
        shares = signals.land_cover.shares
        absent += [c for c in CONFUSED if shares.get(c, 0.0) < 0.5 * ABSENT_BELOW[c]]
    return tuple(absent)


def _angles(facts: Sequence[Fact]) -> tuple[Angle, ...]:
    angles: list[Angle] = ["overview"]
    placed = {f.sector for f in facts if f.role in ("cover", "water") and f.sector and f.concept != "built"}
    if len(placed) >= 2:
        angles.append("layout")
    if any(f.role == "object" and f.salience >= 0.45 for f in facts):
        angles.append("objects")
    if any(f.role == "relief" and f.salience >= 0.4 for f in facts) and any(f.role == "cover" for f in facts):
        angles.append("terrain-first")
    if any(f.role == "water" for f in facts):
        angles.append("water-first")
    return tuple(angles)
