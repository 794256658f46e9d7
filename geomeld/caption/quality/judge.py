"""Judge: whether each assertion of a caption is true of a place, written apart from the rules that captions obey."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from geomeld.caption.claims import extract
from geomeld.caption.facts import Fact, facts_of
from geomeld.caption.lexicon import COUNTS, GROUP_OF
from geomeld.core.caption import Claim, Signals, WaterBody
from geomeld.signals.quantities import ABSENT_BELOW, quantity_of

Facet = Literal["presence", "kind", "amount", "number", "place", "adjective", "style"]
FACETS: tuple[Facet, ...] = ("presence", "kind", "amount", "number", "place", "adjective", "style")
"""What a claim can say of a thing: that it is there, of which kind, how much, how many, where, how; or what no caption
should say at all."""

GREEN = ("tree", "shrub", "grass", "crop", "wetland", "mangrove", "moss")
BROAD: Mapping[str, tuple[str, ...]] = {"field": ("crop", "grass"), "veg": GREEN, "open": ("grass", "bare", "crop")}
"""Words that stand for several covers."""
TREES = ("tree", "mangrove")
"""Mangroves are trees: who says so of either, or of both together, is right."""
BUILT_FROM = {"city": ("built", 0.30), "desert": ("bare", 0.50)}
"""Words that need much of a cover."""
RELIEF = ("flat", "gently undulating", "rolling", "hilly", "mountainous")
RELIEF_WORD = {"flat": 0, "undulating": 1, "rolling": 2, "hilly": 3, "mountain": 4}
"""Concepts as positions in RELIEF; a neighbour is no error."""
FORMS: Mapping[str, tuple[tuple[str, ...], float]] = {
    "valley": (("Valley", "Hollow", "Footslope", "Pit"), 0.2),
    "ridge": (("Ridge", "Peak", "Shoulder", "Spur"), 0.05),
    "peak": (("Peak", "Ridge"), 0.05),
}
"""Forms of the ground that a word means, and the share from which it fits."""
WATERS: Mapping[str, tuple[str, ...]] = {
    "river": ("river",), "stream": ("river",), "lake": ("lake", "pond"), "pond": ("lake", "pond"), "sea": ("sea",),
}  # fmt: skip
DWELLINGS = ("house", "building", "residential", "village", "town", "hamlet", "commercial")
ALIKE: Mapping[str, tuple[str, ...]] = {
    "road": ("road", "main_road", "highway", "street"), "street": ("street", "road"),
    "main_road": ("main_road", "highway"),
    "house": DWELLINGS, "building": DWELLINGS, "residential": DWELLINGS, "village": DWELLINGS, "hamlet": DWELLINGS,
    "town": ("town", "village", "commercial"), "airfield": ("airfield", "runway"), "runway": ("airfield", "runway"),
    "power_plant": ("power_plant", "solar_farm"), "reservoir": ("reservoir",),
}  # fmt: skip
"""Objects that a word may mean."""
TILE_M2 = 1280.0**2
SALIENT = 0.5
"""Salience from which a true fact should be told."""


@dataclass(frozen=True, slots=True)
class Assertion:
    """One thing that a caption says."""

    facet: Facet
    concept: str
    start: int
    """Span of the claim's noun in the caption, characters."""
    end: int
    true: bool | None
    """None where the truth does not tell."""
    said: float | None = None
    """Of amounts: the middle of the word's band of shares."""
    found: float | None = None
    """Of amounts: the true share."""


def assertions(text: str, truth: Signals) -> list[Assertion]:
    """Everything that a caption says, held against the true signals of its place."""
    return [a for claim in extract(text) for a in _of(claim, truth)]


