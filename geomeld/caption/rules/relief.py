"""Rules of relief: flat, hilly or steep, and the forms of the ground."""

from collections.abc import Mapping

from geomeld.caption.rules.rule import Check, Finding, Rule, features_of, finding, rounded, unsupported
from geomeld.core.caption import Claim, Signals

Limits = Mapping[str, float]
ACCEPTED: Mapping[str, tuple[str, ...]] = {
    "flat": ("flat", "gently undulating"),
    "undulating": ("flat", "gently undulating", "rolling"),
    "rolling": ("gently undulating", "rolling", "hilly"),
    "hilly": ("rolling", "hilly", "mountainous"),
    "mountain": ("mountainous",),
}
"""Relief classes that a word accepts: its own and its neighbours (captions study 2.4)."""


def _class(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    terrain = signals.terrain
    if terrain is None:
        return unsupported("the tile has no elevation")
    evidence = {"class": terrain.relief_class, "relief_m": rounded(terrain.relief_m, 1),
                "slope_p90": rounded(terrain.slope_p90, 1)}  # fmt: skip
    return finding((terrain.relief_class in ACCEPTED[claim.concept]) != claim.negated, evidence)


def _steep(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    terrain = signals.terrain
    if terrain is None:
        return unsupported("the tile has no elevation")
    evidence = {"slope_p90": rounded(terrain.slope_p90, 1), "relief_m": rounded(terrain.relief_m, 1), **limits}
    ok = terrain.slope_p90 >= limits["slope_from"] or (
        claim.concept == "mountain" and terrain.relief_class == "mountainous"
    )
    return finding(ok != claim.negated, evidence)


def _forms(*names: str) -> Check:
    def check(claim: Claim, signals: Signals, limits: Limits) -> Finding:
        terrain = signals.terrain
        if terrain is None:
            return unsupported("the tile has no elevation")
        share = sum(terrain.form_shares.get(n, 0.0) for n in names)
        evidence = {"share": rounded(share, 3), "relief_m": rounded(terrain.relief_m, 1), **limits}
        return finding(share >= limits["share_from"] and terrain.relief_m >= limits["relief_m_from"], evidence)

    return check


def _cliff(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    mapped = features_of(signals, "cliff")
    if mapped:
        return Finding("supported", {"mapped": mapped})
    return unsupported("neither elevation nor a map shows it")


def _altitude(claim: Claim, signals: Signals, limits: Limits) -> Finding:
    if signals.terrain is None:
        return unsupported("the tile has no elevation")
    height = signals.terrain.elevation_m
    high = claim.concept == "highland"
    ok = height >= limits["high_m_from"] if high else height <= limits["low_m_to"]
    return finding(ok, {"elevation_m": rounded(height, 1), **limits})


_FORM = {"relief_m_from": 60.0}

RULES: tuple[Rule, ...] = (
    Rule("T1", "flat land is flat", frozenset({"flat", "undulating"}), _class, "rerelief", {}, "hard",
         ("farm: Cropland covers the flat land.",
          "spectrum: Vegetation covers gently undulating land."), ("forest: Forest covers the flat land.",
          "alps: Bare ground covers a level plain.")),
    Rule("T2", "hills are there", frozenset({"rolling", "hilly"}), _class, "rerelief", {}, "hard",
         ("forest: Forest covers the hilly land.",
          "lake: Grassland covers the rolling land."), ("farm: Cropland covers the rolling hills.",
          "desert: Bare ground covers the hills.")),
    Rule("T3", "mountains and steep slopes are", frozenset({"mountain", "steep"}), _steep, "rerelief",
         {"slope_from": 15.0}, "hard",
         ("alps: Bare rock covers steep slopes.",
          "alps: Snow lies on high mountains."), ("lake: A lake below steep mountains.",
          "farm: Cropland covers rugged land.")),
    Rule("T4", "a valley is there", frozenset({"valley"}),
         _forms("Valley", "Hollow", "Footslope", "Pit"), "drop", {"share_from": 0.2, **_FORM}, "hard",
         ("alps: Grass grows in a mountain valley.",
          "forest: Trees fill a narrow valley."), ("farm: Cropland fills a valley.",
          "desert: Bare ground in a deep canyon.")),
    Rule("T5", "a ridge is there", frozenset({"ridge"}), _forms("Ridge", "Peak", "Shoulder", "Spur"), "drop",
         {"share_from": 0.05, **_FORM}, "hard",
         ("forest: Forest covers the ridges.",
          "alps: Bare ridges rise above the grass."), ("desert: Bare ground below a ridge.",
          "farm: Cropland along a mountain ridge.")),
    Rule("T5p", "a peak is there", frozenset({"peak"}), _forms("Peak", "Ridge"), "drop", {"share_from": 0.05, **_FORM},
         "hard", ("alps: Snow lies on the peaks.",
          "forest: Trees grow up to the hilltops."), ("farm: A river below a high peak.",
          "desert: Bare ground around a summit.")),
    Rule("T6", "cliffs and terraces are mapped", frozenset({"cliff"}), _cliff, "drop", {}, "hard",
         ("coast: Cliffs rise above the sea.",
          "coast: Mangroves grow below coastal cliffs."), ("farm: Cropland below the cliffs.",
          "lake: Terraced hills above a lake.")),
    Rule("T7", "high is high, low is low", frozenset({"highland", "lowland"}), _altitude, "drop",
         {"high_m_from": 2500.0, "low_m_to": 10.0}, "hard",
         ("alps: Bare rock covers the highlands.",
          "alps: Moss grows on a high plateau."), ("farm: Cropland covers a high plateau.",
          "alps: Lowlands with bare rock and snow.")),
)  # fmt: skip
