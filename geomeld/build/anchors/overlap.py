"""Overlap: which of many tiles may stay, in order of rank, and which of those that stay share ground."""

import math
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.build.squares import Floats, on_sphere, squares_of, zones_of
from geomeld.core.grid import EARTH_RADIUS_M, TILE_METRES

SIDE = int(TILE_METRES)

ACROSS_M = 1810.0
"""Tiles of different zones have no axes in common: nearer than the diagonal of a tile, they count as overlapping."""

DOUBLE_M = 100.0
"""Places of one source nearer than this are the same place given twice."""

STAYS = -1


@dataclass(frozen=True, slots=True)
class Thinned:
    """What became of n candidates."""

    blocked_by: NDArray[np.int32]
    """Position of the tile that one had to give way to, STAYS for those that stay."""
    group: NDArray[np.int32]
    """Position of one tile of its group, for tiles that stay: groups are tiles chained by overlaps."""

    @property
    def stays(self) -> NDArray[np.bool_]:
        """Which candidates stay."""
        return self.blocked_by == STAYS


def thin(
    lon: Floats, lat: Floats, order: NDArray[np.int64], source: NDArray[np.int16], lenient: NDArray[np.bool_]
) -> Thinned:
    """Let tiles give way to those before them in `order` that they overlap.

    Two tiles overlap where they share ground: under 1280 m on both axes in a common UTM zone, else under 1810 m on the
    great circle. `source` numbers where each candidate comes from; tiles of one source that is `lenient` (an array by
    that number) overlap each other freely and are dropped only within 100 m. Exact, in time and memory linear in n.
    """
    squares = squares_of(lon, lat)
    border = _border(lon, lat)
    points = on_sphere(lon[border], lat[border])
    place = np.full(len(lon), -1, np.int32)
    place[border] = np.arange(len(border), dtype=np.int32)
    blocked, parent = _greedy(
        squares.epsg, squares.left, squares.top, order, source, lenient, place, points,
        chord(ACROSS_M), chord(DOUBLE_M),
    )  # fmt: skip
    return Thinned(blocked, parent)


def _border(lon: Floats, lat: Floats) -> NDArray[np.int64]:
    """Positions of the tiles that may meet tiles of another zone: a box of 1810 m around them reaches into one.

    Zones are rectangles far larger than the box, so that one of its corners is in every zone that it meets.
    """
    reach = math.degrees(ACROSS_M / EARTH_RADIUS_M) * 1.01
    beside = reach / np.cos(np.radians(np.minimum(np.abs(lat) + reach, 89.0)))
    own, meets = zones_of(lon, lat), np.zeros(len(lon), bool)
    for x in (-1, 1):
        for y in (-1, 1):
            meets |= zones_of((lon + x * beside + 180.0) % 360.0 - 180.0, lat + y * reach) != own
    return np.flatnonzero(meets)


def chord(metres: float) -> float:
    """Squared straight distance on the unit sphere."""
    return (2 * math.sin(metres / EARTH_RADIUS_M / 2)) ** 2


@njit(cache=True, nogil=True)
def mixed(a, b, c):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    h = np.uint64(a) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(b) * np.uint64(0xC2B2AE3D27D4EB4F)
    h ^= np.uint64(c) * np.uint64(0x165667B19E3779F9)
    h ^= h >> np.uint64(29)
    h *= np.uint64(0xBF58476D1CE4E5B9)
    return h ^ (h >> np.uint64(32))


@njit(cache=True, nogil=True)
def _root(parent, i):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@njit(cache=True, nogil=True)
def _greedy(epsg, left, top, order, source, lenient, place, points, across, double):  # type: ignore[no-untyped-def] # pragma: no cover
    """Tiles that stay are chained in two hash tables of cells: squares of 1280 m per zone, and, for those near a zone's
    border, cubes of 1810 m on the sphere. A cell's chain may hold strangers; every member is measured."""
    n = len(order)
    slots = 1024
    while slots < 2 * n:
        slots *= 2
    mask = np.uint64(slots - 1)
    head = np.full(slots, -1, np.int32)
    chain = np.full(n, -1, np.int32)
    few = 1024
    while few < 2 * len(points):
        few *= 2
    narrow = np.uint64(few - 1)
    cube_head = np.full(few, -1, np.int32)
    cube_chain = np.full(len(points), -1, np.int32)
    owner = np.full(len(points), -1, np.int32)
    cube = math.sqrt(across)
    blocked = np.full(n, -1, np.int32)
    parent = np.arange(n).astype(np.int32)
    near = np.empty(4096, np.int32)  # those that stay are 100 m apart: fewer than 2,000 can meet one tile
    for k in range(n):
        i = order[k]
        met = 0
        x, y = left[i] // 1280, top[i] // 1280
        for a in range(x - 1, x + 2):
            for b in range(y - 1, y + 2):
                j = head[mixed(epsg[i], a, b) & mask]
                while j >= 0 and blocked[i] < 0:
                    dx, dy = abs(left[i] - left[j]), abs(top[i] - top[j])
                    same_cell = left[j] // 1280 == a and top[j] // 1280 == b
                    if same_cell and epsg[i] == epsg[j] and dx < 1280 and dy < 1280:
                        free = source[i] == source[j] and lenient[source[i]]
                        if not free or dx * dx + dy * dy < 10000:
                            blocked[i] = j
                        else:
                            near[met] = j
                            met += 1
                    j = chain[j]
        p = place[i]
        if p >= 0 and blocked[i] < 0:
            u = math.floor(points[p, 0] / cube)
            v = math.floor(points[p, 1] / cube)
            w = math.floor(points[p, 2] / cube)
            for a in range(u - 1, u + 2):
                for b in range(v - 1, v + 2):
                    for c in range(w - 1, w + 2):
                        q = cube_head[mixed(a, b, c) & narrow]
                        while q >= 0 and blocked[i] < 0:
                            j = owner[q]
                            d = 0.0
                            for axis in range(3):
                                d += (points[p, axis] - points[q, axis]) ** 2
                            same_cell = math.floor(points[q, 0] / cube) == a and math.floor(points[q, 1] / cube) == b
                            same_cell = same_cell and math.floor(points[q, 2] / cube) == c
                            if same_cell and epsg[i] != epsg[j] and d < across:
                                free = source[i] == source[j] and lenient[source[i]]
                                if not free or d < double:
                                    blocked[i] = j
                                else:
                                    near[met] = j
                                    met += 1
                            q = cube_chain[q]
        if blocked[i] >= 0:
            continue
        for m in range(met):
            parent[_root(parent, near[m])] = _root(parent, i)
        slot = mixed(epsg[i], x, y) & mask
        chain[i] = head[slot]
        head[slot] = i
        if p >= 0:
            slot = mixed(u, v, w) & narrow
            cube_chain[p] = cube_head[slot]
            cube_head[slot] = p
            owner[p] = i
    for i in range(n):
        parent[i] = _root(parent, i)
    return blocked, parent
