"""Unpack: the stored integers of a layer to values and mask in one compiled pass, without the interpreter's lock."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.dataset.codes import BYTES, EMPTY, WORDS


def decode_layer(rows: NDArray, data: NDArray[np.uint8], values: NDArray, valid: NDArray[np.bool_]) -> None:
    """Write the bands that `rows` describe to `values` and `valid` (bands, rows, columns); `data` are the stored bytes
    from the first one's offset on."""
    _decode(rows, rows["offset"][0], data, data.view("<u2"), data.view(values.dtype), values, valid)


@njit(nogil=True, cache=True)
def _decode(bands, start, bytes_, words, raw, values, valid):  # type: ignore[no-untyped-def]
    for band in bands:
        b = band.band
        first, size = band.offset - start, valid[b].size
        if band.code == EMPTY:
            values[b] = 0
            valid[b] = False
        elif band.code == BYTES:
            _scale(bytes_[first : first + size], band.hole, band.step, band.base, values[b], valid[b])
        elif band.code == WORDS:
            first //= 2
            _scale(words[first : first + size], band.hole, band.step, band.base, values[b], valid[b])
        else:
            first //= values.itemsize
            _copy(raw[first : first + size], values[b], valid[b])


@njit(nogil=True, cache=True)
def _scale(stored, hole, step, base, values, valid):  # type: ignore[no-untyped-def]
    flat, mask = values.reshape(-1), valid.reshape(-1)
    for i in range(stored.size):
        number = stored[i]
        ok = np.int32(number) != hole
        value = base + step * number
        mask[i] = ok
        flat[i] = value if ok else 0.0


@njit(nogil=True, cache=True)
def _copy(stored, values, valid):  # type: ignore[no-untyped-def]
    flat, mask = values.reshape(-1), valid.reshape(-1)
    for i in range(stored.size):
        value = stored[i]
        ok = value == value  # false for NaN alone
        mask[i] = ok
        flat[i] = value if ok else 0.0
