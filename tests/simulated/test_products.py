"""Products against their own definitions and against the truth: codes, noise, clouds, confusion."""

import datetime as dt
from functools import cache

import numpy as np
import pytest
from shapely.geometry import Polygon

from geomeld.core.grid import Grid
from geomeld.modalities import MODALITIES, SENTINEL2_BANDS
from geomeld.sources.simulated import SimulatedSource, confusion, grain, scenes, weather
from geomeld.sources.simulated.labels import DYNAMIC_WORLD_OF
from geomeld.sources.simulated.landscape import sample
from geomeld.sources.simulated.nature import FIELDS, survey
from geomeld.sources.simulated.noise import on_sphere
from geomeld.sources.simulated.products import PRODUCTS, render
from geomeld.sources.simulated.raster import Window, window_around
from geomeld.sources.source import Scene


def day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@cache
def candidates() -> dict[str, np.ndarray]:
    """Nature at 6,000 points of the whole Earth, evenly over the sphere, up to 80 degrees."""
    draw = np.random.default_rng(11)
    lon = draw.uniform(-175, 175, 6000)
    lat = np.degrees(np.arcsin(draw.uniform(-0.985, 0.985, 6000)))
    return dict(zip(FIELDS, survey(0, lon, lat), strict=True)) | {"lon": lon, "lat": lat}


def land_places(count: int, latitudes=(-50, 65), accept=lambda at: True) -> list[tuple[float, float]]:
    """The first places on land between two latitudes that `accept` takes."""
    at = candidates()
    good = (at["lat"] > latitudes[0]) & (at["lat"] < latitudes[1]) & (at["shore"] > 0.01) & (at["occurrence"] < 5)
    return [(float(at["lon"][i]), float(at["lat"][i])) for i in np.flatnonzero(good & accept(at))[:count]]


def scenes_of(name: str, grid: Grid, start: str, end: str) -> list[Scene]:
    found = SimulatedSource(0).scenes(MODALITIES[name], grid, day(start), day(end))
    outline = Polygon(grid.footprint())
    return [s for s in found if s.epsg == 4326 or (s.epsg == grid.epsg and s.footprint.contains(outline))]


def test_noise_is_standard_normal_and_continuous():
    draw = np.random.default_rng(0)
    lon, lat = draw.uniform(-180, 180, 40_000), np.degrees(np.arcsin(draw.uniform(-1, 1, 40_000)))
    field = grain.smooth(grain.key_of(0, "test"), on_sphere(lon, lat), 50_000.0, 3)
    assert abs(field.mean()) < 0.03
    assert abs(field.std() - 1) < 0.03
    assert abs(np.mean(grain.uniform(field) < 0.2) - 0.2) < 0.015
    near = grain.smooth(grain.key_of(0, "test"), on_sphere(lon + 1e-6, lat), 50_000.0, 3)
    assert np.abs(near - field).max() < 1e-3
    assert (
        np.abs(
            grain.smooth(grain.key_of(0, "test"), on_sphere(np.array([-180.0]), np.array([12.0])), 500.0)
            - grain.smooth(grain.key_of(0, "test"), on_sphere(np.array([180.0]), np.array([12.0])), 500.0)
        )
        < 1e-4
    )


def test_white_noise_depends_on_position_alone():
    key = grain.key_of(0, "test")
    np.testing.assert_array_equal(grain.white(key, 5, 9, 20, 30)[3:, 4:], grain.white(key, 8, 13, 17, 26))
    assert abs(grain.white(key, 0, 0, 300, 300).std() - 1) < 0.01


