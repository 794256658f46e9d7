"""The rules: what each kind of claim is held against, and what happens to it when the measurement disagrees."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from geomeld.caption.lexicon import COUNTS, GROUP_OF
from geomeld.core.caption import Claim, Severity, Signals, Status, Verdict
from geomeld.signals.quantities import ABSENT_BELOW, quantity_of

VEGETATION = ("tree", "shrub", "grass", "crop", "wetland", "mangrove", "moss")
SPECTRAL_COVER = {
    "veg_dense": ("dense vegetation",),
    "veg": ("dense vegetation", "moderate vegetation", "sparse vegetation"),
    "veg_sparse": ("sparse vegetation",),
    "bare": ("bare ground",),
    "snow": ("snow",),
}
"""What can be said of cover by the spectrum alone, where there is no land-cover map."""

Outcome = tuple[Status, Mapping[str, Any], str]
"""(status, evidence, action)."""
Check = Callable[[Claim, Signals], Outcome | None]
"""None where the rule has nothing to say."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: which claims it looks at and how it decides."""

    rule_id: str
    title: str
    concepts: frozenset[str]
    check: Check
    severity: Severity = "hard"


def verify(claims: Iterable[Claim], signals: Signals) -> tuple[Verdict, ...]:
    """Verdicts of every rule on every claim that it concerns."""
    return tuple(
        Verdict(claim.claim_id, rule.rule_id, status, rule.severity, evidence, action)
        for claim in claims
        for rule in BY_CONCEPT.get(claim.concept, ())
        if (outcome := rule.check(claim, signals)) is not None
        for status, evidence, action in (outcome,)
    )


def conflicts(verdicts: Iterable[Verdict]) -> list[Verdict]:
    """Verdicts that a caption may not leave standing."""
    return [v for v in verdicts if v.severity == "hard" and v.status in ("contradicted", "unsupported")]


# --- what is known ---


def share_of(concept: str, signals: Signals) -> tuple[float | None, str]:
    """(share 0..1 of a cover, where it comes from); None where nothing measures it."""
    cover = signals.land_cover
    if cover is not None:
        if concept == "field":
            return cover.shares.get("crop", 0.0) + cover.shares.get("grass", 0.0), cover.source
        if concept == "veg":
            return sum(cover.shares.get(c, 0.0) for c in VEGETATION), cover.source
        if concept in ABSENT_BELOW:
            return cover.shares.get(concept, 0.0), cover.source
    names = SPECTRAL_COVER.get(concept)
    found = [signals.spectral[f"share@{n}"]["share"] for n in names or () if f"share@{n}" in signals.spectral]
    if names and len(found) == len(names):
        return sum(found), "sentinel2 spectrum"
    return None, ""


def features_of(signals: Signals, *concepts: str) -> int | None:
    """How many visible map objects of these concepts there are; None without a map."""
    if signals.map_features is None:
        return None
    return sum(f.count for f in signals.map_features if f.concept in concepts and f.visible)


def _supported(ok: bool, evidence: Mapping[str, Any], action: str = "drop") -> Outcome:
    return ("supported" if ok else "contradicted", evidence, "keep" if ok else action)


# --- cover ---

FALLBACK_ABSENT = 0.03


def _cover(claim: Claim, signals: Signals) -> Outcome:
    share, source = share_of(claim.concept, signals)
    if share is None:
        return "unsupported", {"why": "nothing on this tile measures it"}, "drop"
    least = ABSENT_BELOW.get(claim.concept, FALLBACK_ABSENT)
    evidence = {"share": round(share, 4), "at least": least, "source": source}
    if claim.negated:
        return _supported(share < max(0.01, least), evidence)
    mapped = features_of(signals, "house", "building", "residential", "village", "town", "farm_building", "hamlet")
    if claim.concept == "built" and share < least and mapped:
        return "supported", {**evidence, "mapped": mapped}, "keep"
    return _supported(share >= least, evidence)


def _quantity(claim: Claim, signals: Signals) -> Outcome | None:
    band = quantity_of(claim.quantity) if claim.quantity else None
    share, _ = share_of(claim.concept, signals)
    if band is None or share is None or claim.negated or claim.concept == "built":
        return None
    evidence = {"share": round(share, 4), "accepted": [band.accept_low, band.accept_high], "word": claim.quantity}
    return _supported(band.accept_low <= share <= band.accept_high, evidence, "requantify")


def _buildings(claim: Claim, signals: Signals) -> Outcome | None:
    if claim.quantity not in ("a few", "few", "small", "scattered", "some"):
        return None
    share, _ = share_of("built", signals)
    count = features_of(signals, "house", "building")
    evidence = {"share": share, "mapped": count}
    return _supported((share or 0.0) < 0.25 and (count or 0) <= 60, evidence, "requantify")


