"""The one pixel path: native rasters onto a tile's grid, no-data masked before anything is resampled."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import rasterio
from affine import Affine
from numpy.typing import NDArray
from rasterio.enums import Resampling as Kernel
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from geomeld.core.grid import EARTH_RADIUS_M, Grid
from geomeld.core.modality import Resampling


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
    those whose kernel meets no valid source pixel, are invalid. `nodata` overrides the file's own tag.
    The transformer is exact to a millionth of a pixel, so that any window of a raster gives the same pixels.
    """
    kernel = _kernel(resampling, dataset, grid)
    nearest = kernel is Kernel.nearest
    dtype = dataset.dtypes[bands[0] - 1] if nearest else "float32"
    source_nodata = dataset.nodata if nodata is None else nodata
    # A value that no pixel can take marks what the warp leaves empty.
    empty = _empty(dtype, source_nodata)
    with WarpedVRT(
        dataset,
        crs=f"EPSG:{grid.epsg}",
        transform=Affine(*grid.transform),
        width=grid.size,
        height=grid.size,
        resampling=kernel,
        src_nodata=source_nodata,
        nodata=empty,
        dtype=dtype,
        tolerance=1e-6,
        init_dest_nodata=True,
        # GDAL would widen the bilinear kernel by the ratio of pixel sizes, which it guesses from the whole window.
        # Fixed, so that a pixel does not depend on the window that it is read with; the average needs the true ratio.
        **({"XSCALE": 1.0, "YSCALE": 1.0} if kernel is Kernel.bilinear else {}),
    ) as vrt:
        values = vrt.read(list(bands))
    valid = ~np.isnan(values) if np.isnan(empty) else values != empty
    if source_nodata is not None and nearest:
        valid &= ~np.isnan(values) if np.isnan(source_nodata) else values != source_nodata
    return np.where(valid, values, 0).astype(dtype), valid


def native_onto(native: Native, grid: Grid, resampling: Resampling) -> tuple[NDArray, NDArray[np.bool_]]:
    """The same code path for a raster in memory: (values, valid), both (bands, size, size)."""
    bands, rows, columns = native.values.shape
    profile = {
        "driver": "GTiff",
        "width": columns,
        "height": rows,
        "count": bands,
        "dtype": native.values.dtype,
        "crs": f"EPSG:{native.epsg}",
        "transform": native.transform,
        "nodata": native.nodata,
    }
    with MemoryFile() as memory:
        with memory.open(**profile) as dataset:
            dataset.write(native.values)
        with memory.open() as dataset:
            return onto(dataset, range(1, bands + 1), grid, resampling)


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
    if elevation.epsg == 4326:
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


def _kernel(resampling: Resampling, dataset: rasterio.DatasetReader, grid: Grid) -> Kernel:
    match resampling:
        case Resampling.NEAREST:
            return Kernel.nearest
        case Resampling.BILINEAR:
            return Kernel.bilinear
        case Resampling.AVERAGE_WHEN_COARSENING:
            metres = np.radians(1.0) * EARTH_RADIUS_M if dataset.crs.is_geographic else 1.0
            return Kernel.average if abs(dataset.transform.e) * metres < grid.gsd * 0.99 else Kernel.bilinear


def _empty(dtype: str, nodata: float | None) -> float:
    if np.issubdtype(np.dtype(dtype), np.floating):
        return float("nan")
    info = np.iinfo(dtype)
    return float(nodata) if nodata is not None and info.min <= nodata <= info.max else float(info.max)
