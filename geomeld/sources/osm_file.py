"""OsmFile: one pass over a file of OpenStreetMap data (.osm.pbf, .osm), objects becoming shapes by its area rules."""

from collections.abc import Mapping
from itertools import groupby
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import MissingExtra
from geomeld.sources.map_rows import About, MapRows, RowsBuilder

KEYS = frozenset(
    {
        "aeroway",
        "amenity",
        "bridge",
        "building",
        "generator:source",
        "highway",
        "landuse",
        "leisure",
        "man_made",
        "natural",
        "place",
        "plant:source",
        "power",
        "railway",
        "service",
        "surface",
        "water",
        "waterway",
    }
)
"""Tags that are kept: those that have words in the table of phrases. Names and notes stay in the file."""

AREAS: Mapping[str, frozenset[str] | None] = {
    "building": None,
    "landuse": None,
    "amenity": None,
    "leisure": None,
    "place": None,
    "highway": frozenset({"services", "rest_area", "escape", "elevator"}),
    "waterway": frozenset({"riverbank", "dock", "boatyard", "dam"}),
    "railway": frozenset({"station", "turntable", "roundhouse", "platform"}),
    "power": frozenset({"plant", "substation", "generator", "transformer"}),
}
"""Tags that make a closed way an area: key -> values, None for every value (the community's list of polygon features,
https://wiki.openstreetmap.org/wiki/Overpass_turbo/Polygon_Features)."""

AREAS_BUT: Mapping[str, frozenset[str]] = {
    "natural": frozenset({"coastline", "cliff", "ridge", "arete", "tree_row"}),
    "man_made": frozenset({"cutline", "embankment", "pipeline"}),
    "aeroway": frozenset({"taxiway"}),
}
"""Keys that make a closed way an area except with these values (same list)."""

HIDDEN: Mapping[str, frozenset[str]] = {
    "tunnel": frozenset({"yes", "culvert", "building_passage", "flooded", "covered"}),
    "covered": frozenset({"yes"}),
    "indoor": frozenset({"yes", "room", "area", "corridor"}),
    "location": frozenset({"underground", "underwater", "indoor", "roof", "rooftop"}),
    "parking": frozenset({"underground", "rooftop"}),
}
"""Tags of what lies under ground, in a building or on its roof. From above there is only the ground or the building, so
that these objects are left out: no railway line runs through Monaco, and panels on a roof are no solar farm."""

BATCH = 50_000
"""Objects whose shapes are made at once."""


def pyosmium() -> Any:
    """The module osmium. Raises MissingExtra without it."""
    try:
        import osmium
    except ImportError:
        raise MissingExtra(
            "Map extracts in OpenStreetMap's format need pyosmium; install it with: pip install 'geomeld[osm]'"
        ) from None
    return osmium