def _dense(claim: Claim, signals: Signals) -> Outcome | None:
    if not {"dense", "thick", "closed"} & set(claim.modifiers):
        return None
    share, _ = share_of(claim.concept, signals)
    ndvi = (signals.spectral.get("ndvi@tree") or signals.spectral.get("ndvi") or {}).get("p50")
    tall = signals.canopy.get("p50")
    evidence = {"share": share, "ndvi": ndvi, "canopy_m": tall}
    return _supported(
        (share or 0) >= 0.08 and (ndvi is None or ndvi >= 0.4) and (tall is None or tall >= 5), evidence, "unmodify"
    )


def _tall(claim: Claim, signals: Signals) -> Outcome | None:
    if "tall" not in claim.modifiers:
        return None
    height = signals.canopy.get("p50")
    if height is None:
        return "unsupported", {"canopy_m": None}, "unmodify"
    return _supported(height >= 12, {"canopy_m": height}, "unmodify")


def _green(claim: Claim, signals: Signals) -> Outcome | None:
    if not {"green", "lush"} & set(claim.modifiers):
        return None
    values = signals.spectral.get(
        f"ndvi@{'crop' if claim.concept == 'field' else claim.concept}"
    ) or signals.spectral.get("ndvi")
    if values is None:
        return "unsupported", {"ndvi": None}, "unmodify"
    least = 0.55 if "lush" in claim.modifiers else 0.35
    return _supported(values["p50"] >= least, {"ndvi": values["p50"], "at least": least}, "unmodify")


def _dry(claim: Claim, signals: Signals) -> Outcome | None:
    if not {"dry", "brown"} & set(claim.modifiers):
        return None
    values = signals.spectral.get(f"ndvi@{claim.concept}") or signals.spectral.get("ndvi")
    if values is None:
        return "unsupported", {"ndvi": None}, "unmodify"
    return _supported(values["p50"] < 0.35, {"ndvi": values["p50"], "below": 0.35}, "unmodify")


def _city(claim: Claim, signals: Signals) -> Outcome:
    share, source = share_of("built", signals)
    if share is None:
        return "unsupported", {"why": "nothing on this tile measures built-up land"}, "drop"
    return _supported(share >= 0.30, {"share": round(share, 4), "at least": 0.30, "source": source})


def _desert(claim: Claim, signals: Signals) -> Outcome:
    share, source = share_of("bare", signals)
    if share is None:
        return "unsupported", {"why": "nothing on this tile measures bare ground"}, "drop"
    ndvi = signals.spectral.get("ndvi", {}).get("p95", 0.0)
    return _supported(share >= 0.5 and ndvi <= 0.4, {"share": round(share, 4), "ndvi_p95": ndvi, "source": source})


def _mangrove_belt(claim: Claim, signals: Signals) -> Outcome | None:
    return _supported(abs(signals.latitude) <= 33, {"latitude": signals.latitude, "at most": 33})


def _location(claim: Claim, signals: Signals) -> Outcome | None:
    if claim.location is None:
        return None
    if GROUP_OF[claim.concept] == "water":
        here = [b.sector for b in signals.water.bodies] if signals.water else []
        wanted = _sectors(claim.location)
        return _supported(any(any(w in s for w in wanted) or s == "centre" for s in here), {"bodies": here}, "unlocate")
    share, _ = share_of(claim.concept, signals)
    if signals.land_cover is None or not share or claim.concept not in ABSENT_BELOW:
        return "unsupported", {"why": "no land-cover map says where"}, "unlocate"
    parts = [signals.land_cover.quadrants[p].get(claim.concept, 0.0) for p in _parts(claim.location)]
    local = sum(parts) / len(parts)
    return _supported(local >= 0.8 * share, {"share there": round(local, 4), "share": round(share, 4)}, "unlocate")


def _sectors(location: str) -> tuple[str, ...]:
    return ("centre",) if location in ("centre", "center", "middle") else tuple(location.replace("-", " ").split())


def _parts(location: str) -> tuple[str, ...]:
    if location in ("centre", "center", "middle"):
        return ("centre",)
    quadrants = ("north-west", "north-east", "south-west", "south-east")
    words = _sectors(location)
    return tuple(q for q in quadrants if all(w in q.split("-") for w in words)) or ("centre",)


# --- water ---


def _water(claim: Claim, signals: Signals) -> Outcome:
    water = signals.water
    mapped = features_of(signals, "river", "lake", "pond", "water", "stream", "canal", "reservoir", "coast")
    if water is None:
        return ("supported" if mapped else "unsupported", {"mapped": mapped}, "keep" if mapped else "drop")
    evidence = {"percent": water.percentage, "mapped": mapped, "sources": list(water.sources)}
    if claim.negated:
        return _supported(water.percentage < 1.0, evidence)
    return _supported(water.detected or bool(mapped), evidence)


