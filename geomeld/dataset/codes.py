"""Codes: how a band is stored in a packed shard, in integers where they give every value back to the last bit."""

import numpy as np
from numpy.typing import NDArray

EMPTY, BYTES, WORDS, RAW = range(4)
"""No valid pixel and nothing stored; 8-bit integers; 16-bit integers; the values as they are."""

ROW = np.dtype(
    [
        ("layer", "u1"),
        ("band", "u1"),
        ("code", "u1"),
        ("unused", "u1"),
        ("rows", "<u2"),
        ("columns", "<u2"),
        ("hole", "<i4"),
        ("offset", "<u4"),
        ("step", "<f8"),
        ("base", "<f8"),
    ]
)
"""One band of a tile: which, its shape, and value = base + step * integer, except where the integer is `hole` (-1 for
none): there is no measurement. `offset` counts from the start of the tile's record."""

STEPS = (1.0, 1 / 16, 0.1, 0.01, 0.001)
"""Steps that are tried: integers; what bilinear interpolation from 20 m makes of integers; decimals."""
DTYPES: dict[int, np.dtype] = {BYTES: np.dtype("u1"), WORDS: np.dtype("<u2")}
NO_HOLE = -1
PROBE = 251
"""Pixels that a step must fit before all are looked at."""


def stored_dtype(code: int, dtype: np.dtype) -> np.dtype:
    """What one pixel of a band is stored as; `dtype` is the layer's."""
    return DTYPES.get(code, dtype)


def encode_band(values: NDArray, valid: NDArray[np.bool_]) -> tuple[int, int, float, float, NDArray]:
    """(code, hole, step, base, stored pixels) of one band (rows, columns), the fewest bytes that lose nothing.

    Values where not `valid` come back as 0.
    """
    pixels = values[valid]
    if not pixels.size:
        return EMPTY, NO_HOLE, 1.0, 0.0, values[:0]
    for step in STEPS:
        found = _in_steps(pixels, step)
        if found is not None:
            numbers, base = found
            highest = int(numbers.max()) + (not valid.all())
            for code, dtype in DTYPES.items():
                if highest <= np.iinfo(dtype).max:
                    hole = NO_HOLE if valid.all() else highest
                    stored = np.full(values.shape, max(hole, 0), dtype)
                    stored[valid] = numbers
                    return code, hole, step, base, stored
    if np.issubdtype(values.dtype, np.floating):
        return RAW, NO_HOLE, 1.0, 0.0, np.where(valid, values, values.dtype.type(np.nan))
    raise ValueError(f"whole numbers of {values.dtype} that span more than 65535 cannot be packed")


def _in_steps(pixels: NDArray, step: float) -> tuple[NDArray[np.float64], float] | None:
    """(integers, base) that give `pixels` back; None where they do not."""
    exact = pixels.astype(np.float64)
    base = float(np.rint(exact.min() / step) * step)
    if (exact.max() - base) / step > np.iinfo(np.uint16).max:
        return None
    for part in (slice(None, None, max(exact.size // PROBE, 1)), slice(None)):
        numbers = np.rint((exact[part] - base) / step)
        back = (base + numbers * step).astype(pixels.dtype)
        # Bits, not numbers: minus zero is not zero.
        if numbers.min() < 0 or back.tobytes() != pixels[part].tobytes():
            return None
    return numbers, base
