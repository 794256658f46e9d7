"""Repair: edits by hand, and invariants that hold for any caption on any place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geomeld.caption.claims import extract
from geomeld.caption.repair import repair
from geomeld.caption.rules import RULES, WHOLE, conflicts, verify
from geomeld.caption.segments import drop_segment, segments, tidy
from geomeld.testing.scenes import SCENES


@pytest.mark.parametrize(
    ("scene", "before", "after", "rules"),
    [
        ("farm", "A river flows through green cropland, with patches of snow and a few buildings.",
         "A river flows through green cropland, with a few buildings.", ["L12"]),
        ("forest", "A satellite image of dense forest on flat land, with possibly a few shrubs.",
         "Dense forest on hilly land, with a few shrubs.", ["M1", "T1", "M4"]),
        ("desert", "Snow covers most of the flat land.", "Bare ground covers most of the flat land.", ["L12"]),
        ("town", "A road runs through the area, passing by many storage tanks, with a few buildings around.",
         "A road runs through the area, passing by a couple of storage tanks, with many buildings around.",
         ["O5", "L9"]),
        ("coast", "A large lake lies beside thick mangroves on flat ground, with a marsh nearby.",
         "The sea lies beside thick mangroves on flat ground, with a marsh nearby.", ["W3"]),
        ("lake", "Grassland lies around a large lake in the south of the rolling area.",
         "Grassland lies around a large lake in the rolling area.", ["M6w"]),
        ("orchard", "Cropland covers most of the level land, with a vineyard, a reservoir and trees.",
         "Cropland covers most of the level land, with a reservoir and trees.", ["L5o"]),
        ("forest", "Extensive shrubland and forest on hilly land with grass.",
         "Patches of shrubland and forest on hilly land with grass.", ["L14"]),
        ("farm", "Cropland covers most of the level land, with a few trees below steep mountains.",
         "Cropland covers most of the level land, with a few trees.", ["T3"]),
        ("forest", "Hilly land covered by forest, with some shrubs on a completely level plain.",
         "Hilly land covered by forest, with some shrubs.", ["T1"]),
        ("farm", "Vast grasslands stretch across the area, while cropland covers most of the level land.",
         "Cropland covers most of the level land.", ["L14"]),
        ("farm", "Cropland covers most of the land, trees forming the remainder and fields of snow.",
         "Cropland covers most of the land, trees forming the remainder.", ["L12"]),
        ("farm", "Cropland covers most of the level land, with a road, along a river and a stadium.",
         "Cropland covers most of the level land, with a road, along a river.", ["O1"]),
    ],
)  # fmt: skip
def test_edits(scene: str, before: str, after: str, rules: list[str]) -> None:
    text, edits = repair(before, SCENES[scene])
    assert (text, [e["rule"] for e in edits]) == (after, rules)
    assert edits[0]["before"] == before
    assert edits[-1]["after"] == after
    assert all(e["evidence"] for e in edits)


def test_dominant_cover_is_added_where_it_is_left_out() -> None:
    text, edits = repair("A narrow river crosses the flat land, beside a road.", SCENES["farm"])
    assert text == "A narrow river crosses the flat land, beside a road, amid cropland."
    assert [e["rule"] for e in edits] == ["L18"]


@pytest.mark.parametrize("text", ["", "Cropland", "A castle stands in the city.", "qwerty asdf", "..., and with a"])
def test_beyond_repair(text: str) -> None:
    assert repair(text, SCENES["desert"])[0] is None


def test_segments_keep_coordinated_subjects_and_entries_whole() -> None:
    assert segments("Forest and grass cover the hills, with moss and lichen and a road") == [
        "Forest and grass cover the hills", ", with ", "moss and lichen", " and ", "a road",
    ]  # fmt: skip


def test_dropping_keeps_lists_grammatical() -> None:
    text = "Crops cover the land, with a road, a lake and a few trees."
    assert drop_segment(text, text.index("trees")) == "Crops cover the land, with a road and a lake."
    assert drop_segment(text, text.index("lake")) == "Crops cover the land, with a road and a few trees."
    assert drop_segment(text, text.index("road")) == "Crops cover the land, with a lake and a few trees."
    assert drop_segment(text, text.index("Crops")) is None


def test_tidy_puts_articles_and_commas_right() -> None:
    assert tidy("a  old road , with  an lake and.") == "An old road, with a lake."


OPENINGS = (
    "Forest covers most of the flat land", "Green fields stretch across the hilly area", "A large lake lies among grass",
    "A river runs through cropland in the north", "Mostly bare ground on steep slopes", "A road crosses the area",
    "The satellite image shows a dense city", "Snow and ice dominate the mountains", "Sparse vegetation on rolling hills",
)  # fmt: skip
PARTS = (
    "a few trees", "patches of snow", "a wide river", "several lakes", "many buildings", "a solar panel farm", "no water",
    "tall forest in the west", "mostly grassland", "mangroves", "cars", "a vineyard", "bare soil", "lush green meadows",
    "possibly a marsh", "a sandy beach", "a ridge", "three storage tanks", "crops in the south-east", "clouds",
)  # fmt: skip
JOINTS = (", with ", " and ", ", ", " beside ", ", surrounded by ", ", where ", " near ", ", crossed by ")


@st.composite
def captions(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(OPENINGS))
    for _ in range(draw(st.integers(0, 5))):
        text += draw(st.sampled_from(JOINTS)) + draw(st.sampled_from(PARTS))
    return text + "."


@settings(max_examples=400, deadline=None)
@given(captions(), st.sampled_from(sorted(SCENES)))
def test_repaired_captions_are_true_and_stay_as_they_are(text: str, scene: str) -> None:
    signals = SCENES[scene]
    repaired, edits = repair(text, signals)
    if repaired is None:
        return
    claims = extract(repaired)
    verdicts = verify(repaired, claims, signals)
    assert conflicts(verdicts) == []
    assert repair(repaired, signals) == (repaired, [])
    assert 5 <= len(repaired.split()) <= 45
    assert repaired.count(".") == 1
    assert repaired.endswith(".")
    assert repaired[0].isupper()
    assert (repaired == text) == (not edits)
    # What an edit brings in is measured on this tile.
    supported = {c.concept for c in claims} - {
        v.claim_id.rsplit("-", 1)[0] for v in verdicts if v.status != "supported"
    }
    assert {c.concept for c in claims} - {c.concept for c in extract(text)} <= supported


def test_every_edit_of_a_rule_is_known() -> None:
    from geomeld.caption.repair import EDIT

    assert {r.edit for r in RULES} <= set(EDIT)
    assert {r.edit for r in WHOLE} <= {"reject", "insert"}
