"""Rules of land cover: what is there, how much of it, how dense, how green, and where."""

from collections.abc import Mapping

from geomeld.caption.lexicon import GROUP_OF, SURROUNDS
from geomeld.caption.rules.rule import (
    Check,
    Finding,
    Rule,
    features_of,
    finding,
    greenness,
    rounded,
    share_of,
    share_with_kinds,
    unsupported,
)
from geomeld.core.caption import Claim, Signals
from geomeld.signals.quantities import ABSENT_BELOW, quantity_of

SETTLED = ("house", "building", "residential", "village", "town", "farm_building", "hamlet", "industrial_building",
           "industrial", "commercial", "farmyard")  # fmt: skip
"""Map objects that are buildings or have them."""
Limits = Mapping[str, float]
_NOT_MANY = frozenset(("a few", "few", "small", "scattered", "some", "a couple of", "two", "isolated", "several"))


def _present(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    share, (_, source) = share_with_kinds(claim.concept, signals), share_of(claim.concept, signals)
    if share is None:
        return unsupported("nothing on this tile measures it", "rehead")
    least = ABSENT_BELOW.get(claim.concept, limits["at_least"])
    evidence = {"share": rounded(share), "at_least": least, "source": source}
    if claim.negated:
        return finding(share < max(0.01, least), evidence)
    return finding(share >= least, evidence)


def _built(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    mapped = features_of(signals, *SETTLED)
    share, source = share_of("built", signals)
    evidence = {"share": rounded(share), "mapped": mapped, "at_least": ABSENT_BELOW["built"], "source": source}
    if claim.negated:
        return finding(not mapped and (share or 0.0) < limits["none_below"], evidence)
    if (share or 0.0) >= ABSENT_BELOW["built"] or mapped:
        return Finding("supported", evidence)
    return unsupported("no map and no land cover of this place") if share is None else finding(False, evidence)


def _amount(*bands: str) -> Check:
    def check(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
        band = quantity_of(claim.quantity) if claim.quantity else None
        share, source = share_of(claim.concept, signals)
        counted = claim.concept == "built" and "few" in bands
        if band is None or band.name not in bands or share is None or claim.negated or counted:
            return None
        local = share_of(claim.concept, signals, claim.location)[0] if claim.location else None
        evidence = {"share": rounded(share), "word": claim.quantity, "source": source,
                    "accepted": [band.accept_low, band.accept_high]}  # fmt: skip
        all_kinds = share_with_kinds(claim.concept, signals)
        found = [s for s in (share, local, all_kinds) if s is not None and band.accept_low <= s <= band.accept_high]
        return finding(bool(found), {**evidence, **({"share_there": rounded(local)} if local is not None else {})})

    return check


def _surrounding(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    share, source = share_of(claim.concept, signals)
    if claim.quantity not in SURROUNDS or share is None:
        return None
    return finding(share >= limits["at_least"], {"share": rounded(share), **limits, "source": source})


def _few_buildings(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if claim.quantity not in _NOT_MANY:
        return None
    share, _ = share_of("built", signals)
    count = features_of(signals, "house", "building")
    evidence = {"share": rounded(share), "mapped": count, **limits}
    return finding((share or 0.0) < limits["share_below"] and (count or 0) <= limits["mapped_to"], evidence)


def _many_buildings(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if claim.quantity not in ("many", "numerous", "dozens of", "countless", "lots of"):
        return None
    share, _ = share_of("built", signals)
    count = features_of(signals, *SETTLED)
    evidence = {"share": rounded(share), "mapped": count, **limits}
    return finding((share or 0.0) >= limits["share_from"] or (count or 0) >= limits["mapped_from"], evidence)


def _dense(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if not {"dense", "thick", "closed"} & set(claim.modifiers):
        return None
    share, _ = share_of(claim.concept, signals)
    cover = signals.land_cover
    local = max((q.get(claim.concept, 0.0) for q in cover.quadrants.values()), default=0.0) if cover else share
    ndvi, tall = greenness(claim.concept, signals), signals.canopy.get("p50")
    ok = (local or 0.0) >= limits["share_from"] and (ndvi is None or ndvi >= limits["ndvi_from"])
    evidence = {"densest_part": rounded(local), "ndvi": rounded(ndvi), "canopy_m": rounded(tall, 1), **limits}
    return finding(ok and (tall is None or tall >= limits["canopy_m_from"]), evidence)


def _height(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    said = {"tall", "mature", "young"} & set(claim.modifiers)
    if not said:
        return None
    height, spread = signals.canopy.get("p50"), signals.canopy.get("stddev", 0.0)
    if height is None:
        return unsupported("no canopy height here")
    evidence = {"canopy_m": rounded(height, 1), "stddev_m": rounded(spread, 1), **limits}
    ok = height < limits["young_below"] if "young" in said else height >= limits["tall_from"]
    return finding(ok and not spread > limits["stddev_m_to"], evidence)


def _city(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    share, source = share_of("built", signals)
    if share is None:
        return unsupported("nothing on this tile measures built-up land")
    return finding(share >= limits["at_least"], {"share": rounded(share), **limits, "source": source})


def _desert(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    share, source = share_of("bare", signals)
    if share is None:
        return unsupported("nothing on this tile measures bare ground")
    ndvi = signals.spectral.get("ndvi", {}).get("p95", 0.0)
    evidence = {"share": rounded(share), "ndvi_p95": rounded(ndvi), **limits, "source": source}
    return finding(share >= limits["share_from"] and ndvi <= limits["ndvi_p95_to"], evidence)


def _snow_not_sand(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    index = signals.spectral.get("ndsi@snow") or {}
    if claim.negated or "p50" not in index:
        return None
    return finding(index["p50"] >= limits["ndsi_from"], {"ndsi": rounded(index["p50"]), **limits})


def _mangrove_belt(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    return finding(abs(signals.latitude) <= limits["latitude_to"], {"latitude": signals.latitude, **limits})


def _flooded(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if not claim.text.lower().startswith(("flooded", "waterlogged")) or claim.negated:
        return None
    shares = [share_of(c, signals)[0] for c in ("wetland", "mangrove")]
    if None in shares:
        return unsupported("nothing on this tile measures wetland")
    share = sum(s or 0.0 for s in shares)
    return finding(share >= limits["share_from"], {"share": rounded(share), **limits})


def _green(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    said = {"green", "verdant", "lush", "irrigated"} & set(claim.modifiers)
    lush = bool(said - {"green", "verdant"})
    return _colour(claim, signals, limits["lush_from" if lush else "green_from"], above=True) if said else None


def _dry(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    said = {"dry", "dried", "brown", "parched", "barren", "fallow", "golden"} & set(claim.modifiers)
    return _colour(claim, signals, limits["ndvi_below"], above=False) if said and claim.concept != "bare" else None


def _colour(claim: Claim, signals: Signals, limit: float, *, above: bool) -> Finding:
    ndvi = greenness(claim.concept, signals)
    if ndvi is None:
        return unsupported("no red and near infrared here")
    evidence = {"ndvi": rounded(ndvi), "at_least" if above else "below": limit}
    return finding(ndvi >= limit if above else ndvi < limit, evidence)


def _place(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if claim.location is None or claim.negated:
        return None
    share, _ = share_of(claim.concept, signals)
    local, source = share_of(claim.concept, signals, claim.location)
    if not share or local is None:
        return unsupported("no land-cover map says where")
    least = ABSENT_BELOW.get(claim.concept, 0.03)
    evidence = {"share_there": rounded(local), "share": rounded(share), **limits, "source": source}
    return finding(local >= limits["of_tile_from"] * share and local >= least, evidence)


COVERS = frozenset(c for c, g in GROUP_OF.items() if g == "cover")
SHARED = COVERS - {"city", "desert"}


def _presence(rule_id: str, concept: str, agrees: tuple[str, str], conflicts: tuple[str, str], **limits: float) -> Rule:
    return Rule(rule_id, f"{concept} is there", frozenset({concept}), _present, "rehead",
                limits or {"at_least": 0.03}, "hard", agrees, conflicts)  # fmt: skip


RULES: tuple[Rule, ...] = (
    _presence("L1", "tree", ("forest: Woodland covers most of the hills.",
         "lake: Patches of woodland lie west of a lake."), ("desert: Woodland covers most of the land.",
         "ice: Trees stand around the frozen lake.")),
    _presence("L4", "crop", ("farm: Cropland dominates the flat area.",
         "orchard: Crops grow beside an orchard."), ("forest: Hilly forest with some cropland.",
         "desert: Farmland covers part of the desert.")),
    _presence("L4f", "field", ("farm: Fields stretch across the flat land.",
         "lake: Fields surround a lake."), ("desert: Fields stretch across the land.",
         "ice: Fields lie around the frozen lake.")),
    _presence("L5", "shrub", ("forest: Forest with some shrubs on the hills.",
         "lake: Some bushes grow by a lake."), ("town: A town with trees and shrubs.",
         "farm: Cropland with shrubs by the river.")),
    _presence("L6", "grass", ("lake: Grassland surrounds a lake.",
         "alps: Grassy slopes lie below bare rock."), ("desert: Bare ground with patches of grass.",
         "ice: Meadows surround the frozen lake.")),
    _presence("L10", "bare", ("desert: Bare ground everywhere.",
         "alps: Barren slopes rise above the grass."), ("forest: Forest with patches of bare soil.",
         "farm: Cropland with bare soil by the river.")),
    _presence("L12", "snow", ("alps: Snow lies on the mountains.",
         "ice: Snow covers most of the land."), ("desert: Snow covers the flat land.",
         "farm: Cropland with patches of snow.")),
    _presence("L13", "wetland", ("coast: Marshland lies behind the shore.",
         "delta: Marshes spread along a river."), ("farm: Cropland with some marshes.",
         "desert: A swamp lies in the bare land.")),
    _presence("L13m", "mangrove", ("coast: Mangroves line the coast.",
         "coast: Mangrove forest grows beside the sea."), ("lake: Mangroves line the lake.",
         "forest: Mangroves grow in the forest.")),
    _presence("L20", "moss", ("alps: Moss grows between bare rock.",
         "alps: Patches of lichen cover the rocks."), ("farm: Moss covers part of the land.",
         "desert: Lichens grow on bare ground.")),
    _presence("L21", "veg", ("forest: Green vegetation covers the hills.",
         "lake: Vegetation grows around the lake."), ("desert: Vegetation dominates the land.",
         "ice: Vegetation surrounds a frozen lake.")),
    _presence("L21d", "veg_dense", ("spectrum: Dense vegetation covers the land.",
         "spectrum: Thick vegetation grows beside a lake."),
              ("desert: Dense vegetation covers the land.",
         "blind: Dense vegetation on undulating land.")),
    _presence("L21s", "veg_sparse", ("spectrum: Patches of sparse vegetation on undulating land.",
         "spectrum: Thinly vegetated land lies beside a lake."),
              ("blind: Sparse vegetation on undulating land.",
         "desert: Sparse vegetation covers the land.")),
    _presence("L23", "open", ("farm: Open land with a river.",
         "desert: Open ground stretches over flat land."), ("forest: Open country with a road.",
         "coast: Open country lies behind the coast."), at_least=0.15),
    Rule("L7", "buildings are there", frozenset({"built"}), _built, "drop", {"none_below": 0.002}, "hard",
         ("town: Many buildings stand among trees.", "desert: Bare ground without buildings."),
         ("desert: Bare ground with a few buildings.", "blind: Land with a few buildings.")),
    Rule("L14", "words of much fit the share", SHARED, _amount("most", "large"), "requantify", {}, "hard",
         ("farm: Cropland dominates the land.", "lake: Grassland covers much of the area."),
         ("farm: Trees dominate the land.", "forest: Extensive shrubland on the hills.")),
    Rule("L15", "words of little fit the share", SHARED, _amount("some", "few"), "requantify", {}, "hard",
         ("farm: Patches of trees on flat land.",
          "lake: Patches of shrubs grow beside a lake."), ("forest: A few trees on the hills.",
          "desert: A few patches of bare ground on flat land.")),
    Rule("L16", "words of all fit the share", SHARED, _amount("all"), "requantify", {}, "hard",
         ("desert: Bare ground covers nearly all of the land.",
          "desert: Nothing but bare ground on flat land."), ("farm: Cropland covers nearly all of the land.",
          "lake: Grassland covers the entire rolling area.")),
    Rule("L17", "what surrounds is extensive", SHARED, _surrounding, "requantify", {"at_least": 0.15}, "hard",
         ("farm: A road surrounded by cropland.",
          "lake: A lake surrounded by grassland."), ("forest: Trees surrounded by grassland.",
          "farm: A river surrounded by grassland.")),
    Rule("L9", "few buildings are few", frozenset({"built", "house"}), _few_buildings, "recount",
         {"share_below": 0.25, "mapped_to": 60}, "hard",
         ("farm: A few buildings stand on the flat land.",
          "farm: Some houses stand on the flat land."), ("town: A few buildings stand among trees.",
          "town: Several buildings stand among trees.")),
    Rule("L9m", "many buildings are many", frozenset({"built", "house"}), _many_buildings, "recount",
         {"share_from": 0.06, "mapped_from": 12}, "hard",
         ("town: Many buildings stand among trees.",
          "town: Numerous houses line the streets."), ("farm: Many buildings stand among the crops.",
          "desert: Numerous buildings stand on bare ground.")),
    Rule("L2", "a dense forest is dense", frozenset({"tree", "mangrove"}), _dense, "unmodify",
         {"share_from": 0.25, "ndvi_from": 0.45, "canopy_m_from": 5.0}, "hard",
         ("forest: Dense forest covers the hills.",
          "coast: Thick mangroves line the coast."), ("lake: Patches of dense woodland beside a lake.",
          "farm: Closed forest stands by the river.")),
    Rule("L3", "tall, young or mature trees are", frozenset({"tree"}), _height, "unmodify",
         {"tall_from": 12.0, "young_below": 8.0, "stddev_m_to": 10.0}, "hard",
         ("forest: Tall trees cover the hills.",
          "forest: Mature trees stand on the hills."), ("lake: Tall trees beside a lake.",
          "farm: Mature trees stand by the river.")),
    Rule("L8", "a city is built up", frozenset({"city"}), _city, "rehead", {"at_least": 0.30}, "hard",
         ("town: An urban area with trees.",
          "town: City blocks with trees between them."), ("farm: Cropland beside a dense city.",
          "desert: A metropolis in the bare land.")),
    Rule("L11", "a desert is bare and dry", frozenset({"desert"}), _desert, "rehead",
         {"share_from": 0.5, "ndvi_p95_to": 0.4}, "hard",
         ("desert: A flat desert without trees.",
          "desert: Sand dunes cover the flat land."), ("alps: A desert between mountains.",
          "farm: Dunes lie beside the cropland.")),
    Rule("L12s", "snow is no bright sand", frozenset({"snow"}), _snow_not_sand, "drop", {"ndsi_from": 0.2}, "hard",
         ("alps: Snow lies on the mountains.",
          "ice: Snow and ice surround a lake."), ("salt: Snow covers the flat land.",
          "salt: Snow fields lie on bare ground.")),
    Rule("W8", "what is called flooded is wet", frozenset({"wetland"}), _flooded, "drop", {"share_from": 0.02}, "hard",
         ("delta: Waterlogged ground lies along a river.", "coast: Flooded vegetation grows behind the mangroves."),
         ("farm: Flooded fields lie along the river.", "forest: Trees and shrubs stand on flooded ground.")),
    Rule("L13b", "mangroves grow near the tropics", frozenset({"mangrove"}), _mangrove_belt, "rehead",
         {"latitude_to": 33.0}, "hard", ("coast: Mangroves line the coast.",
          "coast: A belt of mangroves faces the sea."), ("lake: Mangroves line the lake.",
          "forest: Mangrove swamps in the forest.")),
    Rule("C1", "what is called green is green", COVERS, _green, "unmodify",
         {"green_from": 0.35, "lush_from": 0.55}, "hard",
         ("farm: Green cropland on flat land.",
          "forest: Lush green forest on the hills."), ("alps: Green grass between bare rocks.",
          "alps: Lush meadows between bare rocks.")),
    Rule("C2", "what is called dry is not green", COVERS, _dry, "unmodify", {"ndvi_below": 0.35}, "hard",
         ("alps: Dry grass between bare rocks.",
          "alps: Dry mossy ground between bare rocks."), ("farm: Dry fields on flat land.",
          "forest: Parched shrubs in the forest.")),
    Rule("M6", "cover lies where the caption says", SHARED, _place, "unlocate", {"of_tile_from": 0.8}, "hard",
         ("lake: Woodland in the west of the area.",
          "lake: Forest in the north-west of the area."), ("lake: Woodland in the east of the area.",
          "spectrum: Dense vegetation in the north of the land.")),
)  # fmt: skip
