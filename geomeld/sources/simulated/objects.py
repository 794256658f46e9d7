"""Objects: houses, roads and sites as shapes, from the same plans that the raster truth is painted from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import LineString, Point, Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.sources.simulated import works
from geomeld.sources.simulated.nature import FIELDS, survey
from geomeld.sources.simulated.noise import drawn
from geomeld.sources.simulated.region import KINDS, METRES, SIDE, Region, place, region
from geomeld.sources.simulated.shore import RAYS, landings, waterline
from geomeld.sources.simulated.ways import Box, Shape, cosine_of, courses, ways

DIGITS = 7
"""Decimals of a degree: the precision of OpenStreetMap files."""

SITE_TAGS: dict[str, dict[str, str]] = {
    "solar farm": {"power": "plant", "plant:source": "solar"},
    "storage tanks": {"landuse": "industrial"},
    "orchard": {"landuse": "orchard"},
    "airfield": {"aeroway": "aerodrome"},
    "quarry": {"landuse": "quarry"},
    "golf course": {"leisure": "golf_course"},
    "greenhouses": {"landuse": "greenhouse_horticulture"},
    "wind turbines": {},
    "vineyard": {"landuse": "vineyard"},
    "reservoir": {"natural": "water", "water": "reservoir"},
}


@dataclass(frozen=True, slots=True)
class MapObject:
    """One object on the ground."""

    kind: str
    geometry: BaseGeometry
    """Longitude and latitude, degrees, at the precision of OpenStreetMap."""
    tags: dict[str, str] = field(default_factory=dict)
    """In OpenStreetMap's vocabulary."""
    mapped: bool = True
    """Whether volunteers have drawn it."""


def objects(seed: int, west: float, south: float, east: float, north: float) -> list[MapObject]:
    """Objects that touch a box in degrees (`east` may exceed 180). Whole shapes, the same whatever the box."""
    frame = shapely.box(west, south, east, north)
    found: dict[bytes, MapObject] = {}
    for band, column, offset in _regions(west, south, east, north):
        plan = region(seed, band, column)
        box = (*_local(band, column, west - offset, south), *_local(band, column, east - offset, north))
        things = list(_shapes(seed, band, column, plan, box))
        shapes = np.array([shape for _, shape, _ in things], dtype=object)
        placed = shapely.transform(shapes, partial(_degrees, band, column, offset))
        middles = (shapely.get_coordinates(shapely.centroid(shapes)) * 10).astype(int)
        hits = np.flatnonzero(shapely.intersects(placed, frame))
        for k, name in zip(hits.tolist(), shapely.to_wkb(placed[hits]), strict=True):
            kind, _, tags = things[k]
            mapped = drawn(middles[k, 0], middles[k, 1], 61, plan.key) < plan.mapped
            found[name] = MapObject(kind, placed[k], tags, mapped)
    return list(found.values())


def _degrees(band: int, column: int, offset: float, xy: NDArray) -> NDArray:
    """Metres of a region as degrees, rounded to DIGITS; the same digits on either side of a whole turn."""
    lon, lat = place(band, column, xy[:, 0], xy[:, 1])
    return np.round(np.column_stack([np.round(lon, DIGITS) + offset, lat]), DIGITS)


