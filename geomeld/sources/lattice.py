"""Lattice: where the pixels of a tile lie among the pixels of a raster, to a millionth of a pixel."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pyproj
from affine import Affine
from numba import njit
from numpy.typing import NDArray
from pyproj import Transformer
from pyproj.exceptions import ProjError
from rasterio.crs import CRS
from rasterio.windows import Window

from geomeld.core.errors import CorruptAsset
from geomeld.core.grid import Grid

MARGIN = 2
"""Pixels that are read beyond a tile's outline: one for the kernel and one for the slope of the pixels in it."""

MOST_PIXELS = 2**26
"""Most pixels of one band that a tile may need: a raster that asks for more states a wrong size of pixel. NAIP at 0.3 m
needs 2**24."""

NODES = 8
"""Points per side between which a change of projection is interpolated. Over a tile it is so smooth that polynomials of
this degree agree with pyproj to 1e-8 m (tested)."""


@dataclass(frozen=True, slots=True)
class Place:
    """The pixels of a raster that a tile needs, and where the tile's own pixels lie among them."""

    window: Window
    """Part of the raster to read."""
    transform: Affine
    """Of that part."""
    columns: NDArray[np.float64]
    """(size, size): where the centre of each of the tile's pixels lies, in pixels from the part's west edge."""
    rows: NDArray[np.float64]
    """The same from its first row."""
    extent: tuple[float, float]
    """(columns, rows) of the part that one pixel of the tile covers."""


def place(transform: Affine, shape: tuple[int, ...], crs: CRS, grid: Grid) -> Place | None:
    """Where a tile lies in a raster; None where they do not meet.

    Every file that holds these pixels gives the same places and, where its pixels are a whole fraction of a degree or
    its corner lies on a multiple of half a pixel, the very same bits: coordinates are counted on the lattice of
    multiples of half a pixel rather than from the file's corner. What is interpolated then depends neither on where a
    file begins nor on how it was cut. Raises CorruptAsset for a projection that cannot be reached, or pixels so small
    that a tile would need more than `MOST_PIXELS`.
    """
    degrees = crs.is_geographic
    x, y = _centres(grid, crs.to_wkt(), degrees)
    if degrees:
        middle = transform.c + transform.a * shape[1] / 2
        x = x + 360.0 * np.round((middle - x) / 360.0)
    lattice = _lattice(transform, degrees)
    if lattice is None:
        columns, rows = ~transform @ (x, y)
    else:
        wide, high, left, top = lattice
        columns, rows = _counted(x, wide, degrees) - left, top - _counted(y, high, degrees)
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    extent = _extent(columns), _extent(rows)
    window = _window(columns, rows, extent, shape)
    if window is None:
        return None
    west, north = window.col_off, window.row_off
    part = transform @ Affine.translation(west, north)
    if lattice is not None and degrees:
        part = Affine(1 / wide, 0.0, (left + west) / wide, 0.0, -1 / high, (top - north) / high)
    return Place(window, part, columns - west, rows - north, extent)


def _extent(places: NDArray[np.float64]) -> float:
    """Source pixels per pixel of the tile, from its middle."""
    i = places.shape[0] // 2
    return float(np.hypot(places[i, i] - places[i, i - 1], places[i, i] - places[i - 1, i]))


def _window(
    columns: NDArray[np.float64], rows: NDArray[np.float64], extent: tuple[float, float], shape: tuple[int, ...]
) -> Window | None:
    """The part of a raster under the places, with half a pixel of the tile and a margin around them."""
    (west, east), (north, south) = (
        (
            max(math.floor(places.min() - reach / 2) - MARGIN, 0),
            min(math.ceil(places.max() + reach / 2) + MARGIN, size),
        )
        for places, reach, size in ((columns, extent[0], shape[1]), (rows, extent[1], shape[0]))
    )
    if east <= west or south <= north:
        return None
    if (east - west) * (south - north) > MOST_PIXELS:
        raise CorruptAsset(
            f"a tile would need {east - west} x {south - north} of its pixels; it states a wrong size of pixel"
        )
    return Window(west, north, east - west, south - north)


def _lattice(transform: Affine, degrees: bool) -> tuple[float, float, float, float] | None:
    """(size of a pixel in x and y as `_counted` takes it; left and top edge in pixels from the origin) of a north-up
    raster whose corner lies on a multiple of half a pixel, None of any other."""
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        return None
    wide, high = transform.a, -transform.e
    if degrees:
        wide, high = float(round(1 / wide)), float(round(1 / high))
        if max(abs(wide * transform.a - 1), abs(high * transform.e + 1)) > 1e-9:
            return None
    left, top = _counted(transform.c, wide, degrees), _counted(transform.f, high, degrees)
    if max(abs(2 * v - round(2 * v)) for v in (left, top)) > 1e-4:
        return None
    return wide, high, round(2 * left) / 2, round(2 * top) / 2


def _counted(coordinate: Any, size: float, degrees: bool) -> Any:
    """Coordinates in pixels from the origin; `size` is pixels per degree, or metres per pixel: whichever is exact."""
    return coordinate * size if degrees else coordinate / size


@lru_cache(maxsize=4)
def _centres(grid: Grid, wkt: str, degrees: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Coordinates of the centres of a tile's pixels in another projection, each (size, size); longitudes go on beyond
    180 across the antimeridian."""
    transformer = _transformer(grid.epsg, wkt)
    if transformer is None:
        return grid.pixel_centres()
    nodes = (1 - np.cos(np.pi * (np.arange(NODES) + 0.5) / NODES)) / 2
    east, north = np.meshgrid(grid.left + nodes * grid.metres, grid.top - nodes * grid.metres)
    x, y = (np.asarray(values) for values in transformer.transform(east, north))
    if degrees and np.ptp(x) > 180.0:
        x = np.where(x < 0, x + 360.0, x)
    weights = _weights(nodes, (np.arange(grid.size) + 0.5) / grid.size)
    return _interpolated(x, weights), _interpolated(y, weights)


def _weights(nodes: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lagrange's weights of each node at each point, (points, nodes)."""
    weights = np.ones((len(at), len(nodes)))
    for i, node in enumerate(nodes):
        for j, other in enumerate(nodes):
            if i != j:
                weights[:, i] *= (at - other) / (node - other)
    return weights


@njit(cache=True)
def _interpolated(values, weights):  # type: ignore[no-untyped-def]
    """Values at nodes (rows, columns) as the polynomial through them, (points, points), summed in one fixed order."""
    points, nodes = weights.shape
    middle = values[nodes // 2, nodes // 2]
    out = np.empty((points, points))
    along = np.empty(nodes)
    for i in range(points):
        for q in range(nodes):
            along[q] = 0.0
            for p in range(nodes):
                along[q] += weights[i, p] * (values[p, q] - middle)
        for j in range(points):
            total = 0.0
            for q in range(nodes):
                total += weights[j, q] * along[q]
            out[i, j] = middle + total
    return out


@lru_cache(maxsize=256)
def _transformer(epsg: int, wkt: str) -> Transformer | None:
    """From a projection by its code to another; None where both are the same."""
    try:
        source, target = pyproj.CRS.from_epsg(epsg), pyproj.CRS.from_wkt(wkt)
        return None if source == target else Transformer.from_crs(source, target, always_xy=True)
    except ProjError as error:
        raise CorruptAsset(f"its projection cannot be reached from EPSG:{epsg}: {error}") from None
