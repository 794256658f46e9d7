"""Unpack: the stored integers of a band to values and mask in one compiled pass, without the interpreter's lock."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.dataset.codes import EMPTY, RAW, stored_dtype


def decode_band(row: np.void, data: NDArray[np.uint8], values: NDArray, valid: NDArray[np.bool_]) -> None:
    """Write one band, stored in `data` as its `row` says, to `values` and `valid` (rows, columns)."""
    code = int(row["code"])
    if code == EMPTY:
        values.fill(0)
        valid.fill(False)
        return
    stored = data.view(stored_dtype(code, values.dtype)).reshape(values.shape)
    if code == RAW:
        _copy(stored, values, valid)
    else:
        _scale(stored, int(row["hole"]), float(row["step"]), float(row["base"]), values, valid)


@njit(nogil=True, cache=True)
def _scale(stored, hole, step, base, values, valid):  # type: ignore[no-untyped-def]
    rows, columns = stored.shape
    for r in range(rows):
        for c in range(columns):
            number = stored[r, c]
            ok = number != hole
            value = base + step * number
            valid[r, c] = ok
            values[r, c] = value if ok else 0.0


@njit(nogil=True, cache=True)
def _copy(stored, values, valid):  # type: ignore[no-untyped-def]
    rows, columns = stored.shape
    for r in range(rows):
        for c in range(columns):
            value = stored[r, c]
            ok = value == value
            valid[r, c] = ok
            values[r, c] = value if ok else 0.0