def _regions(west: float, south: float, east: float, north: float) -> Iterator[tuple[int, int, float]]:
    """(band, column, degrees to add to its longitudes) of every region that a box touches."""
    seen = set()
    for band in range(math.floor((south + 90) / SIDE), math.floor((north + 90) / SIDE) + 1):
        middle = (band + 0.5) * SIDE - 90.0
        count = max(1, round(360.0 / SIDE * max(math.cos(math.radians(middle)), 1e-3)))
        width = 360.0 / count
        for unwrapped in range(math.floor((west + 180) / width), math.floor((east + 180) / width) + 1):
            offset = 360.0 * (unwrapped // count)
            if (band, unwrapped) not in seen:
                seen.add((band, unwrapped))
                yield band, unwrapped % count, offset


def _local(band: int, column: int, lon: float, lat: float) -> tuple[float, float]:
    middle = (band + 0.5) * SIDE - 90.0
    cosine = max(math.cos(math.radians(middle)), 1e-3)
    width = 360.0 / max(1, round(360.0 / SIDE * cosine))
    return (lon + 180.0 - (column + 0.5) * width) * cosine * METRES, (lat - middle) * METRES


def _shapes(seed: int, band: int, column: int, plan: Region, box: Box) -> Iterator[Shape]:
    yield from courses(seed, band, column, box)
    for t in range(len(plan.towns)):
        x, y, radius = plan.towns[t, :3]
        if radius > 0 and _near(x, y, 1.5 * radius + 150.0, box):
            yield from _town(seed, band, column, t, box)
            yield from landings(seed, band, column, t)
    for site in plan.sites:
        if site[2] >= 0 and _near(site[0], site[1], max(site[3], site[4]) * 1.5, box):
            yield from _site(KINDS[int(site[2])], site)


def _near(x: float, y: float, reach: float, box: Box) -> bool:
    return box[0] - reach < x < box[2] + reach and box[1] - reach < y < box[3] + reach


def _town(seed: int, band: int, column: int, t: int, box: Box) -> Iterator[Shape]:
    x, y, radius = region(seed, band, column).towns[t, :3]
    water = waterline(seed, band, column, t)
    angles = np.arange(RAYS) * (2 * math.pi / RAYS)
    reach = np.clip(water - 10.0, 5.0, 0.8 * radius)
    ring = np.column_stack([x + reach * np.cos(angles), y + reach * np.sin(angles)])
    yield "settlement", Polygon(ring), {"landuse": "residential" if radius < 700 else "commercial"}
    yield "place", Point(x, y), {"place": "hamlet" if radius < 200 else "village" if radius < 500 else "town"}
    yield from _streets(seed, band, column, t, box)
    yield from _houses(seed, band, column, t, box)


def _streets(seed: int, band: int, column: int, t: int, box: Box) -> Iterator[Shape]:
    """The streets of a town in both directions of its grid, cut where nobody lives and at water."""
    plan, frame = region(seed, band, column), shapely.box(*box)
    lines = [line for line in _grid(plan.towns[t]) if shapely.LineString(line[[0, -1]]).intersects(frame)]
    if not lines:
        return
    points = np.concatenate(lines)
    lived = works.densities(points, t, plan.towns, plan.key) > 0
    lived[lived] = _fit(seed, band, column, points[lived])
    # A mark that no run crosses stands at the end of each line.
    line_of = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    cuts = np.flatnonzero((np.diff(lived.astype(int)) != 0) | (np.diff(line_of) != 0)) + 1
    for run in np.split(np.arange(len(points)), cuts):
        if lived[run[0]] and len(run) > 1:
            yield "street", LineString(points[run[[0, -1]]]), {"highway": "residential"}


def _grid(town: NDArray) -> Iterator[NDArray]:
    """Points every 30 m or so along every street that a town could have, (points, 2)."""
    x, y, radius, angle, spacing = town
    c, s = math.cos(angle), math.sin(angle)
    for apart, across, along in ((spacing, (c, s), (-s, c)), (works.LONG * spacing, (-s, c), (c, s))):
        for k in range(-int(1.5 * radius / apart), int(1.5 * radius / apart) + 1):
            reach = math.sqrt((1.5 * radius) ** 2 - (k * apart) ** 2)
            t = np.linspace(-reach, reach, 2 + int(2 * reach / 30.0))
            yield np.array([x, y]) + k * apart * np.array(across) + t[:, None] * np.array(along)


def _houses(seed: int, band: int, column: int, t: int, box: Box) -> Iterator[Shape]:
    plan, half = region(seed, band, column), works.half_width(cosine_of(band))
    found = works.houses(t, plan.towns, ways(seed, band, column), half, plan.key, box)
    found = found[_fit(seed, band, column, found[:, :2])]
    c, s = math.cos(plan.towns[t, 3]), math.sin(plan.towns[t, 3])
    u, v = found[:, 2:3] * np.array([[-1, 1, 1, -1]]), found[:, 3:4] * np.array([[-1, -1, 1, 1]])
    corners = found[:, None, :2] + np.stack([c * u - s * v, s * u + c * v], axis=2)
    for house in shapely.polygons(corners):
        yield "house", house, {"building": "house"}


def _fit(seed: int, band: int, column: int, points: NDArray) -> NDArray[np.bool_]:
    """Whether people can build at each of (points, 2) places: in the region, not in water, on ice or in mangroves."""
    lon, lat = place(band, column, points[:, 0], points[:, 1])
    nature = survey(seed, lon, lat)
    cover, occurrence = nature[FIELDS.index("cover")], nature[FIELDS.index("occurrence")]
    inside = (np.abs(points[:, 0]) < works.half_width(cosine_of(band))) & (np.abs(points[:, 1]) < SIDE * METRES / 2)
    return inside & (cover != 70) & (cover != 95) & (occurrence < 20)


def _site(kind: str, site: NDArray) -> Iterator[Shape]:
    x, y, _, a, b, angle = site
    c, s = math.cos(angle), math.sin(angle)

    def at(u: float, v: float) -> tuple[float, float]:
        return x + c * u - s * v, y + s * u + c * v

    if SITE_TAGS[kind]:
        outline = [at(u, v) for u, v in ((-a, -b), (a, -b), (a, b), (-a, b))]
        if kind in ("quarry", "reservoir"):
            outline = [at(a * math.cos(w), b * math.sin(w)) for w in np.linspace(0, 2 * math.pi, 24)]
        yield kind, Polygon(outline), SITE_TAGS[kind]
    if kind == "storage tanks":
        step = works.TANK_GRID
        for i in range(-int(a / step), int(a / step) + 1):
            for j in range(-int(b / step), int(b / step) + 1):
                if abs(i * step) < a - 20 and abs(j * step) < b - 20:
                    yield "storage tank", Point(at(i * step, j * step)).buffer(19.0, 6), {"man_made": "storage_tank"}
    if kind == "airfield":
        yield "runway", LineString([at(-a + 30, 0), at(a - 30, 0)]), {"aeroway": "runway"}
    if kind == "wind turbines":
        for k in range(-2, 3):
            yield "wind turbine", Point(at(k * a / 2.2, 0)), {"power": "generator", "generator:source": "wind"}
