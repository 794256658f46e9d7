"""Rules of style: what no caption says, however true."""

from collections.abc import Mapping

from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.rules.rule import Check, Finding, Rule, finding
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


def _taste(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    return Finding("unverifiable", {"why": "nothing measures beauty"})


def _absence(claim: Claim, signals: Signals, limits: Limits) -> Finding | None:
    if not claim.negated:
        return None
    shares = signals.land_cover.shares if signals.land_cover else {}
    top = max(shares.values(), default=0.0)
    return finding(top >= limits["dominant_from"], {"largest_share": round(top, 4), **limits})


def _banned(rule_id: str, concept: str, title: str, why: str, edit: str, conflicts: str) -> Rule:
    return Rule(rule_id, title, frozenset({concept}), _never(why), edit, {}, "hard",
                ("farm: Cropland covers the flat land.",), (conflicts,))  # fmt: skip


_THINGS = frozenset(c for c, g in GROUP_OF.items() if g in ("cover", "water", "object"))

RULES: tuple[Rule, ...] = (
    _banned("M1", "meta", "no talk about the picture", "captions describe the place", "strip",
            "farm: The satellite image shows cropland on flat land."),
    _banned("M2", "sensor", "no sensors, no data", "captions name no data", "drop",
            "farm: Cropland covers the flat land, as NDVI suggests."),
    _banned("M3", "name", "no names of places", "captions name no places", "drop",
            "farm: Cropland covers the flat land near Fresno."),
    _banned("M3n", "number", "no digits", "captions hold no figures", "drop",
            "farm: Cropland covers the flat land, with 15% trees."),
    _banned("M4", "hedge", "no hedges", "a caption states or leaves out", "unhedge",
            "farm: Cropland covers the flat land, possibly with a river."),
    _banned("M5", "purpose", "no purposes, no stories", "nothing measures a purpose", "drop",
            "farm: Cropland covers the flat land, supporting the local economy."),
    _banned("M7", "change", "no history", "one date shows no change", "drop",
            "farm: Cropland covers the flat land, recently cleared."),
    _banned("C4", "weather", "no weather", "the sky is no part of the place", "drop",
            "farm: Cropland covers the flat land under clear skies."),
    _banned("O2s", "small", "nothing too small to see", "smaller than can be seen", "drop",
            "farm: Cropland covers the flat land, with cars on a road."),
    Rule("C3", "the season fits date and hemisphere", frozenset({"season"}), _season, "drop", {}, "hard",
         ("farm: Green cropland in summer on flat land.",), ("farm: Cropland in winter on flat land.",)),
    Rule("M9", "no judgements of taste", frozenset({"taste"}), _taste, "unhedge", {}, "hard",
         ("farm: Cropland covers the flat land.",), ("farm: Picturesque cropland covers the flat land.",)),
    Rule("M8", "what is absent is not said", _THINGS, _absence, "drop", {"dominant_from": 0.9}, "hard",
         ("desert: Bare ground without trees.",), ("farm: Cropland without any snow on flat land.",)),
)  # fmt: skip
