"""Scenes: which files the simulated providers have for a tile and a time, without any pixels."""

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.special import ndtr
from shapely.affinity import translate
from shapely.geometry import Polygon, box

from geomeld.core.draw import below, draw_words, unit
from geomeld.core.errors import AnchorError
from geomeld.core.grid import Grid, utm_epsg
from geomeld.sources.simulated import landscape, nature, weather
from geomeld.sources.simulated.noise import on_sphere
from geomeld.sources.simulated.raster import UTM_LATTICE, Product, projected
from geomeld.sources.source import Scene

SQUARE_METRES = 100_000.0
"""Spacing of the squares that UTM products are cut into, as in the military grid."""

SQUARE_SIDE = 109_800.0
"""Side of a square's files, metres: neighbours overlap by 9.8 km."""

QUAD_METRES, QUAD_SIDE = 6_000.0, 6_600.0
"""Spacing and side of the aerial photographs."""

BASELINES = (
    ("2022-01-25", "04.00"),
    ("2021-07-01", "03.01"),
    ("2021-03-30", "03.00"),
    ("2020-02-04", "02.14"),
    ("2019-07-08", "02.13"),
    ("2018-11-06", "02.11"),
    ("0001-01-01", "02.06"),
)
"""First day of each Sentinel-2 processing baseline, newest first."""


@dataclass(frozen=True, slots=True)
class Square:
    """One UTM square of a product's files."""

    epsg: int
    column: int
    row: int
    left: float
    top: float
    side: float

    @property
    def name(self) -> str:
        """Zone, hemisphere, column and row, e.g. "32N0452"."""
        return f"{self.epsg % 100:02d}{'N' if self.epsg < 32700 else 'S'}{self.column:02d}{self.row:02d}"

    @property
    def centre(self) -> tuple[float, float]:
        """(longitude, latitude) of the middle."""
        return _grid_of(self).centre


def _grid_of(square: Square) -> Grid:
    return Grid(square.epsg, square.left, square.top, 60.0, round(square.side / 60))


def _square(epsg: int, column: int, row: int, spacing: float, side: float) -> Square:
    """The square of a lattice cell, centred on it and snapped outwards to the 60 m lattice."""
    margin = (side - spacing) / 2
    left = np.floor((column * spacing - margin) / UTM_LATTICE) * UTM_LATTICE
    top = np.ceil(((row + 1) * spacing + margin) / UTM_LATTICE) * UTM_LATTICE
    return Square(epsg, column, row, float(left), float(top), side)


@lru_cache(maxsize=4096)
def _belongs(square: Square) -> bool:
    """Whether any point of a 9 x 9 lattice over the square lies in its own UTM zone."""
    steps = np.linspace(0, square.side, 9)
    x, y = np.meshgrid(square.left + steps, square.top - steps)
    lon, lat = projected(x.ravel(), y.ravel(), square.epsg, 4326)
    for a, b in zip(lon, lat, strict=True):
        try:
            if utm_epsg(a, b) == square.epsg:
                return True
        except AnchorError:
            continue
    return False


