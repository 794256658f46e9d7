"""Aerial: the simulated NAIP orthophoto, where single houses, roads and tree crowns can be seen."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from affine import Affine
from numpy.typing import NDArray
from rasterio.features import rasterize
from scipy.ndimage import gaussian_filter, uniform_filter
from shapely import transform
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
}
"""Endmember of each drawn kind of object."""

ROAD_METRES = {"motorway": 20.0, "primary": 12.0, "secondary": 9.0, "residential": 6.0, "track": 3.0}
"""Width of drawn roads by highway tag; 7 m for others."""


def render(seed: int, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Red, green and blue digital numbers 1..255, (3, rows, columns) uint8."""
    ground = padded_ground(seed, scene, raster, _whole(window))
    day = int(scene.properties["day"])
    elevation, azimuth = weather.sun(day, 11.0, float(ground.lat.mean().round(1)))
    light = _base(seed, day, ground, elevation, azimuth)
    light = np.stack([_fine(band) for band in light])
    light *= _texture(seed, scene, ground)
    _draw(light, seed, scene, ground, elevation, azimuth)
    light *= 1 + 0.02 * white(
        key_of(seed, scene.scene_id, "grain"), ground.row * FINE, ground.column * FINE, *light[0].shape
    )
    inside = light[(slice(None), *_inside(window))]
    # Photographs are stretched for the eye: a gamma that puts 30 % reflectance near white.
    return np.clip(np.round(255 * (np.clip(inside, 0, 0.4) / 0.4) ** 0.62), 1, 255).astype(raster.dtype)


def _whole(window: Window) -> Window:
    """The window grown to whole pixels of the truth."""
    left, top = window.column // FINE * FINE, window.row // FINE * FINE
    right, bottom = -(-(window.column + window.columns) // FINE), -(-(window.row + window.rows) // FINE)
    return Window(left, top, right * FINE - left, bottom * FINE - top)


def _inside(window: Window) -> tuple[slice, slice]:
    """The window within the padded truth at 1 m."""
    row, column = (UTM_MARGIN * FINE + start % FINE for start in (window.row, window.column))
    return slice(row, row + window.rows), slice(column, column + window.columns)


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


def _fine(values: NDArray[np.float32], smooth: bool = True) -> NDArray[np.float32]:
    """Values at 10 m as 1 m pixels; bilinear unless they are codes."""
    fine = values.repeat(FINE, axis=0).repeat(FINE, axis=1)
    return uniform_filter(fine, FINE, mode="nearest") if smooth else fine


def _texture(seed: int, scene: Scene, ground: Ground) -> NDArray[np.float32]:
    """Tree crowns with their shadows, rows in fields, grain of the rest: a factor at 1 m."""
    land = ground.land
    noise = white(key_of(seed, "aerial"), ground.row * FINE, ground.column * FINE, *(n * FINE for n in ground.shape))
    crown = gaussian_filter(noise, 1.7, truncate=3.0) * 5.5
    woody = _fine(np.clip(land.canopy / 6, 0, 1).astype(np.float32))
    factor = 1 + 0.035 * noise + woody * np.clip(0.45 * crown - 0.12, -0.65, 0.7)
    parcel = _fine(land.parcel, smooth=False)
    if parcel.any():
        angle = (parcel % 180).astype(np.float32) * np.float32(np.pi / 180)
        spacing = 4.0 + (parcel % 5).astype(np.float32)
        row = (np.arange(factor.shape[0]) + ground.row * FINE)[:, None] % 100_000
        column = (np.arange(factor.shape[1]) + ground.column * FINE)[None, :] % 100_000
        wave = np.sin(2 * np.pi * (column * np.cos(angle) + row * np.sin(angle)) / spacing)
        factor += np.where((parcel > 0) & (woody < 0.3), 0.05 * wave, 0.0)
    return factor.astype(np.float32)


def _draw(
    light: NDArray[np.float32], seed: int, scene: Scene, ground: Ground, elevation: float, azimuth: float
) -> None:
    """Objects over the ground: first what lies flat, then shadows, then what casts them."""
    epsg = int(scene.properties["epsg"])
    corner = Affine(1.0, 0.0, ground.column * 10.0, 0.0, -1.0, -ground.row * 10.0)
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
            light[:, at] = MATRIX[drawn[at] - 1][:, list(RGB)].T * (0.75 + 0.5 * (light[0][at] > 0.06))


def _shapes(seed: int, bounds: tuple[float, float, float, float], epsg: int) -> Iterator[tuple[str, BaseGeometry, int]]:
    """(kind, outline in metres, a number for its looks) of every object that is drawn."""
    for thing in landscape.objects(seed, *bounds):
        tags = thing.tags
        shape = transform(thing.geometry, lambda xy: np.column_stack(projected(xy[:, 0], xy[:, 1], 4326, epsg)))
        variant = int(abs(thing.geometry.centroid.x) * 1e6) % 97
        if "highway" in tags:
            yield "highway", shape.buffer(ROAD_METRES.get(tags["highway"], 7.0) / 2), variant
        elif "aeroway" in tags and tags["aeroway"] in ("runway", "taxiway"):
            yield "aeroway", shape.buffer(20.0) if shape.geom_type == "LineString" else shape, variant
        elif "building" in tags:
            yield ("greenhouse" if tags["building"] == "greenhouse" else "building"), _area(shape, 6.0), variant
        elif tags.get("man_made") == "storage_tank":
            yield "tank", _area(shape, 12.0), variant
        elif tags.get("man_made") == "pier":
            yield "pier", _area(shape, 2.5), variant
        elif tags.get("power") in ("plant", "generator") or tags.get("plant:source") == "solar":
            yield "solar", _area(shape, 15.0), variant


def _area(shape: BaseGeometry, metres: float) -> BaseGeometry:
    """Points and lines given a width; areas as they are."""
    return shape if shape.geom_type in ("Polygon", "MultiPolygon") else shape.buffer(metres)
