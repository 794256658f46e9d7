"""Noise on the sphere: keyed gradient noise of the three coordinates of a point, without seams or poles."""

import math

import numpy as np
from numba import njit

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
def _corner(i, j, k, key, x, y, z):  # type: ignore[no-untyped-def]
    h = hashed(i, j, k, key)
    gx = float(h & np.uint64(0xFFFFF)) * (2.0 / 1048575.0) - 1.0
    gy = float((h >> np.uint64(20)) & np.uint64(0xFFFFF)) * (2.0 / 1048575.0) - 1.0
    gz = float((h >> np.uint64(40)) & np.uint64(0xFFFFF)) * (2.0 / 1048575.0) - 1.0
    return gx * x + gy * y + gz * z, gx, gy, gz


@njit(cache=True)
def _fade(t):  # type: ignore[no-untyped-def]
    return t * t * t * (t * (t * 6.0 - 15.0) + 10.0), 30.0 * t * t * (t * (t - 2.0) + 1.0)


@njit(cache=True)
def gradient_noise(x, y, z, key):  # type: ignore[no-untyped-def]
    """Perlin noise at a point of space and its gradient: (value, d/dx, d/dy, d/dz); values are about -1..1."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    fx, fy, fz = x - i, y - j, z - k
    i, j, k = int(i), int(j), int(k)
    u, du = _fade(fx)
    v, dv = _fade(fy)
    w, dw = _fade(fz)
    value = gx = gy = gz = 0.0
    for a in range(2):
        wa, sa = (u, du) if a else (1.0 - u, -du)
        for b in range(2):
            wb, sb = (v, dv) if b else (1.0 - v, -dv)
            for c in range(2):
                wc, sc = (w, dw) if c else (1.0 - w, -dw)
                d, cx, cy, cz = _corner(i + a, j + b, k + c, key, fx - a, fy - b, fz - c)
                value += wa * wb * wc * d
                gx += wa * wb * wc * cx + sa * wb * wc * d
                gy += wa * wb * wc * cy + wa * sb * wc * d
                gz += wa * wb * wc * cz + wa * wb * sc * d
    return value * 1.5, gx * 1.5, gy * 1.5, gz * 1.5


@njit(cache=True)
def plain_noise(x, y, z, key):  # type: ignore[no-untyped-def]
    """Perlin noise without its gradient, about -1..1."""
    i, j, k = math.floor(x), math.floor(y), math.floor(z)
    fx, fy, fz = x - i, y - j, z - k
    i, j, k = int(i), int(j), int(k)
    u = fx * fx * fx * (fx * (fx * 6.0 - 15.0) + 10.0)
    v = fy * fy * fy * (fy * (fy * 6.0 - 15.0) + 10.0)
    w = fz * fz * fz * (fz * (fz * 6.0 - 15.0) + 10.0)
    value = 0.0
    for a in range(2):
        wa = u if a else 1.0 - u
        for b in range(2):
            wb = wa * (v if b else 1.0 - v)
            for c in range(2):
                d, _, _, _ = _corner(i + a, j + b, k + c, key, fx - a, fy - b, fz - c)
                value += wb * (w if c else 1.0 - w) * d
    return value * 1.5


@njit(cache=True)
def layered(x, y, z, wavelength, octaves, gain, key):  # type: ignore[no-untyped-def]
    """Sum of octaves from `wavelength` metres down, each half as long and `gain` as strong; unit variance or so."""
    f = EARTH / wavelength
    total, amplitude, norm = 0.0, 1.0, 0.0
    for n in range(octaves):
        total += amplitude * plain_noise(x * f, y * f, z * f, key + n)
        norm += amplitude * amplitude
        amplitude *= gain
        f *= 2.0
    return total / (0.42 * math.sqrt(norm))


@njit(cache=True)
def ridged(x, y, z, wavelength, octaves, gain, key):  # type: ignore[no-untyped-def]
    """Ridged multifractal, 0..1: sharp crests, each octave stronger where the one before was high."""
    f = EARTH / wavelength
    total, amplitude, norm, weight = 0.0, 1.0, 0.0, 1.0
    for n in range(octaves):
        r = 1.0 - abs(plain_noise(x * f, y * f, z * f, key + n)) * 1.4
        r = max(r, 0.0)
        r = r * r * weight
        weight = min(1.0, max(0.15, r * 1.8))
        total += amplitude * r
        norm += amplitude
        amplitude *= gain
        f *= 2.0
    return total / norm


@njit(cache=True)
def line_distance(x, y, z, wavelength, key):  # type: ignore[no-untyped-def]
    """Distance in metres (to first order) to the zero line of a noise field with this wavelength."""
    f = EARTH / wavelength
    value, gx, gy, gz = gradient_noise(x * f, y * f, z * f, key)
    radial = gx * x + gy * y + gz * z
    steepness = math.sqrt(max(gx * gx + gy * gy + gz * gz - radial * radial, 1e-4))
    return abs(value) * wavelength / steepness


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
