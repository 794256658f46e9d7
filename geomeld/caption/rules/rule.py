"""Rule: one declarative record of what a claim is held against, and the measurements that rules read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from geomeld.core.caption import Claim, Severity, Signals, Status
from geomeld.signals.quantities import ABSENT_BELOW

VEGETATION = ("tree", "shrub", "grass", "crop", "wetland", "mangrove", "moss")
SUM_OF: Mapping[str, tuple[str, ...]] = {
    "field": ("crop", "grass"),
    "veg": VEGETATION,
    "open": ("grass", "bare", "crop"),
}
"""Words that stand for several covers."""
KINDS_OF: Mapping[str, tuple[str, ...]] = {"tree": ("tree", "mangrove")}
"""Covers of which another one is a kind: who says "woods" of mangroves is right."""
SPECTRAL: Mapping[str, tuple[str, ...]] = {
    "veg_dense": ("dense vegetation",),
    "veg": ("dense vegetation", "moderate vegetation", "sparse vegetation"),
    "veg_sparse": ("sparse vegetation", "moderate vegetation"),
    "bare": ("bare ground",),
    "snow": ("snow",),
}
"""What the spectrum alone can say of cover, where there is no land-cover map (captions study 2.2)."""
UNSURE = 0.3
"""Below this confidence land cover contradicts nothing (captions study 3.1)."""
NOISY = 6.0
"""Metres of elevation noise from which relief contradicts nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule found for one claim."""

    status: Status
    evidence: Mapping[str, Any]
    edit: str | None = None
    """Another edit than the rule's own."""


Check = Callable[[Claim, Signals, Mapping[str, float]], Finding | None]
"""(claim, signals, limits) -> finding; None where the rule has nothing to say."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule over claims. Examples read "scene: caption" (scenes: `geomeld.testing.scenes`) and are its tests."""

    rule_id: str
    """As in the rule catalogue of the captions study 3.4; letters behind a number are this project's."""
    title: str
    """What must hold."""
    concepts: frozenset[str]
    check: Check
    edit: str = "drop"
    """What repairs a conflict; see `caption.repair`."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Thresholds by name."""
    severity: Severity = "hard"
    agrees: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()


def finding(ok: bool, evidence: Mapping[str, Any], edit: str | None = None) -> Finding:
    """Supported or contradicted, by closed-world evidence."""
    return Finding("supported" if ok else "contradicted", evidence, None if ok else edit)


def unsupported(why: str, edit: str | None = None) -> Finding:
    """Nothing on this tile could say so."""
    return Finding("unsupported", {"why": why}, edit)


def share_of(concept: str, signals: Signals, location: str | None = None) -> tuple[float | None, str]:
    """(share 0..1 of a cover on the tile or in a named part of it, the product that says so); None where nothing
    measures it. With a land-cover map the spectrum's own classes still come from the spectrum."""
    cover = signals.land_cover
    if cover is not None and (concept in ABSENT_BELOW or concept in SUM_OF):
        tables = [cover.shares] if location is None else [cover.quadrants[p] for p in parts_of(location)]
        parts = SUM_OF.get(concept, (concept,))
        return sum(t.get(c, 0.0) for t in tables for c in parts) / len(tables), cover.source
    names = SPECTRAL.get(concept, ())
    found = [signals.spectral[f"share@{n}"]["share"] for n in names if f"share@{n}" in signals.spectral]
    if names and len(found) == len(names) and location is None:
        return sum(found), "sentinel2 spectrum"
    return None, ""


def share_with_kinds(concept: str, signals: Signals) -> float | None:
    """Share 0..1 of a cover together with its kinds; None where nothing measures it."""
    shares = [share_of(kind, signals)[0] for kind in KINDS_OF.get(concept, (concept,))]
    return None if None in shares else sum(s or 0.0 for s in shares)


def parts_of(location: str) -> tuple[str, ...]:
    """The quadrants (or the centre) that a place names."""
    if location == "centre":
        return ("centre",)
    quadrants = ("north-west", "north-east", "south-west", "south-east")
    words = location.split("-")
    return tuple(q for q in quadrants if all(w in q.split("-") for w in words))


def features_of(signals: Signals, *concepts: str) -> int | None:
    """How many visible map objects of these concepts there are; None without a map."""
    if signals.map_features is None:
        return None
    return sum(f.count for f in signals.map_features if f.concept in concepts and f.visible)


def greenness(concept: str, signals: Signals) -> float | None:
    """Median NDVI over a cover, else over the tile; None without red and near infrared."""
    keys = [f"ndvi@{c}" for c in SUM_OF.get(concept, (concept,))] + ["ndvi"]
    return next((signals.spectral[k]["p50"] for k in keys if k in signals.spectral), None)


def rounded(value: float | None, digits: int = 4) -> float | None:
    """For evidence that people read."""
    return None if value is None else round(value, digits)
