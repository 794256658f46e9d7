"""Radar cues against a second median and on slopes; water that only the metadata know."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import median_filter

from geomeld import signals
from geomeld.core.tile import Layer
from geomeld.modalities import MODALITIES
from geomeld.signals.radar import despeckled, median3, radar
from geomeld.signals.water import stored
from geomeld.testing import fake_tile


def backscatter(vv: np.ndarray, vh: np.ndarray, valid: np.ndarray | None = None) -> Layer:
    modality = MODALITIES["sentinel1"]
    values = np.zeros(modality.shape(), np.float32)
    seen = np.zeros(values.shape, bool)
    for band, of in (("VV_asc", vv), ("VH_asc", vh)):
        k = modality.bands.index(band)
        values[k], seen[k] = of, True if valid is None else valid
    return Layer(values, seen, modality.bands)


@pytest.mark.parametrize("shape", [(128, 128), (1, 5), (7, 3)])
def test_median_equals_a_second_one(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).integers(-20, 5, shape).astype(np.float32)
    np.testing.assert_array_equal(median3(values), median_filter(values, 3, mode="nearest"))


def test_one_bright_pixel_is_speckle_and_a_block_is_a_building() -> None:
    vv, vh = np.full((128, 128), -20.0), np.full((128, 128), -26.0)
    vv[10, 10] = vh[10, 10] = 15.0
    assert radar(backscatter(vv, vh))["smooth_water_share"] == 1.0
    vv[50:60, 50:60] = vh[50:60, 50:60] = 5.0
    # The median rounds the block's four corners.
    assert radar(backscatter(vv, vh))["built_share"] == 96 / 128**2


def test_steep_ground_leaves_levels_and_takes_cues() -> None:
    layer = backscatter(np.full((128, 128), -7.0), np.full((128, 128), -13.0))
    assert radar(layer, 15.0)["forest_share"] == 1.0
    steep = radar(layer, 15.1)
    assert steep["vv_p50"] == -7.0
    assert not any(name.endswith("_share") for name in steep)
    _, x = np.mgrid[0:128, 0:128] * 10.0
    height = np.stack([0.4 * x] * len(MODALITIES["aster"].bands)).astype(np.float32)
    ground = Layer(height, np.ones(height.shape, bool), MODALITIES["aster"].bands)
    measured = signals.measure(replace(fake_tile(1), layers={"sentinel1": layer, "aster": ground}))
    assert measured.radar == steep


def test_invalid_pixels_do_not_look_like_anything() -> None:
    valid = np.random.default_rng(0).random((128, 128)) < 0.3
    clean = backscatter(np.full((128, 128), -18.0), np.full((128, 128), -25.0), valid)
    poisoned = backscatter(np.where(valid, -18.0, 30.0), np.where(valid, -25.0, 30.0), valid)
    assert radar(poisoned) == radar(clean)
    assert radar(poisoned)["smooth_water_share"] == 1.0
    assert despeckled(backscatter(np.zeros((128, 128)), np.zeros((128, 128)), ~valid & valid)) is None


def test_water_of_the_metadata_stands_in_for_missing_layers() -> None:
    tile = replace(fake_tile(1), layers={}, metadata={"water_analysis": {"detected": True, "percentage": 4.98}})
    water = signals.measure(tile).water
    assert (water.detected, water.percentage, water.bodies, water.sources) == (True, 4.98, (), ("water_analysis",))
    built = {"detected": False, "percentage": 0.0, "sources": ["dynamic_world", "surface_water"]}
    assert stored(built).sources == ("dynamic_world", "surface_water")
    whole = fake_tile(1)
    lied = replace(whole, metadata=whole.metadata | {"water_analysis": {"detected": True, "percentage": 99.0}})
    assert signals.measure(lied).water == signals.measure(whole).water


@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        "4.98",
        [],
        {},
        {"percentage": "4"},
        {"percentage": float("nan")},
        {"percentage": True},
        {"percentage": 101},
    ],
)
def test_nonsense_is_no_water(nonsense: object) -> None:
    assert stored(nonsense) is None
