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
    found: dict[bytes, MapObject] = {}
    frame = shapely.box(west, south, east, north)
    for band, column, offset in _regions(west, south, east, north):
        plan = region(seed, band, column)
        x0, y0 = _local(band, column, west - offset, south)
        x1, y1 = _local(band, column, east - offset, north)
        for kind, shape, tags in _shapes(seed, band, column, plan, (x0, y0, x1, y1)):
            geometry = shapely.transform(shape, partial(_degrees, band, column, offset))
            if not geometry.intersects(frame):
                continue
            mapped = drawn(int(shape.centroid.x * 10), int(shape.centroid.y * 10), 61, plan.key) < plan.mapped
            found[geometry.wkb] = MapObject(kind, geometry, tags, mapped)
    return list(found.values())


def _degrees(band: int, column: int, offset: float, xy: NDArray) -> NDArray:
    """Metres of a region as degrees, rounded to DIGITS."""
    lon, lat = place(band, column, xy[:, 0], xy[:, 1])
    return np.round(np.column_stack([lon + offset, lat]), DIGITS)


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


Box = tuple[float, float, float, float]
Shape = tuple[str, BaseGeometry, dict[str, str]]


def _shapes(seed: int, band: int, column: int, plan: Region, box: Box) -> Iterator[Shape]:
    yield from _roads(seed, band, column, plan, box)
    for t in range(len(plan.towns)):
        yield from _town(plan, t, box, seed, band, column)
    for site in plan.sites:
        if site[2] >= 0 and _near(site[0], site[1], max(site[3], site[4]) * 1.5, box):
            yield from _site(KINDS[int(site[2])], site)


def _near(x: float, y: float, reach: float, box: Box) -> bool:
    return box[0] - reach < x < box[2] + reach and box[1] - reach < y < box[3] + reach


def _roads(seed: int, band: int, column: int, plan: Region, box: Box) -> Iterator[Shape]:
    names = {5.5: "primary", 4.5: "secondary", 3.6: "tertiary", 2.6: "unclassified"}
    for x0, y0, x1, y1, half in plan.roads:
        if not LineString([(x0, y0), (x1, y1)]).buffer(200).intersects(shapely.box(*box)):
            continue
        t = np.linspace(0, 1, max(2, int(math.hypot(x1 - x0, y1 - y0) / 60)))
        goal = np.column_stack([x0 + t * (x1 - x0), y0 + t * (y1 - y0)])
        points = goal.copy()
        for _ in range(
            4
        ):  # the raster bends points towards straight roads; a road's own points are the inverse of that
            points = goal - np.array([works.bend(px, py, plan.key) for px, py in points])
        lon, lat = place(band, column, points[:, 0], points[:, 1])
        dry = survey(seed, lon, lat)[FIELDS.index("shore")] > 0.0005
        for run in np.split(np.arange(len(points)), np.flatnonzero(np.diff(dry.astype(int))) + 1):
            if dry[run[0]] and len(run) > 1:
                yield "road", LineString(points[run]), {"highway": names.get(float(half), "unclassified")}


def _town(plan: Region, t: int, box: Box, seed: int, band: int, column: int) -> Iterator[Shape]:
    x, y, radius, angle, spacing = plan.towns[t]
    if radius <= 0 or not _near(x, y, 1.5 * radius, box):
        return
    kind = "residential" if radius < 700 else "commercial"
    ring = [(x + 0.8 * radius * math.cos(a), y + 0.8 * radius * math.sin(a)) for a in np.linspace(0, 2 * math.pi, 24)]
    yield "settlement", Polygon(ring), {"landuse": "residential" if kind == "residential" else "commercial"}
    yield "place", Point(x, y), {"place": "hamlet" if radius < 200 else "village" if radius < 500 else "town"}
    c, s = math.cos(angle), math.sin(angle)
    lots = int(1.2 * radius / works.LOT)
    for i in range(-lots, lots):
        for j in range(-lots, lots):
            u, v = (i + 0.5) * works.LOT, (j + 0.5) * works.LOT
            px, py = x + c * u - s * v, y + s * u + c * v
            if not _near(px, py, 30.0, box):
                continue
            house = _house(plan, t, i, j, u, v, px, py)
            if house is not None:
                yield (
                    "house",
                    Polygon([(x + c * a - s * b, y + s * a + c * b) for a, b in house]),
                    {"building": "house"},
                )
    for offset in np.arange(-math.floor(radius / spacing), math.floor(radius / spacing) + 1) * spacing:
        reach = math.sqrt(max(radius**2 - offset**2, 0.0)) * 0.85
        ends = [(x + c * offset - s * b, y + s * offset + c * b) for b in (-reach, reach)]
        if reach > 40 and LineString(ends).intersects(shapely.box(*box)):
            yield "street", LineString(ends), {"highway": "residential"}


def _house(plan: Region, t: int, i: int, j: int, u: float, v: float, px: float, py: float) -> list | None:
    density, _, _ = works.town_at(px, py, plan.towns, plan.key)
    if density <= 0.05:
        return None
    built, a, b, ou, ov = works.lot_of(i, j, density, t, plan.key)
    if not built or works.street_near(u + ou, v + ov, plan.towns[t, 4], a, b):
        return None
    cu, cv = u + ou, v + ov
    return [(cu - a, cv - b), (cu + a, cv - b), (cu + a, cv + b), (cu - a, cv + b)]


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
