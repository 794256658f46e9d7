"""The one pixel path: native rasters onto a tile's grid, no-data masked before anything is resampled."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pyproj
import rasterio
from affine import Affine
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import MaskFlags
from rasterio.enums import Resampling as Kernel
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT
from rasterio.windows import Window

from geomeld.core.grid import EARTH_RADIUS_M, Grid
from geomeld.core.modality import Resampling

MARGIN = 2
"""Pixels that are read beyond a tile's outline: one for the kernel and one for the slope of the pixels in it."""


@dataclass(frozen=True, slots=True)
class Native:
    """A window of a product on its own grid, as its provider stores it."""

    values: NDArray
    """(bands, rows, columns) in the stored dtype, no-data included."""
    transform: Affine
    """From (column, row) corners to the projection's coordinates."""
    epsg: int
    nodata: float | None
    """Stored value of a pixel without a measurement; NaN is no-data wherever it occurs."""


def onto(
    dataset: rasterio.DatasetReader,
    bands: Sequence[int],
    grid: Grid,
    resampling: Resampling,
    nodata: float | None = None,
) -> tuple[NDArray, NDArray[np.bool_]]:
    """Bands (1-based) of an open raster on a grid: (values, valid), both (bands, size, size).

    Values are float32 for interpolating kernels and keep the stored dtype for nearest. Pixels outside the raster, and
    those whose kernel meets no valid source pixel, are invalid; of several bands a pixel is missing in the file where
    it is in all of them. `nodata` overrides the file's own tag; a file with a mask of its own goes by that.
    """
    nodata = dataset.nodata if nodata is None else nodata
    part = _part(dataset.transform, dataset.shape, dataset.crs, grid)
    if part is None:
        return _nothing(len(bands), dataset.dtypes[bands[0] - 1], grid, resampling)
    window, transform = part
    values = dataset.read(list(bands), window=window)
    if MaskFlags.per_dataset in dataset.mask_flag_enums[bands[0] - 1]:
        there = dataset.read_masks(bands[0], window=window) > 0
        values, nodata = np.where(there, values, np.nan).astype(np.float32), float("nan")
    return _warped(values, transform, dataset.crs, nodata, grid, resampling)


def native_onto(native: Native, grid: Grid, resampling: Resampling) -> tuple[NDArray, NDArray[np.bool_]]:
    """The same code path for a raster in memory: (values, valid), both (bands, size, size)."""
    part = cut(native, grid)
    if part is None:
        return _nothing(len(native.values), str(native.values.dtype), grid, resampling)
    return _warped(part.values, part.transform, CRS.from_epsg(part.epsg), part.nodata, grid, resampling)


def cut(native: Native, grid: Grid) -> Native | None:
    """The part of a raster that a tile needs; None where they do not meet."""
    part = _part(native.transform, native.values.shape[1:], CRS.from_epsg(native.epsg), grid)
    if part is None:
        return None
    window, transform = part
    return replace(native, values=native.values[(..., *window.toslices())], transform=transform)


def part_of(dataset: rasterio.DatasetReader, band: int, grid: Grid, nodata: float | None) -> Native | None:
    """The part of one band of an open raster that a tile needs; None where they do not meet, or where the raster's
    projection has no EPSG code."""
    part, epsg = _part(dataset.transform, dataset.shape, dataset.crs, grid), dataset.crs.to_epsg()
    if part is None or epsg is None:
        return None
    window, transform = part
    return Native(dataset.read([band], window=window), transform, int(epsg), nodata)


