"""Works: what people have made of each point: fields, roads, streets, houses and sites, painted over nature."""

import math

import numpy as np
from numba import njit

from geomeld.sources.simulated.nature import FARMED
from geomeld.sources.simulated.noise import fraction, hashed, layered, plane_noise, share_below, unit
from geomeld.sources.simulated.region import METRES, SIDE, SITES, SPAN, TOWNS

NATURAL, ROAD, ROOF, PANEL, TANK, RUNWAY, GREENHOUSE, QUARRY, ORCHARD, RAIL = range(10)
"""Codes of `Landscape.surface`."""

LOT = 24.0
"""Side of a building lot, metres."""
LONG = 1.7
"""Length of a block of houses over its width."""
TANK_GRID = 62.0
"""Distance of storage tanks, metres."""
ROAD_BEND = 70.0
"""How far roads and railways wander from the straight line, metres."""
BEND_LIMIT = 250.0
"""Metres beyond which no bend brings a point onto a way."""


@njit(cache=True)
def half_width(cosine):  # type: ignore[no-untyped-def]
    """Metres from the middle of a region to its western and eastern borders, by the cosine of its latitude."""
    return 180.0 / max(1, round(360.0 / SIDE * cosine)) * cosine * METRES


@njit(cache=True)
def bend(x, y, half, key):  # type: ignore[no-untyped-def]
    """Metres east and north by which a point is moved before its distance to straight ways is taken.

    Nothing at a region's western and eastern borders, so that its ways meet those of its neighbours.
    """
    f = 1.0 / 1100.0
    inside = min(1.0, max(0.0, (half - abs(x)) / 500.0))
    reach = ROAD_BEND * inside * inside * (3.0 - 2.0 * inside)
    return reach * plane_noise(x * f, y * f, 0.5, key + 3), reach * plane_noise(x * f, y * f, 9.5, key + 4)


@njit(cache=True)
def course(x0, y0, x1, y1, t0, t1, count, half, key):  # type: ignore[no-untyped-def]
    """(count, 2): points of a bent way from share `t0` to `t1` of its straight line; the inverse of `bend`."""
    out = np.empty((count, 2))
    for n in range(count):
        t = t0 + (t1 - t0) * n / (count - 1)
        goal_x, goal_y = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
        x, y = goal_x, goal_y
        for _ in range(8):
            east, north = bend(x, y, half, key)
            x, y = goal_x - east, goal_y - north
        out[n, 0], out[n, 1] = x, y
    return out


@njit(cache=True)
def parcel_of(x, y, angle, block, key):  # type: ignore[no-untyped-def]
    """(identifier, centre x, centre y, metres to its edge) of the field parcel at a point of a region."""
    f = 1.0 / 700.0
    wobble = 0.06 * block
    px = x + wobble * plane_noise(x * f, y * f, 3.5, key + 11)
    py = y + wobble * plane_noise(x * f, y * f, 7.5, key + 12)
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
def _gap(x, y, way):  # type: ignore[no-untyped-def]
    dx, dy = way[2] - way[0], way[3] - way[1]
    t = ((x - way[0]) * dx + (y - way[1]) * dy) / (dx * dx + dy * dy)
    t = min(1.0, max(0.0, t))
    return math.hypot(x - way[0] - t * dx, y - way[1] - t * dy) - way[4]


@njit(cache=True)
def way_distance(x, y, ways, half, key):  # type: ignore[no-untyped-def]
    """(metres to the nearest way's axis less its half width, row of that way or -1); 1e9 where none is near."""
    best = 1e9
    for k in range(ways.shape[0]):
        best = min(best, _gap(x, y, ways[k]))
    if best > BEND_LIMIT:
        return 1e9, -1
    east, north = bend(x, y, half, key)
    best, nearest = 1e9, -1
    for k in range(ways.shape[0]):
        d = _gap(x + east, y + north, ways[k])
        if d < best:
            best, nearest = d, k
    return best, nearest


@njit(cache=True)
def carries(cover, occurrence, steepness, shore):  # type: ignore[no-untyped-def]
    """Whether a way runs over a natural point (or points): not on ice, and over water only inland."""
    return (cover != 70.0) & ((occurrence < 75.0) | ((shore > 0.0005) & (steepness < 300.0)))


