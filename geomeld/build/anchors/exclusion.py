"""Exclusion: which tiles come too near to places that models are evaluated on."""

from pathlib import Path

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import Transformer

from geomeld.build.anchors.regions import Floats, read_polygons
from geomeld.build.squares import Squares, squares_of
from geomeld.core.grid import TILE_METRES


def too_near(lon: Floats, lat: Floats, zones: geopandas.GeoSeries, metres: float) -> NDArray[np.bool_]:
    """Which coordinates have tiles less than `metres` from any zone (polygons in degrees), measured in the tile's own
    projection."""
    squares = squares_of(lon, lat)
    near = np.zeros(len(lon), bool)
    shapes = np.asarray(zones)
    for epsg, at in squares.zones():
        reach = (metres + TILE_METRES) / 111_000.0
        wide = reach / np.cos(np.radians(min(np.abs(lat[at]).max() + reach, 89.0)))
        middle = 6.0 * (epsg % 100) - 183.0
        # Zones of evaluation in reach of this strip, and only the part of them that is: projections end somewhere.
        for turn in (-360.0, 0.0, 360.0):
            strip = shapely.box(
                middle - 9 - wide - turn, lat[at].min() - reach, middle + 9 + wide - turn, lat[at].max() + reach
            )
            parts = shapely.intersection(shapes[shapely.intersects(shapes, strip)], strip)
            parts = parts[~shapely.is_empty(parts)]
            if len(parts):
                near[at] |= _within(squares, at, _projected(parts, epsg), metres)
    return near


def read_zones(path: Path) -> geopandas.GeoSeries:
    """The polygons of a file, in degrees. Raises AnchorError."""
    return read_polygons(path).geometry


def _projected(parts: NDArray[np.object_], epsg: int) -> NDArray[np.object_]:
    # Straight sides in degrees are curves in metres: corners every tenth of a degree keep them within a metre or so.
    dense = shapely.segmentize(parts, 0.1)
    project = Transformer.from_crs(4326, epsg, always_xy=True).transform
    return shapely.transform(dense, lambda xy: np.stack(project(xy[:, 0], xy[:, 1]), 1))


def _within(squares: Squares, at: NDArray[np.int64], parts: NDArray[np.object_], metres: float) -> NDArray[np.bool_]:
    west, north = squares.left[at], squares.top[at]
    tiles = shapely.box(west, north - TILE_METRES, west + TILE_METRES, north)
    found = np.zeros(len(at), bool)
    hits, _ = shapely.STRtree(parts).query(tiles, predicate="dwithin", distance=np.full(len(at), metres))
    found[hits] = True
    return found
