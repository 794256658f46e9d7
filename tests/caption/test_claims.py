"""Claims: what sentences say, by their spans, amounts, places, negations and hedges."""

import pytest

from geomeld.caption.claims import extract
from geomeld.caption.lexicon import GROUP_OF, expand
from geomeld.core.caption import Claim
from geomeld.signals.phrases import PHRASES
from geomeld.signals.quantities import QUANTITIES


def claim(text: str, concept: str) -> Claim:
    """The only claim of a concept in a caption."""
    found = [c for c in extract(text) if c.concept == concept]
    assert len(found) == 1, [(c.concept, c.text) for c in extract(text)]
    return found[0]


PUBLISHED = {
    "Green fields stretch across the hilly area, with dense wooded patches and a few small buildings visible": [
        ("field", "stretch across"),
        ("hilly", None),
        ("tree", None),
        ("built", "a few"),
    ],
    "A large solar panel farm stretches across the flat land, surrounded by patches of green fields and brown earth": [
        ("solar_farm", None),
        ("flat", None),
        ("field", "patches of"),
        ("bare", None),
    ],
    "A road runs through the area, passing by a couple of storage tanks and a small lake, with lots of trees and a few "
    "buildings around.": [
        ("road", None),
        ("storage_tank", "a couple of"),
        ("lake", "small"),
        ("tree", "lots of"),
        ("built", "a few"),
    ],
}


@pytest.mark.parametrize("text", PUBLISHED)
def test_published_captions(text: str) -> None:
    assert [(c.concept, c.quantity) for c in extract(text)] == PUBLISHED[text]


def test_spans_hold_the_words_of_the_claim() -> None:
    text = "A large solar panel farm lies beside Cropland."
    assert [text[c.start : c.end] for c in extract(text)] == [c.text for c in extract(text)]
    assert [c.text for c in extract(text)] == ["solar panel farm", "Cropland"]


@pytest.mark.parametrize(
    ("text", "concepts"),
    [
        ("a football field beside a fish farm", ["sports_pitch", "aquaculture"]),
        ("moss and lichen on bare rock", ["moss", "bare"]),
        ("snow-covered slopes", ["snow"]),
        ("mangrove forest by the open sea", ["mangrove", "sea"]),
        ("dense green vegetation", ["veg_dense"]),
        ("an area of dense vegetation and sparse vegetation", ["veg_dense", "veg_sparse"]),
        ("rice fields in a dry riverbed", ["paddy", "dry_bed"]),
    ],
)
def test_longest_entry_wins(text: str, concepts: list[str]) -> None:
    assert [c.concept for c in extract(text)] == concepts


@pytest.mark.parametrize(
    ("text", "concept", "quantity"),
    [
        ("vast cropland under the sky", "crop", "vast"),
        ("cropland dominates the plain", "crop", "dominates"),
        ("the area is mostly covered by cropland", "crop", "mostly covered by"),
        ("patches of green grass beside a road", "grass", "patches of"),
        ("a few patches of dry green grass", "grass", "a few patches of"),
        ("trees cover most of the area", "tree", "cover most of"),
        ("a road, and cropland dominates the area", "crop", "dominates"),
        ("grass and cropland dominate the area", "crop", None),
        ("grass and dried cropland dominate the area", "crop", None),
        ("a lake surrounded by scattered trees", "tree", "scattered"),
        ("a lake surrounded by trees", "tree", "surrounded by"),
    ],
)
def test_amounts_on_both_sides_of_the_noun(text: str, concept: str, quantity: str | None) -> None:
    assert claim(text, concept).quantity == quantity


@pytest.mark.parametrize(
    ("text", "concept", "location"),
    [
        ("forest in the north and grass in the south", "tree", "north"),
        ("forest in the north and grass in the south", "grass", "south"),
        ("a lake in the north-eastern corner", "lake", "north-east"),
        ("a lake in the northwest", "lake", "north-west"),
        ("buildings in the lower left", "built", "south-west"),
        ("a quarry in the middle of the forest", "quarry", None),
        ("a quarry in the middle of the forested area", "quarry", "centre"),
        ("the left half of the picture is sea", "sea", "west"),
        ("the north is forest, the south is grass", "grass", "south"),
        ("in the middle lies a lake", "lake", "centre"),
        ("the western half holds crops", "crop", "west"),
        ("forest, with a road in the west", "tree", None),
    ],
)
def test_places(text: str, concept: str, location: str | None) -> None:
    assert claim(text, concept).location == location


@pytest.mark.parametrize(
    ("text", "concept", "negated"),
    [
        ("bare ground without any trees", "tree", True),
        ("bare ground with no open water", "water", True),
        ("land free of buildings", "built", True),
        ("no trees, but a lake", "lake", False),
        ("fields not far from a river", "river", False),
        ("not only crops grow there", "crop", False),
        ("nothing but snow on the plain", "snow", False),
        ("no trees surrounded by a lake", "lake", False),
    ],
)
def test_negation_and_what_only_looks_like_it(text: str, concept: str, negated: bool) -> None:
    assert claim(text, concept).negated is negated


def test_hedges_counts_and_adjectives() -> None:
    text = "Three white tanks beside a winding narrow river, possibly with a small lake"
    assert claim(text, "storage_tank").count == 3
    assert claim(text, "river").modifiers == ("winding", "narrow")
    assert not claim(text, "river").hedged
    assert claim(text, "lake").hedged
    assert claim(text, "hedge").text == "possibly"


def test_digits_and_names_are_claims_of_style() -> None:
    found = {c.concept: c.text for c in extract("Fields near Fresno, 35 of them green")}
    assert found == {"field": "Fields", "name": "Fresno", "number": "35"}


def test_pattern_notation() -> None:
    assert list(expand("a{,n} {x,y}|z")) == ["a x", "a y", "an x", "an y", "z"]


def test_every_phrase_of_the_map_table_is_a_claim() -> None:
    for row in PHRASES:
        for words in (row.phrase, row.plural):
            assert extract(f"beside {words}"), words


def test_every_quantity_word_is_read_as_one() -> None:
    for band in QUANTITIES:
        for word in band.words:
            assert claim(f"then {word} cropland", "crop").quantity == word
        for word in band.predicates:
            assert claim(f"then cropland {word} area", "crop").quantity == word


def test_groups_cover_every_concept() -> None:
    assert set(GROUP_OF.values()) == {"cover", "water", "relief", "object", "style"}
