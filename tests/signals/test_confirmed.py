"""Small covers that only one of two land-cover maps shows are no facts."""

from dataclasses import replace

import numpy as np
import pytest

from geomeld.caption.facts import facts_of
from geomeld.core.caption import Water, WaterBody
from geomeld.core.tile import Layer
from geomeld.signals.land_cover import CONCEPTS, FROM_DYNAMIC_WORLD, FROM_WORLDCOVER, concept_map, land_cover
from geomeld.testing import fake_tile
from geomeld.testing.scenes import SCENES, cover

OWN = {concept: {code for code, c in FROM_DYNAMIC_WORLD.items() if c == concept} for concept in CONCEPTS}
OWN |= {"mangrove": {2}, "moss": {3, 6, 8}}
"""Labels of Dynamic World that are a concept itself."""


def test_confirmed_is_the_share_of_a_class_that_the_other_map_shows_too() -> None:
    rng = np.random.default_rng(0)
    tile = fake_tile(1)
    known, named = rng.choice(list(FROM_WORLDCOVER), (1, 128, 128)), rng.choice(list(FROM_DYNAMIC_WORLD), (1, 128, 128))
    seen = rng.random((1, 128, 128)) < 0.8
    layers = {
        "esa_worldcover": Layer(known.astype(np.uint8), np.ones_like(seen), ("class",)),
        "dynamic_world": Layer(named.astype(np.uint8), seen, ("class",)),
    }
    tile = replace(tile, layers=layers)
    found = land_cover(tile, concept_map(tile))
    assert found is not None
    for code, concept in FROM_WORLDCOVER.items():
        hits = [n in OWN[concept] for n, k, v in zip(named.flat, known.flat, seen.flat, strict=True) if v and k == code]
        assert found.confirmed[concept] == pytest.approx(sum(hits) / len(hits))
    alone = replace(tile, layers={"esa_worldcover": layers["esa_worldcover"]})
    single = land_cover(alone, concept_map(alone))
    assert single is not None
    assert single.confirmed == {}


@pytest.mark.parametrize(
    ("share", "confirmed", "told"),
    [
        (0.07, 0.59, False),
        (0.07, 0.6, True),
        (0.2, 0.39, False),
        (0.2, 0.4, True),
        (0.25, 0.0, True),
        (0.07, None, True),
    ],
)
def test_a_small_cover_needs_a_second_map(share: float, confirmed: float | None, told: bool) -> None:
    seen = cover({"crop": 1 - share, "shrub": share})
    seen = replace(seen, confirmed={} if confirmed is None else {"shrub": confirmed, "crop": 0.0})
    facts = {f.fact_id for f in facts_of(replace(SCENES["farm"], land_cover=seen))}
    assert ("cover-shrub" in facts) == told
    assert "cover-crop" in facts


def told_of(shares: dict[str, float], confirmed: dict[str, float]) -> dict[str, str]:
    """Quantity band by concept."""
    seen = replace(cover(shares), confirmed=confirmed)
    facts = facts_of(replace(SCENES["farm"], land_cover=seen))
    return {f.concept: f.detail for f in facts if f.role == "cover"}


@pytest.mark.parametrize(
    ("share", "confirmed", "band"),
    [(0.26, 0.2, "some"), (0.26, 0.5, "large"), (0.34, 0.0, "some"), (0.36, 0.0, "large"), (0.1, 0.4, "some")],
)
def test_what_a_second_map_hardly_shows_is_told_by_a_smaller_word(share: float, confirmed: float, band: str) -> None:
    told = told_of({"crop": 1 - share, "grass": share}, {"grass": confirmed, "crop": 1.0})
    assert told["grass"] == band


def test_woods_beside_mangroves_are_not_told_apart() -> None:
    everywhere = {"mangrove": 1.0, "tree": 1.0}
    assert told_of({"mangrove": 0.7, "tree": 0.3}, everywhere) == {"mangrove": "most"}
    assert told_of({"tree": 0.7, "mangrove": 0.3}, everywhere) == {"tree": "most"}


def test_a_pond_of_a_few_pixels_is_not_told() -> None:
    def ponds(area_m2: float) -> list[str]:
        water = Water(True, 0.1, 0.1, 0.0, 0.0, "pond", (WaterBody("pond", area_m2, "north", 1.5),), 0.9, ("test",))
        return [f.concept for f in facts_of(replace(SCENES["farm"], water=water)) if f.role == "water"]

    assert ponds(1900.0) == []
    assert ponds(2000.0) == ["pond"]
