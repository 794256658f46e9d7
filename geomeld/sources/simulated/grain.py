"""Grain: keyed noise on the sphere and on pixel grids, a pure function of key and position."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geomeld.core.draw import draw_words
from geomeld.core.grid import EARTH_RADIUS_M

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
def _smooth(key: np.uint64, lon: NDArray, lat: NDArray, cells: float, octaves: int, gain: float, out: NDArray) -> None:
    unit = np.empty((lon.size, 3))
    for p in range(lon.size):
        east, north = math.radians(lon[p]), math.radians(lat[p])
        unit[p, 0], unit[p, 1], unit[p, 2] = (
            math.cos(north) * math.cos(east),
            math.cos(north) * math.sin(east),
            math.sin(north),
        )
        out[p] = 0.0
    corner = np.empty(8)
    amplitude, power = 1.0, 0.0
    for octave in range(octaves):
        base = _mix(key + np.uint64(octave))
        last_x, last_y, last_z = np.int64(-1 << 40), np.int64(0), np.int64(0)
        for p in range(lon.size):
            x, y, z = unit[p, 0] * cells, unit[p, 1] * cells, unit[p, 2] * cells
            ix, iy, iz = np.int64(math.floor(x)), np.int64(math.floor(y)), np.int64(math.floor(z))
            if ix != last_x or iy != last_y or iz != last_z:
                last_x, last_y, last_z = ix, iy, iz
                for a in range(2):
                    ha = _mix(base + np.uint64(ix + a + 0x40000000))
                    for b in range(2):
                        hb = _mix(ha + np.uint64(iy + b + 0x40000000))
                        for c in range(2):
                            corner[4 * a + 2 * b + c] = _normal(_mix(hb + np.uint64(iz + c + 0x40000000)))
            fx, fy, fz = x - ix, y - iy, z - iz
            fx, fy, fz = fx * fx * (3 - 2 * fx), fy * fy * (3 - 2 * fy), fz * fz * (3 - 2 * fz)
            gx, gy, gz = 1 - fx, 1 - fy, 1 - fz
            near = gy * (gz * corner[0] + fz * corner[1]) + fy * (gz * corner[2] + fz * corner[3])
            far = gy * (gz * corner[4] + fz * corner[5]) + fy * (gz * corner[6] + fz * corner[7])
            # Blending lowers the variance between lattice points; dividing it out keeps every point N(0, 1).
            spread = (fx * fx + gx * gx) * (fy * fy + gy * gy) * (fz * fz + gz * gz)
            out[p] += amplitude * (gx * near + fx * far) / math.sqrt(spread)
        power += amplitude * amplitude
        amplitude *= gain
        cells *= 2.0
    for p in range(lon.size):
        out[p] /= math.sqrt(power)


def smooth(
    key: np.uint64, lon: NDArray, lat: NDArray, wavelength: float, octaves: int = 1, gain: float = 0.5
) -> NDArray[np.float32]:
    """A continuous random field at coordinates in degrees; every point is N(0, 1), of lon's shape.

    `wavelength` (metres) is the lattice spacing of the coarsest octave; each further one halves it and has `gain`
    times its amplitude. Value noise on a lattice through the globe, so that it has no seam and no pole.
    """
    lon, lat = np.asarray(lon, dtype=np.float64), np.asarray(lat, dtype=np.float64)
    out = np.empty(lon.size)
    _smooth(key, lon.ravel(), lat.ravel(), EARTH_RADIUS_M / wavelength, octaves, gain, out)
    return out.astype(np.float32).reshape(lon.shape)


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
