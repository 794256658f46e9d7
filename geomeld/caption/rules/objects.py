"""Rules of objects: what only a map can tell. A map supports; what it lacks is unsupported, not disproved."""

from collections.abc import Mapping

from geomeld.caption.lexicon import COUNTS, GROUP_OF, UNMAPPED
from geomeld.caption.rules.rule import Finding, Rule, features_of, finding, rounded, share_of, unsupported
from geomeld.core.caption import Claim, Signals

Limits = Mapping[str, float]
ROADS = ("road", "main_road", "highway", "street", "track")
SAME: Mapping[str, tuple[str, ...]] = {
    "road": ROADS,
    "main_road": ("main_road", "highway"),
    "street": ("street", "road"),
    "house": ("house", "building", "residential"),
    "power_plant": ("power_plant", "solar_farm"),
    "village": ("village", "town", "hamlet", "residential"),
    "hamlet": ("hamlet", "village", "residential"),
    "town": ("town", "village"),
    "airfield": ("airfield", "runway"),
    "farm_building": ("farm_building", "farmyard", "building"),
}
"""Map concepts that a word accepts beside its own."""
SETTLED = frozenset(("house", "village", "hamlet", "residential"))
USES = frozenset(("school", "hospital", "church", "industrial_building", "farm_building", "greenhouse"))
WATERWORKS = frozenset(("reservoir", "canal", "dam"))
CROPS = frozenset(("orchard", "vineyard", "paddy", "plantation"))
NEVER = frozenset(UNMAPPED) - CROPS


def count_of(claim: Claim, signals: Signals) -> int | None:
    """Visible map objects that a claim may mean; None without a map."""
    return features_of(signals, *SAME.get(claim.concept, (claim.concept,)))


