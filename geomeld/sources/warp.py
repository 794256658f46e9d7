"""The one pixel path: native rasters onto a tile's grid, no-data masked before anything is resampled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import MaskFlags

from geomeld.core.grid import EARTH_RADIUS_M, Grid
from geomeld.core.modality import Resampling
from geomeld.sources.kernels import average, bilinear, nearest
from geomeld.sources.lattice import Place, place

FINER = 1.01
"""Pixels of a raster per pixel of the tile from which on an average is taken."""


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
    found = place(dataset.transform, dataset.shape, dataset.crs, grid)
    if found is None:
        return _nothing(len(bands), dataset.dtypes[bands[0] - 1], grid, resampling)
    stored = dataset.read(list(bands), window=found.window)
    if MaskFlags.per_dataset in dataset.mask_flag_enums[bands[0] - 1]:
        there = np.repeat(dataset.read_masks([bands[0]], window=found.window) > 0, len(stored), axis=0)
    else:
        there = _measured(stored, nodata)
    return _resampled(stored, there, found, resampling)


def meets(dataset: rasterio.DatasetReader, grid: Grid) -> bool:
    """Whether an open raster reaches a tile at all."""
    return place(dataset.transform, dataset.shape, dataset.crs, grid) is not None


def native_onto(native: Native, grid: Grid, resampling: Resampling) -> tuple[NDArray, NDArray[np.bool_]]:
    """The same code path for a raster in memory: (values, valid), both (bands, size, size)."""
    found = place(native.transform, native.values.shape[1:], _crs(native.epsg), grid)
    if found is None:
        return _nothing(len(native.values), str(native.values.dtype), grid, resampling)
    stored = native.values[(..., *found.window.toslices())]
    return _resampled(stored, _measured(stored, native.nodata), found, resampling)


@cache
def _crs(epsg: int) -> CRS:
    return CRS.from_epsg(epsg)


def cut(native: Native, grid: Grid) -> Native | None:
    """The part of a raster that a tile needs; None where they do not meet."""
    found = place(native.transform, native.values.shape[1:], _crs(native.epsg), grid)
    if found is None:
        return None
    return replace(native, values=native.values[(..., *found.window.toslices())], transform=found.transform)


def part_of(dataset: rasterio.DatasetReader, band: int, grid: Grid, nodata: float | None) -> Native | None:
    """The part of one band of an open raster that a tile needs; None where they do not meet, or where the raster's
    projection has no EPSG code."""
    found, epsg = place(dataset.transform, dataset.shape, dataset.crs, grid), dataset.crs.to_epsg()
    if found is None or epsg is None:
        return None
    return Native(dataset.read([band], window=found.window), found.transform, int(epsg), nodata)


def _nothing(bands: int, dtype: str, grid: Grid, resampling: Resampling) -> tuple[NDArray, NDArray[np.bool_]]:
    shape = bands, *grid.shape
    return np.zeros(shape, dtype if resampling is Resampling.NEAREST else np.float32), np.zeros(shape, dtype=bool)


def _measured(stored: NDArray, nodata: float | None) -> NDArray[np.bool_]:
    """Which pixels of (bands, rows, columns) carry a measurement: in a file of several bands no-data is a pixel that
    has the value in all of them, since a dark pixel may have it in some."""
    there = ~np.isnan(stored) if np.issubdtype(stored.dtype, np.floating) else np.ones(stored.shape, dtype=bool)
    if nodata is not None and not np.isnan(nodata):
        there &= (stored != nodata).any(axis=0)
    return there


def _resampled(
    stored: NDArray, there: NDArray[np.bool_], found: Place, resampling: Resampling
) -> tuple[NDArray, NDArray[np.bool_]]:
    """(values, valid) of a part of a raster at a tile's places."""
    match resampling:
        case Resampling.NEAREST:
            return nearest(stored, there, found.columns, found.rows)
        case Resampling.AVERAGE_WHEN_COARSENING if min(found.extent) > FINER:
            return average(stored.astype(np.float32), there, found.columns, found.rows, *found.extent)
        case _:
            return bilinear(stored.astype(np.float32), there, found.columns, found.rows)


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
    if _crs(elevation.epsg).is_geographic:
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
