"""Aerial: the simulated NAIP orthophoto, where single houses, roads and tree crowns can be seen."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from affine import Affine
from numba import njit
from numpy.typing import NDArray
from rasterio.features import rasterize
from shapely import centroid, get_x, transform
from shapely.affinity import translate
from shapely.geometry.base import BaseGeometry

from geomeld.sources.simulated import landscape, weather
from geomeld.sources.simulated.grain import key_of, white
from geomeld.sources.simulated.ground import UTM_MARGIN, Ground, gradient, padded_ground
from geomeld.sources.simulated.raster import Raster, Window, projected
from geomeld.sources.simulated.spectra import MATRIX, NAMES
from geomeld.sources.simulated.surface import reflectance, shares
from geomeld.sources.source import Scene

FINE = 10
"""Photograph pixels across one pixel of the 10 m truth."""

RGB = (3, 2, 1)
"""Positions of red, green and blue among the twelve bands."""

MATERIAL = {
    "highway": "asphalt",
    "building": "tiles",
    "aeroway": "concrete",
    "solar": "panel",
    "tank": "tank",
    "greenhouse": "plastic",
    "pier": "concrete",
    "abutment": "concrete",
    "ballast": "gravel",
    "rails": "asphalt",
}
"""Endmember of each drawn kind of object."""

ROAD_METRES = {"motorway": 20.0, "primary": 12.0, "secondary": 9.0, "residential": 6.0, "track": 3.0}
"""Width of drawn roads by highway tag; 7 m for others."""


def render(seed: int, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Red, green and blue digital numbers 1..255, (3, rows, columns) uint8."""
    ground = padded_ground(seed, scene, raster, _whole(window))
    day = int(scene.properties["day"])
    elevation, azimuth = weather.sun(day, 11.0, float(ground.lat.mean().round(1)))
    frame = _frame(ground, window)
    light = _painted(seed, _base(seed, day, ground, elevation, azimuth), ground, frame)
    _draw(light, seed, scene, ground, frame, elevation, azimuth)
    light *= 1 + 0.02 * white(
        key_of(seed, scene.scene_id, "grain"), ground.row * FINE + frame.row, ground.column * FINE + frame.column,
        frame.rows, frame.columns,
    )  # fmt: skip
    # Photographs are stretched for the eye: a gamma that puts 30 % reflectance near white.
    return np.clip(np.round(255 * (np.clip(light, 0, 0.4) / 0.4) ** 0.62), 1, 255).astype(raster.dtype)


