"""Ground: the truth under a window of pixels, sampled once and shared by the products that look at it."""

from collections import deque
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geomeld.core.grid import utm_epsg
from geomeld.sources.simulated import landscape
from geomeld.sources.simulated.noise import on_sphere
from geomeld.sources.simulated.raster import Raster, Window, projected
from geomeld.sources.source import Scene


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """The landscape at pixel centres, with where they are; shared between products: never written to. Two are equal
    where they are one object, so that results can be kept by it."""

    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    land: landscape.Landscape
    row: int
    """Row of the first pixel, counted from the projection's own origin: the key of per-pixel noise."""
    column: int
    points: NDArray[np.float64]
    """(3, rows, columns): where they are on the unit sphere."""

    @classmethod
    def at(cls, lon: NDArray, lat: NDArray, land: landscape.Landscape, row: int, column: int) -> "Ground":
        """The ground at pixel centres in degrees."""
        return cls(lon, lat, land, row, column, on_sphere(lon, lat))

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.lon.shape
        return rows, columns


TRUTH_METRES = 10.0
"""Pixel of the truth: every place has the landscape of the pixel of its own UTM zone that holds it."""

_recent: deque[tuple[int, int, Ground]] = deque(maxlen=6)
"""(seed, epsg, ground) of the last windows: the products of one tile look at the same ground. Values do not depend on
it, only the time that they take."""


def truth_window(seed: int, epsg: int, column: int, row: int, columns: int, rows: int) -> Ground:
    """The truth of a window of a UTM zone's 10 m pixels, counted from the projection's origin (rows southwards)."""
    for known_seed, known_epsg, ground in _recent:
        same = (known_seed, known_epsg, ground.column, ground.row) == (seed, epsg, column, row)
        if same and ground.shape == (rows, columns):
            return ground
    x, y = np.meshgrid(
        (np.arange(column, column + columns) + 0.5) * TRUTH_METRES,
        -(np.arange(row, row + rows) + 0.5) * TRUTH_METRES,
    )
    lon, lat = projected(x, y, epsg, 4326)
    ground = Ground.at(lon, lat, landscape.sample(seed, lon, lat), row, column)
    _recent.append((seed, epsg, ground))
    return ground


def forget() -> None:
    """Drop the kept windows, as in a new process."""
    _recent.clear()
    _in_degrees.cache_clear()


def _looked_up(seed: int, lon: NDArray, lat: NDArray) -> landscape.Landscape:
    """The truth of the 10 m pixels that hold coordinates."""
    found: dict[str, NDArray] = {}
    zones = _zones(lon, lat)
    for epsg in np.unique(zones):
        at = zones == epsg
        x, y = projected(lon[at], lat[at], 4326, int(epsg))
        column, row = np.floor(x / TRUTH_METRES).astype(np.int64), np.floor(-y / TRUTH_METRES).astype(np.int64)
        ground = _covering(seed, int(epsg), column, row)
        column, row = column - ground.column, row - ground.row
        for field in fields(ground.land):
            values = getattr(ground.land, field.name)
            found.setdefault(field.name, np.zeros(lon.shape, dtype=values.dtype))[at] = values[row, column]
    return landscape.Landscape(**found)


def _covering(seed: int, epsg: int, column: NDArray, row: NDArray) -> Ground:
    """A kept window that holds these pixels, or a new one that just does."""
    west, east, north, south = (int(n) for n in (column.min(), column.max(), row.min(), row.max()))
    for known_seed, known_epsg, ground in _recent:
        rows, columns = ground.shape
        inside = ground.column <= west and east < ground.column + columns
        inside &= ground.row <= north and south < ground.row + rows
        if (known_seed, known_epsg) == (seed, epsg) and inside:
            return ground
    return truth_window(seed, epsg, west, north, east - west + 1, south - north + 1)


def _zones(lon: NDArray, lat: NDArray) -> NDArray[np.int64]:
    """The UTM zone of every coordinate; beyond the range of UTM, that of the nearest latitude within."""
    lon, lat = (lon + 180.0) % 360.0 - 180.0, np.clip(lat, -80.0, 84.0)
    corners = {utm_epsg(float(lon[i, j]), float(lat[i, j])) for i in (0, -1) for j in (0, -1)}
    if len(corners) == 1:
        return np.full(lon.shape, corners.pop())
    return np.vectorize(utm_epsg, otypes=[np.int64])(lon, lat)


