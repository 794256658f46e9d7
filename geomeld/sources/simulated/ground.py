"""Ground: the truth under a window of pixels, sampled once and shared by the products that look at it."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from geomeld.sources.simulated import landscape
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

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        rows, columns = self.lon.shape
        return rows, columns


@lru_cache(maxsize=12)
def _sample(seed: int, epsg: int, column: int, row: int, columns: int, rows: int, per: float, stride: int) -> Ground:
    """Truth of a block of an absolute pixel lattice; pixels are `per` metres (UTM) or 1/`per` degrees (EPSG:4326).

    With a `stride`, one column in so many is sampled and repeated, where pixels are far narrower than they are high.
    """
    across = np.arange(column // stride, (column + columns - 1) // stride + 1) * stride + stride / 2
    down = np.arange(row, row + rows) + 0.5
    if epsg == 4326:
        lon, lat = np.meshgrid(across / per - 180.0, 90.0 - down / per)
    else:
        x, y = np.meshgrid(across * per, -down * per)
        lon, lat = projected(x, y, epsg, 4326)
    return Ground(lon, lat, landscape.sample(seed, lon, lat), row, column // stride)


def ground_of(seed: int, scene: Scene, raster: Raster, window: Window, pixel: float | None = None) -> Ground:
    """The truth at the pixels of a window of a scene's raster, or at another `pixel` size."""
    epsg, left, top = int(scene.properties["epsg"]), scene.properties["left"], scene.properties["top"]
    if epsg == 4326:
        per = round(1 / raster.pixel)
        column, row = round((left + 180) * per) + window.column, round((90 - top) * per) + window.row
        return _sample(seed, epsg, column, row, window.columns, window.rows, per, stride_of(scene, raster))
    pixel = pixel or raster.pixel
    scale = raster.pixel / pixel
    column = round(left / pixel + window.column * scale)
    row = round(-top / pixel + window.row * scale)
    columns, rows = round(window.columns * scale), round(window.rows * scale)
    return _sample(seed, epsg, column, row, columns, rows, pixel, 1)


def stride_of(scene: Scene, raster: Raster) -> int:
    """Columns per sample of a file in degrees: pixels under 20 m are at most so many times narrower than high
    (1 up to 60 degrees); larger ones are few, and heights must have no steps."""
    if raster.pixel * 111_000 > 20:
        return 1
    middle = scene.properties["top"] - scene.properties["side"] / 2
    return max(1, int(1 / max(0.05, np.cos(np.radians(middle)))))


def spread(values: NDArray, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Strided samples repeated onto every column of the window (the last two axes are rows and columns)."""
    stride = stride_of(scene, raster)
    if stride == 1:
        return values
    start = window.column % stride
    return np.repeat(values, stride, axis=-1)[..., start : start + window.columns]


UTM_MARGIN = 6
"""10 m pixels sampled beyond a window in UTM, for gradients and filters: the same for every product, so that they share
one sampling."""


def padded_ground(seed: int, scene: Scene, raster: Raster, window: Window) -> Ground:
    """The truth at 10 m under a window in UTM, with `UTM_MARGIN` pixels more on every side."""
    scale = round(raster.pixel / 10) if raster.pixel >= 10 else 1
    ten = Window(window.column * scale, window.row * scale, window.columns * scale, window.rows * scale)
    if raster.pixel < 10:
        fine = round(10 / raster.pixel)
        ten = Window(window.column // fine, window.row // fine, window.columns // fine, window.rows // fine)
    at_ten = Raster((), (), 10.0, "uint8", 0)
    return ground_of(seed, scene, at_ten, ten.grown(UTM_MARGIN))


def cropped(values: NDArray, margin: int = UTM_MARGIN) -> NDArray:
    """Values without the margin of the last two axes."""
    return values[..., margin:-margin, margin:-margin]


def gradient(ground: Ground, metres: float = 10.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rise per metre towards the east and towards the north, central differences on a UTM ground."""
    down, across = np.gradient(ground.land.elevation.astype(np.float32), metres)
    return across, -down


DEGREE_MARGIN = 4
"""Pixels sampled beyond a window in degrees, for filters: the same for every product on one grid."""


def padded_degrees(scene: Scene, raster: Raster, window: Window) -> Window:
    """A window of a file in degrees with `DEGREE_MARGIN` samples more on every side."""
    across, down = DEGREE_MARGIN * stride_of(scene, raster), DEGREE_MARGIN
    return Window(window.column - across, window.row - down, window.columns + 2 * across, window.rows + 2 * down)


def unpadded_degrees(values: NDArray, scene: Scene, raster: Raster, window: Window) -> NDArray:
    """Samples of a padded window as the pixels of the window itself."""
    across, down = DEGREE_MARGIN * stride_of(scene, raster), DEGREE_MARGIN
    return spread(values, scene, raster, padded_degrees(scene, raster, window))[..., down:-down, across:-across]
