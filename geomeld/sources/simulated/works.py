"""Works: what people have made of each point: fields, roads, streets, houses and sites, painted over nature."""

import math

import numpy as np
from numba import njit

from geomeld.sources.simulated.nature import FARMED
from geomeld.sources.simulated.noise import fraction, hashed, layered, plain_noise, share_below
from geomeld.sources.simulated.region import SITES, SPAN, TOWNS

NATURAL, ROAD, ROOF, PANEL, TANK, RUNWAY, GREENHOUSE, QUARRY, ORCHARD = range(9)
"""Codes of `Landscape.surface`."""

LOT = 24.0
"""Side of a building lot, metres."""
TANK_GRID = 62.0
"""Distance of storage tanks, metres."""
ROAD_BEND = 70.0
"""How far roads wander from the straight line, metres."""


@njit(cache=True)
def bend(x, y, key):  # type: ignore[no-untyped-def]
    """Metres east and north by which a point is moved before its distance to straight roads is taken."""
    f = 1.0 / 1100.0
    return ROAD_BEND * plain_noise(x * f, y * f, 0.5, key + 3), ROAD_BEND * plain_noise(x * f, y * f, 9.5, key + 4)


@njit(cache=True)
def parcel_of(x, y, angle, block, key):  # type: ignore[no-untyped-def]
    """(identifier, centre x, centre y, metres to its edge) of the field parcel at a point of a region."""
    f = 1.0 / 700.0
    wobble = 0.06 * block
    px = x + wobble * plain_noise(x * f, y * f, 3.5, key + 11)
    py = y + wobble * plain_noise(x * f, y * f, 7.5, key + 12)
    c, s = math.cos(angle), math.sin(angle)
    u, v = c * px + s * py, c * py - s * px
    bi, bj = math.floor(u / block), math.floor(v / block)
    h = hashed(int(bi), int(bj), 3, key)
    across, down = 1 + int(h & np.uint64(3)), 1 + int((h >> np.uint64(8)) % np.uint64(3))
    w, t = block / across, block / down
    i, j = math.floor((u - bi * block) / w), math.floor((v - bj * block) / t)
    cu, cv = bi * block + (i + 0.5) * w, bj * block + (j + 0.5) * t
    edge = min(min(u - cu + w / 2, cu + w / 2 - u), min(v - cv + t / 2, cv + t / 2 - v))
    word = hashed(int(bi) * 16 + int(i), int(bj) * 16 + int(j), 5, key)
    return word, c * cu - s * cv, s * cu + c * cv, edge


@njit(cache=True)
def road_distance(x, y, roads, key):  # type: ignore[no-untyped-def]
    """(metres to the nearest road's axis less its half width, half width)."""
    best, width = 1e9, 0.0
    if roads.shape[0] == 0:
        return best, width
    wx, wy = bend(x, y, key)
    ax, ay = x + wx, y + wy
    for k in range(roads.shape[0]):
        x0, y0, x1, y1 = roads[k, 0], roads[k, 1], roads[k, 2], roads[k, 3]
        dx, dy = x1 - x0, y1 - y0
        t = ((ax - x0) * dx + (ay - y0) * dy) / (dx * dx + dy * dy)
        t = min(1.0, max(0.0, t))
        d = math.hypot(ax - x0 - t * dx, ay - y0 - t * dy) - roads[k, 4]
        if d < best:
            best, width = d, roads[k, 4]
    return best, width


@njit(cache=True)
def town_at(x, y, towns, key):  # type: ignore[no-untyped-def]
    """(density 0..1, street, roof, dx, dy) of the settlement whose cell holds a point; density 0 outside."""
    side = SPAN / TOWNS
    i = min(TOWNS - 1, max(0, int((x + SPAN / 2) / side)))
    j = min(TOWNS - 1, max(0, int((y + SPAN / 2) / side)))
    t = j * TOWNS + i
    radius = towns[t, 2]
    if radius <= 0.0:
        return 0.0, False, False
    dx, dy = x - towns[t, 0], y - towns[t, 1]
    ring = math.hypot(dx, dy)
    if ring > 1.5 * radius:
        return 0.0, False, False
    ragged = radius * (1.0 + 0.42 * plain_noise(x / 260.0, y / 260.0, 1.5, key + 21))
    density = 1.15 - ring / max(ragged, 1.0)
    if density <= 0.0:
        return 0.0, False, False
    c, s = math.cos(towns[t, 3]), math.sin(towns[t, 3])
    u, v = c * dx + s * dy, c * dy - s * dx
    street = on_street(u, v, towns[t, 4])
    return min(1.0, density), street, (not street) and on_roof(u, v, density, towns[t, 4], t, key)


