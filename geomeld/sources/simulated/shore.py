"""Shore: where a settlement meets the water, and the piers and marinas that it builds there."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from shapely import get_coordinates
from shapely.geometry import LineString, Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.sources.simulated import works
from geomeld.sources.simulated.nature import FIELDS, PERMANENT, survey
from geomeld.sources.simulated.noise import drawn
from geomeld.sources.simulated.region import place, region
from geomeld.sources.simulated.ways import Shape, cosine_of, ways

RAYS = 24
"""Directions from a town's centre in which water is looked for."""
REACH = 1.3
"""How far, as a multiple of the town's radius."""
MARINA_RADIUS = 330.0
"""Radius of a town from which its first pier may become a marina, metres."""
FAN = np.radians(np.arange(-100, 101, 20))
"""Directions a pier may take, from that of the ray that met the water."""


@lru_cache(maxsize=256)
def waterline(seed: int, band: int, column: int, t: int) -> NDArray[np.float64]:
    """(RAYS,): metres from a town's centre to permanent water in each direction, infinite where there is none."""
    x, y, radius = region(seed, band, column).towns[t, :3]
    angle = np.arange(RAYS) * (2 * math.pi / RAYS)
    distance = np.linspace(0, REACH * radius, 13)
    wet = _wet(seed, band, column, x + np.cos(angle)[:, None] * distance, y + np.sin(angle)[:, None] * distance)
    first = wet.argmax(axis=1)
    met = wet.any(axis=1) & (first > 0)
    near, far = distance[np.maximum(first - 1, 0)], distance[first]
    for _ in range(6):
        if met.any():
            middle = (near + far) / 2
            under = np.zeros(RAYS, bool)
            under[met] = _wet(
                seed, band, column, x + np.cos(angle[met]) * middle[met], y + np.sin(angle[met]) * middle[met]
            )
            near, far = np.where(under, near, middle), np.where(under, middle, far)
    return np.where(met, far, np.inf)


def _wet(seed: int, band: int, column: int, x: NDArray, y: NDArray) -> NDArray[np.bool_]:
    """Whether points, metres from a region's middle, are under permanent water; same shape."""
    lon, lat = place(band, column, x.ravel(), y.ravel())
    return (survey(seed, lon, lat)[FIELDS.index("occurrence")] >= PERMANENT).reshape(x.shape)


@lru_cache(maxsize=256)
def landings(seed: int, band: int, column: int, t: int) -> tuple[Shape, ...]:
    """Piers of a town, none, one or a few, and in a larger one perhaps a marina; metres from the region's middle."""
    return tuple(_landings(seed, band, column, t))


def _landings(seed: int, band: int, column: int, t: int) -> Iterator[Shape]:
    plan = region(seed, band, column)
    x, y, radius = plan.towns[t, :3]
    shore = waterline(seed, band, column, t)
    words = np.array([drawn(n, t, 71, plan.key) for n in range(RAYS)])
    hits = [int(n) for n in np.argsort(words) if np.isfinite(shore[n])]
    wanted = 1 if radius < 230 else 2 if radius < 450 else 4
    built: list[BaseGeometry] = []
    for n in hits[: 2 * wanted + 2]:
        angle = 2 * math.pi * n / RAYS
        root = np.array([x + math.cos(angle) * shore[n], y + math.sin(angle) * shore[n]])
        length = (32.0 + 40.0 * words[n]) * (1.4 if radius > MARINA_RADIUS else 1.0)
        heading = _outward(seed, band, column, root, angle, length)
        if heading is None:
            continue
        marina = radius > MARINA_RADIUS and not built
        shapes = list(_pier(root, heading, length, marina))
        if marina and not _fits(seed, band, column, shapes[0][1]):
            shapes = list(_pier(root, heading, length, False))
        area = shapes[0][1]
        if not _free(area, seed, band, column, t) or any(area.distance(other) < 30.0 for other in built):
            continue
        built.append(area)
        yield from shapes
        if len(built) == wanted:
            return


def _outward(seed: int, band: int, column: int, root: NDArray, angle: float, length: float) -> float | None:
    """The direction, radians, that leads straight into open water; None where no pier has water on all sides."""
    distance = np.linspace(6.0, 1.8 * length, 9)
    headings = angle + FAN
    x, y = root[0] + np.cos(headings)[:, None] * distance, root[1] + np.sin(headings)[:, None] * distance
    wet = _wet(seed, band, column, x, y)
    reach = np.where(wet.all(axis=1), len(distance), wet.argmin(axis=1))
    # Two more directions on either side must be open: a pier stands off from its shore, not along it.
    room = np.convolve(reach, np.ones(5), mode="valid")
    room[reach[2:-2] < len(distance)] = 0
    if room.max() < 0.85 * 5 * len(distance):
        return None
    open_ = np.flatnonzero(room == room.max())
    return float(headings[open_[len(open_) // 2] + 2])


def _pier(root: NDArray, heading: float, length: float, marina: bool) -> Iterator[Shape]:
    """A pier from the shore; as a marina, its basin first, then the pier with floating jetties on both sides."""
    c, s = math.cos(heading), math.sin(heading)

    def at(u: float, v: float) -> tuple[float, float]:
        return root[0] + c * u - s * v, root[1] + s * u + c * v

    def strip(u0: float, u1: float, v: float) -> Polygon:
        return Polygon([at(u0, -v), at(u1, -v), at(u1, v), at(u0, v)])

    if marina:
        yield "marina", strip(8.0, length + 20.0, 34.0), {"leisure": "marina"}
    yield "pier", strip(-2.0, length, 3.0 if marina or length > 60 else 2.0), {"man_made": "pier"}
    if marina:
        for u in np.arange(length, 20.0, -18.0):
            yield "pier", LineString([at(u, -24.0), at(u, 24.0)]), {"man_made": "pier"}


def _fits(seed: int, band: int, column: int, basin: BaseGeometry) -> bool:
    corner = get_coordinates(basin)[:4]
    u, v = (w.ravel() for w in np.meshgrid(np.linspace(0, 1, 5), np.linspace(0, 1, 5)))
    points = corner[0] + u[:, None] * (corner[1] - corner[0]) + v[:, None] * (corner[3] - corner[0])
    return bool(_wet(seed, band, column, points[:, 0], points[:, 1]).all())


def _free(area: BaseGeometry, seed: int, band: int, column: int, t: int) -> bool:
    """Whether a shape lies in its town's own cell and region, and under no bridge."""
    plan, half = region(seed, band, column), works.half_width(cosine_of(band))
    table = ways(seed, band, column)
    outline = get_coordinates(area.segmentize(20.0))
    return all(
        works.town_of(x, y) == t and abs(x) < half and works.way_distance(x, y, table, half, plan.key)[0] > 15.0
        for x, y in outline
    )