KINDS = {"river": ("river", "mixed"), "stream": ("river", "mixed"), "lake": ("lake", "mixed", "pond"),
         "pond": ("pond", "mixed"), "sea": ("sea", "mixed")}  # fmt: skip


def _kind(claim: Claim, signals: Signals) -> Outcome | None:
    water = signals.water
    if water is None or claim.negated or claim.concept not in KINDS:
        return None
    kinds = {b.kind for b in water.bodies}
    mapped = features_of(signals, claim.concept, "river" if claim.concept == "stream" else claim.concept)
    found = bool(kinds & set(KINDS[claim.concept])) or bool(mapped)
    return _supported(found, {"kinds": sorted(kinds), "mapped": mapped}, "rekind")


def _coast(claim: Claim, signals: Signals) -> Outcome:
    kinds = {b.kind for b in signals.water.bodies} if signals.water else set()
    mapped = features_of(signals, "coast", "beach", "pier")
    return _supported("sea" in kinds or bool(mapped), {"kinds": sorted(kinds), "mapped": mapped})


def _size(claim: Claim, signals: Signals) -> Outcome | None:
    large, small = {"large", "wide", "big"} & set(claim.modifiers), {"small", "narrow"} & set(claim.modifiers)
    if not (large or small) or signals.water is None:
        return None
    percent = signals.water.percentage
    ok = percent >= 4 if large else percent <= 25
    return _supported(ok, {"percent": percent}, "unmodify")


def _winding(claim: Claim, signals: Signals) -> Outcome | None:
    if not {"winding", "meandering"} & set(claim.modifiers):
        return None
    rivers = [b.elongation for b in signals.water.bodies if b.kind == "river"] if signals.water else []
    return _supported(any(e < 9 for e in rivers), {"elongation": rivers}, "unmodify")


# --- relief ---

RELIEF_OF = {
    "flat": ("flat", "gently undulating"),
    "undulating": ("flat", "gently undulating", "rolling"),
    "rolling": ("gently undulating", "rolling", "hilly"),
    "hilly": ("rolling", "hilly", "mountainous"),
    "mountain": ("mountainous", "hilly"),
}


def _relief(claim: Claim, signals: Signals) -> Outcome:
    terrain = signals.terrain
    if terrain is None:
        return "unsupported", {"why": "the tile has no elevation"}, "drop"
    evidence = {
        "relief_m": round(terrain.relief_m, 1),
        "slope_p90": round(terrain.slope_p90, 1),
        "class": terrain.relief_class,
    }
    if claim.concept == "mountain":
        return _supported(terrain.relief_class == "mountainous" or terrain.slope_p90 >= 15, evidence, "rerelief")
    return _supported(terrain.relief_class in RELIEF_OF[claim.concept], evidence, "rerelief")


def _valley(claim: Claim, signals: Signals) -> Outcome:
    return _forms(signals, ("Valley", "Hollow", "Footslope", "Pit"), 0.2)


def _ridge(claim: Claim, signals: Signals) -> Outcome:
    return _forms(signals, ("Ridge", "Peak", "Shoulder", "Spur"), 0.05)


def _forms(signals: Signals, names: tuple[str, ...], least: float) -> Outcome:
    terrain = signals.terrain
    if terrain is None:
        return "unsupported", {"why": "the tile has no elevation"}, "drop"
    share = sum(terrain.form_shares[n] for n in names)
    evidence = {"share": round(share, 3), "at least": least, "relief_m": round(terrain.relief_m, 1)}
    return _supported(share >= least and terrain.relief_m >= 60, evidence)


# --- objects ---

SAME = {
    "road": ("road", "main_road", "highway", "street", "track"), "main_road": ("main_road", "highway"),
    "house": ("house", "building", "residential"),
    "building": ("building", "house", "industrial_building", "farm_building"),
    "power_plant": ("power_plant", "solar_farm"), "street": ("street", "road"),
    "village": ("village", "town", "hamlet", "residential"), "hamlet": ("hamlet", "village", "residential"),
}  # fmt: skip


def _mapped(claim: Claim, signals: Signals) -> Outcome:
    count = features_of(signals, *SAME.get(claim.concept, (claim.concept,)))
    if count is None:
        return "unsupported", {"why": "no map of this place"}, "drop"
    if claim.concept in ("house", "building", "village", "hamlet", "residential") and not count:
        share, source = share_of("built", signals)
        if (share or 0) >= 0.02:
            return "supported", {"share": share, "source": source}, "keep"
    return ("supported" if count else "unsupported", {"mapped": count}, "keep" if count else "drop")


