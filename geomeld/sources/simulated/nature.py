"""Nature: relief, water, climate, biomes and natural vegetation of the simulated Earth, point by point."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.core.errors import ConfigError
from geomeld.sources.simulated.noise import (
    EARTH,
    layered,
    line_distance,
    plain_noise,
    ridged,
    share_below,
    step_between,
    unit,
)

BIOMES = (
    "Tropical & Subtropical Moist Broadleaf Forests",
    "Tropical & Subtropical Dry Broadleaf Forests",
    "Tropical & Subtropical Coniferous Forests",
    "Temperate Broadleaf & Mixed Forests",
    "Temperate Conifer Forests",
    "Boreal Forests/Taiga",
    "Tropical & Subtropical Grasslands, Savannas & Shrublands",
    "Temperate Grasslands, Savannas & Shrublands",
    "Flooded Grasslands & Savannas",
    "Montane Grasslands & Shrublands",
    "Tundra",
    "Mediterranean Forests, Woodlands & Scrub",
    "Deserts & Xeric Shrublands",
    "Mangroves",
)
"""The 14 terrestrial biomes (Olson et al. 2001), in their official order."""

# Natural shares per biome: tree, shrub, grass, moss and lichen, bare; wetland and mangrove come on top where it is wet.
# Together with fields and settlements they make the published land-cover shares of a biome-stratified sample.
NATURAL = np.array(
    [
        (0.83, 0.03, 0.12, 0.00, 0.02),
        (0.56, 0.13, 0.27, 0.00, 0.04),
        (0.74, 0.08, 0.15, 0.00, 0.03),
        (0.66, 0.03, 0.30, 0.00, 0.01),
        (0.70, 0.06, 0.18, 0.00, 0.06),
        (0.67, 0.05, 0.16, 0.08, 0.04),
        (0.28, 0.25, 0.39, 0.00, 0.08),
        (0.08, 0.11, 0.66, 0.00, 0.15),
        (0.22, 0.07, 0.64, 0.00, 0.07),
        (0.12, 0.08, 0.44, 0.03, 0.33),
        (0.04, 0.07, 0.28, 0.24, 0.37),
        (0.44, 0.23, 0.23, 0.00, 0.10),
        (0.01, 0.13, 0.14, 0.00, 0.72),
        (0.62, 0.04, 0.31, 0.00, 0.03),
    ]
)
FARMED = np.array((0.38, 0.42, 0.46, 0.46, 0.35, 0.05, 0.36, 0.95, 0.32, 0.15, 0.00, 0.52, 0.07, 0.32))
"""Share of tillable land under crops per biome."""
WETLAND = np.array((0.03, 0.0, 0.0, 0.01, 0.01, 0.10, 0.01, 0.01, 0.30, 0.01, 0.09, 0.0, 0.0, 0.10))
"""Share of low ground that is herbaceous wetland per biome."""
CANOPY = np.array((30.0, 16.0, 24.0, 23.0, 28.0, 15.0, 10.0, 12.0, 12.0, 9.0, 4.0, 12.0, 5.0, 15.0))
"""Typical height of closed canopy per biome, metres."""

FIELDS = (
    "elevation", "cover", "canopy", "biome", "occurrence", "temperature", "moisture", "texture", "steepness", "shore",
)  # fmt: skip
"""Columns of `survey`: metres, WorldCover code, metres, index, % of the time, C, 0..1, -1..1, metres of relief,
continentalness (0 at the coast, negative at sea)."""

SEASONAL = 5.0
PERMANENT = 75.0
"""Occurrence of water in % from which it is seasonal, and permanent."""


(
    BROAD, COAST, BELT, HILLY, PLATEAU, WARMTH, RAIN, REGION, RIVER, RIVER_WIDTH, STREAM, STREAM_WIDTH, BROOK,
    BROOK_WIDTH, DEPTH, SHAPE, TEXTURE, FRINGE, PATCH, DAMP,
) = range(20)  # fmt: skip
"""Rows of `_fields`."""


@njit(cache=True)
def _fields(points, key):  # type: ignore[no-untyped-def]
    """All noise that nature is made of, (20, points)."""
    out = np.empty((20, points.shape[1]))
    out[BROAD] = 0.62 * layered(points, 7.0e6, 4, 0.5, key) - 0.10
    out[COAST] = out[BROAD] + 0.05 * layered(points, 4.0e5, 11, 0.56, key + 20)
    out[BELT] = ridged(points, 3.2e6, 2, 0.5, key + 40)
    out[HILLY] = layered(points, 1.3e5, 3, 0.55, key + 50)
    out[PLATEAU] = layered(points, 2.5e5, 3, 0.5, key + 55)
    out[WARMTH] = layered(points, 2.5e6, 3, 0.5, key + 60)
    out[RAIN] = layered(points, 2.2e6, 4, 0.5, key + 67)
    out[REGION] = layered(points, 3.0e5, 2, 0.5, key + 80)
    out[RIVER], out[RIVER_WIDTH] = _river(points, 1.5e5, 360.0, 2600.0, key + 100)
    out[STREAM], out[STREAM_WIDTH] = _river(points, 2.0e4, 64.0, 420.0, key + 110)
    out[BROOK], out[BROOK_WIDTH] = _river(points, 7.5e3, 9.0, 130.0, key + 120)
    out[DEPTH] = layered(points, 6.5e3, 3, 0.45, key + 130)
    out[SHAPE] = ridged(_warped(points, 1500.0, 9.0e3, key + 140), 1.5e4, 9, 0.46, key + 150)
    out[TEXTURE] = layered(points, 60.0, 2, 0.7, key + 170) * 0.4
    out[FRINGE] = 1.0 + 0.35 * layered(points, 420.0, 2, 0.6, key + 175)
    out[PATCH] = layered(points, 1.7e3, 6, 0.66, key + 200)
    out[DAMP] = layered(points, 1.5e3, 5, 0.6, key + 210)
    return out


@njit(cache=True)
def _warped(points, metres, wavelength, key):  # type: ignore[no-untyped-def]
    """Points moved by up to `metres` in every direction."""
    out = np.empty_like(points)
    for axis in range(3):
        out[axis] = points[axis] + metres / EARTH * plain_noise(points, wavelength, key + 1 + axis)
    return out


@njit(cache=True)
def _river(points, wavelength, width, wander, key):  # type: ignore[no-untyped-def]
    """(distance to the axis, half width) in metres of a system of meandering rivers."""
    strength = 1.0 + 0.8 * plain_noise(points, wavelength * 2.0, key + 4)
    axis = line_distance(_warped(points, wander, wander * 6.0, key), wavelength, key)
    return axis, 0.5 * width * np.maximum(strength, 0.25)


@njit(cache=True)
def _climate(latitude, height, shore, warmth, rain):  # type: ignore[no-untyped-def]
    """(annual mean temperature in C, moisture 0..1)."""
    s = abs(math.sin(math.radians(latitude)))
    temperature = 28.5 - 44.0 * s**2.3 - 0.0060 * height + 1.5 * warmth
    a = abs(latitude)
    belts = 0.72 * math.exp(-((a / 14.0) ** 2)) + 0.52 * math.exp(-(((a - 53.0) / 18.0) ** 2)) + 0.12
    moisture = belts + 0.17 * rain + 0.12 * math.exp(-max(shore, 0.0) / 0.05)
    return temperature, min(1.0, max(0.02, moisture))


@njit(cache=True)
def _biome(latitude, height, relief, shore, t, m, region):  # type: ignore[no-untyped-def]
    """Index into BIOMES."""
    a = abs(latitude)
    if t > 20.5 and a < 31.0 and shore < 0.020 and relief < 90.0 and m > 0.33:
        return 13
    if relief < 45.0 and region > 1.05 and m > 0.30 and t > 8.0:
        return 8
    if height > 1500.0 and t < 14.0 and a < 52.0 and m < 0.72:
        return 9
    if t < -7.0:
        return 10
    if t < 2.5:
        return 5 if m > 0.30 else 10
    if t < 18.0:
        if m < 0.20:
            return 12
        if t > 10.5 and 26.0 < a < 46.0 and m < 0.52:
            return 11
        if m < 0.40:
            return 7
        return 4 if (relief > 160.0 or region < -0.75) else 3
    if m > 0.60:
        return 0
    if m < 0.21:
        return 12
    if m > 0.36:
        return 2 if (relief > 150.0 or region < -0.9) else 1
    return 6


@njit(cache=True)
def _point(lat, f, out):  # type: ignore[no-untyped-def]
    """Everything natural at one place from its noise; fills `out` in the order of FIELDS."""
    shore = f[COAST]
    belt = step_between(0.42, 0.72, f[BELT]) * step_between(0.02, 0.12, shore)
    hilly = step_between(-0.5, 1.7, f[HILLY])
    relief = 3.0 + 240.0 * hilly**2.2 + 1700.0 * belt
    ground = max(f[BROAD], 0.0) * 320.0 + belt * 900.0 * share_below(f[PLATEAU])
    rise = 1.0 - math.exp(-max(shore, 0.0) / 0.004)
    temperature, moisture = _climate(lat, ground + 0.4 * relief, shore, f[WARMTH], f[RAIN])
    biome = _biome(lat, ground + 0.4 * relief, relief, shore, temperature, moisture, f[REGION])

    flow = step_between(0.14, 0.34, moisture)
    d1, w1, d2, w2, d3, w3 = f[RIVER], f[RIVER_WIDTH], f[STREAM], f[STREAM_WIDTH], f[BROOK], f[BROOK_WIDTH]
    # Valleys are as wide as their slopes are high, or mountains would have walls.
    valley = (
        (d1 / (d1 + 900.0 + relief))
        * (d2 / (d2 + 330.0 + 0.8 * relief))
        * (0.3 + 0.7 * d3 / (d3 + 110.0 + 0.6 * relief))
    )
    glacial = step_between(4.0, -6.0, temperature)
    depth = f[DEPTH] - (1.42 - 0.50 * glacial - 0.2 * (biome == 8))
    if relief > 320.0 or moisture < 0.22:
        depth = -3.0
    basin = step_between(0.0, 1.1, -depth)
    shape = f[SHAPE]
    height = rise * (ground + relief * valley * basin * shape * (0.25 + 0.75 * rise) + 2.0) + min(shore, 0.004) * 900.0

    # --- water ---
    fringe = f[FRINGE]
    occurrence = 0.0
    if shore <= 0.0:
        occurrence = 100.0
        height = 0.0
    else:
        big, small, brook = d1 - w1, d2 - w2, d3 - w3
        plain = relief < 200.0
        near = min(big * 0.6, small) if flow > 0.3 else 1e9
        if near < 0.0 or (brook < -0.5 and flow > 0.6 and w3 > 5.0):
            occurrence = 97.0 if flow > 0.55 else 55.0
        elif depth > 0.0:
            occurrence = 98.0 if moisture > 0.27 else 45.0
        elif plain and (near < 34.0 * fringe * flow or depth > -0.045 * fringe):
            occurrence = 28.0
        if occurrence >= 45.0 and depth > 0.0:
            height = rise * (ground + 2.0)

    out[0] = height
    out[4] = occurrence
    out[5] = temperature
    out[6] = moisture
    out[7] = min(1.0, max(-1.0, f[TEXTURE]))
    out[8] = relief * valley * basin
    out[9] = shore
    out[3] = biome
    out[1], out[2] = _cover(
        f[PATCH], f[DAMP], biome, occurrence, shore, height, temperature, moisture, relief * valley * basin,
        min(d1 - w1, d2 - w2), d3, shape, f[TEXTURE],
    )  # fmt: skip


@njit(cache=True)
def _cover(patch, damp, biome, occurrence, shore, height, t, m, steep, bank, brook, shape, texture):  # type: ignore[no-untyped-def]
    """(WorldCover code, canopy height in metres) of natural ground."""
    if occurrence >= 75.0:
        return 80.0, 0.0
    rich = share_below(patch + 0.10 * texture)
    if biome == 13 and t > 19.0 and shore < 0.0062 * (1.0 + 0.6 * math.tanh(damp)) and steep < 40.0:
        return 95.0, 13.0 * (0.7 + 0.5 * rich)
    if shore < 0.00016 * (1.2 + damp) and shore < 0.0005:
        return 60.0, 0.0
    if t < -18.5 + 2.0 * patch or (t < -7.0 and height > 1900.0 and patch > 0.6):
        return 70.0, 0.0
    low = steep < 60.0
    if low and (
        share_below(damp) < WETLAND[biome] * 1.15 or (occurrence >= 5.0 and share_below(patch) < 0.45 and m > 0.25)
    ):
        return 90.0, 0.0
    if occurrence >= 5.0:
        return (60.0, 0.0) if m < 0.3 or patch > 0.9 else (30.0, 0.0)
    # Rivers and gullies are greener than the open slope, crests are barer.
    green = 0.16 * math.exp(-max(min(bank, brook * 1.5), 0.0) / 90.0) - 0.14 * step_between(0.55, 0.9, shape) * (
        steep > 80.0
    )
    v = min(0.9999, max(0.0, 1.0 - rich - green))
    edge = 0.0
    for n in range(5):
        edge += NATURAL[biome, n]
        if v < edge:
            break
    if n == 0:
        depth = (edge - v) / max(edge, 1e-6)
        return 10.0, CANOPY[biome] * (0.55 + 0.55 * min(1.0, 1.6 * depth)) * (1.0 + 0.12 * texture)
    if n == 1:
        return 20.0, 1.6
    if n == 2:
        return 30.0, 0.0
    return (100.0, 0.0) if n == 3 else (60.0, 0.0)


@njit(cache=True, nogil=True)
def _survey(lon, lat, key, out):  # type: ignore[no-untyped-def]
    noise = _fields(unit(lon, lat), key)
    for i in range(lon.size):
        _point(lat[i], noise[:, i], out[:, i])


def survey(seed: int, lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.float64]:
    """Nature at points: (len(FIELDS), points). A pure function of the seed and each point alone."""
    out = np.empty((len(FIELDS), lon.size))
    _survey(lon.ravel(), lat.ravel(), key_of(seed), out)
    return out


def key_of(seed: int) -> int:
    """The integer from which all hash keys of an Earth are counted; streams are 1,000 apart within a seed's million.

    Raises ConfigError for a seed whose keys would not fit in 64 bits.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"The seed of a simulated Earth is {seed}; give a whole number from 0 to {2**32 - 1}.")
    return (seed + 1) * 1_000_003