def squares(grid: Grid, spacing: float = SQUARE_METRES, side: float = SQUARE_SIDE) -> Iterator[Square]:
    """Squares of the tile's own zone and of its neighbours whose files touch the tile."""
    zone, base = grid.epsg % 100, grid.epsg - grid.epsg % 100
    lon, lat = grid.centre
    for step in (0,) if spacing < SQUARE_METRES else (0, -1, 1):
        epsg = base + (zone + step - 1) % 60 + 1
        west, south, east, north = grid.bounds
        if step:
            x, y = projected(np.array([lon]), np.array([lat]), 4326, epsg)
            half = grid.metres * 0.75
            west, south, east, north = x[0] - half, y[0] - half, x[0] + half, y[0] + half
        reach = side - spacing + UTM_LATTICE
        for column in range(int((west - reach) // spacing), int((east + reach) // spacing) + 1):
            for row in range(int((south - reach) // spacing), int((north + reach) // spacing) + 1):
                square = _square(epsg, column, row, spacing, side)
                touches = square.left < east and square.left + side > west
                touches &= square.top > south and square.top - side < north
                if touches and (step == 0 or _belongs(square)):
                    yield square


@lru_cache(maxsize=4096)
def _footprint(square: Square) -> Polygon:
    return Polygon(_grid_of(square).footprint())


def _near(polygon: Polygon, grid: Grid) -> Polygon:
    """The outline moved by whole turns of the globe, so that it compares with the tile's."""
    turns = round((grid.footprint()[0][0] - polygon.centroid.x) / 360)
    return translate(polygon, 360.0 * turns) if turns else polygon


def _days(start: dt.datetime, end: dt.datetime) -> range:
    """Ordinals of every local day that may hold an acquisition in [start, end)."""
    return range(start.date().toordinal() - 1, end.date().toordinal() + 2)


def _moment(day: int, hour: float, lon: float) -> dt.datetime:
    """UTC at a local solar hour of a local day, in whole seconds."""
    midnight = dt.datetime.combine(dt.date.fromordinal(day), dt.time(), dt.UTC)
    return midnight + dt.timedelta(seconds=round(3600 * (hour - lon / 15)))


def _where(square: Square) -> dict[str, Any]:
    return {"epsg": square.epsg, "left": square.left, "top": square.top, "side": square.side}


@lru_cache(maxsize=1024)
def _climate(seed: int, square: Square) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place on the unit sphere, latitude and moisture of 6 x 6 points of a square."""
    steps = (np.arange(6) + 0.5) * square.side / 6
    x, y = np.meshgrid(square.left + steps, square.top - steps)
    lon, lat = projected(x.ravel(), y.ravel(), square.epsg, 4326)
    return on_sphere(lon, lat), lat, nature.survey(seed, lon, lat)[nature.FIELDS.index("moisture")]


@lru_cache(maxsize=65536)
def _cloud_cover(seed: int, square: Square, day: int) -> float:
    """Percent of the scene under cloud, to a hundredth."""
    points, lat, moisture = _climate(seed, square)
    return round(100 * float(ndtr(weather.cloudiness(seed, day, points, lat, moisture)).mean()), 2)


def _phases(seed: int, square: Square, stream: str, days: int) -> list[int]:
    """Days of the repeat cycle on which a square is passed: one orbit, beyond 50 degrees two.

    Three neighbouring squares share a swath.
    """
    swath = f"{square.epsg % 100}/{square.column // 3}"
    first = below(draw_words(seed, stream, swath)[0], days)
    return [first, (first + days // 2) % days] if abs(square.centre[1]) > 50 else [first]


def sentinel2(seed: int, grid: Grid, start: dt.datetime, end: dt.datetime) -> Iterator[Scene]:
    """Passes at 10:30 local time every five days."""
    for square in squares(grid):
        lon, lat = square.centre
        phases = _phases(seed, square, "sentinel2-orbit", 5)
        for day in _days(start, end):
            acquired = _moment(day, 10.5, lon)
            if day % 5 not in phases or not start <= acquired < end:
                continue
            baseline = next(b for since, b in BASELINES if dt.date.fromordinal(day).isoformat() >= since)
            platform = "AB"[day // 5 % 2]
            elevation, azimuth = weather.sun(day, 10.5, lat)
            properties = _where(square) | {
                "day": day,
                "baseline": baseline,
                "offset": -1000 if baseline >= "04.00" else 0,
                "sun_elevation": round(elevation, 3),
                "sun_azimuth": round(azimuth, 3),
            }
            yield Scene(
                scene_id=f"S2{platform}_MSIL2A_{acquired:%Y%m%dT%H%M%S}_N{baseline.replace('.', '')}_T{square.name}",
                modality="sentinel2",
                footprint=_near(_footprint(square), grid),
                acquired=acquired,
                cloud_cover=_cloud_cover(seed, square, day),
                epsg=square.epsg,
                product=f"simulated Sentinel-2 L2A, baseline {baseline}",
                properties=properties,
            )


def dynamic_world(seed: int, grid: Grid, start: dt.datetime, end: dt.datetime) -> Iterator[Scene]:
    """One map for every Sentinel-2 scene with at most 35 % cloud."""
    for scene in sentinel2(seed, grid, start, end):
        if scene.cloud_cover is not None and scene.cloud_cover <= 35.0:
            yield Scene(
                scene_id=scene.scene_id.replace("MSIL2A", "DW"),
                modality="dynamic_world",
                footprint=scene.footprint,
                acquired=scene.acquired,
                cloud_cover=scene.cloud_cover,
                epsg=scene.epsg,
                product="simulated Dynamic World, labels 1 to 9",
                properties={k: scene.properties[k] for k in scene.properties if k not in ("baseline", "offset")},
            )


def sentinel1(seed: int, grid: Grid, start: dt.datetime, end: dt.datetime) -> Iterator[Scene]:
    """Ascending passes at 18:00 and descending ones at 06:00 local time, each every 12 days.

    A fifth of the swaths has no ascending passes, another fifth no descending ones. Beyond 66 degrees the pair is HH
    and HV.
    """
    for square in squares(grid):
        lon, lat = square.centre
        kept = unit(draw_words(seed, "sentinel1-plan", f"{square.epsg}/{square.column // 3}/{square.row // 8}")[0])
        pair = ["hh", "hv"] if abs(lat) > 66 else ["vv", "vh"]
        for orbit, hour, missing in (("ascending", 18.0, kept < 0.2), ("descending", 6.0, kept > 0.8)):
            phases = _phases(seed, square, f"sentinel1-{orbit}", 12)[:1]
            for day in [] if missing else _days(start, end):
                acquired = _moment(day, hour, lon)
                if day % 12 in phases and start <= acquired < end:
                    yield Scene(
                        scene_id=f"S1A_IW_RTC_{acquired:%Y%m%dT%H%M%S}_{orbit[0].upper()}_{square.name}",
                        modality="sentinel1",
                        footprint=_near(_footprint(square), grid),
                        acquired=acquired,
                        orbit=orbit,
                        epsg=square.epsg,
                        product="simulated Sentinel-1 RTC gamma0, linear power to dB",
                        properties=_where(square) | {"day": day, "assets": pair, "orbit": orbit},
                    )


def naip(seed: int, grid: Grid, start: dt.datetime, end: dt.datetime) -> Iterator[Scene]:
    """Photographs of 2011 to 2023, every second year between May and September, inside the United States."""
    for square in squares(grid, QUAD_METRES, QUAD_SIDE):
        lon, lat = square.centre
        if not landscape.united_states(np.array([lon]), np.array([lat]))[0]:
            continue
        block = f"{square.epsg}/{square.column // 10}/{square.row // 10}"
        parity = below(draw_words(seed, "naip-cycle", f"{square.epsg}/{square.row // 100}")[0], 2)
        for year in range(max(2011, start.year), min(2023, end.year) + 1):
            day = dt.date(year, 5, 5).toordinal() + below(draw_words(seed, "naip-day", f"{block}/{year}")[0], 140)
            acquired = _moment(day, 11.0, lon)
            if year % 2 == parity and start <= acquired < end:
                yield Scene(
                    scene_id=f"m_{square.name}_{dt.date.fromordinal(day):%Y%m%d}",
                    modality="naip",
                    footprint=_near(_footprint(square), grid),
                    acquired=acquired,
                    epsg=square.epsg,
                    product="simulated NAIP orthophoto, 1 m",
                    properties=_where(square) | {"day": day},
                )


def files(product: Product, grid: Grid) -> Iterator[Scene]:
    """Files of a product without a date, cut at whole degrees."""
    side = product.degrees
    assert side is not None, f"{product.modality} is not cut in degrees"
    reach = product.overlap * product.rasters[0].pixel
    corners = np.array(grid.padded(10.0 + 50.0 * product.overlap).footprint())
    (west, south), (east, north) = corners.min(axis=0), corners.max(axis=0)
    for x in range(int(np.floor(west / side)), int(np.floor(east / side)) + 1):
        for y in range(int(np.floor(south / side)), int(np.floor(north / side)) + 1):
            left, bottom = (x * side + 180) % 360 - 180, y * side
            name = f"{'NS'[bottom < 0]}{abs(bottom):02.0f}{'EW'[left < 0]}{abs(left):03.0f}"
            yield Scene(
                scene_id=f"{product.collection}_{name}",
                modality=product.modality,
                footprint=_near(box(left - reach, bottom - reach, left + side + reach, bottom + side + reach), grid),
                epsg=4326,
                product=product.title,
                properties={"epsg": 4326, "left": left - reach, "top": bottom + side + reach, "side": side + 2 * reach},
            )
