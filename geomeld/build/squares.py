"""Squares: the UTM zones, tile squares and outlines of many coordinates at once, as `Grid` has them for one."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from geomeld.core.grid import SNAP_METRES, TILE_METRES

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Squares:
    """The tile squares of n coordinates: those of `Grid.centred_on`, to the metre."""

    epsg: NDArray[np.int32]
    """Zone of each, shape (n,)."""
    left: NDArray[np.int64]
    """Western edge, metres, a multiple of 20."""
    top: NDArray[np.int64]
    """Northern edge, metres, a multiple of 20."""

    def __len__(self) -> int:
        return len(self.epsg)

    def zones(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(EPSG code, positions of its squares), zone by zone."""
        order = np.argsort(self.epsg, kind="stable")
        starts = np.flatnonzero(np.diff(self.epsg[order], prepend=-1))
        for part in np.split(order, starts[1:]) if len(order) else []:
            yield int(self.epsg[part[0]]), part

    def outlines(self, margin: float = 0.0) -> Floats:
        """Corners of the squares grown by `margin` metres: (n, 4, 2) longitudes and latitudes, anticlockwise from the
        south-west; beyond 180 rather than around the globe."""
        corners = np.empty((len(self), 4, 2))
        for epsg, at in self.zones():
            west, north = self.left[at] - margin, self.top[at] + margin
            east, south = self.left[at] + (TILE_METRES + margin), self.top[at] - (TILE_METRES + margin)
            x, y = np.stack([west, east, east, west], 1), np.stack([south, south, north, north], 1)
            lon, lat = _transformer(epsg, 4326).transform(x.ravel(), y.ravel())
            corners[at, :, 0], corners[at, :, 1] = lon.reshape(-1, 4), lat.reshape(-1, 4)
        corners[:, :, 0] += 360.0 * np.round((corners[:, :1, 0] - corners[:, :, 0]) / 360.0)
        return corners


def squares_of(lon: Floats, lat: Floats) -> Squares:
    """The squares of coordinates in degrees, which must lie inside UTM (see `inside_utm`)."""
    epsg = zones_of(lon, lat)
    found = Squares(epsg, np.empty(len(epsg), np.int64), np.empty(len(epsg), np.int64))
    for code, at in found.zones():
        east, north = _transformer(4326, code).transform(lon[at], lat[at])
        found.left[at] = np.round((east - TILE_METRES / 2) / SNAP_METRES) * SNAP_METRES
        found.top[at] = np.round((north + TILE_METRES / 2) / SNAP_METRES) * SNAP_METRES
    return found


def inside_utm(lon: Floats, lat: Floats) -> NDArray[np.bool_]:
    """Which coordinates are on the globe and between 80 S and 84 N."""
    return (np.abs(lon) <= 180.0) & (lat >= -80.0) & (lat <= 84.0)


def zones_of(lon: Floats, lat: Floats) -> NDArray[np.int32]:
    """EPSG codes of the UTM zones, by the MGRS rules of `core.grid.utm_epsg`."""
    zone = ((lon + 180.0) // 6).astype(np.int32) % 60 + 1
    zone[(lat >= 56) & (lat < 64) & (lon >= 3) & (lon < 12)] = 32
    svalbard = (lat >= 72) & (lon >= 0) & (lon < 42)
    zone[svalbard] = np.array([31, 33, 35, 37])[np.searchsorted([9.0, 21.0, 33.0], lon[svalbard], side="right")]
    return (np.where(lat >= 0, 32600, 32700) + zone).astype(np.int32)


@cache
def _transformer(source: int, target: int) -> Transformer:
    return Transformer.from_crs(source, target, always_xy=True)


def on_sphere(lon: Floats, lat: Floats) -> Floats:
    """Points on the unit sphere, (n, 3)."""
    east, north = np.radians(lon), np.radians(lat)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], -1)
