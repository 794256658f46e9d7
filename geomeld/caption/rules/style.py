"""Rules of style: what no caption says, however true."""

from collections.abc import Mapping

from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.rules.rule import Check, Finding, Rule, features_of, finding, unsupported
from geomeld.core.caption import Claim, Signals

Limits = Mapping[str, float]


def _never(why: str) -> Check:
    def check(claim: Claim, signals: Signals, limits: Limits) -> Finding:
        return finding(False, {"why": why})

    return check


def _season(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    word = claim.text.lower()
    said = "autumn" if word.startswith(("autumn", "fall")) else "winter" if word.startswith("wint") else word[:6]
    return finding(said == signals.season, {"season": signals.season, "date": signals.date[:10]})


def _lifecycle(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    """A map tells what is under construction; nothing tells what is abandoned."""
    mapped = features_of(signals, "construction")
    if claim.text.lower() == "under construction" and mapped:
        return Finding("supported", {"mapped": mapped})
    return unsupported("no map shows it")


def _taste(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    return Finding("unverifiable", {"why": "nothing measures beauty"})


def _absence(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if not claim.negated:
        return None
    shares = signals.land_cover.shares if signals.land_cover else {}
    top = max(shares.values(), default=0.0)
    return finding(top >= limits["dominant_from"], {"largest_share": round(top, 4), **limits})


def _banned(rule_id: str, concept: str, title: str, why: str, edit: str, conflicts: tuple[str, str]) -> Rule:
    return Rule(rule_id, title, frozenset({concept}), _never(why), edit, {}, "hard",
                ("farm: Cropland covers the flat land.", "lake: Grassland surrounds a lake."), conflicts)  # fmt: skip


_THINGS = frozenset(c for c, g in GROUP_OF.items() if g in ("cover", "water", "object"))

RULES: tuple[Rule, ...] = (
    _banned("M1", "meta", "no talk about the picture", "captions describe the place", "strip",
            ("farm: The satellite image shows cropland on flat land.",
         "lake: An aerial view of grassland around a lake.")),
    _banned("M2", "sensor", "no sensors, no data", "captions name no data", "drop",
            ("farm: Cropland covers the flat land, as NDVI suggests.",
         "lake: Grassland around a lake in Sentinel-2 pixels.")),
    _banned("M3", "name", "no names of places", "captions name no places", "drop",
            ("farm: Cropland covers the flat land near Fresno.",
         "lake: Grassland around the shores of Ness.")),
    _banned("M3n", "number", "no digits", "captions hold no figures", "drop",
            ("farm: Cropland covers the flat land, with 15% trees.",
         "lake: Grassland around 2 lakes.")),
    _banned("M4", "hedge", "no hedges", "a caption states or leaves out", "unhedge",
            ("farm: Cropland covers the flat land, possibly with a river.",
         "lake: Grassland surrounds what looks like a lake.")),
    _banned("M5", "purpose", "no purposes, no stories", "nothing measures a purpose", "drop",
            ("farm: Cropland covers the flat land, supporting the local economy.",
         "lake: Grassland around a lake popular with anglers.")),
    _banned("M7", "change", "no history", "one date shows no change", "drop",
            ("farm: Cropland covers the flat land, recently cleared.",
         "town: Houses and trees in an expanding suburb.")),
    Rule("O7", "what is being built is on the map", frozenset({"lifecycle"}), _lifecycle, "drop", {}, "hard",
         ("works: Houses under construction among trees.", "works: Bare ground under construction beside houses."),
         ("town: Houses under construction among trees.", "works: Abandoned houses stand among trees.")),
    _banned("C4", "weather", "no weather", "the sky is no part of the place", "drop",
            ("farm: Cropland covers the flat land under clear skies.",
         "alps: Haze lies over the mountains.")),
    _banned("O2s", "small", "nothing too small to see", "smaller than can be seen", "drop",
            ("farm: Cropland covers the flat land, with cars on a road.",
         "lake: Boats float on a lake in the grassland.")),
    Rule("C3", "the season fits date and hemisphere", frozenset({"season"}), _season, "drop", {}, "hard",
         ("farm: Green cropland in summer on flat land.",
          "lake: Grassland around a lake in summer."), ("farm: Cropland in winter on flat land.",
          "lake: Grassland around a lake in autumn.")),
    Rule("M9", "no judgements of taste", frozenset({"taste"}), _taste, "unhedge", {}, "hard",
         ("farm: Cropland covers the flat land.",
          "lake: Grassland surrounds a lake."), ("farm: Picturesque cropland covers the flat land.",
          "lake: An idyllic lake in the grassland.")),
    Rule("M8", "what is absent is not said", _THINGS, _absence, "drop", {"dominant_from": 0.9}, "hard",
         ("desert: Bare ground without trees.",
          "desert: Bare ground without any grass."), ("farm: Cropland without any snow on flat land.",
          "lake: Grassland around a lake without any houses.")),
)  # fmt: skip
