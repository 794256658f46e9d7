"""Extract: map features as a file in OpenStreetMap's own format (.osm.pbf), the same bytes for the same features."""

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from shapely.geometry.base import BaseGeometry

from geomeld.dataset.files import atomic
from geomeld.sources.osm_file import is_area, pyosmium
from geomeld.sources.source import Feature

UNITS = 10_000_000
"""OpenStreetMap counts coordinates in 1e-7 degrees."""

Unit = tuple[int, int]
Bounds = tuple[float, float, float, float]


@dataclass
class _Elements:
    """What goes into a file, by identifier."""

    nodes: dict[int, tuple[Unit, Mapping[str, str]]] = field(default_factory=dict)
    ways: dict[int, tuple[Sequence[Unit], Mapping[str, str]]] = field(default_factory=dict)
    relations: dict[int, tuple[Sequence[tuple[int, str]], Mapping[str, str]]] = field(default_factory=dict)
    """(way, role) of the members."""


def write_pbf(path: Path, features: Iterable[Feature], bounds: Bounds) -> None:
    """Write features, and in the header that the file covers `bounds` (west, south, east, north in degrees, grown
    by up to 2e-7; all longitudes where the box goes beyond 180).

    Points become nodes, lines and plain polygons ways, polygons with holes or several parts multipolygon relations; the
    kind in a feature_id must be the same. Coordinates are rounded to 1e-7 degrees. Raises ValueError for a feature_id
    that does not fit its geometry, MissingExtra without pyosmium.
    """
    osmium = pyosmium()
    elements = _elements(list(features))
    corners = {unit for line, _ in elements.ways.values() for unit in line}
    numbers = dict(zip(sorted(corners), _free(elements.nodes), strict=False))
    points = elements.nodes | {number: (unit, {}) for unit, number in numbers.items()}
    with atomic(path) as file:
        target = osmium.io.File(file.name, "pbf")
        with osmium.SimpleWriter(target, header=_header(osmium, bounds), overwrite=True) as writer:
            for number, (unit, tags) in sorted(points.items()):
                where = osmium.osm.Location(*(u / UNITS for u in unit))
                writer.add_node(osmium.osm.mutable.Node(id=number, location=where, tags=tags))
            for number, (line, tags) in sorted(elements.ways.items()):
                writer.add_way(osmium.osm.mutable.Way(id=number, nodes=[numbers[unit] for unit in line], tags=tags))
            for number, (members, tags) in sorted(elements.relations.items()):
                of = [("w", way, role) for way, role in members]
                writer.add_relation(osmium.osm.mutable.Relation(id=number, members=of, tags=tags))


def _elements(features: Sequence[Feature]) -> _Elements:
    out = _Elements()
    areas = []
    for feature in features:
        shape, tags = feature.geometry, dict(feature.tags)
        match feature.feature_id.split("/"), shape.geom_type:
            case ["node", number], "Point":
                out.nodes[int(number)] = (_units(shape)[0], tags)
            case ["way", number], "LineString":
                closed = shape.is_closed and is_area(tags)
                out.ways[int(number)] = (_units(shape), tags | ({"area": "no"} if closed else {}))
            case ["way", number], "Polygon" if not shapely.get_num_interior_rings(shape):
                out.ways[int(number)] = (_units(shape), tags | ({} if is_area(tags) else {"area": "yes"}))
            case ["relation", number], "Polygon" | "MultiPolygon":
                areas.append((int(number), shape, tags))
            case _:
                raise ValueError(f"{feature.feature_id} cannot be a {shape.geom_type} in an OpenStreetMap file.")
    free = _free(out.ways)
    for area, shape, tags in sorted(areas, key=lambda a: a[0]):
        members = [(next(free), role, ring) for role, ring in _rings(shape)]
        out.ways |= {way: (_units(ring), {}) for way, _, ring in members}
        out.relations[area] = ([(way, role) for way, role, _ in members], {"type": "multipolygon", **tags})
    return out


def _rings(shape: BaseGeometry) -> Iterator[tuple[str, BaseGeometry]]:
    for part in shapely.get_parts(shape):
        yield "outer", part.exterior
        yield from (("inner", ring) for ring in part.interiors)


def _units(shape: BaseGeometry) -> list[Unit]:
    """Coordinates in units, longitudes within -180..180 degrees."""
    lon, lat = np.rint(shapely.get_coordinates(shape) * UNITS).astype(np.int64).T
    lon = (lon + 180 * UNITS) % (360 * UNITS) - 180 * UNITS
    return list(zip(lon.tolist(), lat.tolist(), strict=True))


def _free(taken: Collection[int]) -> Iterator[int]:
    """1, 2, 3, ... without the numbers that are taken."""
    known = set(taken)
    return (number for number in itertools.count(1) if number not in known)


def _header(osmium: Any, bounds: Bounds) -> Any:
    # One unit more than needed: libosmium may cut the last one off as it writes a box.
    west, south = (math.floor(b * UNITS - 1) / UNITS for b in bounds[:2])
    east, north = (math.ceil(b * UNITS + 1) / UNITS for b in bounds[2:])
    if west < -180.0 or east > 180.0:
        west, east = -180.0, 180.0
    header = osmium.io.Header()
    header.set("generator", "geomeld")
    header.set("sorting", "Type_then_ID")
    header.add_box(osmium.osm.Box(west, south, east, north))
    return header