@njit(cache=True)
def on_street(u, v, spacing):  # type: ignore[no-untyped-def]
    """Whether a point of a town's own axes lies on a street, 6 m wide."""
    a = u - spacing * math.floor(u / spacing + 0.5)
    b = v - 1.7 * spacing * math.floor(v / (1.7 * spacing) + 0.5)
    return abs(a) < 3.0 or abs(b) < 3.0


@njit(cache=True)
def lot_of(i, j, density, t, key):  # type: ignore[no-untyped-def]
    """(is built on, half length, half width, offset u, offset v) of a building lot."""
    h = hashed(i, j, 31 + t, key)
    if fraction(h) > 0.25 + 0.65 * density:
        return False, 0.0, 0.0, 0.0, 0.0
    a, b = float((h >> np.uint64(3)) & np.uint64(255)) / 255.0, float((h >> np.uint64(13)) & np.uint64(255)) / 255.0
    grow = 1.0 + 0.5 * density
    return True, (4.5 + 3.5 * a) * grow, (4.0 + 2.5 * b) * grow, 5.0 * (a - 0.5), 5.0 * (b - 0.5)


@njit(cache=True)
def on_roof(u, v, density, spacing, t, key):  # type: ignore[no-untyped-def]
    """Whether a point of a town's own axes lies under a roof. Houses keep off the streets."""
    i, j = math.floor(u / LOT), math.floor(v / LOT)
    cu, cv = (i + 0.5) * LOT, (j + 0.5) * LOT
    built, a, b, ou, ov = lot_of(i, j, density, t, key)
    if not built or street_near(cu + ou, cv + ov, spacing, a, b):
        return False
    return abs(u - cu - ou) < a and abs(v - cv - ov) < b


@njit(cache=True)
def street_near(u, v, spacing, a, b):  # type: ignore[no-untyped-def]
    """Whether a house with these half sides would stand on a street."""
    du = abs(u - spacing * math.floor(u / spacing + 0.5))
    dv = abs(v - 1.7 * spacing * math.floor(v / (1.7 * spacing) + 0.5))
    return du < 3.5 + a or dv < 3.5 + b


@njit(cache=True)
def site_at(x, y, sites):  # type: ignore[no-untyped-def]
    """(kind index or -1, u, v, half length, half width): the site whose cell holds a point, in the site's own axes."""
    side = SPAN / SITES
    i = min(SITES - 1, max(0, int((x + SPAN / 2) / side)))
    j = min(SITES - 1, max(0, int((y + SPAN / 2) / side)))
    k = j * SITES + i
    if sites[k, 2] < 0:
        return -1, 0.0, 0.0, 0.0, 0.0
    dx, dy = x - sites[k, 0], y - sites[k, 1]
    c, s = math.cos(sites[k, 5]), math.sin(sites[k, 5])
    u, v = c * dx + s * dy, c * dy - s * dx
    if abs(u) > sites[k, 3] or abs(v) > sites[k, 4]:
        return -1, 0.0, 0.0, 0.0, 0.0
    return int(sites[k, 2]), u, v, sites[k, 3], sites[k, 4]


@njit(cache=True)
def site_ground(kind, u, v, a, b):  # type: ignore[no-untyped-def]
    """(WorldCover code or 0 for unchanged, surface, canopy) at a point inside a site."""
    if kind == 0:  # solar farm: rows of panels along the long axis
        row = v / 9.0 - math.floor(v / 9.0)
        return 50 if row < 0.7 else 30, PANEL if row < 0.7 else NATURAL, 0.0
    if kind == 1:
        du = u - TANK_GRID * math.floor(u / TANK_GRID + 0.5)
        dv = v - TANK_GRID * math.floor(v / TANK_GRID + 0.5)
        inside = math.hypot(du, dv) < 19.0 and abs(u - du) < a - 20.0 and abs(v - dv) < b - 20.0
        return 50, TANK if inside else ROAD if abs(du) > 28.0 else NATURAL, 0.0
    if kind == 2:
        crown = math.hypot(u - 7.0 * math.floor(u / 7.0 + 0.5), v - 7.0 * math.floor(v / 7.0 + 0.5)) < 2.9
        return 10, ORCHARD, 4.5 if crown else 3.0
    if kind == 3:
        runway = abs(v) < 16.0 and abs(u) < a - 30.0
        return 50 if runway else 30, RUNWAY if runway else NATURAL, 0.0
    if kind == 4:
        return (60, QUARRY, 0.0) if (u / a) ** 2 + (v / b) ** 2 < 1.0 else (0, NATURAL, 0.0)
    if kind == 5:
        fairway = math.sin(u / 60.0) + math.sin(v / 47.0 + 1.0) > -0.2
        return 30 if fairway else 10, NATURAL, 0.0 if fairway else 9.0
    if kind == 6:
        house = abs(v - 26.0 * math.floor(v / 26.0 + 0.5)) < 10.0
        return 50, GREENHOUSE if house else NATURAL, 0.0
    if kind == 8:
        return 20, ORCHARD, 1.5
    if kind == 9:
        return (80, NATURAL, 0.0) if (u / a) ** 2 + (v / b) ** 2 < 1.0 else (0, NATURAL, 0.0)
    return 0, NATURAL, 0.0


