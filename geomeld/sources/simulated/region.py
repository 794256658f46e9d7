"""Regions: the cells of about 28 km in which people measure land; local metres, field parcels, settlements, sites."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.sources.simulated.nature import FIELDS, key_of, survey
from geomeld.sources.simulated.noise import drawn, drawn_key

SIDE = 0.25
"""Degrees of latitude of a region; a band of latitude holds a whole number of them."""
METRES = 111_194.93
"""Per degree of latitude."""
SPAN = SIDE * METRES
TOWNS = 5
"""Cells for settlements per region and side."""
SITES = 9
"""Cells for single works (solar farm, quarry ...) per region and side."""

KINDS = (
    "solar farm", "storage tanks", "orchard", "airfield", "quarry", "golf course", "greenhouses", "wind turbines",
    "vineyard", "reservoir",
)  # fmt: skip
ODDS = np.array((0.17, 0.12, 0.22, 0.06, 0.10, 0.06, 0.08, 0.07, 0.08, 0.04))
"""How a site's kind is drawn."""


@njit(cache=True)
def locate(lon, lat):  # type: ignore[no-untyped-def]
    """(band, column, x, y, cosine): the region of a point and its metres east and north of the region's middle."""
    band = math.floor((lat + 90.0) / SIDE)
    middle = (band + 0.5) * SIDE - 90.0
    cosine = max(math.cos(math.radians(middle)), 1e-3)
    count = max(1, round(360.0 / SIDE * cosine))
    width = 360.0 / count
    column = math.floor((lon + 180.0) / width) % count
    west = column * width - 180.0
    dx = lon - west
    dx -= 360.0 * math.floor(dx / 360.0)
    return band, column, (dx - width / 2) * cosine * METRES, (lat - middle) * METRES, cosine


def place(band: int, column: int, x: NDArray | float, y: NDArray | float) -> tuple[NDArray, NDArray]:
    """Longitude and latitude of metres east and north of a region's middle; the inverse of `locate`."""
    middle = (band + 0.5) * SIDE - 90.0
    cosine = max(math.cos(math.radians(middle)), 1e-3)
    width = 360.0 / max(1, round(360.0 / SIDE * cosine))
    lon = (column + 0.5) * width - 180.0 + np.asarray(x) / (cosine * METRES)
    return lon, middle + np.asarray(y) / METRES


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """What people have built in one region; all coordinates are metres from its middle."""

    key: int
    angle: float
    """Of its field pattern, radians."""
    block: float
    """Side of a block of fields, metres."""
    towns: NDArray[np.float64]
    """(TOWNS * TOWNS, 5): x, y, radius (0 where there is none), angle, street spacing."""
    roads: NDArray[np.float64]
    """(roads, 5): x0, y0, x1, y1, half width."""
    sites: NDArray[np.float64]
    """(SITES * SITES, 6): x, y, kind index (-1 where there is none), half length, half width, angle."""
    mapped: float
    """Share of its objects that volunteers have drawn."""


@lru_cache(maxsize=64)
def region(seed: int, band: int, column: int) -> Region:
    """The plan of a region."""
    key = _key(seed, band, column)
    word = iter(_words(key, 6))
    angle = (next(word) - 0.5) * 1.2
    block = (180.0, 420.0, 640.0, 800.0)[int(next(word) * 4)]
    towns = _towns(seed, band, column, key)
    roads = _roads(seed, band, column, towns)
    sites = _sites(seed, band, column, key, towns)
    return Region(key, angle, block, towns, roads, sites, 0.35 + 0.6 * next(word))


def _key(seed: int, band: int, column: int) -> int:
    return int(drawn_key(band, column, 0, key_of(seed) + 500_000))


def _words(key: int, count: int, stream: int | np.integer = 0) -> NDArray[np.float64]:
    return np.array([drawn(stream, n, 1, key) for n in range(count)])


def _nature(seed: int, band: int, column: int, x: NDArray, y: NDArray) -> dict[str, NDArray]:
    lon, lat = place(band, column, x, y)
    return dict(zip(FIELDS, survey(seed, np.atleast_1d(lon), np.atleast_1d(lat)), strict=True))


def _habitable(nature: dict[str, NDArray]) -> NDArray[np.float64]:
    """How much a place invites people, 0..1: mild, not too dry, not steep, on land."""
    mild = np.clip((nature["temperature"] + 2.0) / 9.0, 0, 1)
    wet = np.clip((nature["moisture"] - 0.12) / 0.25, 0.12, 1)
    even = np.clip(1.4 - nature["steepness"] / 260.0, 0.05, 1)
    return mild * wet * even * (nature["occurrence"] < 5) * (nature["cover"] != 70) * (nature["cover"] != 95)


