"""The simulated source as a whole: one scene whatever the tile, the order of calls and the process."""

import datetime as dt
import pickle
from dataclasses import replace

import numpy as np
import pytest

from geomeld.core.grid import Grid
from geomeld.core.tile import Layer
from geomeld.modalities import MODALITIES
from geomeld.sources.simulated import SimulatedSource, ground, optical
from geomeld.sources.simulated.landscape import united_states
from geomeld.sources.simulated.nature import FIELDS, survey
from geomeld.sources.source import Source

SUMMER = dt.datetime(2020, 6, 10, tzinfo=dt.UTC), dt.datetime(2020, 8, 1, tzinfo=dt.UTC)


def find(accept, latitudes=(-55, 65)) -> tuple[float, float]:
    """The first land place in a fixed random order that `accept` takes, given nature by name of field."""
    draw = np.random.default_rng(3)
    lon, lat = draw.uniform(-175, 175, 3000), draw.uniform(*latitudes, 3000)
    at = dict(zip(FIELDS, survey(0, lon, lat), strict=True)) | {"lon": lon, "lat": lat}
    good = np.flatnonzero((at["shore"] > 0.01) & (at["occurrence"] < 5) & accept(at))
    return float(lon[good[0]]), float(lat[good[0]])


@pytest.fixture(scope="module")
def place():
    return find(lambda at: at["elevation"] > 20, latitudes=(30, 45))


def read(name: str, grid: Grid, count: int = 2, when=SUMMER, source=None) -> Layer | None:
    source, modality = source or SimulatedSource(0), MODALITIES[name]
    scenes = [s for s in source.scenes(modality, grid, *when) if s.epsg in (4326, grid.epsg)]
    return source.read(modality, scenes[:count], grid)


def forget() -> None:
    """Empty the caches, as in a new process."""
    ground.forget()
    optical._picture.cache_clear()
    optical.sky_over.cache_clear()


def test_is_a_source_that_can_be_pickled(place):
    source = SimulatedSource(7)
    assert isinstance(source, Source)
    assert pickle.loads(pickle.dumps(source)) == source
    assert source.modalities() == frozenset(MODALITIES)


@pytest.mark.parametrize("name", [m for m in MODALITIES if m != "naip"])
def test_overlapping_tiles_agree_where_pixels_coincide(place, name):
    """A tile 640 m east and 320 m north of another one holds the same values on the ground that both cover."""
    grid = Grid.centred_on(*place)
    other = replace(grid, left=grid.left + 640, top=grid.top + 320)
    first = read(name, grid)
    forget()
    second = read(name, other)
    assert first is not None
    assert second is not None
    a, b = (slice(None), slice(0, 96), slice(64, 128)), (slice(None), slice(32, 128), slice(0, 64))
    np.testing.assert_array_equal(first.valid[a], second.valid[b])
    seen = first.valid[a]
    assert seen.any()
    if MODALITIES[name].is_categorical or name in ("sentinel1", "surface_water"):
        np.testing.assert_array_equal(first.values[a][seen], second.values[b][seen])
    else:
        # Interpolation weights are computed from each window's own corner: equal to the rounding of float32.
        np.testing.assert_allclose(first.values[a][seen], second.values[b][seen], rtol=2e-6, atol=1e-3)


def test_two_zones_see_one_place():
    """One scene of a place on a zone boundary, read on the grids of both zones, is two resamplings of one raster.

    The pixels of the grids lie up to half a pixel apart and are turned against each other by the convergence of both
    zones: values differ by what the ground and the noise of 1 % change over half a pixel, nothing else.
    """
    draw = np.random.default_rng(5)
    lon, lat = np.full(600, 12.0), draw.uniform(-50, 60, 600)
    at = dict(zip(FIELDS, survey(0, lon, lat), strict=True))
    latitude = float(lat[(at["elevation"] > 50) & (at["occurrence"] < 5)][0])
    west, east = Grid.centred_on(11.9999, latitude), Grid.centred_on(12.0001, latitude)
    assert west.epsg != east.epsg
    x, y = east.project(*west.lonlat())
    column, row = np.floor((x - east.left) / 10).astype(int), np.floor((east.top - y) / 10).astype(int)
    inside = (column >= 0) & (column < 128) & (row >= 0) & (row < 128)
    source = SimulatedSource(0)
    for name, band, least in (("aster", 0, 0.99), ("sentinel2", 7, 0.9)):
        modality = MODALITIES[name]
        both = [s for s in source.scenes(modality, west, *SUMMER) if s in source.scenes(modality, east, *SUMMER)]
        scene = min(both, key=lambda s: s.cloud_cover or 0)
        one, two = (source.read(modality, [scene], grid) for grid in (west, east))
        a, b = one.values[band][inside], two.values[band][row[inside], column[inside]]
        seen = one.valid[band][inside] & two.valid[band][row[inside], column[inside]]
        assert seen.mean() > 0.5
        assert np.corrcoef(a[seen], b[seen])[0, 1] > least, name


def test_order_of_reading_does_not_matter(place):
    grid, names = Grid.centred_on(*place), [m for m in MODALITIES if m != "naip"]
    forget()
    forward = {name: read(name, grid) for name in names}
    forget()
    for name in reversed(names):
        layer, before = read(name, grid), forward[name]
        assert (layer is None) == (before is None)
        if layer is not None and before is not None:
            np.testing.assert_array_equal(layer.values, before.values)
            np.testing.assert_array_equal(layer.valid, before.valid)


def test_scenes_are_sorted_dated_and_cover_the_tile(place):
    grid, source = Grid.centred_on(*place), SimulatedSource(0)
    for name in ("sentinel2", "sentinel1", "dynamic_world"):
        scenes = source.scenes(MODALITIES[name], grid, *SUMMER)
        assert scenes == sorted(scenes, key=lambda s: (s.acquired, s.scene_id))
        assert len({s.scene_id for s in scenes}) == len(scenes)
        assert all(SUMMER[0] <= s.acquired < SUMMER[1] for s in scenes)
    days = sorted({s.properties["day"] for s in source.scenes(MODALITIES["sentinel2"], grid, *SUMMER)})
    assert np.diff(days).max() <= 5


def test_features_are_the_mapped_objects(place):
    grid = Grid.centred_on(*place)
    features = SimulatedSource(0).features(grid)
    assert [f.feature_id for f in features] == sorted(f.feature_id for f in features)
    assert len({f.feature_id for f in features}) == len(features)


def test_naip_only_in_the_united_states():
    inside = find(lambda at: united_states(at["lon"], at["lat"]), latitudes=(20, 60))
    outside = find(lambda at: ~united_states(at["lon"], at["lat"]))
    years = dt.datetime(2017, 1, 1, tzinfo=dt.UTC), dt.datetime(2023, 1, 1, tzinfo=dt.UTC)
    source, modality = SimulatedSource(0), MODALITIES["naip"]
    assert source.scenes(modality, Grid.centred_on(*outside), *years) == []
    grid = Grid.centred_on(*inside)
    scenes = source.scenes(modality, grid, *years)
    assert scenes
    assert all(5 <= s.acquired.month <= 9 for s in scenes)
    day = scenes[0].acquired.date()
    layer = source.read(modality, [s for s in scenes if s.acquired.date() == day], grid)
    assert layer is not None
    assert layer.values.shape == (3, 1280, 1280)
    assert layer.values.dtype == np.uint16
    assert layer.values[layer.valid].min() >= 1
