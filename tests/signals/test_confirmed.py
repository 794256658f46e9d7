"""Small covers that only one of two land-cover maps shows are no facts."""

from dataclasses import replace

import numpy as np
import pytest

from geomeld.caption.facts import facts_of
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
    ("share", "confirmed", "told"), [(0.10, 0.19, False), (0.10, 0.2, True), (0.15, 0.0, True), (0.10, None, True)]
)
def test_a_small_cover_needs_a_second_map(share: float, confirmed: float | None, told: bool) -> None:
    seen = cover({"crop": 1 - share, "shrub": share})
    seen = replace(seen, confirmed={} if confirmed is None else {"shrub": confirmed, "crop": 0.0})
    facts = {f.fact_id for f in facts_of(replace(SCENES["farm"], land_cover=seen))}
    assert ("cover-shrub" in facts) == told
    assert "cover-crop" in facts