def _towns(seed: int, band: int, column: int, key: int) -> NDArray[np.float64]:
    cells = np.arange(TOWNS * TOWNS)
    words = np.array([_words(key, 6, 10 + c) for c in cells])
    side = SPAN / TOWNS
    x = ((cells % TOWNS + 0.5) + 0.5 * (words[:, 0] - 0.5)) * side - SPAN / 2
    y = ((cells // TOWNS + 0.5) + 0.5 * (words[:, 1] - 0.5)) * side - SPAN / 2
    chance = 1.1 * _habitable(_nature(seed, band, column, x, y))
    big = words[:, 3] ** 5
    radius = np.where(words[:, 2] < chance, 160.0 + 300.0 * words[:, 4] + 1000.0 * big, 0.0)
    # People settle where they work the land: a site draws a small hamlet, a great plain a town.
    return np.column_stack([x, y, radius, (words[:, 5] - 0.5) * 1.5, 70.0 + 50.0 * words[:, 4]])


def _roads(seed: int, band: int, column: int, towns: NDArray) -> NDArray[np.float64]:
    nodes = towns[towns[:, 2] > 0]
    if not len(nodes):
        return np.empty((0, 5))
    links = set()
    for i, (x, y) in enumerate(nodes[:, :2]):
        order = np.argsort(np.hypot(nodes[:, 0] - x, nodes[:, 1] - y), kind="stable")[1:3]
        links |= {(min(i, int(j)), max(i, int(j))) for j in order}
    rows = []
    for i, j in sorted(links):
        size = min(nodes[i, 2], nodes[j, 2])
        rows.append((*nodes[i, :2], *nodes[j, :2], 5.5 if size > 380 else 3.6 if size > 190 else 2.6))
    for edge in (column, column + 1):
        rows.append(_crossing_road(seed, band, column, edge, nodes))
    return np.array([r for r in rows if np.hypot(r[2] - r[0], r[3] - r[1]) < 16_000.0] or np.empty((0, 5)))


def _crossing_road(seed: int, band: int, column: int, edge: int, nodes: NDArray) -> tuple[float, ...]:
    """The road that leaves a region to the west or east; both neighbours know where it crosses their border."""
    middle = math.cos(math.radians((band + 0.5) * SIDE - 90.0))
    count = max(1, round(360.0 / SIDE * max(middle, 1e-3)))
    y = (drawn(band, edge % count, 7, key_of(seed) + 510_000) - 0.5) * 0.8 * SPAN
    x = (edge - column - 0.5) * 360.0 / count * middle * METRES
    nearest = nodes[np.argmin(np.hypot(nodes[:, 0] - x, nodes[:, 1] - y))]
    return (*nearest[:2], x, y, 4.5)


def _sites(seed: int, band: int, column: int, key: int, towns: NDArray) -> NDArray[np.float64]:
    cells = np.arange(SITES * SITES)
    words = np.array([_words(key, 6, 100 + c) for c in cells])
    side = SPAN / SITES
    x = ((cells % SITES + 0.5) + 0.3 * (words[:, 0] - 0.5)) * side - SPAN / 2
    y = ((cells // SITES + 0.5) + 0.3 * (words[:, 1] - 0.5)) * side - SPAN / 2
    nature = _nature(seed, band, column, x, y)
    kind = np.minimum(np.searchsorted(np.cumsum(ODDS) / ODDS.sum(), words[:, 2]), len(KINDS) - 1)
    settled = min(1.0, 4.0 * float((towns[:, 2] > 0).mean()))
    fit = _habitable(nature) * (nature["steepness"] < 120.0) * (0.25 + 0.75 * settled)
    near = np.array(
        [np.min(np.hypot(towns[:, 0] - a, towns[:, 1] - b) - 1.4 * towns[:, 2]) for a, b in zip(x, y, strict=True)]
    )
    built = (words[:, 3] < 0.42 * fit) & (near > 650.0)
    long = np.array((260.0, 130.0, 190.0, 640.0, 210.0, 420.0, 150.0, 500.0, 200.0, 170.0))[kind] * (
        0.75 + 0.5 * words[:, 4]
    )
    wide = long * np.array((0.6, 0.6, 0.75, 0.22, 0.75, 0.6, 0.7, 0.5, 0.7, 0.6))[kind]
    return np.column_stack([x, y, np.where(built, kind, -1), long, wide, (words[:, 5] - 0.5) * 2.4])
