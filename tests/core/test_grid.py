"""Grid geometry: zones by the MGRS rules, snapping, both sides of the equator and of 180 degrees."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from geomeld.core.errors import AnchorError
from geomeld.core.grid import Grid, utm_epsg


@pytest.mark.parametrize(
    ("lon", "lat", "epsg"),
    [
        (9.84, 57.2, 32632),
        (5.0, 60.0, 32632),  # Norway: zone 32 reaches west to 3 E
        (2.9, 60.0, 32631),
        (5.0, 55.9, 32631),
        (5.0, 64.0, 32631),
        (8.0, 78.0, 32631),  # Svalbard: zones 32, 34, 36 do not exist
        (9.5, 78.0, 32633),
        (21.5, 78.0, 32635),
        (33.5, 78.0, 32637),
        (21.5, 71.9, 32634),
        (0.5, 0.0, 32631),
        (0.5, -1e-9, 32731),
        (-180.0, 10.0, 32601),
        (180.0, 10.0, 32601),
        (179.999, -10.0, 32760),
        (-48.1, -25.3, 32722),
    ],
)
def test_golden_zones(lon: float, lat: float, epsg: int) -> None:
    assert utm_epsg(lon, lat) == epsg


@pytest.mark.parametrize(("lon", "lat"), [(0, 84.1), (0, -80.1), (0, 95), (181, 0), (math.nan, 0), (0, math.inf)])
def test_places_outside_utm_are_refused(lon: float, lat: float) -> None:
    with pytest.raises(AnchorError):
        Grid.centred_on(lon, lat)


@given(st.floats(-180, 180), st.floats(-80, 84))
def test_origin_is_snapped_and_the_anchor_is_in_the_middle(lon: float, lat: float) -> None:
    grid = Grid.centred_on(lon, lat)
    assert grid.left % 20 == 0
    assert grid.top % 20 == 0
    assert grid.size == 128
    # An independent way to the coordinate: PROJ's own definition of the zone, spelled out.
    zone, south = grid.epsg % 100, grid.epsg > 32700
    crs = f"+proj=utm +zone={zone} +datum=WGS84 +units=m {'+south' if south else ''}"
    east, north = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    assert abs(grid.left + 640 - east) <= 10 + 1e-6
    assert abs(grid.top - 640 - north) <= 10 + 1e-6


def test_another_gsd_covers_the_same_square() -> None:
    grid = Grid.centred_on(9.84, 57.2)
    fine = grid.at(1)
    assert (fine.size, fine.bounds) == (1280, grid.bounds)
    with pytest.raises(ValueError, match="no whole number"):
        grid.at(7)
    east, north = grid.pixel_centres()
    assert (east[0, 0], north[0, 0]) == (grid.left + 5, grid.top - 5)
    assert north[0, 0] > north[-1, 0]


def test_footprint_on_the_antimeridian_is_no_ring_around_the_globe() -> None:
    lons = [lon for lon, _ in Grid.centred_on(179.9999, 10).footprint()]
    assert max(lons) - min(lons) < 0.1


def test_overlap_is_chebyshev() -> None:
    grid = Grid(32632, 0, 1280, 10, 128)
    assert grid.overlaps(Grid(32632, 1279, 1280, 10, 128))
    assert not grid.overlaps(Grid(32632, 1280, 1280, 10, 128))
    with pytest.raises(ValueError, match="common axes"):
        grid.overlaps(Grid(32633, 0, 1280, 10, 128))
