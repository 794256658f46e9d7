"""Geomorphons against GRASS cell by cell, and relief words on surfaces that are known."""

from pathlib import Path

import numpy as np
import pytest

from geomeld.core.grid import Grid
from geomeld.core.tile import Layer
from geomeld.signals.terrain import geomorphons, terrain

DATA = Path(__file__).parents[3] / "shared" / "data" / "geomorphons"
GRID = Grid.centred_on(9.84, 57.2)

CASES = [
    ("hillpit_dem", "hillpit_forms_default", {"search": 5}, 1.0),
    ("hillpit_dem", "hillpit_forms_skip1", {"search": 5, "skip": 1}, 1.0),
    ("saotome30_dem", "saotome30_s3_f1", {"search": 3}, 30.0),
    ("saotome30_dem", "saotome30_s10_f1", {"search": 10}, 30.0),
    ("saotome30_dem", "saotome30_s20_k2_f1_d3", {"search": 20, "skip": 2, "flat_distance": 90.0}, 30.0),
]


@pytest.mark.skipif(not DATA.exists(), reason="the GRASS results (../shared/data/geomorphons) are not here")
@pytest.mark.parametrize(("dem", "expected", "options", "gsd"), CASES)
def test_forms_equal_grass_cell_by_cell(dem: str, expected: str, options: dict, gsd: float) -> None:
    import rasterio

    with rasterio.open(DATA / f"{dem}.tif") as file:
        elevation = file.read(1)
    with rasterio.open(DATA / f"{expected}.tif") as file:
        wanted = np.where(file.read(1) == file.nodata, 0, file.read(1))
    np.testing.assert_array_equal(geomorphons(elevation, gsd, **options), wanted)


def hill_and_pit() -> np.ndarray:
    y, x = 39.5 - np.arange(40)[:, None], np.arange(40)[None, :] + 0.5

    def bump(at: float) -> np.ndarray:
        return 15 * np.exp(-((x - at) ** 2 + (y - at) ** 2) / 8)

    return (200 + bump(13) - bump(27)).astype(np.float32)


def test_published_synthetic_case() -> None:
    """Figures of GRASS's own test of r.geomorphon."""
    forms = geomorphons(hill_and_pit(), 1.0, search=5)
    inside = forms[forms > 0].astype(float)
    assert (inside.size, inside.sum()) == (1444, 3384)
    np.testing.assert_allclose(inside.mean(), 2.34349030470914, rtol=1e-12)
    np.testing.assert_array_equal(np.bincount(forms.ravel())[1:], [1056, 4, 8, 30, 72, 160, 72, 30, 8, 4])
    assert not geomorphons(hill_and_pit(), 1.0, search=5, skip=1)[:2].any()


def test_missing_elevation_has_no_form() -> None:
    z = hill_and_pit().astype(float)
    z[20, 20] = np.nan
    assert geomorphons(z, 1.0, search=5)[20, 20] == 0
    for options in ({"search": 0}, {"search": 3, "skip": 3}, {"search": 3, "flat": 90.0}):
        with pytest.raises(ValueError):
            geomorphons(z, 1.0, **options)


def surface(z: np.ndarray) -> Layer:
    values = np.stack([z, np.zeros_like(z)]).astype(np.float32)
    return Layer(values, np.ones(values.shape, bool), ("elevation", "slope"))


def test_relief_words() -> None:
    _, x = np.mgrid[0:128, 0:128] * 10.0
    noise = np.random.default_rng(0).normal(0, 2, (128, 128))
    flat = terrain(surface(100 + noise), GRID)
    assert (flat.relief_class, flat.terrain_class) == ("flat", "Flat")
    steep = terrain(surface(0.5 * x + 400), GRID)
    assert steep.relief_class == "mountainous"
    assert steep.terrain_class == "Slope"
    # Smoothing repeats the outermost cells, which flattens a ring of them by up to half.
    np.testing.assert_allclose(steep.slope_mean, np.degrees(np.arctan(0.5)), atol=1.5)
    valley = terrain(surface(0.4 * np.abs(x - 640)), GRID)
    assert valley.form_shares["Valley"] + valley.form_shares["Hollow"] > 0.05
    assert terrain(None, GRID) is None


def test_invalid_pixels_do_not_matter() -> None:
    _, x = np.mgrid[0:128, 0:128] * 10.0
    layer = surface(0.1 * x + 50)
    valid = layer.valid.copy()
    valid[0, 40:50, 40:50] = False
    poisoned = np.where(valid, layer.values, 9e5).astype(np.float32)
    a = terrain(Layer(layer.values, valid, layer.bands), GRID)
    assert a == terrain(Layer(poisoned, valid, layer.bands), GRID)