@njit(cache=True)
def town_of(x, y):  # type: ignore[no-untyped-def]
    """Row of the settlement whose cell holds a point."""
    side = SPAN / TOWNS
    i = min(TOWNS - 1, max(0, int((x + SPAN / 2) / side)))
    j = min(TOWNS - 1, max(0, int((y + SPAN / 2) / side)))
    return j * TOWNS + i


@njit(cache=True)
def density_of(x, y, t, towns, key):  # type: ignore[no-untyped-def]
    """How densely a settlement stands at a point, 1 at its centre, 0 beyond its ragged edge or outside its cell."""
    radius = towns[t, 2]
    ring = math.hypot(x - towns[t, 0], y - towns[t, 1])
    if radius <= 0.0 or ring > 1.5 * radius or town_of(x, y) != t:
        return 0.0
    ragged = radius * (1.0 + 0.42 * plane_noise(x / 260.0, y / 260.0, 1.5, key + 21))
    return min(1.0, max(0.0, 1.15 - ring / max(ragged, 1.0)))


@njit(cache=True)
def densities(points, t, towns, key):  # type: ignore[no-untyped-def]
    """(points,): how densely a settlement stands at each of (points, 2) places."""
    out = np.empty(len(points))
    for n in range(len(points)):
        out[n] = density_of(points[n, 0], points[n, 1], t, towns, key)
    return out


@njit(cache=True)
def town_at(x, y, towns, ways, half, key):  # type: ignore[no-untyped-def]
    """(density 0..1, on a street, under a roof) of the settlement whose cell holds a point; density 0 outside."""
    t = town_of(x, y)
    density = density_of(x, y, t, towns, key)
    if density <= 0.0:
        return 0.0, False, False
    dx, dy = x - towns[t, 0], y - towns[t, 1]
    c, s = math.cos(towns[t, 3]), math.sin(towns[t, 3])
    u, v = c * dx + s * dy, c * dy - s * dx
    if on_street(u, v, towns[t, 4]):
        return density, True, False
    stands, cu, cv, a, b = house_on(math.floor(u / LOT), math.floor(v / LOT), t, towns, ways, half, key)
    return density, False, stands and abs(u - cu) < a and abs(v - cv) < b


@njit(cache=True)
def on_street(u, v, spacing):  # type: ignore[no-untyped-def]
    """Whether a point of a town's own axes lies on a street, 6 m wide."""
    a = u - spacing * math.floor(u / spacing + 0.5)
    b = v - LONG * spacing * math.floor(v / (LONG * spacing) + 0.5)
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
def house_on(i, j, t, towns, ways, half, key):  # type: ignore[no-untyped-def]
    """(stands, centre u, centre v, half length, half width): the house of a building lot, in its town's own axes.

    Houses keep off the streets, the roads and the railways.
    """
    u, v = (i + 0.5) * LOT, (j + 0.5) * LOT
    c, s = math.cos(towns[t, 3]), math.sin(towns[t, 3])
    x, y = towns[t, 0] + c * u - s * v, towns[t, 1] + s * u + c * v
    density = density_of(x, y, t, towns, key)
    if density <= 0.05:
        return False, 0.0, 0.0, 0.0, 0.0
    built, a, b, du, dv = lot_of(i, j, density, t, key)
    if not built or street_near(u + du, v + dv, towns[t, 4], a, b):
        return False, 0.0, 0.0, 0.0, 0.0
    gap, _ = way_distance(x + c * du - s * dv, y + s * du + c * dv, ways, half, key)
    return gap > math.hypot(a, b) + 1.0, u + du, v + dv, a, b


