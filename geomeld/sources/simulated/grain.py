"""Grain: keyed noise on the sphere and on pixel grids, a pure function of key and position."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.core.draw import draw_words
from geomeld.sources.simulated.noise import EARTH, run_length

_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S16 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(16)
_LOW = np.uint64(0xFFFF)


def key_of(seed: int, stream: str, name: int | str = "") -> np.uint64:
    """The 64-bit key of one noise field."""
    return np.uint64(draw_words(seed, stream, name)[0])


@njit(inline="always")
def _mix(value: np.uint64) -> np.uint64:
    """The finaliser of splitmix64."""
    value = (value ^ (value >> _S30)) * _M1
    value = (value ^ (value >> _S27)) * _M2
    return value ^ (value >> _S31)


@njit(inline="always")
def _normal(word: np.uint64) -> float:
    """Nearly N(0, 1): the sum of four 16-bit uniforms."""
    total = (word & _LOW) + ((word >> _S16) & _LOW)
    word = word >> np.uint64(32)
    total += (word & _LOW) + (word >> _S16)
    return (float(total) / 65536.0 - 2.0) * 1.7320508


@njit(cache=True)
def _corners(i: int, j: int, k: int, key: np.uint64, out: NDArray) -> None:
    """Draw the values at the eight corners of a cell of the lattice, the last index the fastest."""
    for a in range(2):
        ha = _mix(key + np.uint64(i + a + 0x40000000))
        for b in range(2):
            hb = _mix(ha + np.uint64(j + b + 0x40000000))
            for c in range(2):
                out[4 * a + 2 * b + c] = _normal(_mix(hb + np.uint64(k + c + 0x40000000)))


@njit(cache=True)
def _blend(
    x: NDArray, y: NDArray, z: NDArray, f: float, i: int, j: int, k: int, g: NDArray, by: float, out: NDArray
) -> None:
    """Add the noise at points of one cell. Without a branch, so that it is computed several points at a time."""
    g0, g1, g2, g3, g4, g5, g6, g7 = g[0], g[1], g[2], g[3], g[4], g[5], g[6], g[7]
    for p in range(out.size):
        u, v, w = x[p] * f - i, y[p] * f - j, z[p] * f - k
        u, v, w = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v), w * w * (3.0 - 2.0 * w)
        r, s, t = 1.0 - u, 1.0 - v, 1.0 - w
        near = s * (t * g0 + w * g1) + v * (t * g2 + w * g3)
        far = s * (t * g4 + w * g5) + v * (t * g6 + w * g7)
        # Blending lowers the variance between lattice points; dividing it out keeps every point N(0, 1).
        spread = (u * u + r * r) * (v * v + s * s) * (w * w + t * t)
        out[p] += by * (r * near + u * far) / math.sqrt(spread)


@njit(cache=True)
def _smooth(key: np.uint64, points: NDArray, cells: float, octaves: int, gain: float) -> NDArray:
    x, y, z = points[0], points[1], points[2]
    out, corners = np.zeros(x.size), np.empty(8)
    amplitude, power = 1.0, 0.0
    for octave in range(octaves):
        word = _mix(key + np.uint64(octave))
        start = 0
        while start < x.size:
            i, j, k = math.floor(x[start] * cells), math.floor(y[start] * cells), math.floor(z[start] * cells)
            stop = start + run_length(x[start:], y[start:], z[start:], cells, i, j, k)
            _corners(int(i), int(j), int(k), word, corners)
            _blend(x[start:stop], y[start:stop], z[start:stop], cells, i, j, k, corners, amplitude, out[start:stop])
            start = stop
        power += amplitude * amplitude
        amplitude *= gain
        cells *= 2.0
    return out / math.sqrt(power)


def smooth(
    key: np.uint64, points: NDArray, wavelength: float, octaves: int = 1, gain: float = 0.5
) -> NDArray[np.float32]:
    """A continuous random field at (3, ...) coordinates on the unit sphere (`noise.unit`); every point is N(0, 1).

    `wavelength` (metres) is the lattice spacing of the coarsest octave; each further one halves it and has `gain`
    times its amplitude. Value noise on a lattice through the globe, so that it has no seam and no pole.
    """
    flat = np.ascontiguousarray(points.reshape(3, -1))
    return _smooth(key, flat, EARTH / wavelength, octaves, gain).astype(np.float32).reshape(points.shape[1:])


@njit(cache=True)
def _white(key: np.uint64, row: int, column: int, out: NDArray) -> None:  # pragma: no cover - compiled
    for i in range(out.shape[0]):
        line = _mix(key + np.uint64(row + i + 0x40000000))
        for j in range(out.shape[1]):
            out[i, j] = _normal(_mix(line + np.uint64(column + j + 0x40000000)))


def white(key: np.uint64, row: int, column: int, rows: int, columns: int) -> NDArray[np.float32]:
    """Independent, nearly N(0, 1) noise of the pixels of a window, by their row and column in the whole raster."""
    out = np.empty((rows, columns), dtype=np.float32)
    _white(key, row, column, out)
    return out


def uniform(normal: NDArray[np.float32]) -> NDArray[np.float32]:
    """Ranks 0..1 of N(0, 1) values, by the logistic approximation of the normal distribution (error below 0.0002)."""
    return (1.0 / (1.0 + np.exp(-normal * (1.5976 + 0.070566 * normal * normal)))).astype(np.float32)