@lru_cache(maxsize=6)
def _in_degrees(seed: int, column: int, row: int, columns: int, rows: int, per: int, stride: int) -> Ground:
    """The truth at pixels of 1/`per` degrees, counted from 180 W and 90 N; heights are taken at the very points where
    pixels are larger than the truth's.

    With a `stride`, one column in so many is sampled and repeated, where pixels are far narrower than they are high.
    """
    across = np.arange(column // stride, (column + columns - 1) // stride + 1) * stride + stride / 2
    lon, lat = np.meshgrid(across / per - 180.0, 90.0 - (np.arange(row, row + rows) + 0.5) / per)
    fine = _is_fine(1 / per)
    land = _looked_up(seed, lon, lat) if fine else landscape.sample(seed, lon, lat)
    return Ground.at(lon, lat, land, row, column // stride)


def _is_fine(pixel: float) -> bool:
    """Whether a pixel in degrees is under 20 m."""
    return pixel * 111_000 < 20


def ground_of(seed: int, scene: Scene, raster: Raster, window: Window) -> Ground:
    """The truth at the pixels of a window of a raster in degrees; strided samples where `stride_of` says so."""
    left, top, per = scene.properties["left"], scene.properties["top"], round(1 / raster.pixel)
    column, row = round((left + 180) * per) + window.column, round((90 - top) * per) + window.row
    return _in_degrees(seed, column, row, window.columns, window.rows, per, stride_of(scene, raster))


def stride_of(scene: Scene, raster: Raster) -> int:
    """Columns per sample of a file in degrees: pixels under 20 m are at most so many times narrower than high
    (1 up to 60 degrees); larger ones are few, and heights must have no steps."""
    if not _is_fine(raster.pixel):
        return 1
    middle = scene.properties["top"] - scene.properties["side"] / 2
    return max(1, int(1 / max(0.05, np.cos(np.radians(middle)))))


def spread(values: NDArray, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Strided samples repeated onto every column of the window (the last two axes are rows and columns)."""
    stride = stride_of(scene, raster)
    if stride == 1:
        return values
    # Samples are counted from 180 W, as in `_in_degrees`, so that files side by side share them.
    start = (round((scene.properties["left"] + 180) * round(1 / raster.pixel)) + window.column) % stride
    return np.repeat(values, stride, axis=-1)[..., start : start + window.columns]


UTM_MARGIN = 12
"""10 m pixels sampled beyond a window in UTM: enough for gradients and filters, and for the windows that products in
degrees need of the same tile. The same for every product, so that they share one sampling."""


def padded_ground(seed: int, scene: Scene, raster: Raster, window: Window) -> Ground:
    """The truth at 10 m under a window in UTM, with `UTM_MARGIN` pixels more on every side.

    The window's edges lie on 10 m pixels.
    """
    left = scene.properties["left"] + window.column * raster.pixel
    top = scene.properties["top"] - window.row * raster.pixel
    columns, rows = (round(n * raster.pixel / TRUTH_METRES) + 2 * UTM_MARGIN for n in (window.columns, window.rows))
    column, row = (round(n / TRUTH_METRES) - UTM_MARGIN for n in (left, -top))
    return truth_window(seed, int(scene.properties["epsg"]), column, row, columns, rows)


def cropped(values: NDArray, margin: int = UTM_MARGIN) -> NDArray:
    """Values without the margin of the last two axes."""
    return values[..., margin:-margin, margin:-margin]


def gradient(ground: Ground, metres: float = 10.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rise per metre towards the east and towards the north, central differences on a UTM ground."""
    height = ground.land.elevation.astype(np.float32)
    across, down = (np.asarray(np.gradient(height, metres, axis=axis), dtype=np.float32) for axis in (1, 0))
    return across, -down


DEGREE_MARGIN = 5
"""Pixels sampled beyond a window in degrees, for filters: the same for every product on one grid."""


def padded_degrees(scene: Scene, raster: Raster, window: Window) -> Window:
    """A window of a file in degrees with `DEGREE_MARGIN` samples more on every side."""
    across, down = DEGREE_MARGIN * stride_of(scene, raster), DEGREE_MARGIN
    return Window(window.column - across, window.row - down, window.columns + 2 * across, window.rows + 2 * down)


def unpadded_degrees(values: NDArray, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Samples of a padded window as the pixels of the window itself."""
    across, down = DEGREE_MARGIN * stride_of(scene, raster), DEGREE_MARGIN
    return spread(values, scene, raster, padded_degrees(scene, raster, window))[..., down:-down, across:-across]
