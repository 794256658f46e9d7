"""Kernels: how the pixels of a raster become those of a tile: the nearest, the mean of four neighbours, the mean below.

A tile's pixel exists where the pixel that its centre lies in does; missing neighbours give their weight to the others.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

BORDER = 1e-7
"""A centre this close before the border of two pixels belongs to the later one, rounding aside."""


def nearest(
    values: NDArray, valid: NDArray[np.bool_], columns: NDArray[np.float64], rows: NDArray[np.float64]
) -> tuple[NDArray, NDArray[np.bool_]]:
    """The pixels of `values` (bands, rows, columns) that places lie in: (values, valid), both (bands, *places)."""
    column, row = np.floor(columns + BORDER).astype(np.int64), np.floor(rows + BORDER).astype(np.int64)
    inside = (column >= 0) & (row >= 0) & (column < values.shape[2]) & (row < values.shape[1])
    column, row = np.where(inside, column, 0), np.where(inside, row, 0)
    at = valid[:, row, column] & inside
    return np.where(at, values[:, row, column], values.dtype.type(0)), at


@njit(cache=True, nogil=True)
def bilinear(values, valid, columns, rows):  # type: ignore[no-untyped-def]
    """The mean of the four nearest pixel centres, weighted by nearness: (values, valid), both (bands, *places)."""
    bands, height, width = values.shape
    size_i, size_j = columns.shape
    out = np.zeros((bands, size_i, size_j), np.float32)
    at = np.zeros((bands, size_i, size_j), np.bool_)
    for i in range(size_i):
        for j in range(size_j):
            x, y = columns[i, j] + BORDER, rows[i, j] + BORDER
            column, row = int(np.floor(x)), int(np.floor(y))
            if column < 0 or row < 0 or column >= width or row >= height:
                continue
            left, top = int(np.floor(x - 0.5)), int(np.floor(y - 0.5))
            # Rounding leaves a trace of a neighbour that has no share: it is taken as none.
            east = max(columns[i, j] - 0.5 - left, 0.0)
            south = max(rows[i, j] - 0.5 - top, 0.0)
            for band in range(bands):
                if not valid[band, row, column]:
                    continue
                total, share, whole = 0.0, 0.0, True
                for below in range(2):
                    for beside in range(2):
                        r, c = top + below, left + beside
                        weight = (south if below else 1.0 - south) * (east if beside else 1.0 - east)
                        if r < 0 or c < 0 or r >= height or c >= width or not valid[band, r, c]:
                            whole = False
                        else:
                            total += weight * values[band, r, c]
                            share += weight
                out[band, i, j] = total if whole else total / share
                at[band, i, j] = True
    return out, at


@njit(cache=True, nogil=True)
def average(values, valid, columns, rows, wide, high):  # type: ignore[no-untyped-def]
    """The mean of the pixels below each of the tile's, which are `wide` x `high` of them, weighted by the area that
    they share: (values, valid), both (bands, *places)."""
    bands, height, width = values.shape
    size_i, size_j = columns.shape
    out = np.zeros((bands, size_i, size_j), np.float32)
    at = np.zeros((bands, size_i, size_j), np.bool_)
    for i in range(size_i):
        for j in range(size_j):
            x, y = columns[i, j], rows[i, j]
            column, row = int(np.floor(x + BORDER)), int(np.floor(y + BORDER))
            if column < 0 or row < 0 or column >= width or row >= height:
                continue
            west, east = max(x - wide / 2, 0.0), min(x + wide / 2, float(width))
            north, south = max(y - high / 2, 0.0), min(y + high / 2, float(height))
            for band in range(bands):
                if not valid[band, row, column]:
                    continue
                total, share = 0.0, 0.0
                for r in range(int(np.floor(north + BORDER)), int(np.ceil(south - BORDER))):
                    tall = min(south, r + 1.0) - max(north, float(r))
                    for c in range(int(np.floor(west + BORDER)), int(np.ceil(east - BORDER))):
                        if valid[band, r, c]:
                            weight = tall * (min(east, c + 1.0) - max(west, float(c)))
                            total += weight * values[band, r, c]
                            share += weight
                out[band, i, j] = total / share
                at[band, i, j] = True
    return out, at
