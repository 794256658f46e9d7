"""Regions: where on the globe each biome or continent lies, from a polygon layer or from the simulated Earth."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import AnchorError

Floats = NDArray[np.float64]

BIOME_FIELDS = ("BIOME_NAME", "biome", "biome_name", "BIOME")
CONTINENT_FIELDS = ("CONTINENT", "continent", "region_un", "REGION_UN")

NOWHERE = ("", "N/A", "None", "nan", "Rock and Ice", "Seven seas (open ocean)")
"""Names of what is no biome and no continent."""


class Regions(Protocol):
    """Named parts of the globe."""

    names: tuple[str, ...]

    def at(self, lon: Floats, lat: Floats) -> NDArray[np.int64]:
        """Which one each coordinate (degrees) lies in: position in `names`, -1 for none."""
        ...

    def cells(self) -> NDArray[np.bool_]:
        """(n, 180, 360): in which cells of one degree, from the south-west, there is any of each."""
        ...


class PolygonRegions:
    """Regions of a polygon layer, cut along whole degrees so that large ones are as quick as small ones."""

    def __init__(self, shapes: Mapping[str, BaseGeometry]) -> None:
        self.names = tuple(shapes)
        pieces, owners, self._cells = [], [], np.zeros((len(shapes), 180, 360), bool)
        for k, shape in enumerate(shapes.values()):
            for (west, south, east, north), piece in _cut(shapely.make_valid(shape), (-180, -90, 180, 90)):
                pieces.append(piece)
                owners.append(k)
                self._cells[k, south + 90 : north + 90, west + 180 : east + 180] = True
        self._owners, self._tree = np.array(owners, np.int64), shapely.STRtree(pieces)

    def at(self, lon: Floats, lat: Floats) -> NDArray[np.int64]:
        """See `Regions`; on a border the region that comes first."""
        found = np.full(len(lon), len(self.names), np.int64)
        points, pieces = self._tree.query(shapely.points(lon, lat), predicate="intersects")
        np.minimum.at(found, points, self._owners[pieces])
        return np.where(found < len(self.names), found, -1)

    def cells(self) -> NDArray[np.bool_]:
        """See `Regions`."""
        return self._cells


def read_regions(path: Path, field: str | None, fields: tuple[str, ...]) -> PolygonRegions:
    """Regions of a polygon file that geopandas reads (shapefile, GeoPackage, GeoJSON, zipped or not, GeoParquet), by a
    field of names: the one given, else the first of `fields` that there is.

    Raises AnchorError where the file cannot be read, has no such field, no polygons or an unknown projection.
    """
    frame = read_polygons(path)
    name = field or next((f for f in fields if f in frame.columns), None)
    if name is None or name not in frame.columns:
        there = ", ".join(str(c) for c in frame.columns if c != "geometry") or "none"
        wanted = field or " or ".join(fields)
        raise AnchorError(f"{path} has no field {wanted}; its fields are {there}. Name the one to use.")
    names = frame[name].map(lambda v: str(v).strip())
    shapes = {
        n: shapely.union_all(frame.geometry[names == n].to_numpy()) for n in sorted(set(names)) if n not in NOWHERE
    }
    if not shapes:
        raise AnchorError(f"{path}: field {name} names nothing.")
    return PolygonRegions(shapes)


def read_polygons(path: Path) -> geopandas.GeoDataFrame:
    """The polygons of a file in degrees, valid, without what has no area. Raises AnchorError."""
    try:
        parquet = path.suffix.lower() in (".parquet", ".geoparquet")
        frame = geopandas.read_parquet(path) if parquet else geopandas.read_file(path)
    except Exception as error:  # drivers raise kinds of their own
        raise AnchorError(f"{path} is no polygon file that can be read: {error}.") from None
    if "geometry" not in frame or not isinstance(frame, geopandas.GeoDataFrame):
        raise AnchorError(f"{path} holds no geometries.")
    if frame.crs is None:
        raise AnchorError(f"{path} does not say its projection; store it with one (longitude and latitude: EPSG:4326).")
    frame = frame.to_crs(4326)
    frame = frame[frame.geometry.notna() & ~frame.geometry.is_empty]
    if not len(frame) or not frame.geom_type.isin(("Polygon", "MultiPolygon")).any():
        raise AnchorError(f"{path} holds no polygons.")
    bounds = frame.total_bounds
    if (
        not np.isfinite(bounds).all()
        or bounds[0] < -180.001
        or bounds[2] > 180.001
        or np.abs(bounds[1::2]).max() > 90.001
    ):
        raise AnchorError(f"{path}: its polygons reach from {bounds.round(1).tolist()}, which is not in degrees.")
    frame = frame[frame.geom_type.isin(("Polygon", "MultiPolygon"))]
    return frame.set_geometry(shapely.make_valid(frame.geometry.to_numpy()), crs=4326)


class SimulatedBiomes:
    """The biomes of a simulated Earth."""

    def __init__(self, seed: int) -> None:
        from geomeld.sources.simulated.nature import BIOMES

        self.names: tuple[str, ...] = BIOMES
        self._seed = seed
        lon, lat = lattice()
        codes = self.at(lon, lat).reshape(180, 360)
        there = codes == np.arange(len(BIOMES))[:, None, None]
        self._cells = maximum_filter(there, size=(1, 3, 3), mode=("nearest", "nearest", "wrap"))

    def at(self, lon: Floats, lat: Floats) -> NDArray[np.int64]:
        """See `Regions`; the sea is none."""
        from geomeld.sources.simulated.nature import FIELDS, survey

        nature = survey(self._seed, np.ascontiguousarray(lon), np.ascontiguousarray(lat))
        land = nature[FIELDS.index("shore")] > 0
        return np.where(land, nature[FIELDS.index("biome")].astype(np.int64), -1)

    def cells(self) -> NDArray[np.bool_]:
        """See `Regions`; seen in the middles of cells, with the cells beside them."""
        return self._cells


class Anywhere:
    """One region without a name and without a border."""

    def __init__(self) -> None:
        self.names: tuple[str, ...] = ("",)

    def at(self, lon: Floats, lat: Floats) -> NDArray[np.int64]:
        """See `Regions`."""
        return np.zeros(len(lon), np.int64)

    def cells(self) -> NDArray[np.bool_]:
        """See `Regions`."""
        return np.ones((1, 180, 360), bool)


def lattice() -> tuple[Floats, Floats]:
    """Longitudes and latitudes of the middles of all cells of one degree, row by row from the south-west."""
    lon, lat = np.meshgrid(np.arange(360) - 179.5, np.arange(180) - 89.5)
    return lon.ravel(), lat.ravel()


Box = tuple[int, int, int, int]


def _cut(shape: BaseGeometry, box: Box) -> Iterator[tuple[Box, BaseGeometry]]:
    """A shape in pieces: boxes of whole degrees that it fills, and its part of each cell at its border."""
    if not shape.area:
        return
    bounds = shape.bounds
    west, south = max(box[0], int(np.floor(bounds[0]))), max(box[1], int(np.floor(bounds[1])))
    east, north = min(box[2], int(np.ceil(bounds[2]))), min(box[3], int(np.ceil(bounds[3])))
    wide, high = east - west, north - south
    if (wide <= 1 and high <= 1) or shape.area > wide * high - 1e-9:
        yield (west, south, east, north), shape
        return
    x, y = west + wide // 2, south + high // 2
    first, second = (
        ((west, south, x, north), (x, south, east, north))
        if wide >= high
        else ((west, south, east, y), (west, y, east, north))
    )
    yield from _cut(shapely.intersection(shape, shapely.box(*first)), first)
    yield from _cut(shapely.intersection(shape, shapely.box(*second)), second)