def _part(transform: Affine, shape: tuple[int, ...], crs: CRS, grid: Grid) -> tuple[Window, Affine] | None:
    """(window, its transform) of the pixels of a raster that a tile needs; None where they do not meet.

    Every file that holds these pixels gives the same window and, where its pixels are a whole fraction of a degree,
    the very same transform: coordinates are counted on the lattice of multiples of half a pixel rather than from the
    file's corner. What is interpolated then depends neither on where a file begins nor on how it was cut.
    """
    x, y = _outline(grid, crs.to_wkt())
    if crs.is_geographic:
        middle = transform.c + transform.a * shape[1] / 2
        x = x + 360.0 * np.round((middle - x) / 360.0)
    lattice = _lattice(transform) if crs.is_geographic else None
    if lattice is None:
        columns, rows = ~transform @ (x, y)
    else:
        per_x, per_y, left, top = lattice
        columns, rows = x * per_x - left, top - y * per_y
    if not (np.isfinite(columns).all() and np.isfinite(rows).all()):
        return None
    west, north = max(math.floor(columns.min()) - MARGIN, 0), max(math.floor(rows.min()) - MARGIN, 0)
    east = min(math.ceil(columns.max()) + MARGIN, shape[1])
    south = min(math.ceil(rows.max()) + MARGIN, shape[0])
    if east <= west or south <= north:
        return None
    window = Window(west, north, east - west, south - north)
    if lattice is None:
        return window, transform @ Affine.translation(west, north)
    return window, Affine(1 / per_x, 0.0, (left + west) / per_x, 0.0, -1 / per_y, (top - north) / per_y)


def _lattice(transform: Affine) -> tuple[int, int, float, float] | None:
    """(pixels per degree in x and y, left and top edge in pixels from zero degrees) of a north-up raster whose corner
    lies on a multiple of half a pixel, None of any other."""
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        return None
    per_x, per_y = round(1 / transform.a), round(-1 / transform.e)
    left, top = transform.c * per_x, transform.f * per_y
    off = abs(per_x * transform.a - 1), abs(per_y * transform.e + 1)
    if max(off) > 1e-9 or max(abs(2 * v - round(2 * v)) for v in (left, top)) > 1e-4:
        return None
    return per_x, per_y, round(2 * left) / 2, round(2 * top) / 2