@pytest.mark.parametrize("name", [n for n in PRODUCTS if n != "naip"])
def test_any_window_of_a_file_has_the_same_pixels(name):
    grid = Grid.centred_on(*land_places(1, (30, 60))[0])
    scene = scenes_of(name, grid, "2020-05-01", "2020-07-30")[0]
    for raster in PRODUCTS[name].rasters_of(scene):
        window = window_around(scene, raster, grid)
        part = Window(window.column + 12, window.row + 6, window.columns // 2, window.rows // 2)
        whole, piece = (render(0, name, scene, raster, w) for w in (window, part))
        inside = whole.values[:, 6 : 6 + part.rows, 12 : 12 + part.columns]
        np.testing.assert_array_equal(piece.values, inside)
        assert piece.values.dtype == np.dtype(raster.dtype)
        assert piece.transform.c == pytest.approx(whole.transform.c + 12 * raster.pixel, abs=1e-9)


def test_stored_codes_carry_the_offset_of_their_baseline_and_tiles_do_not():
    """Ground a week before and after baseline 04.00: stored codes jump by 1000, harmonised reflectance does not."""
    grid = Grid.centred_on(*land_places(1, (-20, 20), lambda at: at["moisture"] < 0.2)[0])
    source, modality = SimulatedSource(0), MODALITIES["sentinel2"]
    before = min(scenes_of("sentinel2", grid, "2021-12-01", "2022-01-25"), key=lambda s: s.cloud_cover)
    after = min(scenes_of("sentinel2", grid, "2022-01-25", "2022-03-10"), key=lambda s: s.cloud_cover)
    assert (before.properties["offset"], after.properties["offset"]) == (0, -1000)
    assert "03.01" in before.product
    assert "04.00" in after.product
    raster = PRODUCTS["sentinel2"].rasters[0]
    stored = [render(0, "sentinel2", s, raster, window_around(s, raster, grid)).values for s in (before, after)]
    values = [source.read(modality, [s], grid).values for s in (before, after)]
    assert np.median(stored[1]) - np.median(stored[0]) > 700
    red = SENTINEL2_BANDS.index("B4")
    assert abs(np.median(values[1][red]) - np.median(values[0][red])) < 300
    assert min(v.min() for v in values) >= 1


def test_decibels_come_after_averaging_power():
    """A grid shifted by half a pixel: each value is the decibel of the mean power of its four native neighbours."""
    grid = Grid.centred_on(*land_places(1, (30, 50))[0])
    source, modality = SimulatedSource(0), MODALITIES["sentinel1"]
    scene = scenes_of("sentinel1", grid, "2020-05-01", "2020-07-30")[0]
    moved = Grid(grid.epsg, grid.left + 5, grid.top - 5, grid.gsd, grid.size)
    layer = source.read(modality, [scene], moved)
    band = "VV_asc" if scene.orbit == "ascending" else "VV_desc"
    raster = PRODUCTS["sentinel1"].rasters[0]
    window = window_around(scene, raster, moved)
    native = render(0, "sentinel1", scene, raster, window)
    row = round((native.transform.f - moved.top - 5) / 10)
    column = round((moved.left - 5 - native.transform.c) / 10)
    power = native.values[0].astype(np.float64)
    four = np.stack([power[row + a : row + a + 128, column + b : column + b + 128] for a in (0, 1) for b in (0, 1)])
    seen = (four > 0).all(axis=0)
    values, valid = layer.band(band)
    assert seen.mean() > 0.8
    assert valid[seen].all()
    np.testing.assert_allclose(values[seen], 10 * np.log10(four.mean(axis=0)[seen]), atol=2e-3)


def test_polarisation_follows_latitude():
    for latitudes, expected in (((-50, 50), {"VV", "VH"}), ((69, 78), {"HH", "HV"})):
        place = land_places(1, latitudes)[0]
        grid = Grid.centred_on(*place)
        scene = scenes_of("sentinel1", grid, "2020-05-01", "2020-07-30")[0]
        layer = SimulatedSource(0).read(MODALITIES["sentinel1"], [scene], grid)
        seen = {b.split("_")[0] for b, v in zip(layer.bands, layer.valid, strict=True) if v.any()}
        assert seen == expected


def test_speckle_has_the_stated_looks_and_mean():
    from geomeld.sources.simulated import radar

    class Flat:
        shape, row, column = (400, 400), 0, 0

    noise = radar._speckle(grain.key_of(0, "speckle"), Flat())
    assert abs(noise.mean() - 1) < 0.01
    assert 1 / noise.var() == pytest.approx(radar.LOOKS, rel=0.1)


def test_dynamic_world_is_masked_under_cloud():
    """Where a scene's opacity hides the ground, its map has no label; over clear ground it has one."""
    from geomeld.sources.simulated.ground import cropped, padded_ground
    from geomeld.sources.simulated.optical import look_of, sky_over

    found = 0
    for place in land_places(12, (-40, 60)):
        grid = Grid.centred_on(*place)
        for scene in scenes_of("dynamic_world", grid, "2020-03-01", "2020-06-01"):
            raster = PRODUCTS["dynamic_world"].rasters[0]
            window = window_around(scene, raster, grid)
            sky = sky_over(0, look_of(scene), padded_ground(0, scene, raster, window))
            labels = render(0, "dynamic_world", scene, raster, window).values[0]
            thick, clear = cropped(sky.opacity) > 0.5, cropped(sky.opacity + sky.shadow) < 0.05
            assert not labels[thick].any()
            assert labels[clear].all()
            found += thick.any()
        if found > 3:
            return
    assert found


def test_clouds_of_a_scene_cover_about_its_share():
    """Cloud at 60 x 60 points of whole scenes follows their stated cover."""
    covers, seen = [], []
    grid = Grid.centred_on(*land_places(1, (40, 50))[0])
    for scene in scenes_of("sentinel2", grid, "2020-01-01", "2021-01-01")[::3]:
        left, top, side = (scene.properties[k] for k in ("left", "top", "side"))
        x, y = np.meshgrid(left + np.linspace(0, side, 60), top - np.linspace(0, side, 60))
        from geomeld.sources.simulated.raster import projected

        lon, lat = projected(x, y, scene.epsg, 4326)
        points = on_sphere(lon, lat)
        cloudy = weather.cloudiness(
            0, scene.properties["day"], points, lat, survey(0, lon, lat)[FIELDS.index("moisture")].reshape(lon.shape)
        )
        seen.append(100 * np.mean(weather.cloud_depth(0, scene.properties["day"], points, cloudy) > 0))
        covers.append(scene.cloud_cover)
    assert np.mean(np.abs(np.array(covers) - seen)) < 8
    assert np.corrcoef(covers, seen)[0, 1] > 0.95


def test_clear_scenes_are_common_in_deserts_and_rare_in_rain_forests():
    shares = {}
    for kind, accept in (
        ("dry", lambda at: at["moisture"] < 0.2),
        ("wet", lambda at: (at["moisture"] > 0.75) & (at["temperature"] > 22)),
    ):
        covers = [
            s.cloud_cover
            for place in land_places(8, (-40, 40), accept)
            for s in scenes_of("sentinel2", Grid.centred_on(*place), "2020-01-01", "2021-01-01")
        ]
        shares[kind] = np.mean(np.array(covers) < 10)
    assert shares["dry"] > 0.35
    assert 0.01 < shares["wet"] < 0.2


def test_clear_share_is_measured_on_the_tile():
    source, seen = SimulatedSource(0), []
    for place in land_places(4, (-40, 60)):
        grid = Grid.centred_on(*place)
        for scene in scenes_of("sentinel2", grid, "2020-03-01", "2020-05-01"):
            seen.append((scene.cloud_cover, source.clear_share(scene, grid)))
    cover, clear = np.array(seen).T
    assert clear.min() >= 0
    assert clear.max() == 1.0
    assert clear[cover < 10].mean() > 0.85
    assert clear[cover > 90].mean() < 0.3


def test_missing_codes_become_invalid():
    """The code 255 of canopy height over water and the void code of elevation never reach the values."""
    source = SimulatedSource(0)
    at = candidates()
    lake = np.flatnonzero((at["shore"] < 0) & (np.abs(at["lat"]) < 60))[0]
    grid = Grid.centred_on(float(at["lon"][lake]), float(at["lat"][lake]))
    files = scenes_of("canopy_height", grid, "2020-01-01", "2020-02-01")
    native = render(0, "canopy_height", files[0], *_only(files[0], "canopy_height", grid))
    assert (native.values == 255).any()
    assert source.read(MODALITIES["canopy_height"], files, grid) is None
    north = Grid.centred_on(20.0, 83.5)
    assert source.read(MODALITIES["aster"], scenes_of("aster", north, "2020-01-01", "2020-02-01"), north) is None


def _only(scene: Scene, name: str, grid: Grid):
    raster = PRODUCTS[name].rasters[0]
    return raster, window_around(scene, raster, grid)


def test_elevation_errs_by_metres():
    errors = []
    for place in land_places(6, (-50, 60), lambda at: at["canopy"] < 1):
        grid = Grid.centred_on(*place)
        layer = SimulatedSource(0).read(MODALITIES["aster"], scenes_of("aster", grid, "2020-01-01", "2020-02-01"), grid)
        land = sample(0, *grid.lonlat())
        errors.append(np.std((layer.values[0] - land.elevation - 0.5 * land.canopy)[layer.valid[0]]))
    assert 1.5 < np.median(errors) < 9


@pytest.mark.parametrize(("name", "low", "high"), [("esa_worldcover", 0.70, 0.86), ("dynamic_world", 0.66, 0.86)])
def test_maps_agree_with_the_truth_as_often_as_stated(name, low, high):
    """Overall agreement on 24 land tiles lies in the published range, and the two products err independently."""
    table = np.zeros(256, dtype=np.uint8)
    for code, label in DYNAMIC_WORLD_OF.items():
        table[code] = label if name == "dynamic_world" else code
    right = total = 0
    for place in land_places(24, (-50, 60)):
        grid = Grid.centred_on(*place)
        layer = SimulatedSource(0).read(MODALITIES[name], scenes_of(name, grid, "2020-05-01", "2020-07-01")[:3], grid)
        if layer is None:
            continue
        truth = table[sample(0, *grid.lonlat()).land_cover]
        right += int((layer.values == truth)[layer.valid].sum())
        total += int(layer.valid.sum())
    assert low < right / total < high


def test_error_models_are_distributions():
    for model in (confusion.WORLDCOVER_ERRORS, confusion.DYNAMIC_WORLD_ERRORS):
        assert set(model.rate) == set(model.partners) == {c.code for c in MODALITIES["esa_worldcover"].kind.classes}
        for partners in model.partners.values():
            assert sum(share for _, share in partners) == pytest.approx(1.0)


def test_majority_equals_plain_counting():
    codes = np.random.default_rng(0).choice(np.array([10, 30, 80], dtype=np.uint8), (12, 11))
    padded = np.pad(codes, 1, mode="edge")
    for (i, j), value in np.ndenumerate(confusion.majority(codes, 3)):
        found, counts = np.unique(padded[i : i + 3, j : j + 3], return_counts=True)
        assert value == found[counts.argmax()]


def test_seasons_turn_with_the_hemisphere():
    """Greenness of temperate grass and trees: higher in July in the north, in January in the south."""
    near, red = SENTINEL2_BANDS.index("B8"), SENTINEL2_BANDS.index("B4")
    for latitudes, sign in (((38, 55), 1), ((-55, -36), -1)):
        places = land_places(
            5,
            latitudes,
            lambda at: (at["moisture"] > 0.4) & np.isin(at["cover"], (10, 30)) & (at["temperature"] > 6),
        )
        if not places:
            pytest.skip("no temperate grass on this side")
        change = []
        for place in places:
            grid, mean = Grid.centred_on(*place), []
            for start, end in (("2020-07-01", "2020-08-20"), ("2020-01-01", "2020-02-20")):
                scene = min(scenes_of("sentinel2", grid, start, end), key=lambda s: s.cloud_cover)
                v = SimulatedSource(0).read(MODALITIES["sentinel2"], [scene], grid).values
                mean.append(np.median((v[near] - v[red]) / (v[near] + v[red])))
            change.append(sign * (mean[0] - mean[1]))
        assert np.median(change) > 0.1


def test_every_tile_lies_in_a_scene_of_its_own_zone():
    for lon, lat in ((5.9999, 45.0), (6.0001, 45.0), (-179.9999, 10.0), (179.9999, -10.0), (8.0, 61.0), (20.0, 78.0)):
        grid = Grid.centred_on(lon, lat)
        own = [s for s in scenes.squares(grid) if s.epsg == grid.epsg]
        west, south, east, north = grid.bounds
        assert any(
            s.left <= west and s.left + s.side >= east and s.top >= north and s.top - s.side <= south for s in own
        )
