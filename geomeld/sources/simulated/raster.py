"""Product and Raster: what a simulated provider publishes, down to the pixel grid and the stored codes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from geomeld.core.grid import Grid
from geomeld.sources.source import Scene

UTM_LATTICE = 60.0
"""Metres: every simulated file in UTM starts on this lattice, so that 10, 20 and 60 m pixels nest."""

METRES_PER_DEGREE = 111_320.0


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels of one raster of one scene, counted from the scene's top-left corner."""

    column: int
    row: int
    columns: int
    rows: int

    def grown(self, pixels: int) -> "Window":
        """The window with a margin on every side (it may reach beyond the scene)."""
        return Window(self.column - pixels, self.row - pixels, self.columns + 2 * pixels, self.rows + 2 * pixels)


@dataclass(frozen=True, slots=True)
class Raster:
    """Files of one product that share a pixel grid and a dtype; each asset is a file of one band or more."""

    assets: tuple[str, ...]
    """STAC asset of each band, in order; a repeated name is a file of several bands."""
    bands: tuple[str, ...]
    """Band carried by each: a modality's band (of Sentinel-1 without its orbit suffix), or another name (SCL)."""
    pixel: float
    """Side of a pixel: metres in UTM, degrees in EPSG:4326."""
    dtype: str
    """Stored NumPy dtype."""
    nodata: float
    """Stored value of a pixel without a measurement."""


Renderer = Callable[[int, Scene, Raster, Window], NDArray]
"""(seed, scene, raster, window) -> stored values, (bands, rows, columns) of the raster's dtype. A pure function: any
window of a scene gives the same pixels."""


@dataclass(frozen=True, slots=True)
class Product:
    """One simulated product: how its files are cut and coded."""

    modality: str
    """The modality that it serves."""
    collection: str
    """Identifier of the STAC collection."""
    title: str
    """The words that go into `Layer.product`, before what differs per scene."""
    rasters: tuple[Raster, ...]
    render: Renderer
    degrees: float | None = None
    """Spacing of files in degrees for products in EPSG:4326; None for products in UTM, whose scenes state theirs."""
    overlap: int = 0
    """Pixels by which files in degrees reach beyond their cell on every side."""
    derived: dict[str, str] = field(default_factory=dict)
    """Bands that no file carries, by the native band that they are computed from ({"slope": "elevation"})."""

    def rasters_of(self, scene: Scene) -> tuple[Raster, ...]:
        """The rasters that a scene really has (Sentinel-1 has VV and VH, or HH and HV)."""
        assets = scene.properties.get("assets")
        return tuple(r for r in self.rasters if assets is None or set(r.assets) <= set(assets))


def raster_size(scene: Scene, raster: Raster) -> tuple[int, int]:
    """(columns, rows) of a whole raster of a scene."""
    side = round(scene.properties["side"] / raster.pixel)
    return side, side


def window_around(scene: Scene, raster: Raster, grid: Grid) -> Window | None:
    """The part of a scene's raster that a tile needs: its outline and a margin for filters, cut at the scene's edges.

    In UTM it starts and ends on the 60 m lattice, so that rasters of 10, 20 and 60 m cover the same ground. None where
    they do not meet.
    """
    epsg, left, top = int(scene.properties["epsg"]), scene.properties["left"], scene.properties["top"]
    margin = 3 * raster.pixel * METRES_PER_DEGREE if epsg == 4326 else 30.0
    west, south, east, north = _outline(grid.padded(margin), epsg, left)
    step = raster.pixel if epsg == 4326 else UTM_LATTICE
    scale = round(step / raster.pixel)
    columns, rows = raster_size(scene, raster)
    first = max(0, int(np.floor((west - left) / step)) * scale), max(0, int(np.floor((top - north) / step)) * scale)
    last = (
        min(columns, int(np.ceil((east - left) / step)) * scale),
        min(rows, int(np.ceil((top - south) / step)) * scale),
    )
    if last[0] <= first[0] or last[1] <= first[1]:
        return None
    return Window(*first, last[0] - first[0], last[1] - first[1])


def _outline(grid: Grid, epsg: int, left: float) -> tuple[float, float, float, float]:
    """Bounds of a grid in another projection, from points along its edges; longitudes near those of `left`."""
    if epsg == grid.epsg:
        return grid.bounds
    west, south, east, north = grid.bounds
    t = np.linspace(0, 1, 9)
    x = np.concatenate([west + (east - west) * t] * 2 + [np.full(9, west), np.full(9, east)])
    y = np.concatenate([np.full(9, south), np.full(9, north)] + [south + (north - south) * t] * 2)
    x, y = projected(x, y, grid.epsg, epsg)
    if epsg == 4326:
        x = x + 360.0 * np.round((left - x) / 360.0)
    return float(x.min()), float(y.min()), float(x.max()), float(y.max())


@cache
def _transformer(source: int, target: int) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def projected(x: NDArray, y: NDArray, source: int, target: int) -> tuple[NDArray, NDArray]:
    """Coordinates in another projection, both by EPSG code (4326 in the order longitude, latitude)."""
    return _transformer(source, target).transform(x, y)
