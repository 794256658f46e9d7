"""Layers with few or no valid pixels are like missing ones, and no measurement is NaN where strict JSON is due."""

import json
from dataclasses import replace

import numpy as np
import pytest

from geomeld import signals
from geomeld.core.config import to_json
from geomeld.core.tile import Layer, Tile
from geomeld.modalities import MODALITIES
from geomeld.signals.water import consensus
from geomeld.testing import fake_tile


def layer_of(name: str, values: np.ndarray | int, rows: int = 128) -> Layer:
    """A layer that is valid in its first `rows` rows."""
    modality = MODALITIES[name]
    values = np.broadcast_to(values, modality.shape()).astype(modality.dtype)
    valid = np.zeros(values.shape, bool)
    valid[:, :rows] = True
    return Layer(values, valid, modality.bands, product=name)


def lake_tile(**layers: Layer) -> Tile:
    y, x = np.mgrid[0:128, 0:128]
    lake = (x - 60) ** 2 + (y - 60) ** 2 < 400
    usual = {
        "dynamic_world": layer_of("dynamic_world", np.where(lake, 1, 2)),
        "esa_worldcover": layer_of("esa_worldcover", np.where(lake, 80, 10)),
        "surface_water": layer_of("surface_water", np.where(lake, 95, 0)),
    }
    return replace(fake_tile(1), layers=usual | layers)


@pytest.mark.parametrize(("name", "value"), [("dynamic_world", 2), ("surface_water", 0)])
@pytest.mark.parametrize("rows", [0, 13])
def test_a_lake_is_found_without_either_product(name: str, value: int, rows: int) -> None:
    water = consensus(lake_tile(**{name: layer_of(name, value, rows)}))[1]
    assert water.detected
    assert water.percentage == pytest.approx(7.6, abs=0.01)
    assert name not in water.sources


@pytest.mark.parametrize("rows", [0, 13])
def test_a_map_does_not_vouch_for_itself(rows: int) -> None:
    tile = lake_tile(esa_worldcover=layer_of("esa_worldcover", 80, rows))
    cover = signals.measure(tile).land_cover
    assert cover.source == "dynamic_world"
    assert np.isnan(cover.agreement)
    assert cover.confidence == 0.6


def test_canopy_without_its_spread_has_no_nan() -> None:
    canopy = layer_of("canopy_height", 20)
    canopy.valid[1] = False
    found = signals.measure(replace(fake_tile(1), layers={"canopy_height": canopy}))
    assert found.canopy == {"p50": 20.0, "p95": 20.0}
    json.dumps(to_json(found), allow_nan=False)