def _of(claim: Claim, truth: Signals) -> Iterator[Assertion]:
    def assertion(facet: Facet, true: bool | None, said: float | None = None, found: float | None = None) -> Assertion:
        return Assertion(facet, claim.concept, claim.start, claim.end, true, said, found)

    group = GROUP_OF[claim.concept]
    if group == "style":
        yield assertion("style", claim.concept == "season" and claim.text.lower()[:6] == (truth.season or "")[:6])
        return
    there = is_there(claim, truth)
    yield assertion("presence", there if there is None or not claim.negated else not there)
    if claim.negated or not there:
        return  # of what is not there, nothing else can be true or false
    if claim.concept in WATERS:
        yield assertion("kind", bool(_bodies(claim, truth)))
    if group == "cover" and (band := quantity_of(claim.quantity or "")) and not _counts_buildings(claim):
        share = share_of(claim.concept, truth, claim.location)
        whole = share_of(claim.concept, truth)
        trees = _trees(truth) if claim.concept == "tree" else None
        fits = any(s is not None and band.accept_low <= s <= band.accept_high for s in (share, whole, trees))
        yield assertion("amount", fits if share is not None else None, (band.low + min(band.high, 1.0)) / 2, whole)
    number = _number(claim, truth)
    if number is not None:
        yield assertion("number", number)
    if claim.location is not None:
        yield assertion("place", _is_placed(claim, truth))
    if claim.modifiers:
        yield assertion("adjective", _is_so(claim, truth))


def is_there(claim: Claim, truth: Signals) -> bool | None:
    """Whether what a claim names is on the tile (whatever the claim says of it); None where the truth does not tell."""
    concept, group = claim.concept, GROUP_OF[claim.concept]
    if group == "object":
        return bool(_count(concept, truth))
    if group == "water":
        return _is_wet(concept, truth)
    if group == "relief":
        return _is_shaped(concept, truth)
    if concept in BUILT_FROM:
        part, least = BUILT_FROM[concept]
        return (share_of(part, truth) or 0.0) >= least
    share = _trees(truth) if concept == "tree" else share_of(concept, truth)
    if share is None:
        return None
    built = concept == "built" and bool(_count("building", truth))
    return built or share >= (0.15 if concept == "open" else ABSENT_BELOW.get(concept, 0.03))


def share_of(concept: str, truth: Signals, location: str | None = None) -> float | None:
    """True share 0..1 of a cover on the tile or in a part of it; None for what the truth does not hold."""
    cover, parts = truth.land_cover, BROAD.get(concept, (concept,))
    if cover is None or not set(parts) <= set(ABSENT_BELOW):
        return None
    tables = [cover.shares]
    if location is not None:
        names = ["centre"] if location == "centre" else [
            q for q in cover.quadrants if q != "centre" and set(location.split("-")) <= set(q.split("-"))
        ]  # fmt: skip
        tables = [cover.quadrants[q] for q in names]
    return sum(t.get(p, 0.0) for t in tables for p in parts) / len(tables)


def _trees(truth: Signals) -> float | None:
    shares = [share_of(c, truth) for c in TREES]
    return None if None in shares else sum(s or 0.0 for s in shares)


def _count(concept: str, truth: Signals) -> int:
    """How many objects stand there that a word may mean."""
    wanted = ALIKE.get(concept, (concept,))
    return sum(f.count for f in truth.map_features or () if f.concept in wanted)


def _is_wet(concept: str, truth: Signals) -> bool | None:
    water = truth.water
    if water is None or concept == "dry_bed":
        return None
    kinds = {b.kind for b in water.bodies}
    if concept in ("coast", "beach"):
        return "sea" in kinds
    return water.percentage >= 0.1 or bool(water.bodies)


def _bodies(claim: Claim, truth: Signals) -> list[WaterBody]:
    bodies = truth.water.bodies if truth.water else ()
    return [b for b in bodies if b.kind in WATERS.get(claim.concept, (b.kind,))]


def _is_shaped(concept: str, truth: Signals) -> bool | None:
    terrain = truth.terrain
    if terrain is None or concept == "cliff":
        return None
    if concept in RELIEF_WORD:
        return abs(RELIEF_WORD[concept] - RELIEF.index(terrain.relief_class)) <= 1
    if concept == "steep":
        return terrain.slope_p90 >= 15
    if concept in FORMS:
        names, least = FORMS[concept]
        return terrain.relief_m >= 60 and sum(terrain.form_shares.get(n, 0.0) for n in names) >= least
    return terrain.elevation_m >= 2500 if concept == "highland" else terrain.elevation_m <= 10


