"""Weather: cloud, season, snow and sun on a day, as continuous functions of the place."""

import datetime as dt
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geomeld.core.grid import EARTH_RADIUS_M
from geomeld.sources.simulated.grain import key_of, smooth
from geomeld.sources.simulated.noise import on_sphere

FULL_OPACITY = 0.3
"""Depth above the cloud threshold, in standard deviations of the cloud field, at which the ground is hidden."""


def season(day: int, lat: NDArray | float) -> NDArray | float:
    """-1 in the middle of the local winter, 1 in the middle of the local summer, passing through 0 at the equator.

    `day` is a proleptic ordinal (`date.toordinal`).
    """
    turn = np.cos(2 * np.pi * (day_of_year(day) - 200) / 365.25)
    return turn * np.tanh(np.asarray(lat) / 12.0)


def day_of_year(day: int) -> int:
    """1 to 366."""
    return dt.date.fromordinal(day).timetuple().tm_yday


def temperature(day: int, lat: NDArray, annual: NDArray) -> NDArray:
    """Mean temperature of the season in C: the annual mean with a swing that grows with latitude."""
    return annual + (2.0 + 0.26 * np.abs(lat)) * season(day, lat)


def cloudiness(seed: int, day: int, points: NDArray, lat: NDArray, moisture: NDArray) -> NDArray[np.float32]:
    """Expected share of sky under cloud as a quantile of N(0, 1): its share is `ndtr` of it.

    Skies are mostly clear or mostly covered, the latter more often in wet places and seasons.

    Synoptic patterns of about 900 km; the share of days under 10 % runs from about half in deserts to 5 % in rain
    forests.
    """
    warm = season(day, lat)
    tropics = np.exp(-((np.asarray(lat) / 23.0) ** 2))
    bias = -1.5 + 2.5 * np.asarray(moisture) + 0.55 * warm * tropics - 0.35 * warm * (1 - tropics)
    synoptic = smooth(key_of(seed, "synoptic", day), points, 900_000.0, 2, 0.45)
    return (1.6 * synoptic + bias).astype(np.float32)


def cloud_depth(seed: int, day: int, points: NDArray, cloudy: NDArray) -> NDArray[np.float32]:
    """Height of the cloud field above its threshold: positive under cloud, as often as `cloudy` (from `cloudiness`)
    says."""
    return smooth(key_of(seed, "cloud", day), points, 7_000.0, 6, 0.62) + cloudy


def moved(lon: NDArray, lat: NDArray, east: float, north: float) -> NDArray[np.float64]:
    """Points, (3, ...), so many metres from coordinates in degrees: a pixel lies in shadow where the sky towards the
    sun is cloudy."""
    lat = lat + np.degrees(north / EARTH_RADIUS_M)
    lon = lon + np.degrees(east / (EARTH_RADIUS_M * np.cos(np.radians(lat))))
    return on_sphere(lon, lat)


@lru_cache(maxsize=4096)
def sun(day: int, hour: float, lat: float) -> tuple[float, float]:
    """(elevation, azimuth) of the sun in degrees at a local solar hour; elevation at least 5."""
    declination = np.radians(-23.44 * np.cos(2 * np.pi * (day_of_year(day) + 10) / 365.25))
    angle, north = np.radians(15 * (hour - 12)), np.radians(lat)
    height = np.arcsin(np.sin(north) * np.sin(declination) + np.cos(north) * np.cos(declination) * np.cos(angle))
    azimuth = np.arctan2(
        -np.cos(declination) * np.sin(angle),
        np.sin(declination) * np.cos(north) - np.cos(declination) * np.sin(north) * np.cos(angle),
    )
    return max(5.0, float(np.degrees(height))), float(np.degrees(azimuth)) % 360


def snow(seed: int, day: int, points: NDArray, lat: NDArray, annual: NDArray, moisture: NDArray) -> NDArray[np.float32]:
    """Share of open ground under snow, 0..1: patchy between +1 and -5 C of the season's mean; thinner where dry, none
    above 10 C."""
    now = temperature(day, lat, annual)
    may = (now < 10.0) & (np.asarray(moisture) > 0.12)
    out = np.zeros(np.shape(now), dtype=np.float32)
    if may.any():
        patches = smooth(key_of(seed, "snow", day // 20), points[:, may], 2_000.0, 3, 0.7)
        weather = smooth(key_of(seed, "cold", day // 20), points[:, may], 700_000.0)
        out[may] = np.clip((-2.0 - now[may] + 1.5 * patches + 2.5 * weather) / 3.0 + 0.3, 0, 1)
    return out
