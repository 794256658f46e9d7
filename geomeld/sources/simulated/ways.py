"""Ways: the roads and railways of a region as one table, and their course over land and water."""

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import LineString, Point
from shapely.geometry.base import BaseGeometry

from geomeld.sources.simulated import works
from geomeld.sources.simulated.nature import FIELDS, PERMANENT, key_of, survey
from geomeld.sources.simulated.noise import drawn
from geomeld.sources.simulated.region import SIDE, SPAN, Region, place, region

RAIL_HALF = 4.5
"""Half the width of a railway's ballast, metres."""
RAIL_SHARE = 0.5
"""Share of borders between regions that a railway crosses, where there are people."""
PIECE = 2000.0
"""Length of what is drawn as one object of a long way, metres."""
STEP = 20.0
"""Distance of a way's points, metres."""

HIGHWAYS = {5.5: "primary", 4.5: "secondary", 3.6: "tertiary", 2.6: "unclassified"}
"""Highway tag by half width."""

Box = tuple[float, float, float, float]
"""Least x and y, greatest x and y: metres from a region's middle."""
Shape = tuple[str, BaseGeometry, dict[str, str]]
"""Kind, geometry in metres, tags."""


def cosine_of(band: int) -> float:
    """Cosine of the middle latitude of a band of regions."""
    return max(math.cos(math.radians((band + 0.5) * SIDE - 90.0)), 1e-3)


@lru_cache(maxsize=64)
def ways(seed: int, band: int, column: int) -> NDArray[np.float64]:
    """(ways, 6): x0, y0, x1, y1, half width, 1 for a railway and 0 for a road; straight, before they are bent."""
    plan = region(seed, band, column)
    rails = np.array(list(_rails(seed, band, column, plan))).reshape(-1, 4)
    rows = [np.column_stack([plan.roads, np.zeros(len(plan.roads))])]
    rows.append(np.column_stack([rails, np.full(len(rails), RAIL_HALF), np.ones(len(rails))]))
    table = np.vstack(rows)
    return table[np.hypot(table[:, 2] - table[:, 0], table[:, 3] - table[:, 1]) > 1.0]


def _rails(seed: int, band: int, column: int, plan: Region) -> Iterator[tuple[float, ...]]:
    """Straight railways, (x0, y0, x1, y1): from stops in towns to the borders and to each other."""
    towns = plan.towns[plan.towns[:, 2] > 0]
    if not len(towns):
        return
    # A line passes a town beside its middle, where the roads meet.
    stops = towns[:, :2] + 0.5 * towns[:, 2:3] * np.column_stack([np.cos(towns[:, 3]), np.sin(towns[:, 3])])
    gates = list(_gates(seed, band, column))
    if not gates:
        return
    there = [np.hypot(stops[:, 0] - x, stops[:, 1] - y) for x, y in gates]
    line = [int(np.argmin(there[0]))]
    if len(gates) == 2 and len(stops) > 1:
        # Of all pairs of towns the one that is the least detour.
        between = np.hypot(*(stops[:, None] - stops[None]).T).T
        detour = there[0][:, None] + between + there[1] + np.where(between > 0, 0, np.inf)
        line = [int(n) for n in np.unravel_index(np.argmin(detour), detour.shape)]
        yield (*stops[line[0]], *stops[line[1]])
    for n, gate in zip((line[0], line[-1]), gates, strict=False):
        yield (*stops[n], *gate)


def _gates(seed: int, band: int, column: int) -> Iterator[tuple[float, float]]:
    """Where railways cross a region's western and eastern border, as both neighbours know."""
    half, key = works.half_width(cosine_of(band)), key_of(seed) + 520_000
    count = max(1, round(360.0 / SIDE * cosine_of(band)))
    for edge, x in ((column, -half), (column + 1, half)):
        if drawn(band, edge % count, 8, key) < RAIL_SHARE:
            yield x, (drawn(band, edge % count, 9, key) - 0.5) * 0.8 * SPAN


def courses(seed: int, band: int, column: int, box: Box) -> Iterator[Shape]:
    """Roads, railways, their bridges and stations near a box: pieces that are the same whatever the box."""
    table = ways(seed, band, column)
    key, half = region(seed, band, column).key, works.half_width(cosine_of(band))
    pieces = [(way, works.course(*way[:4], *part, half, key)) for way in table for part in _near(way, box)]
    if not pieces:
        return
    points = np.concatenate([line for _, line in pieces])
    nature = survey(seed, *place(band, column, points[:, 0], points[:, 1]))
    cover, occurrence, steep, shore = (nature[FIELDS.index(n)] for n in ("cover", "occurrence", "steepness", "shore"))
    wet = occurrence >= PERMANENT
    open_ = works.carries(cover, occurrence, steep, shore)
    start = 0
    for way, line in pieces:
        at = slice(start, start + len(line))
        start += len(line)
        yield from _drawn(way, line, open_[at], wet[at])
    for x, y in sorted({(way[0], way[1]) for way in table if way[5]}):
        stop = works.course(x, y, x, y, 0.0, 1.0, 2, half, key)[0]
        if (
            box[0] - 50 < stop[0] < box[2] + 50
            and box[1] - 50 < stop[1] < box[3] + 50
            and _dry(seed, band, column, stop)
        ):
            yield "station", Point(stop), {"railway": "station"}


def _near(way: NDArray, box: Box) -> Iterator[tuple[float, float, int]]:
    """(first share, last share, points) of the pieces of a way that may touch a box."""
    length = math.hypot(way[2] - way[0], way[3] - way[1])
    pieces = max(1, round(length / PIECE))
    for n in range(pieces):
        t0, t1 = n / pieces, (n + 1) / pieces
        xs = [way[0] + t * (way[2] - way[0]) for t in (t0, t1)]
        ys = [way[1] + t * (way[3] - way[1]) for t in (t0, t1)]
        reach = works.BEND_LIMIT
        if (
            min(xs) - reach < box[2]
            and max(xs) + reach > box[0]
            and min(ys) - reach < box[3]
            and max(ys) + reach > box[1]
        ):
            yield t0, t1, max(3, round(length / pieces / STEP) + 1)


def _drawn(way: NDArray, line: NDArray, runs: NDArray, wet: NDArray) -> Iterator[Shape]:
    """A piece of a way cut where it takes to a bridge, and where it ends at the sea."""
    kind = "railway" if way[5] else "road"
    tags = {"railway": "rail"} if way[5] else {"highway": HIGHWAYS.get(float(way[4]), "unclassified")}
    state = np.where(runs, np.where(wet, 2, 1), 0)
    for run in np.split(np.arange(len(line)), np.flatnonzero(np.diff(state)) + 1):
        first, last = run[0], run[-1]
        if state[first] == 1 and len(run) > 1:
            yield kind, LineString(line[run]), tags
        if state[first] == 2:  # abutments stand on the banks
            first, last = max(first - 1, 0), min(last + 1, len(line) - 1)
            first, last = (a if state[a] else b for a, b in ((first, run[0]), (last, run[-1])))
            if first < last:
                yield f"{kind} bridge", LineString(line[first : last + 1]), tags | {"bridge": "yes"}


def _dry(seed: int, band: int, column: int, point: NDArray) -> bool:
    lon, lat = place(band, column, point[:1], point[1:])
    return bool(survey(seed, lon, lat)[FIELDS.index("occurrence"), 0] < PERMANENT)