def _counts_buildings(claim: Claim) -> bool:
    return claim.concept == "built" and claim.quantity in (*COUNTS, "some", "scattered", "small", "isolated")


def _number(claim: Claim, truth: Signals) -> bool | None:
    """Whether a number of things fits within a factor of two; None where the claim gives none."""
    word = claim.quantity if claim.quantity in COUNTS else None
    low, high = COUNTS[word] if word else (claim.count or 1, claim.count or 1)
    if low == high == 1:
        return None
    if claim.concept == "built":
        count, share = _count("building", truth), share_of("built", truth) or 0.0
        return (count >= 12 or share >= 0.06) if low > 15 else (count <= 60 and share < 0.25)
    if GROUP_OF[claim.concept] == "water" and claim.concept in WATERS:
        return len(_bodies(claim, truth)) >= min(low, 3)
    if GROUP_OF[claim.concept] != "object":
        return None
    return low / 2 <= _count(claim.concept, truth) <= high * 2


def _is_placed(claim: Claim, truth: Signals) -> bool | None:
    words = set((claim.location or "").split("-"))
    if GROUP_OF[claim.concept] == "cover":
        here, whole = share_of(claim.concept, truth, claim.location), share_of(claim.concept, truth)
        least = ABSENT_BELOW.get(claim.concept, 0.03)
        return None if here is None or whole is None else here >= max(0.5 * whole, least)
    if GROUP_OF[claim.concept] == "water":
        sectors = [b.sector for b in _bodies(claim, truth)]
    else:
        wanted = ALIKE.get(claim.concept, (claim.concept,))
        sectors = [f.sector or "centre" for f in truth.map_features or () if f.concept in wanted]
    # What lies in the middle of its side, or reaches across the tile, is not wrongly placed.
    return any(words <= set(s.split("-")) or s == "centre" for s in sectors)


def _is_so(claim: Claim, truth: Signals) -> bool | None:
    """Adjectives that the truth can tell: of density and height for trees, of size for water."""
    said, canopy = set(claim.modifiers), truth.canopy.get("p50")
    if claim.concept in ("tree", "mangrove") and said & {"dense", "thick", "closed"}:
        cover = truth.land_cover
        densest = max((q.get(claim.concept, 0.0) for q in cover.quadrants.values()), default=0.0) if cover else 0.0
        return densest >= 0.25 and (canopy is None or canopy >= 5)
    if claim.concept == "tree" and said & {"tall", "mature", "young"} and canopy is not None:
        return canopy < 8 if "young" in said else canopy >= 12
    areas = [b.area_m2 for b in _bodies(claim, truth)] if claim.concept in WATERS else []
    if not areas or not said & {"large", "small", "wide", "narrow", "broad", "huge", "big", "tiny"}:
        return None
    if claim.concept in ("river", "stream"):
        return max(areas) / 1280 >= 60 if said & {"large", "wide", "broad", "big"} else max(areas) / 1280 <= 120
    if said & {"large", "huge", "big", "wide", "broad"}:
        return max(areas) >= 0.05 * TILE_M2
    return min(areas) <= 0.10 * TILE_M2


def salient(truth: Signals) -> list[Fact]:
    """True facts that a caption should tell."""
    return [f for f in facts_of(truth) if f.salience >= SALIENT]


def is_told(fact: Fact, text: str) -> bool:
    """Whether a caption tells a fact, in whatever words."""
    said = {c.concept for c in extract(text) if not c.negated}
    match fact.role:
        case "relief":
            return bool(said & ({*RELIEF_WORD, "steep"} if fact.concept == "relief" else {fact.concept}))
        case "water":
            return bool(said & {fact.concept, "water"}) or (fact.concept == "sea" and "coast" in said)
        case "object":
            names = {fact.concept, *(k for k, same in ALIKE.items() if fact.concept in same)}
            return bool(said & names) or (fact.concept in DWELLINGS and "built" in said)
        case _:
            broad = {k for k, parts in BROAD.items() if fact.concept in parts}
            much = {k for k, (part, _) in BUILT_FROM.items() if part == fact.concept}
            homes = set(DWELLINGS) if fact.concept == "built" else set()
            return bool(said & ({fact.concept} | broad | much | homes))
