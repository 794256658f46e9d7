"""Heights: the simulated ASTER elevation and ETH canopy height, each with the errors of its kind."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from geomeld.sources.simulated.grain import key_of, smooth, uniform, white
from geomeld.sources.simulated.ground import ground_of, padded_degrees, unpadded_degrees
from geomeld.sources.simulated.raster import Raster, Window
from geomeld.sources.source import Scene

ASTER_LIMIT = 83.0
"""Degrees of latitude beyond which ASTER saw nothing."""


def render_elevation(seed: int, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Whole metres, (1, rows, columns) int16: the surface (half of the canopy included) with correlated noise of 2 to
    7 m, rare pits, and voids of -9999."""
    ground = ground_of(seed, scene, raster, window)
    land = ground.land
    spread_m = 2.0 + 5.0 * uniform(smooth(key_of(seed, "aster-quality"), ground.points, 40_000.0, 2))
    noise = smooth(key_of(seed, "aster-noise"), ground.points, 400.0, 4, 0.8)
    height = land.elevation + 0.5 * land.canopy
    height = height + np.where(land.land_cover == 80, 0.25, 0.95) * spread_m * noise
    height = height + 0.7 * white(key_of(seed, "aster-pixel"), ground.row, ground.column, *ground.shape)
    pit = smooth(key_of(seed, "aster-pits"), ground.points, 200.0)
    height = height - np.clip((pit - 3.7) * 60, 0, 45)
    void = smooth(key_of(seed, "aster-voids"), ground.points, 900.0, 2) > ndtri(1 - 1e-4)
    stored = np.where(void | (np.abs(ground.lat) > ASTER_LIMIT), raster.nodata, np.round(height))
    return np.asarray(stored)[None].astype(raster.dtype)


def render_canopy(seed: int, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Height and its standard deviation in whole metres, (2, rows, columns) uint8.

    Tall trees are underestimated, bare ground gets a metre or two, errors are correlated over a hundred metres; 255
    over water, snow and most of the built-up land.
    """
    ground = ground_of(seed, scene, raster, padded_degrees(scene, raster, window))
    land = ground.land
    error = smooth(key_of(seed, "canopy-error"), ground.points, 160.0, 3, 0.7)
    fine = white(key_of(seed, "canopy-pixel"), ground.row, ground.column, *ground.shape)
    height = 40 * np.tanh(land.canopy / 38) + (1.0 + 0.11 * land.canopy) * error + (0.3 + 0.03 * land.canopy) * fine
    height = np.clip(height + 0.6, 0, 60)
    deviation = np.clip(1.4 + 0.16 * height + 0.9 * np.abs(error) + 0.3 * fine, 1, 20)
    keep = smooth(key_of(seed, "canopy-mask"), ground.points, 120.0, 2)
    masked = np.isin(land.land_cover, (70, 80)) | ((land.land_cover == 50) & (keep > -0.5))
    stored = np.where(masked, raster.nodata, np.round(np.stack([height, deviation])))
    return unpadded_degrees(stored, scene, raster, window).astype(raster.dtype)