def _outline(grid: Grid, wkt: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points along the edges of a tile, in another projection."""
    t = np.linspace(0, grid.metres, 9)
    x = grid.left + np.concatenate([t, t, np.zeros(9), np.full(9, grid.metres)])
    y = grid.top - np.concatenate([np.zeros(9), np.full(9, grid.metres), t, t])
    transformer = _transformer(grid.epsg, wkt)
    return transformer.transform(x, y) if transformer else (x, y)


@cache
def _transformer(epsg: int, wkt: str) -> Transformer | None:
    """From a projection by its code to another; None where both are the same."""
    source, target = pyproj.CRS.from_epsg(epsg), pyproj.CRS.from_wkt(wkt)
    return None if source == target else Transformer.from_crs(source, target, always_xy=True)


def _nothing(bands: int, dtype: str, grid: Grid, resampling: Resampling) -> tuple[NDArray, NDArray[np.bool_]]:
    shape = bands, *grid.shape
    return np.zeros(shape, dtype if resampling is Resampling.NEAREST else np.float32), np.zeros(shape, dtype=bool)


def _warped(
    stored: NDArray, transform: Affine, crs: CRS, nodata: float | None, grid: Grid, resampling: Resampling
) -> tuple[NDArray, NDArray[np.bool_]]:
    """(values, valid) of pixels as stored; the transformer is exact to a millionth of a pixel."""
    kernel = _kernel(resampling, transform, crs, grid)
    nearest = kernel is Kernel.nearest
    dtype = str(stored.dtype) if nearest else "float32"
    # A value that no pixel can take marks what the warp leaves empty.
    empty = _empty(dtype, nodata)
    bands, rows, columns = stored.shape
    profile = {"driver": "GTiff", "width": columns, "height": rows, "count": bands, "dtype": stored.dtype}
    with MemoryFile() as memory:
        with memory.open(**profile, crs=crs, transform=transform, nodata=nodata) as dataset:
            dataset.write(stored)
        with (
            memory.open() as dataset,
            WarpedVRT(
                dataset,
                crs=f"EPSG:{grid.epsg}",
                transform=Affine(*grid.transform),
                width=grid.size,
                height=grid.size,
                resampling=kernel,
                src_nodata=nodata,
                nodata=empty,
                dtype=dtype,
                tolerance=1e-6,
                init_dest_nodata=True,
                # GDAL would widen the bilinear kernel by the ratio of pixel sizes, which it guesses from the whole
                # window. Fixed, so that a pixel does not depend on the window; the average needs the true ratio.
                **({"XSCALE": 1.0, "YSCALE": 1.0} if kernel is Kernel.bilinear else {}),
            ) as vrt,
        ):
            values = vrt.read()
    valid = ~np.isnan(values) if np.isnan(empty) else values != empty
    if nodata is not None and nearest:
        valid &= ~np.isnan(values) if np.isnan(nodata) else values != nodata
    return np.where(valid, values, 0).astype(dtype), valid


def slope_onto(elevation: Native, grid: Grid, resampling: Resampling) -> tuple[NDArray, NDArray[np.bool_]]:
    """The slope of a one-band elevation raster on a grid, degrees: (values, valid), both (1, size, size)."""
    part = cut(elevation, grid)
    if part is None:
        return _nothing(1, "float32", grid, resampling)
    return native_onto(slope_degrees(part), grid, resampling)


def slope_degrees(elevation: Native) -> Native:
    """Slope of a one-band elevation raster on its own grid, degrees, float32 with NaN for no-data.

    Central differences over the four neighbours with metric spacing: on a geographic grid one column is
    R cos(latitude) dlon wide (as Earth Engine's ee.Terrain.slope). A pixel without one of its neighbours, at an edge or
    beside a void, takes the one-sided difference; without both it has no slope.
    """
    z = elevation.values[0].astype(np.float64)
    if elevation.nodata is not None:
        z[elevation.values[0] == elevation.nodata] = np.nan
    rows = np.arange(z.shape[0]) + 0.5
    dx = np.full((z.shape[0], 1), abs(elevation.transform.a))
    dy = abs(elevation.transform.e)
    if CRS.from_epsg(elevation.epsg).is_geographic:
        metres = np.radians(1.0) * EARTH_RADIUS_M
        latitude = elevation.transform.f + rows * elevation.transform.e
        dx, dy = dx * metres * np.cos(np.radians(latitude))[:, None], dy * metres
    east, north = _difference(z, 1) / dx, _difference(z, 0) / dy
    slope = np.degrees(np.arctan(np.hypot(east, north)))
    slope[np.isnan(z)] = np.nan
    return Native(slope[None].astype(np.float32), elevation.transform, elevation.epsg, float("nan"))


def _difference(z: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Change per pixel along an axis: central, one-sided where one neighbour is missing, NaN where both are."""
    ahead = np.full_like(z, np.nan)
    behind = np.full_like(z, np.nan)
    last, first = [slice(None)] * 2, [slice(None)] * 2
    last[axis], first[axis] = slice(1, None), slice(None, -1)
    step = np.diff(z, axis=axis)
    ahead[tuple(first)], behind[tuple(last)] = step, step
    both = (ahead + behind) / 2
    return np.where(np.isnan(both), np.where(np.isnan(ahead), behind, ahead), both)


def _kernel(resampling: Resampling, transform: Affine, crs: CRS, grid: Grid) -> Kernel:
    match resampling:
        case Resampling.NEAREST:
            return Kernel.nearest
        case Resampling.BILINEAR:
            return Kernel.bilinear
        case Resampling.AVERAGE_WHEN_COARSENING:
            metres = np.radians(1.0) * EARTH_RADIUS_M if crs.is_geographic else 1.0
            return Kernel.average if abs(transform.e) * metres < grid.gsd * 0.99 else Kernel.bilinear


def _empty(dtype: str, nodata: float | None) -> float:
    if np.issubdtype(np.dtype(dtype), np.floating):
        return float("nan")
    info = np.iinfo(dtype)
    return float(nodata) if nodata is not None and info.min <= nodata <= info.max else float(info.max)
