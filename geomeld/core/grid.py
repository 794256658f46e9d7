"""Grid: a square, north-up pixel grid in the UTM zone of a place, and the rules that choose it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from geomeld.core.errors import AnchorError

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the WGS84 ellipsoid, metres."""

TILE_METRES = 1280.0
"""Side of a tile (paper 3.4)."""

SNAP_METRES = 20.0
"""Tile origins are multiples of 20 m, so that 10 m bands are plain window reads and 20 m bands whole 2 x 2 blocks."""


def check_lonlat(lon: float, lat: float) -> None:
    """Refuse a coordinate that is not on the globe or lies outside UTM (80 S to 84 N).

    Raises AnchorError.
    """
    if not (math.isfinite(lon) and math.isfinite(lat)):
        raise AnchorError(f"Coordinate lon={lon}, lat={lat} is not a number; give degrees east and north in WGS84.")
    if not -90 <= lat <= 90:
        raise AnchorError(f"Latitude {lat} is outside -90..90 degrees; are longitude and latitude swapped?")
    if not -180 <= lon <= 180:
        raise AnchorError(f"Longitude {lon} is outside -180..180 degrees; give degrees east in WGS84.")
    if not -80 <= lat <= 84:
        raise AnchorError(f"Latitude {lat} is outside UTM, which covers 80 S to 84 N; leave this anchor out.")


def utm_epsg(lon: float, lat: float) -> int:
    """EPSG code of the WGS84 UTM zone that holds a coordinate, by the MGRS rules (Norway and Svalbard included).

    Longitude 180 belongs to zone 1, the equator to the northern hemisphere. Raises AnchorError outside UTM.
    """
    check_lonlat(lon, lat)
    zone = int((lon + 180) // 6) % 60 + 1
    if 56 <= lat < 64 and 3 <= lon < 12:
        zone = 32
    elif lat >= 72 and 0 <= lon < 42:
        zone = 31 if lon < 9 else 33 if lon < 21 else 35 if lon < 33 else 37
    return (32600 if lat >= 0 else 32700) + zone


@cache
def _to_lonlat(epsg: int) -> Transformer:
    return Transformer.from_crs(epsg, 4326, always_xy=True)


@cache
def _from_lonlat(epsg: int) -> Transformer:
    return Transformer.from_crs(4326, epsg, always_xy=True)


@dataclass(frozen=True, slots=True)
class Grid:
    """A square north-up grid of square pixels in one UTM zone; row 0 is the north edge, column 0 the west edge."""

    epsg: int
    """EPSG code of the projection, 32601..32660 or 32701..32760."""
    left: float
    """Easting of the west edge, metres."""
    top: float
    """Northing of the north edge, metres."""
    gsd: float
    """Ground sampling distance: side of one pixel, metres."""
    size: int
    """Pixels per side."""

    @classmethod
    def centred_on(cls, lon: float, lat: float, gsd: float = 10.0, metres: float = TILE_METRES) -> "Grid":
        """The tile grid of a coordinate: its UTM zone, centred on it, with the origin snapped to 20 m.

        The centre moves by at most 10 m per axis. Raises AnchorError outside UTM.
        """
        epsg = utm_epsg(lon, lat)
        east, north = _from_lonlat(epsg).transform(lon, lat)
        left = round((east - metres / 2) / SNAP_METRES) * SNAP_METRES
        top = round((north + metres / 2) / SNAP_METRES) * SNAP_METRES
        return cls(epsg, left, top, gsd, round(metres / gsd))

    @property
    def metres(self) -> float:
        """Side of the grid, metres."""
        return self.gsd * self.size

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) edges, metres in the grid's projection."""
        return self.left, self.top - self.metres, self.left + self.metres, self.top

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.size, self.size

    @property
    def transform(self) -> tuple[float, float, float, float, float, float]:
        """Affine coefficients (a, b, c, d, e, f) from (column, row) corners to projected metres."""
        return self.gsd, 0.0, self.left, 0.0, -self.gsd, self.top

    @property
    def centre(self) -> tuple[float, float]:
        """(longitude, latitude) of the grid's middle, degrees."""
        lon, lat = _to_lonlat(self.epsg).transform(self.left + self.metres / 2, self.top - self.metres / 2)
        return float(lon), float(lat)

    def at(self, gsd: float) -> "Grid":
        """The same square with pixels of another size: `.at(1)` of 128 px x 10 m is 1280 px x 1 m."""
        size = self.metres / gsd
        if abs(size - round(size)) > 1e-9:
            raise ValueError(f"A grid of {self.metres} m has no whole number of {gsd} m pixels.")
        return replace(self, gsd=gsd, size=round(size))

    def padded(self, metres: float) -> "Grid":
        """The grid grown by `metres` on every side, rounded up to whole pixels."""
        pixels = math.ceil(metres / self.gsd - 1e-9)
        return replace(
            self, left=self.left - pixels * self.gsd, top=self.top + pixels * self.gsd, size=self.size + 2 * pixels
        )

    def pixel_centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Eastings and northings of all pixel centres, metres, each of shape (size, size)."""
        steps = (np.arange(self.size) + 0.5) * self.gsd
        east, north = np.meshgrid(self.left + steps, self.top - steps)
        return east, north

    def lonlat(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitudes and latitudes of all pixel centres, degrees, each of shape (size, size)."""
        return _to_lonlat(self.epsg).transform(*self.pixel_centres())

    def project(self, lon: NDArray[np.float64] | float, lat: NDArray[np.float64] | float) -> tuple[NDArray, NDArray]:
        """Eastings and northings of coordinates in this grid's zone, metres."""
        return _from_lonlat(self.epsg).transform(lon, lat)

    def footprint(self) -> tuple[tuple[float, float], ...]:
        """The four corners as (longitude, latitude), anticlockwise from the south-west; unwrapped, so that a tile on
        the antimeridian has longitudes beyond 180 rather than a ring around the globe."""
        west, south, east, north = self.bounds
        lons, lats = _to_lonlat(self.epsg).transform([west, east, east, west], [south, south, north, north])
        first = lons[0]
        return tuple(
            (float(lon + 360 * round((first - lon) / 360)), float(lat)) for lon, lat in zip(lons, lats, strict=True)
        )

    def overlaps(self, other: "Grid") -> bool:
        """Whether two grids of one zone share any area (Chebyshev distance of centres under the side)."""
        if self.epsg != other.epsg:
            raise ValueError(f"Grids in EPSG:{self.epsg} and EPSG:{other.epsg} have no common axes to compare.")
        west, south, east, north = self.bounds
        other_west, other_south, other_east, other_north = other.bounds
        return west < other_east and other_west < east and south < other_north and other_south < north

    def __iter__(self) -> Iterator[float]:
        """Unpack as (epsg, left, top, gsd, size), the form that is stored."""
        return iter((self.epsg, self.left, self.top, self.gsd, self.size))
