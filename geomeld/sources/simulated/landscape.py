"""Landscape: the latent truth of the simulated Earth at any points, and the objects that stand on it."""

from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.sources.simulated import works
from geomeld.sources.simulated.nature import BIOMES, FIELDS, key_of, survey
from geomeld.sources.simulated.objects import MapObject, objects
from geomeld.sources.simulated.region import locate, place, region
from geomeld.sources.simulated.ways import ways

__all__ = ["BIOMES", "Landscape", "MapObject", "is_land", "objects", "sample", "stratified_places"]


@dataclass(frozen=True, slots=True)
class Landscape:
    """The truth at points; every array has the shape of the coordinates that were asked for."""

    elevation: NDArray[np.float32]
    """Metres; 0 at sea."""
    land_cover: NDArray[np.uint8]
    """WorldCover code at 10 m."""
    canopy: NDArray[np.float32]
    """Height of trees, metres; 0 without."""
    biome: NDArray[np.uint8]
    """Index into BIOMES."""
    occurrence: NDArray[np.float32]
    """Share of the time under water, percent: from 75 permanent, from 5 seasonal."""
    temperature: NDArray[np.float32]
    """Annual mean, degrees Celsius."""
    moisture: NDArray[np.float32]
    """0 desert to 1 rain forest."""
    parcel: NDArray[np.uint32]
    """Hash of the field parcel, 0 outside fields."""
    parcel_phase: NDArray[np.float32]
    """Position of the parcel in the crop calendar, 0..1."""
    built: NDArray[np.float32]
    """Share of sealed ground, 0..1."""
    texture: NDArray[np.float32]
    """Fine natural variation, -1..1."""
    united_states: NDArray[np.bool_]
    """Inside the region that has 1 m aerial photographs."""
    surface: NDArray[np.uint8]
    """What the ground is made of where people changed it: codes of `works` (0 natural, 1 road, 2 roof ...)."""


def sample(seed: int, lon: NDArray | float, lat: NDArray | float) -> Landscape:
    """The landscape at points in degrees. A pure function of the seed and each point: neither the other points nor the
    order of calls changes anything."""
    lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    shape = lon.shape
    flat_lon = (lon.ravel() + 180.0) % 360.0 - 180.0
    flat_lat = np.ascontiguousarray(lat.ravel())
    nature = survey(seed, flat_lon, flat_lat)
    made = _made(seed, flat_lon, flat_lat, nature)
    natural = dict(zip(FIELDS, nature, strict=True))

    def field(values: NDArray, dtype: type) -> NDArray:
        return values.astype(dtype).reshape(shape)

    return Landscape(
        elevation=field(natural["elevation"], np.float32),
        land_cover=field(made[0], np.uint8),
        canopy=field(made[1], np.float32),
        biome=field(natural["biome"], np.uint8),
        occurrence=field(made[6], np.float32),
        temperature=field(natural["temperature"], np.float32),
        moisture=field(natural["moisture"], np.float32),
        parcel=field(made[4], np.uint32),
        parcel_phase=field(made[5], np.float32),
        built=field(made[3], np.float32),
        texture=field(natural["texture"], np.float32),
        united_states=united_states(flat_lon, flat_lat).reshape(shape),
        surface=field(made[2], np.uint8),
    )


def _made(seed: int, lon: NDArray, lat: NDArray, nature: NDArray) -> NDArray[np.float64]:
    cells, x, y, cosine = _locate_all(lon, lat)
    out = np.empty((7, lon.size))
    _, first, inverse = np.unique(cells[0] * 100_000 + cells[1], return_index=True, return_inverse=True)
    for number, where in enumerate(first):
        cell = int(cells[0, where]), int(cells[1, where])
        plan = region(seed, *cell)
        at = np.flatnonzero(inverse == number)
        part = np.empty((7, at.size))
        works.paint(
            x[at], y[at], place(*cell, 0.0, 0.0), cosine[where], nature[:, at], plan.key, plan.angle, plan.block,
            plan.towns, _near(ways(seed, *cell), x[at], y[at]), plan.sites, key_of(seed), part,
        )  # fmt: skip
        out[:, at] = part
    return out


def _near(table: NDArray[np.float64], x: NDArray, y: NDArray) -> NDArray[np.float64]:
    """The rows of a table of ways that may matter to any of the points: others would only cost time."""
    reach = works.BEND_LIMIT + 4 * works.LOT
    west, east = table[:, [0, 2]].min(axis=1) - reach, table[:, [0, 2]].max(axis=1) + reach
    south, north = table[:, [1, 3]].min(axis=1) - reach, table[:, [1, 3]].max(axis=1) + reach
    return table[(west < x.max()) & (x.min() < east) & (south < y.max()) & (y.min() < north)]


@njit(cache=True)
def _locate_all(lon, lat):  # type: ignore[no-untyped-def]
    cells = np.empty((2, lon.size), np.int64)
    x, y, cosine = np.empty(lon.size), np.empty(lon.size), np.empty(lon.size)
    for i in range(lon.size):
        cells[0, i], cells[1, i], x[i], y[i], cosine[i] = locate(lon[i], lat[i])
    return cells, x, y, cosine


def united_states(lon: NDArray, lat: NDArray) -> NDArray[np.bool_]:
    """The region of the simulated world that flies 1 m photographs: two boxes of its middle latitudes."""
    west = (lon > -125) & (lon < -66) & (lat > 25) & (lat < 49)
    return west | ((lon > -170) & (lon < -130) & (lat > 54) & (lat < 71))


def is_land(seed: int, lon: NDArray | float, lat: NDArray | float) -> NDArray[np.bool_]:
    """Whether points lie on land (lakes and rivers count as land)."""
    lon, lat = np.broadcast_arrays(np.asarray(lon, np.float64), np.asarray(lat, np.float64))
    shore = survey(seed, lon.ravel(), lat.ravel())[FIELDS.index("shore")]
    return (shore > 0).reshape(lon.shape)


def stratified_places(seed: int, n: int) -> list[tuple[float, float, int]]:
    """`n` places on land, (longitude, latitude, biome index), drawn evenly over the 14 biomes (paper 3.1).

    The first places of a longer list are those of a shorter one. Latitudes from -78 to 82.
    """
    pools: list[list[tuple[float, float, int]]] = [[] for _ in BIOMES]
    need = -(-n // len(BIOMES))
    block = 0
    while min(map(len, pools)) < need and block < 400:
        rng = np.random.Generator(np.random.Philox(key=np.array([key_of(seed), block], np.uint64)))
        lon = rng.uniform(-180, 180, 4096)
        lat = np.degrees(np.arcsin(rng.uniform(np.sin(np.radians(-78)), np.sin(np.radians(82)), 4096)))
        nature = dict(zip(FIELDS, survey(seed, lon, lat), strict=True))
        for i in np.flatnonzero(nature["shore"] > 0):
            biome = int(nature["biome"][i])
            if len(pools[biome]) < need:
                pools[biome].append((round(float(lon[i]), 6), round(float(lat[i]), 6), biome))
        block += 1
    rounds = [pool[k] for k in range(need) for pool in pools if k < len(pool)]
    return rounds[:n]
