"""The truth of the simulated Earth: a pure function of place, and a plausible planet."""

import numpy as np
import pytest

from geomeld.core.grid import Grid
from geomeld.sources.simulated.truth import BIOMES, is_land, objects_on, sample, stratified_places, truth

PUBLISHED = {10: 32, 30: 24.6, 60: 11.7, 40: 10.8, 20: 8.2, 80: 3.5, 90: 3.1, 100: 2.6, 95: 1.9, 50: 0.9, 70: 0.5}
"""Share of pixels in percent (the authors' figure)."""
FIELDS = ("elevation", "land_cover", "canopy", "occurrence", "parcel", "surface", "temperature", "built")


def same(a, b, where=...) -> None:
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(a, name)[where], getattr(b, name), err_msg=name)


@pytest.fixture(scope="module")
def places() -> list[tuple[float, float, int]]:
    return stratified_places(0, 210)


def test_order_shape_and_company_change_nothing() -> None:
    lon, lat = Grid.centred_on(20.0, 48.0).at(20).lonlat()
    whole = sample(3, lon, lat)
    turned = sample(3, lon[::-1, ::-1].ravel(), lat[::-1, ::-1].ravel())
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(turned, name), getattr(whole, name)[::-1, ::-1].ravel())
    one = sample(3, lon[5, 7], lat[5, 7])
    assert one.elevation == whole.elevation[5, 7]
    assert not np.array_equal(sample(4, lon, lat).elevation, whole.elevation)


def test_overlapping_tiles_agree_where_their_pixels_coincide() -> None:
    a = Grid.centred_on(20.0, 48.0)
    b = Grid(a.epsg, a.left + 300, a.top - 200, a.gsd, a.size)
    first, second = truth(0, a), truth(0, b)
    for name in FIELDS:
        np.testing.assert_array_equal(getattr(first, name)[20:, 30:], getattr(second, name)[:108, :98], err_msg=name)


def test_neither_180_degrees_nor_the_pole_is_a_seam() -> None:
    lat = np.linspace(-75, 80, 60)
    east, west = sample(0, np.full(60, 179.99999), lat), sample(0, np.full(60, -179.99999), lat)
    assert np.abs(east.elevation - west.elevation).max() < 2.5  # two metres apart on the ground
    same(sample(0, np.full(60, 180.0), lat), sample(0, np.full(60, -180.0), lat))


def test_all_biomes_occur_where_they_belong(places) -> None:
    assert {b for *_, b in places} == set(range(len(BIOMES)))
    assert len(BIOMES) == 14
    assert is_land(0, np.array([p[0] for p in places]), np.array([p[1] for p in places])).all()
    assert places[:50] == stratified_places(0, 50)


def test_land_cover_shares_follow_the_published_figures(places) -> None:
    counts = np.zeros(101)
    for lon, lat, _ in places:
        grid = Grid.centred_on(lon, lat).at(160)
        counts += np.bincount(truth(0, grid).land_cover.ravel(), minlength=101)
    shares = 100 * counts / counts.sum()
    # 210 places of 64 pixels each are few: a class may be off by half of its share and two points.
    for code, published in PUBLISHED.items():
        assert abs(shares[code] - published) < 0.5 * published + 2.0, (code, shares[code])


def test_mangroves_are_warm_snow_is_cold_the_sea_is_level(places) -> None:
    rng = np.random.default_rng(0)
    lon, lat = rng.uniform(-180, 180, 4000), np.degrees(np.arcsin(rng.uniform(-0.97, 0.97, 4000)))
    land = sample(0, lon, lat)
    sea = ~is_land(0, lon, lat)
    assert (land.elevation[sea] == 0).all()
    assert (land.land_cover[sea] == 80).all()
    assert np.abs(lat[land.land_cover == 95]).max(initial=0) < 33
    assert land.temperature[land.land_cover == 70].max(initial=-99) < 0
    assert (land.canopy[land.land_cover == 80] == 0).all()
    assert 0.25 < 1 - sea.mean() < 0.6


def test_objects_stand_on_what_the_raster_shows(places) -> None:
    houses, right, mapped = 0, 0, 0
    for lon, lat, _ in places[:120]:
        for thing in objects_on(0, Grid.centred_on(lon, lat)):
            if thing.kind == "house":
                at = sample(0, thing.geometry.centroid.x, thing.geometry.centroid.y)
                houses += 1
                right += int(at.surface == 2 or at.land_cover == 50)
                mapped += thing.mapped
    assert houses > 50
    assert right > 0.9 * houses
    assert 0.2 * houses < mapped < houses
