"""What lies under an invalid pixel changes nothing that is measured."""

from dataclasses import replace

import numpy as np
import pytest

from geomeld import signals
from geomeld.core.config import to_json
from geomeld.core.tile import Layer, Tile
from geomeld.modalities import MODALITIES
from geomeld.testing import fake_tile


def poisoned(tile: Tile, seed: int) -> Tile:
    rng = np.random.default_rng(seed)
    layers = {}
    for name, x in tile.layers.items():
        kind = MODALITIES[name].kind
        codes = getattr(kind, "codes", None)
        wild = rng.choice(codes, x.values.shape) if codes else rng.choice([0, 1, 90, 200], x.values.shape)
        if x.values.dtype.kind == "f":
            wild = rng.choice([-9e4, 0.0, 9e4], x.values.shape)
        values = np.where(x.valid, x.values, wild.astype(x.values.dtype))
        layers[name] = Layer(values, x.valid, x.bands, x.acquired, x.product, x.scenes)
    return replace(tile, layers=layers)


@pytest.mark.parametrize("hole", [slice(0, 0), slice(20, 60)])
def test_nothing_measured_depends_on_invalid_pixels(hole: slice) -> None:
    tile = fake_tile(3)
    for x in tile.layers.values():
        x.valid[:, hole, hole] = False
    expected = to_json((signals.measure(tile), signals.published_fields(tile, [])))
    for seed in range(3):
        other = poisoned(tile, seed)
        found = to_json((signals.measure(other), signals.published_fields(other, [])))
        np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("name", sorted(set(MODALITIES) - {"naip"}))
def test_a_tile_without_a_modality_is_measured(name: str) -> None:
    tile = fake_tile(3)
    rest = replace(tile, layers={n: x for n, x in tile.layers.items() if n != name})
    found = signals.measure(rest)
    assert (name in found.missing) is MODALITIES[name].published
    only = signals.measure(replace(tile, layers={name: tile.layers[name]}))
    assert only.tile_id == 3