def _whole(window: Window) -> Window:
    """The window grown to whole pixels of the truth."""
    left, top = window.column // FINE * FINE, window.row // FINE * FINE
    right, bottom = -(-(window.column + window.columns) // FINE), -(-(window.row + window.rows) // FINE)
    return Window(left, top, right * FINE - left, bottom * FINE - top)


def _frame(ground: Ground, window: Window) -> Window:
    """The window within the padded truth at 1 m."""
    row, column = (UTM_MARGIN * FINE + start % FINE for start in (window.row, window.column))
    return Window(column, row, window.columns, window.rows)


def _base(seed: int, day: int, ground: Ground, elevation: float, azimuth: float) -> NDArray[np.float32]:
    """Reflectance in red, green and blue at 10 m without objects, lit by the sun: (3, rows, columns)."""
    land = replace(
        ground.land, surface=np.zeros_like(ground.land.surface), built=(0.3 * ground.land.built).astype(np.float32)
    )
    bare = replace(ground, land=land)
    light = reflectance(shares(seed, day, bare)).reshape(12, *ground.shape)[list(RGB)]
    east, north = gradient(ground)
    height, towards = np.radians(elevation), np.radians(azimuth)
    facing = 1 - (east * np.sin(towards) + north * np.cos(towards)) / np.tan(height)
    shade = np.where(land.land_cover == 80, 1.0, 0.3 + 0.7 * np.clip(facing, 0, 2))
    return (light * shade * (1 + 0.13 * land.texture)).astype(np.float32)


def _painted(seed: int, light: NDArray[np.float32], ground: Ground, frame: Window) -> NDArray[np.float32]:
    """A frame of the 10 m picture at 1 m: frayed edges, tree crowns with shadows, rows in fields, grain of the rest."""
    top, left = ground.row * FINE + frame.row, ground.column * FINE + frame.column
    lattices = []
    for stream, cell in (("aerial-east", 9), ("aerial-north", 9), ("aerial-crowns", 5)):
        size = frame.rows // cell + 3, frame.columns // cell + 3
        lattices.append(white(key_of(seed, stream), top // cell, left // cell, *size))
    grain = white(key_of(seed, "aerial-grain"), top, left, frame.rows, frame.columns)
    out = np.empty((3, frame.rows, frame.columns), dtype=np.float32)
    canopy, parcel = ground.land.canopy.astype(np.float32), ground.land.parcel.astype(np.uint32)
    _paint(light, canopy, parcel, *lattices, grain, frame.row, frame.column, top, left, out)
    return out


@njit(cache=True)
def _steps(first: int, count: int, cell: int) -> tuple[NDArray, NDArray]:
    """(cell, smooth position in it 0..1) of `count` pixels on a lattice of `cell` pixels, `first` pixels from its
    corner."""
    at, position = np.empty(count, np.int64), np.empty(count, np.float32)
    for n in range(count):
        at[n] = (first + n) // cell
        t = (first + n - at[n] * cell) / cell
        position[n] = t * t * (3 - 2 * t)
    return at, position


@njit(inline="always")
def _between(lattice: NDArray, i: int, u: float, j: int, v: float) -> float:
    near = lattice[i, j] + (lattice[i, j + 1] - lattice[i, j]) * v
    far = lattice[i + 1, j] + (lattice[i + 1, j + 1] - lattice[i + 1, j]) * v
    return near + (far - near) * u


@njit(cache=True)
def _paint(
    light: NDArray,
    canopy: NDArray,
    parcel: NDArray,
    east: NDArray,
    north: NDArray,
    crowns: NDArray,
    grain: NDArray,
    row: int,
    column: int,
    top: int,
    left: int,
    out: NDArray,
) -> None:
    rows, columns = canopy.shape
    fray_row, fray_u = _steps(top % 9, out.shape[1], 9)
    fray_column, fray_v = _steps(left % 9, out.shape[2], 9)
    crown_row, crown_u = _steps(top % 5, out.shape[1], 5)
    crown_column, crown_v = _steps(left % 5, out.shape[2], 5)
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            dx = _between(east, fray_row[i], fray_u[i], fray_column[j], fray_v[j])
            dy = _between(north, fray_row[i], fray_u[i], fray_column[j], fray_v[j])
            y = min(max((row + i + 0.5 + 2.0 * dy) / FINE - 0.5, 0.0), rows - 1.001)
            x = min(max((column + j + 0.5 + 2.0 * dx) / FINE - 0.5, 0.0), columns - 1.001)
            a, b = int(y), int(x)
            # Steeper than bilinear: edges a few metres wide, not ten.
            u = min(max((y - a - 0.5) * 2.5 + 0.5, 0.0), 1.0)
            v = min(max((x - b - 0.5) * 2.5 + 0.5, 0.0), 1.0)
            r, c = int(y + 0.5), int(x + 0.5)
            factor = 1.0 + 0.035 * grain[i, j]
            woody = min(canopy[r, c] / 6.0, 1.0)
            if woody > 0.05:
                crown = _between(crowns, crown_row[i], crown_u[i], crown_column[j], crown_v[j])
                factor += woody * min(max(0.42 * crown - 0.1, -0.62), 0.6)
            elif parcel[r, c] > 0:
                angle = (parcel[r, c] % 180) * 0.0174533
                across = ((j + left) % 90_000) * math.cos(angle) + ((i + top) % 90_000) * math.sin(angle)
                factor += 0.05 * math.sin(6.2831853 * across / (4.0 + parcel[r, c] % 5))
            for k in range(3):
                near = light[k, a, b] * (1 - v) + light[k, a, b + 1] * v
                far = light[k, a + 1, b] * (1 - v) + light[k, a + 1, b + 1] * v
                out[k, i, j] = (near * (1 - u) + far * u) * factor


def _draw(
    light: NDArray[np.float32],
    seed: int,
    scene: Scene,
    ground: Ground,
    frame: Window,
    elevation: float,
    azimuth: float,
) -> None:
    """Objects over the ground: first what lies flat, then shadows, then what casts them."""
    epsg = int(scene.properties["epsg"])
    corner = Affine(1.0, 0.0, ground.column * 10.0 + frame.column, 0.0, -1.0, -ground.row * 10.0 - frame.row)
    bounds = (float(ground.lon.min()), float(ground.lat.min()), float(ground.lon.max()), float(ground.lat.max()))
    flat, tall, shadows = [], [], []
    away = np.radians(azimuth + 180)
    for kind, shape, variant in _shapes(seed, bounds, epsg):
        colour = NAMES.index(
            ("tiles", "metal", "asphalt", "concrete", "tiles")[variant % 5] if kind == "building" else MATERIAL[kind]
        )
        if kind in ("building", "tank"):
            reach = (5.0 + variant % 4) / np.tan(np.radians(elevation))
            shadows.append((translate(shape, reach * np.sin(away), reach * np.cos(away)), 1))
            tall.append((shape, colour + 1))
        else:
            flat.append((shape, colour + 1))
    for layer in (flat, shadows, tall):
        if not layer:
            continue
        drawn = rasterize(layer, out_shape=light.shape[1:], transform=corner, dtype="uint8")
        at = drawn > 0
        if layer is shadows:
            light[:, at] *= 0.4
        else:
            light[:, at] = MATRIX[drawn[at] - 1][:, list(RGB)].T


def _shapes(seed: int, bounds: tuple[float, float, float, float], epsg: int) -> Iterator[tuple[str, BaseGeometry, int]]:
    """(kind, outline in metres, a number for its looks) of every object that is drawn."""
    things = landscape.objects(seed, *bounds)
    geometries = np.array([thing.geometry for thing in things], dtype=object)
    shapes = transform(geometries, lambda xy: np.column_stack(projected(xy[:, 0], xy[:, 1], 4326, epsg)))
    variants = (np.abs(get_x(centroid(geometries))) * 1e6).astype(np.int64) % 97
    for thing, shape, variant in zip(things, shapes, variants.tolist(), strict=True):
        tags = thing.tags
        if "bridge" in tags:
            wide = ROAD_METRES.get(tags.get("highway", ""), 7.0)
            yield "abutment", shape.buffer(wide / 2 + 1.5, cap_style="flat"), variant
        if tags.get("railway") == "rail":
            yield "ballast", shape.buffer(3.0), variant
            yield "rails", shape.buffer(0.9), variant
        elif "highway" in tags:
            yield "highway", shape.buffer(ROAD_METRES.get(tags["highway"], 7.0) / 2), variant
        elif "aeroway" in tags and tags["aeroway"] in ("runway", "taxiway"):
            yield "aeroway", shape.buffer(20.0) if shape.geom_type == "LineString" else shape, variant
        elif "building" in tags:
            yield ("greenhouse" if tags["building"] == "greenhouse" else "building"), _area(shape, 6.0), variant
        elif tags.get("man_made") == "storage_tank":
            yield "tank", _area(shape, 12.0), variant
        elif tags.get("man_made") == "pier":
            yield "pier", _area(shape, 1.5), variant
        elif tags.get("power") in ("plant", "generator") or tags.get("plant:source") == "solar":
            yield "solar", _area(shape, 15.0), variant


def _area(shape: BaseGeometry, metres: float) -> BaseGeometry:
    """Points and lines given a width; areas as they are."""
    return shape if shape.geom_type in ("Polygon", "MultiPolygon") else shape.buffer(metres)
