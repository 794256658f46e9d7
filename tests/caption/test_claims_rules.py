"""What captions claim, and what measurements say of it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomeld.caption.claims import extract
from geomeld.caption.config import CaptionConfig
from geomeld.caption.evaluators.signals import rank
from geomeld.caption.facts import facts_of
from geomeld.caption.lexicon import GROUP_OF
from geomeld.caption.plan import plan_of
from geomeld.caption.repair import repair
from geomeld.caption.rules import RULES, conflicts, verify
from geomeld.caption.writers import WRITERS
from geomeld.core.caption import LandCover, MapFeature, Signals, Terrain, Water, WaterBody

FORMS = dict.fromkeys(
    ("Flat", "Peak", "Ridge", "Shoulder", "Spur", "Slope", "Hollow", "Footslope", "Valley", "Pit"), 0.0
)


def signals(
    shares=None, *, water=None, relief="flat", features=(), ndvi=0.6, tile_id=1, spectral=None, latitude=45.0
) -> Signals:
    shares = {"crop": 0.6, "tree": 0.25, "grass": 0.1, "built": 0.05} if shares is None else shares
    ordered = dict(sorted(shares.items(), key=lambda x: -x[1]))
    cover = LandCover(ordered, dict.fromkeys(("north-west", "north-east", "south-west", "south-east", "centre"), ordered),
                      dict.fromkeys(ordered, "patches"), 0.8, 1.0, "test") if shares else None  # fmt: skip
    metres = {"flat": 8.0, "gently undulating": 40.0, "rolling": 80.0, "hilly": 160.0, "mountainous": 500.0}[relief]
    terrain = Terrain(
        "Flat", relief, "none", metres, 100.0, metres / 40, metres / 25, {**FORMS, "Slope": 1.0}, 2.0, 0.9
    )
    wet = Water(False, 0.0, 0.0, 0.0, 0.0, "none", (), 1.0, ("dynamic_world",))
    if water:
        kind, percent = water
        body = WaterBody(kind, percent / 100 * 1_638_400, "centre", 8.0 if kind == "river" else 1.5)
        wet = Water(True, percent, percent, 0.0, 0.0, kind, (body,), 1.0, ("dynamic_world", "surface_water"))
    quantiles = {"p5": ndvi - 0.1, "p50": ndvi, "p95": ndvi + 0.1}
    spectra = {"ndvi": quantiles, **{f"ndvi@{c}": quantiles for c in ordered}} if spectral is None else spectral
    return Signals(tile_id, 10.0, "2020-07-01", latitude, "summer", cover, spectra, {}, {"p50": 14.0, "p95": 20.0, "stddev": 3.0}, wet,
                   terrain, features, ())  # fmt: skip


TANKS = MapFeature(
    "surrounding", "storage_tank", "storage tank", "storage tanks", {"man_made": "storage_tank"}, count=7
)
PIERS = MapFeature("surrounding", "pier", "pier", "piers", {"man_made": "pier"}, visible=False)


def judged(text: str, measured: Signals) -> list:
    """The conflicts of a caption."""
    return conflicts(verify(text, extract(text), measured))


def drafts(measured: Signals, tile_id: int | None = None) -> list[str]:
    """What the template writes."""
    facts = facts_of(measured)
    made = WRITERS["template"](tile_id or measured.tile_id, facts, plan_of(facts, measured), CaptionConfig(), 0)
    return [d.text for d in made]


def found(text: str) -> dict[str, object]:
    return {c.concept: c for c in extract(text)}


def test_published_captions_are_understood() -> None:
    first = found(
        "Green fields stretch across the hilly area, with dense wooded patches and a few small buildings visible"
    )
    assert set(first) == {"field", "hilly", "tree", "built"}
    assert first["field"].modifiers == ("green",)
    second = found(
        "A large solar panel farm stretches across the flat land, surrounded by patches of green fields and brown earth"
    )
    assert set(second) == {"solar_farm", "flat", "field", "bare"}  # no cropland from "farm"
    third = found(
        "A road runs through the area, passing by a couple of storage tanks and a small lake, "
        "with lots of trees and a few buildings around."
    )
    assert set(third) == {"road", "storage_tank", "lake", "tree", "built"}
    assert third["tree"].quantity == "lots of"
    assert third["storage_tank"].quantity == "a couple of"


def test_quantities_on_both_sides_negation_and_places() -> None:
    assert found("Vast cropland on flat land")["crop"].quantity == "vast"
    assert found("Cropland dominates the flat land")["crop"].quantity == "dominates"
    assert found("Flat land with no water")["water"].negated
    assert not found("Flat land not only with forest")["tree"].negated
    both = found("Some forest in the north-east and grassland")
    assert both["tree"].location == "north-east"
    assert both["grass"].location is None


CASES = [
    ("Cropland covers the land", signals(), True),
    ("Mangroves cover the land", signals(), False),
    ("Mangroves cover the land", signals({"mangrove": 0.9}, latitude=5.0), True),
    ("Forest covers the land", signals({"mangrove": 0.9}, latitude=5.0), True),
    ("Mangroves cover the land", signals({"tree": 0.9}, latitude=5.0), False),
    ("Forest dominates the land", signals(), False),
    ("Patches of forest on flat land", signals(), True),
    ("A lake lies among cropland", signals(water=("lake", 6.0)), True),
    ("A lake lies among cropland", signals(water=("river", 6.0)), False),
    ("A lake lies among cropland", signals(), False),
    ("Bare ground without any water", signals({"bare": 0.95, "grass": 0.05}), True),
    ("Cropland without any water", signals(), False),  # true, but worth saying only where one cover is all there is
    ("Cropland without any water", signals(water=("lake", 6.0)), False),
    ("Flat cropland", signals(relief="mountainous"), False),
    ("Hilly land with cropland", signals(relief="hilly"), True),
    ("Steep mountains with cropland", signals(relief="flat"), False),
    ("Several storage tanks among cropland", signals(features=(TANKS,)), True),
    ("Several storage tanks among cropland", signals(features=()), False),
    ("Two storage tanks among cropland", signals(features=(TANKS,)), False),
    ("A pier beside cropland", signals(features=(PIERS,)), False),
    ("A dense city among cropland", signals(), False),
    ("A satellite image of cropland", signals(), False),
    ("Cropland with cars", signals(), False),
    ("Cropland possibly with trees", signals(), False),
    ("Lush grassland on flat land", signals({"grass": 0.9}, ndvi=0.2), False),
    ("Dry grassland on flat land", signals({"grass": 0.9}, ndvi=0.2), True),
    ("A sea coast with cropland", signals(water=("sea", 30.0)), True),
    ("A sea coast with cropland", signals(water=("lake", 30.0)), False),
]


@pytest.mark.parametrize(("text", "measured", "true"), CASES)
def test_rules_agree_with_the_measurement(text: str, measured: Signals, true: bool) -> None:
    found = [v for v in conflicts(verify(text, extract(text), measured)) if v.rule != "S1"]  # these are no sentences
    assert (found == []) is true


def test_map_silence_contradicts_nothing() -> None:
    text = "A quarry among cropland"
    assert {v.status for v in verify(text, extract(text), signals(features=())) if v.rule == "O1"} == {"unsupported"}


def test_without_maps_only_what_is_left_may_be_said() -> None:
    bare = signals({}, spectral={"share@dense vegetation": {"share": 0.7}, "share@moderate vegetation": {"share": 0.1},
                                 "share@sparse vegetation": {"share": 0.0}, "share@bare ground": {"share": 0.2}})  # fmt: skip
    bare = replace(bare, map_features=None)
    assert judged("Dense vegetation covers most of the flat land", bare) == []
    assert judged("Cropland covers most of the flat land", bare)
    for text in drafts(bare):
        assert {c.concept for c in extract(text)} <= {"veg", "veg_dense", "veg_sparse", "bare", "flat"}, text


def test_every_rule_is_distinct_and_concerns_known_concepts() -> None:
    assert len(RULES) >= 15
    assert len({r.rule_id for r in RULES}) == len(RULES)
    assert all(r.concepts and r.concepts <= set(GROUP_OF) for r in RULES)


def varied() -> list[Signals]:
    covers = [
        {"tree": 0.9, "grass": 0.08}, {"tree": 0.5, "crop": 0.3, "grass": 0.15}, {"bare": 0.8, "grass": 0.15, "shrub": 0.05},
        {"grass": 0.4, "shrub": 0.35, "tree": 0.2}, {"crop": 0.7, "built": 0.12, "tree": 0.1}, {"moss": 0.4, "bare": 0.3, "snow": 0.2},
        {"wetland": 0.3, "grass": 0.5, "tree": 0.15}, {"mangrove": 0.6, "tree": 0.1},
    ]  # fmt: skip
    waters = [None, ("lake", 5.0), ("river", 2.0), ("sea", 28.0), ("pond", 0.4)]
    reliefs = ["flat", "gently undulating", "rolling", "hilly", "mountainous"]
    return [
        signals(c, water=w, relief=r, features=(TANKS,) if n % 3 else (), tile_id=100 * n + m, latitude=10.0)
        for n, c in enumerate(covers)
        for m, (w, r) in enumerate(zip(waters, reliefs, strict=True))
    ]


def test_grounded_drafts_raise_no_alarm() -> None:
    texts = [(s, t) for s in varied() for t in drafts(s)]
    assert [(t, judged(t, s)) for s, t in texts if judged(t, s)] == []
    assert len({t for _, t in texts}) > 0.95 * len(texts)
    assert drafts(varied()[3], 7) == drafts(varied()[3], 7)


SPOILS = (
    ", with patches of snow", " and a few mangroves", ", with a dense city", " and sand dunes", ", with a large lake",
    " and a river", ", with several ponds", ", with a solar farm", " and an airfield", ", with several storage tanks",
    ", with a golf course", " among steep mountains", " in a deep valley below high peaks", ", as the picture shows",
    ", with cars on the roads", ", possibly a park", ", under clear skies",
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(range(40)), st.integers(0, 3), st.lists(st.sampled_from(SPOILS), max_size=3))
def test_repaired_captions_keep_every_promise(which: int, draft: int, spoils: list[str]) -> None:
    measured = varied()[which]
    made = drafts(measured)
    text = made[draft % len(made)].rstrip(".") + "".join(spoils) + "."
    fixed, edits = repair(text, measured)
    if fixed is None:
        return
    claims = extract(fixed)
    assert judged(fixed, measured) == []
    assert repair(fixed, measured) == (fixed, [])
    assert 0 < len(fixed.split()) <= 45
    assert fixed[0].isupper()
    before = {c.concept for c in extract(text)}
    # What is brought in replaces what was wrong, and is measured.
    replaced = {c for c, g in GROUP_OF.items() if g in ("relief", "water", "cover")}
    assert {c.concept for c in claims} <= before | replaced
    assert bool(edits) == (fixed != text)


def test_injected_errors_are_found() -> None:
    """Snow in summer cropland, a lake where there is none: each is a hard conflict."""
    measured = signals()
    for words in (
        ", with patches of snow",
        ", with a large lake",
        " and an airfield",
        " among steep mountains",
        ", as the image shows",
    ):
        assert judged("Cropland covers most of the flat land" + words + ".", measured), words


def test_the_evaluator_prefers_what_the_signals_support() -> None:
    measured = signals()
    texts = ["Snow covers the mountains", "Cropland covers most of the flat land, with patches of forest", "Flat land"]
    scores = rank(texts, measured, facts_of(measured))
    assert scores[0].candidate == 1
    assert scores[-1].candidate == 0