@njit(cache=True)
def _tilled(lon0, lat0, dlon, dlat, biome, moisture, key):  # type: ignore[no-untyped-def]
    """Whether a parcel with its centre at an offset of degrees is under crops."""
    rl, rb = math.radians(lon0 + dlon), math.radians(lat0 + dlat)
    x, y, z = math.cos(rb) * math.cos(rl), math.cos(rb) * math.sin(rl), math.sin(rb)
    country = layered(x, y, z, 2.4e4, 3, 0.7, key + 330)
    return share_below(country) < FARMED[biome] * 1.12


@njit(cache=True, nogil=True)
def paint(lon, lat, x, y, cosine, nature, plan_key, angle, block, towns, roads, sites, key, out):  # type: ignore[no-untyped-def]
    """Fill `out` (cover, canopy, surface, built, parcel, phase, occurrence) for the points of one region."""
    for i in range(lon.size):
        cover, canopy = nature[1, i], nature[2, i]
        water = nature[4, i] >= 75.0
        surface, built, parcel, phase, occurrence = NATURAL, 0.0, np.uint64(0), 0.0, nature[4, i]
        fit = (not water) and cover != 70.0 and cover != 95.0 and nature[4, i] < 20.0
        if (fit and nature[8, i] < 150.0 and cover != 90.0 and nature[5, i] > 0.0 and cover != 60.0) or (
            fit and cover == 60.0 and nature[6, i] < 0.24 and nature[8, i] < 60.0
        ):
            word, cx, cy, edge = parcel_of(x[i], y[i], angle, block, plan_key)
            dlon, dlat = (cx - x[i]) / (cosine * 111194.93), (cy - y[i]) / 111194.93
            if _tilled(lon[i], lat[i], dlon, dlat, int(nature[3, i]), nature[6, i], key):
                if fraction(word) < 0.13:
                    cover, canopy, parcel = 30.0, 0.0, word
                elif edge > 3.5:
                    cover, canopy, parcel = 40.0, 0.0, word
                elif cover != 10.0 and (word & np.uint64(7)) < 5:
                    cover, canopy = 30.0, 0.0
                if parcel != 0:
                    phase = fraction(hashed(int(word & np.uint64(0xFFFF)), 2, 9, plan_key))
        kind, u, v, a, b = site_at(x[i], y[i], sites)
        if kind >= 0 and fit:
            code, surface, tall = site_ground(kind, u, v, a, b)
            if code:
                cover, canopy, parcel = float(code), tall, np.uint64(0)
                built = 0.9 if surface in (PANEL, TANK, RUNWAY, GREENHOUSE) else 0.25 if code == 50 else 0.0
                if code == 80:
                    occurrence = 96.0
        if fit:
            density, street, roof = town_at(x[i], y[i], towns, plan_key)
            if density > 0.0:
                parcel = np.uint64(0)
                if street or roof:
                    surface, cover, canopy = (ROAD if street else ROOF), 50.0, 0.0
                elif density > 0.62:
                    cover, canopy = 50.0, 0.0
                else:
                    tree = plain_noise(x[i] / 23.0, y[i] / 23.0, 4.5, plan_key + 41) > 0.25
                    cover, canopy = (10.0, 8.0) if tree else (30.0, 0.0)
                built = 0.95 if (street or roof) else 0.30 + 0.25 * density
        gap, width = road_distance(x[i], y[i], roads, plan_key)
        if gap < 0.0 and (not water or (nature[9, i] > 0.0005 and nature[8, i] < 300.0)) and cover != 70.0:
            surface, built, parcel = ROAD, 0.9, np.uint64(0)
            if not water and width > 3.0:
                cover, canopy = 50.0, 0.0
        out[0, i], out[1, i], out[2, i], out[3, i] = cover, canopy, surface, built
        out[4, i], out[5, i], out[6, i] = float(parcel & np.uint64(0xFFFFFFFF)), phase, occurrence