@njit(cache=True)
def houses(t, towns, ways, half, key, box):  # type: ignore[no-untyped-def]
    """(houses, 4): centre x, centre y, half length, half width of a town's houses near a box."""
    radius = towns[t, 2]
    c, s = math.cos(towns[t, 3]), math.sin(towns[t, 3])
    lots = int(1.5 * radius / LOT) + 1
    out = np.empty((4 * lots * lots, 4))
    count = 0
    for i in range(-lots, lots):
        for j in range(-lots, lots):
            u, v = (i + 0.5) * LOT, (j + 0.5) * LOT
            x, y = towns[t, 0] + c * u - s * v, towns[t, 1] + s * u + c * v
            if x < box[0] - LOT or x > box[2] + LOT or y < box[1] - LOT or y > box[3] + LOT:
                continue
            stands, cu, cv, a, b = house_on(i, j, t, towns, ways, half, key)
            if stands:
                out[count, 0], out[count, 1] = towns[t, 0] + c * cu - s * cv, towns[t, 1] + s * cu + c * cv
                out[count, 2], out[count, 3] = a, b
                count += 1
    return out[:count]


@njit(cache=True)
def street_near(u, v, spacing, a, b):  # type: ignore[no-untyped-def]
    """Whether a house with these half sides would stand on a street."""
    du = abs(u - spacing * math.floor(u / spacing + 0.5))
    dv = abs(v - LONG * spacing * math.floor(v / (LONG * spacing) + 0.5))
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
def _farming(x, y, lon, lat, cosine, key):  # type: ignore[no-untyped-def]
    """How little farming suits the country around a field, 0..1, by its centre in metres from the region's middle."""
    place = unit(np.array([lon + x / (cosine * METRES)]), np.array([lat + y / METRES]))
    return share_below(layered(place, 2.4e4, 3, 0.7, key + 330)[0])


@njit(cache=True, nogil=True)
def paint(x, y, middle, cosine, nature, plan_key, angle, block, towns, ways, sites, key, out):  # type: ignore[no-untyped-def]
    """Fill `out` (cover, canopy, surface, built, parcel, phase, occurrence) for the points of one region, in metres
    from its middle (longitude, latitude)."""
    half = half_width(cosine)
    field, wild = np.uint64(0), 0.0  # the parcel of the last point: the next one mostly lies in the same
    for i in range(x.size):
        cover, canopy = nature[1, i], nature[2, i]
        water = nature[4, i] >= 75.0
        surface, built, parcel, phase, occurrence = NATURAL, 0.0, np.uint64(0), 0.0, nature[4, i]
        fit = (not water) and cover != 70.0 and cover != 95.0 and nature[4, i] < 20.0
        if (fit and nature[8, i] < 150.0 and cover != 90.0 and nature[5, i] > 0.0 and cover != 60.0) or (
            fit and cover == 60.0 and nature[6, i] < 0.24 and nature[8, i] < 60.0
        ):
            word, cx, cy, edge = parcel_of(x[i], y[i], angle, block, plan_key)
            if word != field:
                field, wild = word, _farming(cx, cy, middle[0], middle[1], cosine, key)
            if wild < FARMED[int(nature[3, i])] * 1.12:
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
            density, street, roof = town_at(x[i], y[i], towns, ways, half, plan_key)
            if density > 0.0:
                parcel = np.uint64(0)
                if street or roof:
                    surface, cover, canopy = (ROAD if street else ROOF), 50.0, 0.0
                elif density > 0.62:
                    cover, canopy = 50.0, 0.0
                else:
                    tree = plane_noise(x[i] / 23.0, y[i] / 23.0, 4.5, plan_key + 41) > 0.25
                    cover, canopy = (10.0, 8.0) if tree else (30.0, 0.0)
                built = 0.95 if (street or roof) else 0.30 + 0.25 * density
        gap, row = way_distance(x[i], y[i], ways, half, plan_key)
        if gap < 0.0 and carries(nature[1, i], nature[4, i], nature[8, i], nature[9, i]):
            surface, built, parcel = (RAIL if ways[row, 5] else ROAD), 0.9, np.uint64(0)
            if not water and ways[row, 4] > 3.0:
                cover, canopy = 50.0, 0.0
        out[0, i], out[1, i], out[2, i], out[3, i] = cover, canopy, surface, built
        out[4, i], out[5, i], out[6, i] = float(parcel & np.uint64(0xFFFFFFFF)), phase, occurrence