def _too_small(claim: Claim, signals: Signals) -> Outcome | None:
    hidden = [f for f in signals.map_features or () if f.concept == claim.concept]
    if not hidden or any(f.visible for f in hidden):
        return None
    return "contradicted", {"gsd_m": signals.gsd_m, "why": "smaller than can be seen"}, "drop"


def _count(claim: Claim, signals: Signals) -> Outcome | None:
    if claim.quantity not in COUNTS:
        return None
    count = features_of(signals, *SAME.get(claim.concept, (claim.concept,)))
    if not count:
        return None
    low, high = COUNTS[claim.quantity]
    return _supported(low / 2 <= count <= high * 2, {"mapped": count, "word": claim.quantity}, "recount")


def _style(claim: Claim, signals: Signals) -> Outcome:
    return "contradicted", {"why": "not to be seen, or not said in a caption"}, "drop"


def _hedge(claim: Claim, signals: Signals) -> Outcome:
    return "contradicted", {"why": "a caption states or leaves out"}, "unhedge"


_COVERS = frozenset(c for c, g in GROUP_OF.items() if g == "cover") - {"city", "desert"}
_WATERS = frozenset(c for c, g in GROUP_OF.items() if g == "water")
_OBJECTS = frozenset(c for c, g in GROUP_OF.items() if g == "object")


def _cover_rule(rule_id: str, concept: str) -> Rule:
    return Rule(rule_id, f"{concept} is there", frozenset({concept}), _cover)


RULES: tuple[Rule, ...] = (
    _cover_rule("L1", "tree"), _cover_rule("L4", "crop"), _cover_rule("L4f", "field"), _cover_rule("L5", "shrub"),
    _cover_rule("L6", "grass"), _cover_rule("L7", "built"), _cover_rule("L10", "bare"), _cover_rule("L12", "snow"),
    _cover_rule("L13", "wetland"), _cover_rule("L13m", "mangrove"), _cover_rule("L20", "moss"),
    _cover_rule("L21", "veg"),
    _cover_rule("L21d", "veg_dense"), _cover_rule("L21s", "veg_sparse"),
    Rule("L2", "dense forest is dense", frozenset({"tree", "mangrove"}), _dense),
    Rule("L3", "tall trees are tall", frozenset({"tree"}), _tall),
    Rule("L8", "a city is built up", frozenset({"city"}), _city),
    Rule("L9", "few buildings are few", frozenset({"built"}), _buildings),
    Rule("L11", "a desert is bare and dry", frozenset({"desert"}), _desert),
    Rule("L13l", "mangroves are tropical", frozenset({"mangrove"}), _mangrove_belt),
    Rule("L14", "quantity words fit the share", _COVERS, _quantity),
    Rule("W1", "water is there, or is not", _WATERS - {"coast"}, _water),
    Rule("W3", "the kind of water fits", frozenset(KINDS), _kind),
    Rule("W4", "a coast has the sea", frozenset({"coast", "sea"}), _coast),
    Rule("W5", "large water is large", frozenset({"lake", "river", "pond", "sea", "water"}), _size),
    Rule("W6", "a winding river winds", frozenset({"river"}), _winding),
    Rule("T1", "flat land is flat", frozenset({"flat", "undulating"}), _relief),
    Rule("T2", "hills are there", frozenset({"rolling", "hilly"}), _relief),
    Rule("T3", "mountains are there", frozenset({"mountain"}), _relief),
    Rule("T4", "a valley is there", frozenset({"valley"}), _valley),
    Rule("T5", "ridges are there", frozenset({"ridge"}), _ridge),
    Rule("O1", "an object is on the map", _OBJECTS, _mapped),
    Rule("O2", "an object can be seen", _OBJECTS, _too_small),
    Rule("O5", "counts fit", _OBJECTS, _count),
    Rule("C1", "green is green", _COVERS, _green),
    Rule("C2", "dry is dry", _COVERS, _dry),
    Rule("M6", "places fit", _COVERS | frozenset(KINDS) | {"water"}, _location),
    Rule("M1", "no talk about the picture", frozenset({"meta"}), _style),
    Rule("M2", "no sensors, no data", frozenset({"sensor"}), _style),
    Rule("M3", "no digits", frozenset({"number"}), _style),
    Rule("M4", "no hedges", frozenset({"hedge"}), _hedge),
    Rule("M5", "no purposes", frozenset({"purpose"}), _style),
    Rule("M7", "no history", frozenset({"change"}), _style),
    Rule("C4", "no weather", frozenset({"weather"}), _style),
    Rule("O6", "nothing too small to see", frozenset({"people"}), _style),
)  # fmt: skip
"""All rules. Numbers follow the rule catalogue of the captions study."""

BY_CONCEPT: dict[str, tuple[Rule, ...]] = {c: tuple(r for r in RULES if c in r.concepts) for c in GROUP_OF}
