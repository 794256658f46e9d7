"""Relief words on surfaces that are known."""

import numpy as np

from geomeld.core.grid import Grid
from geomeld.core.tile import Layer
from geomeld.signals.terrain import terrain

GRID = Grid.centred_on(9.84, 57.2)


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
