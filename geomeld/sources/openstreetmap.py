"""OpenStreetMap: the map features around a tile, from an extract of OpenStreetMap data or a GeoParquet file."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import shapely.affinity
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import CorruptAsset, MissingExtra, SourceError
from geomeld.core.grid import Grid
from geomeld.sources.catalogue import content
from geomeld.sources.source import Feature

DIGITS = 7
"""Decimals of a degree in OpenStreetMap files."""

KEYS = frozenset(
    {
        "aeroway",
        "amenity",
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

TURNS = (0.0, -360.0, 360.0)
"""A map is looked up where the tile is and a whole turn to either side, so that the antimeridian is no border."""


@dataclass(frozen=True, slots=True)
class OpenStreetMap:
    """Map features of one file, read when first asked and kept for the life of the process."""

    href: str
    """Path or http(s) address of an extract (.osm.pbf, .osm, .osm.bz2) or of a GeoParquet file with the columns
    feature_id, tags (JSON) and geometry (degrees)."""

    def features(self, where: Grid | BaseGeometry) -> list[Feature] | None:
        """Features that intersect a tile, or an outline in degrees, sorted by feature_id, in its longitudes; None where
        the file holds no map of it: the whole outline must lie in the box that the file's header states.

        Raises MissingExtra without pyosmium, SourceError for a file that is not there, CorruptAsset for a damaged one.
        """
        outline = Polygon(where.footprint()) if isinstance(where, Grid) else where
        extract = _read(self.href)
        if not extract.knows(outline):
            return None
        return sorted(extract.around(outline), key=lambda f: f.feature_id)

    @property
    def skipped(self) -> int:
        """Objects with tags of KEYS whose shape could not be made: broken outlines, parts outside the file."""
        return _read(self.href).skipped


@dataclass(frozen=True, slots=True)
class _Extract:
    """What a file holds, in memory."""

    ids: Sequence[str]
    tags: Sequence[Mapping[str, str]]
    shapes: NDArray[np.object_]
    """Degrees; a shape across the antimeridian goes on beyond 180."""
    tree: shapely.STRtree
    box: BaseGeometry | None
    """What the file's header says it covers; None where it says nothing."""
    skipped: int

    def knows(self, outline: BaseGeometry) -> bool:
        """Whether the file is a map of an outline; without a box in its header, one that comes near its features."""
        if self.box is not None:
            return shapely.union_all([_moved(self.box, turn) for turn in TURNS]).covers(outline)
        hull = shapely.box(*shapely.total_bounds(self.shapes)) if len(self.shapes) else Polygon()
        return any(hull.intersects(_moved(outline, turn)) for turn in TURNS)

    def around(self, outline: BaseGeometry) -> Iterator[Feature]:
        """Features that intersect an outline, moved to its longitudes."""
        for turn in TURNS:
            for i in self.tree.query(_moved(outline, turn), predicate="intersects"):
                shape = _rounded(_moved(self.shapes[i], -turn)) if turn else self.shapes[i]
                yield Feature(self.ids[i], shape, self.tags[i])


def _moved(shape: BaseGeometry, turn: float) -> BaseGeometry:
    """A shape with its longitudes changed by whole turns."""
    return shapely.affinity.translate(shape, turn) if turn else shape


def _rounded(shape: BaseGeometry) -> BaseGeometry:
    return shapely.transform(shape, lambda xy: np.round(xy, DIGITS))


@lru_cache(maxsize=4)
def _read(href: str) -> _Extract:
    return _from_parquet(href) if href.endswith("parquet") else _from_osm(href)


def _from_parquet(href: str) -> _Extract:
    import geopandas

    data = io.BytesIO(content(href))
    try:
        frame = geopandas.read_parquet(data)
        ids = [str(name) for name in frame["feature_id"]]
        tags = [{str(k): str(v) for k, v in json.loads(text).items()} for text in frame["tags"]]
        shapes = np.array(frame.geometry, dtype=object)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise CorruptAsset(
            f"The map extract {href} cannot be read: {error}. It is a GeoParquet file with the columns feature_id, "
            "tags (JSON) and geometry (degrees)."
        ) from error
    return _Extract(ids, tags, shapes, shapely.STRtree(shapes), None, 0)


