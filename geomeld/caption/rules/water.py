"""Rules of water: whether there is any, of which kind, how large, how many, and where."""

from collections.abc import Mapping

from geomeld.caption.lexicon import MODIFIERS
from geomeld.caption.rules.rule import Finding, Rule, features_of, finding, rounded, unsupported
from geomeld.core.caption import Claim, Signals, WaterBody
from geomeld.signals.quantities import quantity_of

Limits = Mapping[str, float]
TILE_M2 = 1280.0**2
MAPPED = ("river", "lake", "pond", "water", "stream", "canal", "reservoir", "coast")
KINDS: Mapping[str, tuple[str, ...]] = {
    "river": ("river",),
    "stream": ("river",),
    "lake": ("lake", "pond"),
    "pond": ("pond", "lake"),
    "sea": ("sea",),
}
"""Measured kinds that a word accepts."""
LARGEST_POND = 0.02
"""Share of the tile above which nothing is a pond."""


def bodies_of(signals: Signals, concept: str) -> list[WaterBody]:
    """Measured bodies that a word may mean."""
    bodies = signals.water.bodies if signals.water else ()
    return [b for b in bodies if concept not in KINDS or b.kind in KINDS[concept]]


def _present(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if claim.negated:
        return None
    water, mapped = signals.water, features_of(signals, *MAPPED)
    if water is None:
        return Finding("supported", {"mapped": mapped}) if mapped else unsupported("nothing here measures water")
    evidence = {"percent": water.percentage, "mapped": mapped, **limits, "sources": list(water.sources)}
    return finding(water.percentage >= limits["percent_from"] or bool(mapped), evidence)


def _absent(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if not claim.negated or signals.water is None:
        return None
    return finding(signals.water.percentage < limits["percent_below"], {"percent": signals.water.percentage, **limits})


def _kind(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if signals.water is None or claim.negated:
        return None
    kinds = list(dict.fromkeys(b.kind for b in signals.water.bodies))
    bodies = bodies_of(signals, claim.concept)
    if claim.concept == "pond":
        bodies = [b for b in bodies if b.area_m2 <= LARGEST_POND * TILE_M2]
    mapped = features_of(signals, "river" if claim.concept == "stream" else claim.concept, claim.concept)
    return finding(bool(bodies) or bool(mapped), {"kinds": kinds, "mapped": mapped}, "rekind" if kinds else "drop")


def _coast(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    kinds = sorted({b.kind for b in signals.water.bodies}) if signals.water else []
    mapped = features_of(signals, "coast", "beach", "pier", "marina")
    shore = claim.concept == "shore" and bool(kinds)
    evidence = {"kinds": kinds, "mapped": mapped}
    if claim.concept == "beach" and not mapped:
        return finding("sea" in kinds and _sandy(signals, limits), {**evidence, **limits})
    return finding("sea" in kinds or shore or bool(mapped), evidence)


def _sandy(signals: Signals, limits: Limits) -> bool:
    shares = signals.land_cover.shares if signals.land_cover else {}
    return shares.get("bare", 0.0) >= limits["bare_from"]


def _size(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    large = {"large", "wide", "big", "broad", "huge"} & set(claim.modifiers)
    small = {"small", "narrow", "tiny"} & set(claim.modifiers)
    bodies = bodies_of(signals, claim.concept)
    if not (large or small) or not bodies:
        return None
    if claim.concept == "river":
        # A river crosses the tile: its area over the tile's side is about its width.
        width = max(b.area_m2 for b in bodies) / 1280.0
        ok = width >= limits["wide_m_from"] if large else width <= limits["narrow_m_to"]
        return finding(ok, {"width_m": rounded(width, 0), **limits})
    shares = [b.area_m2 / TILE_M2 for b in bodies]
    ok = max(shares) >= limits["large_from"] if large else min(shares) <= limits["small_to"]
    return finding(ok, {"largest": rounded(max(shares)), "smallest": rounded(min(shares)), **limits})


def _winding(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if not {"winding", "meandering"} & set(claim.modifiers):
        return None
    rivers = [b.elongation for b in bodies_of(signals, "river")]
    return finding(any(e <= limits["elongation_to"] for e in rivers), {"elongations": rivers, **limits})


def _extent(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    band = quantity_of(claim.quantity) if claim.quantity else None
    # "Several" counts and "broad" is a width: neither speaks of the tile's share.
    if band is None or signals.water is None or claim.negated or band.name in ("few", "some"):
        return None
    if claim.quantity in MODIFIERS:
        return None
    share = signals.water.percentage / 100
    accepted = [band.accept_low, band.accept_high]
    ok = band.accept_low <= share <= band.accept_high
    return finding(ok, {"share": rounded(share), "word": claim.quantity, "accepted": accepted})


def _number(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    plural = claim.text.lower().endswith("s")
    if not plural or signals.water is None or claim.negated or not (claim.count or claim.quantity):
        return None
    found, mapped = len(bodies_of(signals, claim.concept)), features_of(signals, claim.concept)
    wanted = claim.count or (limits["several"] if claim.quantity in ("several", "many", "numerous") else 2)
    return finding(max(found, mapped or 0) >= wanted, {"bodies": found, "mapped": mapped, "at_least": wanted})


def _frozen(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if "frozen" not in claim.modifiers:
        return None
    index = signals.spectral.get("ndsi@water", {}).get("p50")
    if index is None:
        return unsupported("no snow index over the water")
    cold = signals.season in ("winter", "spring") or abs(signals.latitude) >= limits["latitude_from"]
    return finding(cold and index >= limits["ndsi_from"], {"ndsi": rounded(index), "season": signals.season, **limits})


def _place(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    bodies = bodies_of(signals, claim.concept)
    if claim.location is None or claim.negated or not bodies:
        return None
    sectors = [b.sector for b in bodies]
    if claim.location == "centre":
        return finding("centre" in sectors, {"bodies": sectors})
    wanted = claim.location.split("-")
    long = claim.concept in ("river", "stream", "sea", "water")
    ok = any(all(w in s.split("-") for w in wanted) or (long and s == "centre") for s in sectors)
    return finding(ok, {"bodies": sectors})


def _dry_bed(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    return unsupported("one date cannot tell a dry bed")


OPEN = frozenset(("river", "stream", "lake", "pond", "sea", "water"))

RULES: tuple[Rule, ...] = (
    Rule("W1", "there is water", OPEN, _present, "drop", {"percent_from": 0.1}, "hard",
         ("lake: A lake among grassland.",
          "farm: A river crosses the cropland."),
         ("desert: Bare ground with a small lake.", "blind: Land with a river.")),
    Rule("W2", "where water is denied there is none", OPEN, _absent, "drop", {"percent_below": 1.0}, "hard",
         ("desert: Bare ground without water.",
          "forest: Forest covers hills that lack open water."), ("lake: Grassland without open water.",
          "coast: Mangroves without any water nearby.")),
    Rule("W3", "the kind of water fits", frozenset(KINDS), _kind, "rekind", {}, "hard",
         ("farm: A river runs through cropland.",
          "coast: Mangroves stand by the sea."), ("farm: Cropland around a lake.", "lake: Grassland by the sea.")),
    Rule("W4", "a coast has the sea", frozenset({"coast", "beach", "shore"}), _coast, "drop", {"bare_from": 0.02},
         "hard",
         ("coast: Mangroves line the coast.", "lake: Grassland reaches the shore."),
         ("lake: Grassland with a sandy beach.",
          "farm: Cropland stretches along the coast.")),
    Rule("W5", "large water is large, small water small", OPEN, _size, "unmodify",
         {"large_from": 0.05, "small_to": 0.10, "wide_m_from": 60, "narrow_m_to": 120}, "hard",
         ("lake: A large lake among grassland.", "farm: A narrow river in cropland."),
         ("farm: A wide river in cropland.", "lake: A small lake among grassland.")),
    Rule("W6", "a winding river winds", frozenset({"river", "stream"}), _winding, "unmodify", {"elongation_to": 6.0},
         "hard", ("delta: A winding river in marshland.",
          "delta: A meandering river crosses the marshes."),
         ("farm: A winding river in cropland.",
          "farm: Cropland along a meandering river.")),
    Rule("W9", "a dry bed is not told from one date", frozenset({"dry_bed"}), _dry_bed, "drop", {}, "hard",
         ("desert: Bare ground on flat land.",
          "farm: A river runs through the fields."), ("desert: Bare ground with a dry riverbed.",
          "desert: Bare ground around a dry lake bed.")),
    Rule("W10", "frozen water is frozen", OPEN, _frozen, "unmodify", {"ndsi_from": 0.4, "latitude_from": 60.0}, "hard",
         ("ice: A frozen lake in the snow.",
          "ice: Snow lies around a frozen lake."), ("lake: A frozen lake among grassland.",
          "farm: Cropland along a frozen river.")),
    Rule("W11", "words of extent fit the water's share", OPEN, _extent, "unquantify", {}, "hard",
         ("coast: The sea covers much of the area.",
          "lake: Grassland with a stretch of water."), ("farm: Open water covers most of the area.",
          "lake: Open water dominates the rolling area.")),
    Rule("W12", "several waters are several", OPEN, _number, "singular", {"several": 3}, "hard",
         ("delta: Several ponds in marshland.",
          "delta: Three ponds lie among the marshes."), ("lake: Several lakes among grassland.",
          "farm: Two rivers cross the cropland.")),
    Rule("M6w", "water lies where the caption says", OPEN, _place, "unlocate", {}, "hard",
         ("lake: A lake in the north-east of the area.",
          "farm: A river runs through the south-west."), ("lake: A lake in the south of the area.",
          "coast: Mangroves face the sea in the west.")),
)  # fmt: skip
