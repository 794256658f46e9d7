"""Labels: the simulated maps WorldCover, Dynamic World and JRC water occurrence, each wrong in its own way."""

import numpy as np
from numpy.typing import NDArray

from geomeld.sources.simulated import surface, weather
from geomeld.sources.simulated.confusion import DYNAMIC_WORLD_ERRORS, WORLDCOVER_ERRORS, confused
from geomeld.sources.simulated.grain import key_of, smooth, uniform, white
from geomeld.sources.simulated.ground import cropped, ground_of, padded_degrees, padded_ground, spread, unpadded_degrees
from geomeld.sources.simulated.optical import look_of, sky_over
from geomeld.sources.simulated.raster import Raster, Window
from geomeld.sources.source import Scene

DYNAMIC_WORLD_OF = {10: 2, 20: 6, 30: 3, 40: 5, 50: 7, 60: 8, 70: 9, 80: 1, 90: 4, 95: 2, 100: 6}
"""Dynamic World label (1..9) of each WorldCover code."""


def render_worldcover(seed: int, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """WorldCover codes, (1, rows, columns) uint8."""
    ground = ground_of(seed, scene, raster, padded_degrees(scene, raster, window))
    return unpadded_degrees(confused(seed, WORLDCOVER_ERRORS, ground), scene, raster, window)[None].astype(raster.dtype)


def render_dynamic_world(seed: int, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Labels 1..9, (1, rows, columns) uint8; 0 under cloud and shadow.

    Errors stay at a place from scene to scene for the most part; a tenth of doubtful pixels changes with the day.
    Bare winter fields are taken for bare ground, snow for snow.
    """
    ground, look = padded_ground(seed, scene, raster, window), look_of(scene)
    land, day = ground.land, look.day
    codes = confused(seed, DYNAMIC_WORLD_ERRORS, ground)
    table = np.zeros(256, dtype=np.uint8)
    for code, label in DYNAMIC_WORLD_OF.items():
        table[code] = label
    labels = table[codes]
    daily = uniform(smooth(key_of(seed, "dynamic-world-day", day), ground.points, 200.0, 3, 0.7))
    green, _ = surface.crop_green(day, ground.lat, land.temperature, land.parcel_phase)
    labels = np.where((labels == 5) & (green < 0.15) & (daily < 0.18), 8, labels)
    labels = np.where((labels == 6) & (daily > 0.92), 3, np.where((labels == 3) & (daily < 0.08), 6, labels))
    snow = weather.snow(seed, day, ground.points, ground.lat, land.temperature, land.moisture)
    labels = np.where((snow > 0.75) & np.isin(labels, (3, 5, 6, 8)), 9, labels)
    sky = sky_over(seed, look, ground)
    seen = (sky.opacity < 0.12) & (sky.shadow < 0.3)
    return cropped(np.where(seen, labels, 0))[None].astype(raster.dtype)


def render_occurrence(seed: int, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Percent of observations with water, (1, rows, columns) uint8: 0 never, 255 unknown.

    A 30 m pixel averages four samples of the truth and sees nothing where fewer than two are wet, so that narrow
    rivers and ponds are lost; a few per cent of what is left are missed as well.
    """
    half = Raster(raster.assets, raster.bands, raster.pixel / 2, raster.dtype, raster.nodata)
    stride_free = Window(window.column * 2, window.row * 2, window.columns * 2, window.rows * 2)
    ground = ground_of(seed, scene, half, stride_free)
    wet = spread(ground.land.occurrence, scene, half, stride_free)
    four = wet.reshape(window.rows, 2, window.columns, 2)
    share, count = four.mean(axis=(1, 3)), (four > 4).sum(axis=(1, 3))
    lat = spread(ground.lat, scene, half, stride_free)[::2, ::2]
    points = spread(ground.points, scene, half, stride_free)[:, ::2, ::2]
    missed = uniform(smooth(key_of(seed, "occurrence-missed"), points, 250.0, 2)) < 0.04
    left, top = scene.properties["left"], scene.properties["top"]
    per = round(1 / raster.pixel)
    row, column = round((90 - top) * per) + window.row, round((left + 180) * per) + window.column
    noise = white(key_of(seed, "occurrence-noise"), row, column, *share.shape)
    seen = np.clip(np.round(share + np.where(share > 97, 1.0, 4.0) * noise), 1, 100)
    stored = np.where((count >= 2) & ~missed, seen, 0)
    # A permanent core is never missed: only the doubtful rims and small waters are.
    stored = np.where(missed & (share > 90), seen, stored)
    return np.where(np.abs(lat) > 78, raster.nodata, stored)[None].astype(raster.dtype)