def pyosmium() -> Any:
    """The module osmium. Raises MissingExtra without it."""
    try:
        import osmium
    except ImportError:
        raise MissingExtra(
            "Map extracts in OpenStreetMap's format need pyosmium; install it with: pip install 'geomeld[osm]'"
        ) from None
    return osmium


def _from_osm(href: str) -> _Extract:
    osmium = pyosmium()
    if "://" in href:
        file = osmium.io.FileBuffer(content(href), Path(href).name.partition(".")[2])
    elif Path(href).is_file():
        file = osmium.io.File(href)
    else:
        raise SourceError(f"The map extract {href} is not there; check the path.")
    try:
        return _Reading(osmium).of(file)
    except RuntimeError as error:
        raise CorruptAsset(
            f"The map extract {href} cannot be read: {error}. It may be cut short or no OpenStreetMap file; "
            "download it again."
        ) from error


class _Reading:
    """One pass over an extract: shapes as WKB by kind, then all at once as geometries."""

    def __init__(self, osmium: Any) -> None:
        self.osmium = osmium
        self.wkb = osmium.geom.WKBFactory()
        self.ids: list[str] = []
        self.tags: list[Mapping[str, str]] = []
        self.shapes: list[str] = []
        self.areal: list[bool] = []
        """Whether a closed line is the outline of an area."""
        self.skipped = 0
        self.known: dict[tuple[tuple[str, str], ...], Mapping[str, str]] = {}

    def of(self, file: Any) -> _Extract:
        wanted = self.osmium.filter.KeyFilter(*sorted(KEYS))
        processor = self.osmium.FileProcessor(file).with_areas(wanted).with_filter(wanted)
        box = processor.header.box()
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
        self.skipped += len(asked - closed)
        return self._extract(_box(box) if box.valid() else None)

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
        # Most objects share their tags with thousands of others.
        self.tags.append(self.known.setdefault(tuple(kept.items()), kept))
        self.ids.append(name)
        self.shapes.append(shape)
        self.areal.append(areal)

    def _extract(self, box: BaseGeometry | None) -> _Extract:
        shapes = shapely.from_wkb(np.array(self.shapes, dtype=object))
        west, _, east, _ = shapely.bounds(shapes).T
        for i in np.flatnonzero(east - west > 180.0):
            shapes[i] = _joined(shapes[i])
        areal = np.flatnonzero(self.areal)
        points, ring = shapely.get_coordinates(shapes[areal], return_index=True)
        enough = np.bincount(ring, minlength=len(areal)) >= 4
        shapes[areal[~enough]] = None
        outlines = shapely.linearrings(points[enough[ring]], indices=np.cumsum(enough)[ring][enough[ring]] - 1)
        shapes[areal[enough]] = shapely.polygons(outlines)
        good = np.flatnonzero(shapely.is_valid(shapes) & ~shapely.is_empty(shapes))
        ids, tags, shapes = [self.ids[i] for i in good], [self.tags[i] for i in good], shapes[good]
        skipped = self.skipped + len(self.ids) - len(good)
        return _Extract(ids, tags, shapes, shapely.STRtree(shapes), box, skipped)


def is_area(tags: Mapping[str, str]) -> bool:
    """Whether a closed way with these tags is an area rather than a line that ends where it began."""
    if tags.get("area") in ("yes", "no"):
        return tags.get("area") == "yes"
    among = any(key in tags and (values is None or tags[key] in values) for key, values in AREAS.items())
    return among or any(key in tags and tags[key] not in values for key, values in AREAS_BUT.items())


def _inside(way: Any) -> str:
    """The parts of a line whose points are in the file, as WKB: extracts cut lines off at their border."""
    runs = ([(n.lon, n.lat) for n in run] for there, run in groupby(way.nodes, lambda n: n.location.valid()) if there)
    return shapely.to_wkb(shapely.MultiLineString([run for run in runs if len(run) > 1]), hex=True)


def _joined(shape: BaseGeometry) -> BaseGeometry:
    """A shape that lies on both sides of the antimeridian, its western part moved east of the other."""
    west = np.array([360.0, 0.0])
    return _rounded(shapely.transform(shape, lambda xy: xy + west * (xy[:, :1] < 0.0)))


def _box(box: Any) -> BaseGeometry:
    return shapely.box(box.bottom_left.lon, box.bottom_left.lat, box.top_right.lon, box.top_right.lat)