class OsmFile:
    """One pass over a file: shapes as WKB one by one, then as geometries batch by batch."""

    def __init__(self, osmium: Any) -> None:
        self.osmium = osmium
        self.wkb = osmium.geom.WKBFactory()
        self.builder = RowsBuilder()
        self.pending: list[tuple[str, int, str, bool]] = []
        """Identifier, number of the tags, WKB, and whether a closed line is the outline of an area."""
        self.skipped = 0

    def rows(self, file: Any) -> MapRows:
        """Everything in an osmium file. Raises RuntimeError for a damaged one."""
        wanted = self.osmium.filter.KeyFilter(*sorted(KEYS))
        processor = self.osmium.FileProcessor(file).with_areas(wanted).with_filter(wanted)
        header = processor.header
        asked, closed = set(), set()
        for thing in processor:
            if thing.is_area() and thing.from_way():
                continue  # it came as a way before
            tags = {tag.k: tag.v for tag in thing.tags}
            if any(tags.get(key) in values for key, values in HIDDEN.items()):
                continue
            if thing.is_node():
                self._keep(f"node/{thing.id}", thing, tags, self.wkb.create_point)
            elif thing.is_way():
                self._way(thing, tags)
            elif thing.is_relation() and tags.get("type") == "multipolygon":
                asked.add(thing.id)
            elif thing.is_area():
                closed.add(thing.orig_id())
                self._keep(f"relation/{thing.orig_id()}", thing, tags, self.wkb.create_multipolygon)
        self._flush()
        box, moment = header.box(), header.get("osmosis_replication_timestamp", "")
        return self.builder.rows(
            About(_edges(box) if box.valid() else None, moment, self.skipped + len(asked - closed))
        )

    def _way(self, way: Any, tags: Mapping[str, str]) -> None:
        areal = way.is_closed() and is_area(tags)
        whole = areal or all(node.location.valid() for node in way.nodes)
        self._keep(f"way/{way.id}", way, tags, self.wkb.create_linestring if whole else _inside, areal)

    def _keep(self, name: str, thing: Any, tags: Mapping[str, str], shape_of: Any, areal: bool = False) -> None:
        try:
            shape = shape_of(thing)
        except (RuntimeError, ValueError, self.osmium.InvalidLocationError):
            # A line of one point, an area without a ring, or one with points outside the file.
            self.skipped += 1
            return
        kept = {key: value for key, value in tags.items() if key in KEYS}
        self.pending.append((name, self.builder.number_of(kept), shape, areal))
        if len(self.pending) == BATCH:
            self._flush()

    def _flush(self) -> None:
        """Turn what is pending into rows; broken shapes are left out."""
        if not self.pending:
            return
        ids, tags, texts, areal = zip(*self.pending, strict=True)
        self.pending = []
        shapes = shapely.from_wkb(np.array(texts, dtype=object))
        west, _, east, _ = shapely.bounds(shapes).T
        for i in np.flatnonzero(east - west > 180.0):
            shapes[i] = _joined(shapes[i])
        outlines = np.flatnonzero(areal)
        shapes[outlines] = _areas(shapes[outlines])
        good = np.flatnonzero(shapely.is_valid(shapes) & ~shapely.is_empty(shapes))
        self.skipped += len(ids) - len(good)
        self.builder.add([ids[i] for i in good], [tags[i] for i in good], shapes[good])


def is_area(tags: Mapping[str, str]) -> bool:
    """Whether a closed way with these tags is an area rather than a line that ends where it began."""
    if tags.get("area") in ("yes", "no"):
        return tags.get("area") == "yes"
    among = any(key in tags and (values is None or tags[key] in values) for key, values in AREAS.items())
    return among or any(key in tags and tags[key] not in values for key, values in AREAS_BUT.items())


def _areas(lines: NDArray[np.object_]) -> NDArray[np.object_]:
    """Closed lines as polygons; None for those with fewer than three corners."""
    points, ring = shapely.get_coordinates(lines, return_index=True)
    enough = np.bincount(ring, minlength=len(lines)) >= 4
    inside = enough[ring]
    areas = np.full(len(lines), None)
    areas[enough] = shapely.polygons(shapely.linearrings(points[inside], indices=(np.cumsum(enough) - 1)[ring][inside]))
    return areas


def _inside(way: Any) -> str:
    """The parts of a line whose points are in the file, as WKB: extracts cut lines off at their border."""
    runs = ([(n.lon, n.lat) for n in run] for there, run in groupby(way.nodes, lambda n: n.location.valid()) if there)
    return shapely.to_wkb(shapely.MultiLineString([run for run in runs if len(run) > 1]), hex=True)


def _joined(shape: BaseGeometry) -> BaseGeometry:
    """A shape that lies on both sides of the antimeridian, its western part moved east of the other."""
    west = np.array([360.0, 0.0])
    return shapely.transform(shape, lambda xy: xy + west * (xy[:, :1] < 0.0))


def _edges(box: Any) -> tuple[float, float, float, float]:
    return box.bottom_left.lon, box.bottom_left.lat, box.top_right.lon, box.top_right.lat
