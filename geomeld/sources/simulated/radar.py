"""Radar: the simulated Sentinel-1 backscatter, terrain-corrected gamma0 in linear power with speckle."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d

from geomeld.sources.simulated import surface, weather
from geomeld.sources.simulated.grain import key_of, smooth, white
from geomeld.sources.simulated.ground import Ground, cropped, gradient, padded_ground
from geomeld.sources.simulated.raster import Raster, Window
from geomeld.sources.simulated.spectra import BACKSCATTER
from geomeld.sources.source import Scene

LOOKS = 4.4
"""Equivalent number of looks of the ground-range product."""

LOOK_AZIMUTH = {"ascending": 80.0, "descending": 280.0}
"""Direction in which the antenna looks, degrees from north."""

NOISE_FLOOR = 10 ** (-29.0 / 10)
"""Thermal noise, as backscatter in linear power."""

SHADOW_SLOPE = 1.25
"""Rise per metre away from the antenna beyond which the ground lies in radar shadow."""


def render(seed: int, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Gamma0 in linear power, (2, rows, columns) float32; no-data in radar shadow."""
    ground = padded_ground(seed, scene, raster, window)
    mean, shadow = _backscatter(seed, int(scene.properties["day"]), str(scene.orbit), ground)
    out = np.empty((2, *ground.shape), dtype=np.float32)
    for i, band in enumerate(raster.bands):
        db = mean[i] - (0.4 if band == "HH" else 0.0)
        power = (10 ** (db / 10) + NOISE_FLOOR) * _speckle(key_of(seed, scene.scene_id, band), ground)
        out[i] = np.where(shadow, raster.nodata, power)
    return cropped(out).astype(raster.dtype)


@lru_cache(maxsize=4)
def _backscatter(seed: int, day: int, orbit: str, ground: Ground) -> tuple[NDArray, NDArray]:
    """Mean backscatter in dB without speckle, (2, rows, columns), and where the antenna does not see."""
    land = ground.land
    table = np.zeros((256, 3), dtype=np.float32)
    for code, row in BACKSCATTER.items():
        table[code] = row
    db = np.moveaxis(table[land.land_cover][..., :2], -1, 0).copy()
    state = surface.growth(day, ground.lat, land.temperature, land.moisture)
    db += table[land.land_cover][..., 2] * (2 * state.wetness - 0.8)
    db += np.where(land.land_cover == 10, np.clip(0.07 * (land.canopy - 15), -1.5, 1.2), 0.9 * land.texture)
    db += _fields(day, ground)
    db[1] += np.where(np.isin(land.land_cover, (30, 40)), 2.0 * state.green - 1.0, 0.0)
    _water(db, seed, day, ground)
    _objects(db, ground)
    frozen = weather.snow(seed, day, ground.points, ground.lat, land.temperature, land.moisture)
    db -= np.where(land.land_cover == 80, 0.0, 1.2 * frozen)
    east, north = gradient(ground)
    towards = np.radians(LOOK_AZIMUTH[orbit])
    facing = east * np.sin(towards) + north * np.cos(towards)
    # Terrain flattening takes out most of the slope's effect, not all of it.
    db += np.where(land.land_cover == 80, 0.0, 2.6 * np.tanh(2.0 * facing))
    return db.astype(np.float32), facing < -SHADOW_SLOPE


def _fields(day: int, ground: Ground) -> NDArray[np.float32]:
    """Roughness of every parcel: rows, crops and moisture differ from field to field and from month to month."""
    parcel = ground.land.parcel.astype(np.uint64)
    word = (parcel * np.uint64(2654435761) + np.uint64(day // 24) * np.uint64(40503)) >> np.uint64(9)
    return np.where(parcel > 0, 4.0 * ((word % np.uint64(1009)).astype(np.float32) / 1009.0 - 0.5), 0.0)


def _water(db: NDArray, seed: int, day: int, ground: Ground) -> None:
    """Water is dark where calm, brighter under wind, more so on the open sea."""
    wind = smooth(key_of(seed, "wind", day), ground.points, 12_000.0, 5, 0.6)
    gale = smooth(key_of(seed, "gale", day), ground.points, 400_000.0)
    sea = np.where(ground.land.elevation > 0.5, 0.0, 1.5)
    rough = np.clip(1.1 * wind + 2.0 * gale + sea, -3.5, 6.5)
    at = ground.land.land_cover == 80
    db[0] = np.where(at, -20.5 + rough, db[0])
    db[1] = np.where(at, -28.0 + 0.55 * rough, db[1])


def _objects(db: NDArray, ground: Ground) -> None:
    """Double bounce between walls and streets; smooth roads; bright tanks and frames."""
    land = ground.land
    word = (land.parcel.astype(np.uint64) * np.uint64(2246822519) >> np.uint64(11)) % np.uint64(997)
    built = land.land_cover == 50
    db += np.where(built, 5.0 * (np.clip(land.built, 0, 1) - 0.5), 0.0)
    levels = {
        surface.ROAD: (-13.5, -21.0),
        surface.PANEL: (-7.5, -16.5),
        surface.TANK: (-1.0, -9.5),
        surface.RUNWAY: (-19.0, -26.0),
        surface.GREENHOUSE: (-5.0, -13.5),
        surface.QUARRY: (-10.5, -17.0),
        surface.ORCHARD: (-10.3, -16.0),
        surface.RAIL: (-8.0, -17.0),
    }
    for code, (co, cross) in levels.items():
        at = land.surface == code
        db[0] = np.where(at, co, db[0])
        db[1] = np.where(at, cross, db[1])
    roof = land.surface == surface.ROOF
    db += np.where(roof, 2.0 + 5.0 * (word.astype(np.float32) / 997.0) ** 2, 0.0)


def _speckle(key: np.uint64, ground: Ground) -> NDArray[np.float32]:
    """Multiplicative noise of mean 1: gamma with LOOKS looks (Wilson and Hilferty's cube), correlated over a pixel."""
    kernel = np.array([0.3, 1.0, 0.3], dtype=np.float32)
    kernel /= np.sqrt((kernel**2).sum())
    noise = white(key, ground.row, ground.column, *ground.shape)
    for axis in (0, 1):
        noise = convolve1d(noise, kernel, axis=axis, mode="nearest")
    return np.maximum(1 - 1 / (9 * LOOKS) + noise / (3 * np.sqrt(LOOKS)), 0.02) ** 3