def _mapped(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    count = count_of(claim, signals)
    if count is None:
        return unsupported("no map of this place")
    if claim.negated:
        return unsupported("a map proves no absence") if not count else finding(False, {"mapped": count})
    return Finding("supported" if count else "unsupported", {"mapped": count})


def _settled(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    count = count_of(claim, signals)
    share, source = share_of("built", signals)
    evidence = {"mapped": count, "share": rounded(share), **limits, "source": source}
    if count or (share or 0.0) >= limits["built_from"]:
        return Finding("supported", evidence)
    return finding(False, evidence) if share is not None else unsupported("no map and no land cover")


def _bridge(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    bridges, roads = features_of(signals, "bridge"), features_of(signals, *ROADS, "railway")
    rivers = [b for b in signals.water.bodies if b.kind == "river"] if signals.water else []
    evidence = {"mapped": bridges, "roads": roads, "rivers": len(rivers)}
    return Finding("supported" if bridges or (roads and rivers) else "unsupported", evidence)


def _hidden(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    here = [f for f in signals.map_features or () if f.concept in SAME.get(claim.concept, (claim.concept,))]
    if not here or any(f.visible for f in here):
        return None
    return finding(False, {"gsd_m": signals.gsd_m, "why": "smaller than can be seen"})


def _number(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    word = claim.quantity if claim.quantity in COUNTS else None
    count = count_of(claim, signals)
    if not count or (word is None and claim.count in (None, 1)):
        return None
    low, high = COUNTS[word] if word else (claim.count or 1, claim.count or 1)
    # What the word itself names may not be too many, and what it may stand for not too few.
    own = features_of(signals, claim.concept) or count
    ok = low / limits["factor"] <= count and own <= high * limits["factor"]
    return finding(ok, {"mapped": own, "word": word or claim.count, **limits})


def _place(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    here = [f for f in signals.map_features or () if f.concept in SAME.get(claim.concept, (claim.concept,))]
    if claim.location is None or not here:
        return None
    sectors = [f.sector or "centre" for f in here]
    if claim.location == "centre":
        return finding("centre" in sectors or any(f.level == "center" for f in here), {"sectors": sectors})
    ok = any(all(w in s.split("-") for w in claim.location.split("-")) for s in sectors)
    return finding(ok, {"sectors": sectors})


def _never(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    return unsupported("no source here knows such things")


def _crop(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    count = count_of(claim, signals)
    return Finding("supported" if count else "unsupported", {"mapped": count})


_OBJECTS = frozenset(c for c, g in GROUP_OF.items() if g == "object")
_ROADS = frozenset(("road", "main_road", "highway", "street", "track", "railway", "footpath"))
_PLAIN = _OBJECTS - SETTLED - USES - WATERWORKS - CROPS - NEVER - _ROADS - {"bridge"}

RULES: tuple[Rule, ...] = (
    Rule("O1", "an object is on the map", _PLAIN, _mapped, "drop", {}, "hard",
         ("town: Storage tanks beside a road.",
          "town: A couple of storage tanks stand among trees."), ("desert: A solar farm on bare ground.",
          "spectrum: A golf course on undulating land.")),
    Rule("O3", "a road or railway is on the map", _ROADS, _mapped, "generalise", {}, "hard",
         ("town: A road runs among houses.",
          "farm: A road crosses the cropland."), ("forest: A highway runs through the forest.",
          "desert: A railway crosses the bare ground.")),
    Rule("O2", "an object can be seen", _OBJECTS, _hidden, "drop", {}, "hard",
         ("town: A road runs among houses.",
          "farm: A road leads past the fields."), ("farm: Cropland with a swimming pool.",
          "farm: Fields and several swimming pools.")),
    Rule("O4", "a bridge crosses water", frozenset({"bridge"}), _bridge, "drop", {}, "hard",
         ("farm: A bridge crosses the river.",
          "farm: A road bridge leads over the river."), ("desert: A bridge on bare ground.",
          "forest: A footbridge in the forest.")),
    Rule("O5", "counts of objects fit", _OBJECTS, _number, "recount", {"factor": 2.0}, "hard",
         ("town: A couple of storage tanks beside trees.",
          "farm: A few farm buildings stand among crops."), ("town: Many storage tanks beside trees.",
          "farm: Many farm buildings stand among crops.")),
    Rule("O6", "a building's use is on the map", USES, _mapped, "generalise", {}, "hard",
         ("farm: Farm buildings among cropland.",
          "farm: A barn stands beside the cropland."), ("town: A hospital among houses.",
          "farm: A church stands beside the cropland.")),
    Rule("O8", "houses and villages are there", SETTLED, _settled, "drop", {"built_from": 0.01}, "hard",
         ("town: Houses stand among trees.",
          "town: A residential area among trees."), ("desert: A village on bare ground.",
          "ice: Houses stand by the frozen lake.")),
    Rule("O9", "things that no source knows are not said", NEVER, _never, "drop", {}, "hard",
         ("town: A road runs among houses.",
          "farm: A road crosses the cropland."), ("town: A viaduct runs among houses.",
          "farm: A castle stands by the river.")),
    Rule("L5o", "orchards, vineyards and paddies are mapped", CROPS, _crop, "generalise", {}, "hard",
         ("orchard: An orchard among cropland.",
          "orchard: Orchards lie beside a lake."), ("farm: Rice fields beside a river.",
          "orchard: A vineyard among cropland.")),
    Rule("W7", "reservoirs, canals and dams are mapped", WATERWORKS, _mapped, "generalise", {}, "hard",
         ("orchard: A reservoir among cropland.",
          "orchard: Crops grow around a reservoir."), ("lake: A reservoir among grassland.",
          "farm: A canal crosses the cropland.")),
    Rule("M6o", "objects lie where the caption says", _OBJECTS, _place, "unlocate", {}, "hard",
         ("town: Storage tanks in the east of the area.",
          "farm: Farm buildings in the north-east of the area."), ("town: Storage tanks in the west of the area.",
          "farm: Farm buildings in the south-west of the area.")),
)  # fmt: skip
