"""Noise on the sphere: keyed gradient noise of the three coordinates of a point, without seams or poles."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

EARTH = 6_371_008.8
"""Radius, metres: turns a wavelength on the ground into a frequency on the unit sphere."""


@njit(cache=True)
def mix(h):  # type: ignore[no-untyped-def]
    """Scramble 64 bits (the finaliser of SplitMix64)."""
    h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return h ^ (h >> np.uint64(31))


@njit(cache=True)
def hashed(i, j, k, key):  # type: ignore[no-untyped-def]
    """64 bits that belong to three integers and a key."""
    h = mix(np.uint64(i) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key))
    h = mix(h ^ (np.uint64(j) * np.uint64(0xC2B2AE3D27D4EB4F)))
    return mix(h ^ (np.uint64(k) * np.uint64(0x165667B19E3779F9)))


@njit(cache=True)
def fraction(h):  # type: ignore[no-untyped-def]
    """64 bits as a float in [0, 1)."""
    return float(h >> np.uint64(11)) * 2.0**-53


@njit(cache=True)
def unit(lon, lat):  # type: ignore[no-untyped-def]
    """Coordinates (x, y, z) on the unit sphere of a list of points in degrees, (3, points)."""
    out = np.empty((3, lon.size))
    for p in range(lon.size):
        east, north = math.radians(lon[p]), math.radians(lat[p])
        out[0, p] = math.cos(north) * math.cos(east)
        out[1, p] = math.cos(north) * math.sin(east)
        out[2, p] = math.sin(north)
    return out


def on_sphere(lon: NDArray, lat: NDArray) -> NDArray[np.float64]:
    """Coordinates on the unit sphere of points in degrees of any shape, (3, *shape)."""
    return unit(lon.ravel(), lat.ravel()).reshape(3, *lon.shape)


@njit(cache=True)
def _slope(h):  # type: ignore[no-untyped-def]
    """20 bits as a number in -1..1."""
    return float(h & np.uint64(0xFFFFF)) * (2.0 / 1048575.0) - 1.0


@njit(cache=True)
def _corners(i, j, k, key, out):  # type: ignore[no-untyped-def]
    """Draw the gradients at the eight corners of a cell of the lattice: (8, 3), the last index the fastest."""
    for a in range(2):
        ha = mix(np.uint64(i + a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key))
        for b in range(2):
            hb = mix(ha ^ (np.uint64(j + b) * np.uint64(0xC2B2AE3D27D4EB4F)))
            for c in range(2):
                h = mix(hb ^ (np.uint64(k + c) * np.uint64(0x165667B19E3779F9)))
                at = 4 * a + 2 * b + c
                out[at, 0], out[at, 1], out[at, 2] = _slope(h), _slope(h >> np.uint64(20)), _slope(h >> np.uint64(40))


@njit(cache=True)
def _fade(t):  # type: ignore[no-untyped-def]
    return t * t * t * (t * (t * 6.0 - 15.0) + 10.0)


@njit(cache=True)
def _fade_slope(t):  # type: ignore[no-untyped-def]
    return 30.0 * t * t * (t * (t - 2.0) + 1.0)


@njit(cache=True)
def run_length(x, y, z, f, i, j, k):  # type: ignore[no-untyped-def]
    """How many points from the first on lie in one cell of the lattice."""
    for p in range(x.size):
        if math.floor(x[p] * f) != i or math.floor(y[p] * f) != j or math.floor(z[p] * f) != k:
            return p
    return x.size


@njit(cache=True)
def _blend(x, y, z, f, i, j, k, g, out):  # type: ignore[no-untyped-def]
    """Perlin noise at points of one cell. Without a branch, so that it is computed several points at a time."""
    a0, a1, a2, b0, b1, b2 = g[0, 0], g[0, 1], g[0, 2], g[1, 0], g[1, 1], g[1, 2]
    c0, c1, c2, d0, d1, d2 = g[2, 0], g[2, 1], g[2, 2], g[3, 0], g[3, 1], g[3, 2]
    e0, e1, e2, f0, f1, f2 = g[4, 0], g[4, 1], g[4, 2], g[5, 0], g[5, 1], g[5, 2]
    g0, g1, g2, h0, h1, h2 = g[6, 0], g[6, 1], g[6, 2], g[7, 0], g[7, 1], g[7, 2]
    for p in range(out.size):
        u, v, w = x[p] * f - i, y[p] * f - j, z[p] * f - k
        r, s, t = u - 1.0, v - 1.0, w - 1.0
        fu, fv, fw = _fade(u), _fade(v), _fade(w)
        low, high = a0 * u + a1 * v + a2 * w, b0 * u + b1 * v + b2 * t
        n00 = low + fw * (high - low)
        low, high = c0 * u + c1 * s + c2 * w, d0 * u + d1 * s + d2 * t
        n01 = low + fw * (high - low)
        low, high = e0 * r + e1 * v + e2 * w, f0 * r + f1 * v + f2 * t
        n10 = low + fw * (high - low)
        low, high = g0 * r + g1 * s + g2 * w, h0 * r + h1 * s + h2 * t
        n11 = low + fw * (high - low)
        low, high = n00 + fv * (n01 - n00), n10 + fv * (n11 - n10)
        out[p] = 1.5 * (low + fu * (high - low))


@njit(cache=True)
def plain_noise(points, wavelength, key):  # type: ignore[no-untyped-def]
    """Perlin noise at (3, points) of the unit sphere, about -1..1; `wavelength` in metres on the ground.

    Points that follow each other mostly lie in one cell of the lattice: its corners, whose hashes cost several times
    the rest, are then drawn once. A value depends on its own point alone.
    """
    f = EARTH / wavelength
    x, y, z = points[0], points[1], points[2]
    out, corners, start = np.empty(x.size), np.empty((8, 3)), 0
    while start < x.size:
        i, j, k = math.floor(x[start] * f), math.floor(y[start] * f), math.floor(z[start] * f)
        stop = start + run_length(x[start:], y[start:], z[start:], f, i, j, k)
        _corners(int(i), int(j), int(k), key, corners)
        _blend(x[start:stop], y[start:stop], z[start:stop], f, i, j, k, corners, out[start:stop])
        start = stop
    return out


@njit(cache=True)
def layered(points, wavelength, octaves, gain, key):  # type: ignore[no-untyped-def]
    """Sum of octaves from `wavelength` metres down, each half as long and `gain` as strong; unit variance or so."""
    total, amplitude, norm = np.zeros(points.shape[1]), 1.0, 0.0
    for n in range(octaves):
        total += amplitude * plain_noise(points, wavelength, key + n)
        norm += amplitude * amplitude
        amplitude *= gain
        wavelength *= 0.5
    return total / (0.42 * math.sqrt(norm))


@njit(cache=True)
def ridged(points, wavelength, octaves, gain, key):  # type: ignore[no-untyped-def]
    """Ridged multifractal, 0..1: sharp crests, each octave stronger where the one before was high."""
    total, weight = np.zeros(points.shape[1]), np.ones(points.shape[1])
    amplitude, norm = 1.0, 0.0
    for n in range(octaves):
        r = np.maximum(1.0 - np.abs(plain_noise(points, wavelength, key + n)) * 1.4, 0.0)
        r = r * r * weight
        weight = np.minimum(1.0, np.maximum(0.15, r * 1.8))
        total += amplitude * r
        norm += amplitude
        amplitude *= gain
        wavelength *= 0.5
    return total / norm


@njit(cache=True)
def _gradient_noise(x, y, z, g):  # type: ignore[no-untyped-def]
    """Perlin noise at a point of a cell (0..1 each) and its gradient: (value, d/dx, d/dy, d/dz)."""
    u, v, w = _fade(x), _fade(y), _fade(z)
    du, dv, dw = _fade_slope(x), _fade_slope(y), _fade_slope(z)
    value = gx = gy = gz = 0.0
    for a in range(2):
        wa, sa = (u, du) if a else (1.0 - u, -du)
        for b in range(2):
            wb, sb = (v, dv) if b else (1.0 - v, -dv)
            for c in range(2):
                wc, sc = (w, dw) if c else (1.0 - w, -dw)
                cx, cy, cz = g[4 * a + 2 * b + c]
                d = cx * (x - a) + cy * (y - b) + cz * (z - c)
                value += wa * wb * wc * d
                gx += wa * wb * wc * cx + sa * wb * wc * d
                gy += wa * wb * wc * cy + wa * sb * wc * d
                gz += wa * wb * wc * cz + wa * wb * sc * d
    return value * 1.5, gx * 1.5, gy * 1.5, gz * 1.5


@njit(cache=True)
def line_distance(points, wavelength, key):  # type: ignore[no-untyped-def]
    """Distance in metres (to first order) of (3, points) to the zero line of a noise field with this wavelength."""
    f = EARTH / wavelength
    out, corners, last = np.empty(points.shape[1]), np.empty((8, 3)), (0.5, 0.5, 0.5)
    for p in range(out.size):
        x, y, z = points[0, p], points[1, p], points[2, p]
        i, j, k = math.floor(x * f), math.floor(y * f), math.floor(z * f)
        if (i, j, k) != last:
            _corners(int(i), int(j), int(k), key, corners)
            last = (float(i), float(j), float(k))
        value, gx, gy, gz = _gradient_noise(x * f - i, y * f - j, z * f - k, corners)
        radial = gx * x + gy * y + gz * z
        steepness = math.sqrt(max(gx * gx + gy * gy + gz * gz - radial * radial, 1e-4))
        out[p] = abs(value) * wavelength / steepness
    return out


@njit(cache=True)
def plane_noise(x, y, z, key):  # type: ignore[no-untyped-def]
    """Perlin noise at one point of space, about -1..1; the same as `plain_noise` on a lattice of side 1."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    x, y, z = x - i, y - j, z - k
    u, v, w = _fade(x), _fade(y), _fade(z)
    value = 0.0
    for a in range(2):
        ha = mix(np.uint64(i + a) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key))
        wa = u if a else 1.0 - u
        for b in range(2):
            hb = mix(ha ^ (np.uint64(j + b) * np.uint64(0xC2B2AE3D27D4EB4F)))
            wb = wa * (v if b else 1.0 - v)
            for c in range(2):
                h = mix(hb ^ (np.uint64(k + c) * np.uint64(0x165667B19E3779F9)))
                d = _slope(h) * (x - a) + _slope(h >> np.uint64(20)) * (y - b)
                value += wb * (w if c else 1.0 - w) * (d + _slope(h >> np.uint64(40)) * (z - c))
    return 1.5 * value


@njit(cache=True)
def share_below(value):  # type: ignore[no-untyped-def]
    """A normal variate of unit variance as a uniform one, 0..1."""
    return 0.5 * (1.0 + math.tanh(0.7978845608 * value * (1.0 + 0.044715 * value * value)))


@njit(cache=True)
def step_between(low, high, value):  # type: ignore[no-untyped-def]
    """0 below `low`, 1 above `high`, smooth between."""
    t = min(1.0, max(0.0, (value - low) / (high - low)))
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True)
def drawn(i, j, k, key):  # type: ignore[no-untyped-def]
    """A float in [0, 1) that belongs to three integers and a key."""
    return fraction(hashed(i, j, k, key))


@njit(cache=True)
def drawn_key(i, j, k, key):  # type: ignore[no-untyped-def]
    """A positive 48-bit integer that belongs to three integers and a key."""
    return int(hashed(i, j, k, key) >> np.uint64(16))
