"""Optical: the simulated Sentinel-2 L2A scene in stored codes, with cloud, shadow and scene classification."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geomeld.modalities import SENTINEL2_BANDS
from geomeld.sources.simulated import weather
from geomeld.sources.simulated.grain import key_of, smooth, uniform, white
from geomeld.sources.simulated.ground import Ground, cropped, gradient, padded_ground
from geomeld.sources.simulated.raster import Raster, Window
from geomeld.sources.simulated.spectra import CLOUD, HAZE, INDEX
from geomeld.sources.simulated.surface import reflectance, shares
from geomeld.sources.source import Scene

CLOUD_BASE_METRES = 1400.0
"""Height of the clouds above the ground, which sets where their shadows fall."""

SCL_SHADOW, SCL_VEGETATION, SCL_BARE, SCL_WATER, SCL_MEDIUM, SCL_HIGH, SCL_CIRRUS, SCL_SNOW = 3, 4, 5, 6, 8, 9, 10, 11
"""Codes of the scene classification (Sen2Cor)."""

SCL_UNUSABLE = (0, 1, 3, 8, 9, 10)
"""No data, defective, shadow, medium and high cloud, cirrus."""


@dataclass(frozen=True, slots=True)
class Sky:
    """Cloud over a window of 10 m pixels, each (rows, columns), 0..1."""

    opacity: NDArray[np.float32]
    shadow: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Look:
    """When a picture was taken and where the sun stood, degrees."""

    day: int
    sun_elevation: float
    sun_azimuth: float


def look_of(scene: Scene) -> Look:
    """The look of a Sentinel-2 or Dynamic World scene."""
    p = scene.properties
    return Look(int(p["day"]), float(p["sun_elevation"]), float(p["sun_azimuth"]))


@lru_cache(maxsize=4)
def sky_over(seed: int, look: Look, ground: Ground) -> Sky:
    """Clouds at the scene's time and the shadows that they throw away from the sun."""
    day = look.day
    cloudy = weather.cloudiness(seed, day, ground.points, ground.lat, ground.land.moisture)
    reach = CLOUD_BASE_METRES / np.tan(np.radians(look.sun_elevation))
    towards = np.radians(look.sun_azimuth)
    sunwards = weather.moved(ground.lon, ground.lat, float(reach * np.sin(towards)), float(reach * np.cos(towards)))
    above = weather.cloud_depth(seed, day, ground.points, cloudy)
    before_sun = weather.cloud_depth(seed, day, sunwards, cloudy)
    opacity = np.clip(above / weather.FULL_OPACITY, 0, 1)
    return Sky(opacity, np.clip(before_sun / weather.FULL_OPACITY, 0, 1) * (1 - opacity))


@dataclass(frozen=True, slots=True)
class Picture:
    """A Sentinel-2 view at 10 m before it is cut into rasters."""

    reflectance: NDArray[np.float32]
    """(12, rows, columns)."""
    scl: NDArray[np.uint8]
    """(rows, columns), at 10 m."""


def _illumination(look: Look, ground: Ground) -> NDArray[np.float32]:
    """Brightness of slopes against level ground; the correction of the product leaves most of it in."""
    east, north = gradient(ground)
    height, towards = np.radians(look.sun_elevation), np.radians(look.sun_azimuth)
    facing = np.sin(height) - np.cos(height) * (east * np.sin(towards) + north * np.cos(towards))
    facing /= np.sqrt(1 + east**2 + north**2) * np.sin(height)
    shade = 0.3 + 0.7 * np.clip(facing, 0, 2.2)
    return np.where(ground.land.land_cover == 80, 1.0, shade).astype(np.float32)


@lru_cache(maxsize=2)
def _picture(seed: int, scene_id: str, look: Look, ground: Ground) -> Picture:
    """Everything that light does on the way, in order: surface, slope, texture, haze, shadow, cloud, noise."""
    day, land, shape = look.day, ground.land, ground.shape
    parts = shares(seed, day, ground)
    light = reflectance(parts).reshape(12, *shape)
    water = (land.land_cover == 80) | (parts[INDEX["snow"]].reshape(shape) > 0.6)
    stand = smooth(key_of(seed, "stands"), ground.points, 500.0, 3, 0.7)
    texture = 1 + np.where(water, 0.02, 0.13) * land.texture + np.where(water, 0.0, 0.05) * stand
    fine = white(key_of(seed, "crowns"), ground.row, ground.column, *shape)
    texture += np.where(land.land_cover == 10, 0.075, np.where(water, 0.0, 0.03)) * fine
    light *= (texture * _illumination(look, ground)).astype(np.float32)
    wet = 1.12 - 0.28 * land.moisture
    light *= np.where(water, 1.0, wet).astype(np.float32)
    haze = 0.006 * uniform(smooth(key_of(seed, "haze", day), ground.points, 40_000.0, 2))
    light += HAZE[:, None, None] * haze
    sky = sky_over(seed, look, ground)
    light *= 1 - (0.62 - 0.12 * HAZE)[:, None, None] * sky.shadow
    bright = 0.85 + 0.12 * smooth(key_of(seed, "cloud-top", day), ground.points, 900.0, 4, 0.6)
    light += sky.opacity * (CLOUD[:, None, None] * bright - light)
    for i in range(12):
        grain = white(key_of(seed, scene_id, SENTINEL2_BANDS[i]), ground.row, ground.column, *shape)
        light[i] += (0.0012 + 0.008 * light[i]) * grain
    return Picture(light, _classify(light, sky, parts[INDEX["snow"]].reshape(shape), water))


def _classify(light: NDArray, sky: Sky, snow: NDArray, water: NDArray) -> NDArray[np.uint8]:
    """The scene classification: cloud and shadow where they are thick enough to be seen, else by spectrum."""
    red, near = light[3], light[7]
    ndvi = (near - red) / np.maximum(near + red, 0.02)
    scl = np.where(ndvi > 0.35, SCL_VEGETATION, SCL_BARE)
    scl = np.where(water & (near < 0.1), SCL_WATER, scl)
    scl = np.where(snow > 0.4, SCL_SNOW, scl)
    scl = np.where(sky.shadow > 0.35, SCL_SHADOW, scl)
    for limit, code in ((0.06, SCL_CIRRUS), (0.25, SCL_MEDIUM), (0.6, SCL_HIGH)):
        scl = np.where(sky.opacity > limit, code, scl)
    return scl.astype(np.uint8)


def render(seed: int, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Stored codes of a window: DN = reflectance x 10000 - offset, at least 1; 20 and 60 m pixels average 10 m ones."""
    ground = padded_ground(seed, scene, raster, window)
    picture = _picture(seed, scene.scene_id, look_of(scene), ground)
    scale = round(raster.pixel / 10)
    if raster.bands == ("SCL",):
        return cropped(picture.scl)[None, ::scale, ::scale].astype(raster.dtype)
    bands = [SENTINEL2_BANDS.index(b) for b in raster.bands]
    light = cropped(picture.reflectance)[bands]
    light = light.reshape(len(bands), window.rows, scale, window.columns, scale).mean(axis=(2, 4), dtype=np.float64)
    stored = np.round(light * 10_000) - scene.properties["offset"]
    return np.clip(stored, 1, 65_535).astype(raster.dtype)
