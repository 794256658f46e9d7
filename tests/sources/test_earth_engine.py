"""Earth Engine: its real client against a double over HTTP that checks every request and answers from the simulated Earth."""

import datetime as dt
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from geomeld.build.config import BuildConfig
from geomeld.build.plan import plan_tile
from geomeld.build.tile import build_tile
from geomeld.cli.build import main as build
from geomeld.core.errors import (
    AuthError,
    ConfigError,
    MissingAsset,
    MissingExtra,
    SourceError,
    TransientError,
    UsageError,
)
from geomeld.core.grid import Grid
from geomeld.core.modality import Resampling
from geomeld.core.tile import Anchor
from geomeld.dataset import Dataset
from geomeld.dataset.manifest import load_manifest
from geomeld.modalities import MODALITIES
from geomeld.sources import ee_client, open_source
from geomeld.sources.earth_engine import HIGH_VOLUME, EarthEngineSource
from geomeld.sources.ee_client import TooMuch
from geomeld.sources.ee_products import PRODUCTS
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.slots import Slots
from geomeld.testing.earth_engine import EarthEngine, earth_engine, expressions

pytest.importorskip("ee", reason="the client of Earth Engine is not installed")

SEED = 5
IOWA = Anchor(2, -93.10, 41.70, dt.date(2021, 6, 15))  # where there are photographs
ALPS = Anchor(1, 11.35, 46.05, dt.date(2019, 7, 15))
FIJI = Anchor(3, 179.999, -16.5, dt.date(2020, 7, 20))  # across the antimeridian
CONFIG = BuildConfig(clear_share=0)  # Earth Engine's scenes are chosen by their properties


@pytest.fixture
def double(tmp_path, monkeypatch):
    with earth_engine(SEED) as served:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(served.key_file(tmp_path / "key.json")))
        monkeypatch.setattr(ee_client.tempfile, "gettempdir", lambda: str(tmp_path))
        ee_client._open.cache_clear()
        yield served
        ee_client._open.cache_clear()


def source_of(double: EarthEngine) -> EarthEngineSource:
    return EarthEngineSource("earth-project", double.url)


@pytest.mark.parametrize("anchor", [IOWA, ALPS, FIJI], ids=["iowa", "alps", "fiji"])
def test_a_tile_is_that_of_the_earth_behind_it_in_one_request(double, anchor):
    source, earth = pickle.loads(pickle.dumps(source_of(double))), SimulatedSource(SEED)
    row, known = plan_tile(anchor, source, CONFIG), plan_tile(anchor, earth, CONFIG)
    dated = [n for n, p in PRODUCTS.items() if p.kind == "dated"]
    assert {n: [s.scene_id for s in row.scenes.get(n, ())] for n in dated} == {
        n: [s.scene_id for s in known.scenes.get(n, ())] for n in dated
    }
    assert row.days == known.days
    double.asked.clear()
    tile, truth = build_tile(row, source), build_tile(known, earth)
    assert set(tile.layers) == set(truth.layers)
    for name, layer in truth.layers.items():
        seen = tile.layers[name]
        np.testing.assert_array_equal(seen.valid, layer.valid, err_msg=name)
        np.testing.assert_allclose(seen.values[layer.valid], layer.values[layer.valid], rtol=1e-5, err_msg=name)
        assert (seen.values.dtype, seen.acquired) == (layer.values.dtype, layer.acquired)
        assert seen.product.startswith(("Earth Engine", "ASTER", "ETH", "ESA", "JRC"))
    # One grid, one request: all that lies at 10 m, and the photograph at 1 m.
    requests = [request for what, request in double.asked if what == "pixels"]
    assert [r["grid"]["dimensions"]["width"] for r in requests] == [128, 1280][: 1 + ("naip" in truth.layers)]
    grid = Grid.centred_on(anchor.lon, anchor.lat)
    for request in requests:
        assert request["fileFormat"] == "NPY"
        assert request["workloadTag"] == "geomeld"
        assert request["grid"]["crsCode"] == f"EPSG:{grid.epsg}"
        t = request["grid"]["affineTransform"]
        assert (t["translateX"], t["translateY"]) == (grid.left, grid.top)
        assert t["scaleX"] == -t["scaleY"] == grid.metres / request["grid"]["dimensions"]["width"]


def test_the_graph_masks_first_then_resamples_then_fills(double):
    source = source_of(double)
    build_tile(plan_tile(IOWA, source, CONFIG), source)
    bands = [band for request in expressions(double) for band in request]
    assert {band.name.split("__")[0] for band in bands} == set(PRODUCTS)
    for band in bands:
        modality, product = (table[band.name.split("__")[0]] for table in (MODALITIES, PRODUCTS))
        assert (band.kernel == "nearest") == (modality.resampling is Resampling.NEAREST)
        assert band.dtype == modality.dtype
        assert band.beyond == (-9999 if modality.dtype == "float32" else np.iinfo(modality.dtype).max)
        assert (band.nodata, band.within) == (product.nodata, product.masked)
    assert sum(band.steep for band in bands) == 1
    assert not any("S1_GRD/" in band.asset for band in bands), "decibels are not averaged"


def test_fine_photographs_are_averaged(double):
    source, naip, grid = source_of(double), MODALITIES["naip"], Grid.centred_on(IOWA.lon, IOWA.lat)
    start, end = dt.datetime(2017, 1, 1, tzinfo=dt.UTC), dt.datetime(2023, 1, 1, tzinfo=dt.UTC)
    scene = source.scenes(naip, grid, start, end)[0]
    fine = type(scene)(
        **{n: getattr(scene, n) for n in scene.__slots__} | {"properties": {**scene.properties, "gsd": 0.6}}
    )
    with pytest.raises(SourceError, match="is not how naip is to be read"):  # the double's photographs have 1 m
        source.read(naip, [fine], grid)
    assert {band.kernel for band in expressions(double)[-1]} == {"average"}


def read(source: EarthEngineSource, name: str, anchor: Anchor = ALPS):
    grid, modality = Grid.centred_on(anchor.lon, anchor.lat), MODALITIES[name]
    return source.read(
        modality, source.scenes(modality, grid, *(dt.datetime(y, 1, 1, tzinfo=dt.UTC) for y in (2019, 2020))), grid
    )


@pytest.mark.parametrize(
    ("code", "message", "error"),
    [
        (429, "Too many concurrent aggregations.", TransientError),
        (503, "The service is currently unavailable.", TransientError),
        (403, "Earth Engine API has not been used in project 7 before or it is disabled.", AuthError),
        (404, "Image.load: Image asset 'x' not found.", MissingAsset),
        (400, "User memory limit exceeded.", TooMuch),
        (400, "Computation timed out.", TooMuch),
        (400, "Image.select: Pattern 'b2' did not match any bands.", SourceError),
    ],
    ids=["quota", "down", "project", "gone", "memory", "slow", "wrong"],
)
def test_refusals_have_kinds(double, code, message, error):
    source = source_of(double)
    double.faults.append((code, message))
    with pytest.raises(SourceError, match=message.split("'")[0].split(".")[0]) as told:
        read(source, "esa_worldcover")
    assert type(told.value) is error
    assert "esa_worldcover at 11.35" in str(told.value)
    assert read(source, "esa_worldcover").valid.all()


def test_a_refusal_halves_the_way_and_success_widens_it(double):
    source = source_of(double)
    slots = Slots(ee_client._folder(source.project, source.url))
    assert read(source, "esa_worldcover") is not None
    assert slots.width() == 40
    double.faults.append((429, "Too many requests."))
    with pytest.raises(TransientError):
        read(source, "esa_worldcover")
    assert slots.width() == 20
    read(source, "esa_worldcover")
    assert slots.width() == 20.05


@pytest.mark.parametrize("keep", [0, 60, 500])
def test_cut_pixels_are_asked_for_again(double, keep):
    source = source_of(double)
    double.cut.append(keep)
    with pytest.raises(TransientError, match="came damaged"):
        read(source, "esa_worldcover")
    assert read(source, "esa_worldcover").valid.all()


def test_what_is_too_much_together_is_read_apart(double):
    source = source_of(double)
    row = plan_tile(ALPS, source, CONFIG)
    whole = build_tile(row, source)
    double.asked.clear()
    double.memory = 12
    apart = build_tile(row, source)
    assert len([1 for what, _ in double.asked if what == "pixels"]) == 1 + len(row.scenes)
    for name, layer in whole.layers.items():
        np.testing.assert_array_equal(apart.layers[name].values, layer.values)
    double.memory = 11
    with pytest.raises(TooMuch, match=r"sentinel2 at 11\.3\d+, 46\.\d+: Earth Engine refuses .* memory limit"):
        build_tile(row, source)


def test_a_login_that_is_missing_or_expired(double, tmp_path, monkeypatch):
    source = source_of(double)
    assert read(source, "esa_worldcover") is not None
    double.expired = True
    with pytest.raises(AuthError, match=r"login .* expired .*invalid_grant.*earthengine authenticate"):
        read(source, "esa_worldcover")
    ee_client._open.cache_clear()
    with pytest.raises(ConfigError, match=r"Project earth-project: the login .*earthengine authenticate"):
        read(source, "esa_worldcover")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "nothing.json"))
    with pytest.raises(ConfigError, match=r"nothing\.json.*service account"):
        read(source, "esa_worldcover")


def test_a_server_that_is_not_there(double):
    with pytest.raises(TransientError, match="did not answer"):
        read(EarthEngineSource("earth-project", "http://127.0.0.1:9"), "esa_worldcover")


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ee", None)
    with pytest.raises(MissingExtra, match=r"pip install 'geomeld\[earth-engine\]'"):
        read(EarthEngineSource("earth-project"), "esa_worldcover")


def test_words_become_the_source():
    assert open_source("ee:my-project") == EarthEngineSource("my-project", HIGH_VOLUME)
    assert open_source("ee:my-project@http://127.0.0.1:1") == EarthEngineSource("my-project", "http://127.0.0.1:1")


def command(double: EarthEngine, out: Path, *more: str) -> list[str]:
    places = out.parent / "places.csv"
    rows = [f"{a.tile_id},{a.lat},{a.lon},{a.reference_date}" for a in (IOWA, ALPS)]
    places.write_text("\n".join(["id,lat,lon,date", *rows]) + "\n")
    source = f"ee:earth-project@{double.url}"
    return ["--anchors", str(places), "--source", source, "--out", str(out), "--workers", "1", *more]


def test_a_whole_build_through_faults(double, tmp_path, capsys):
    with pytest.raises(UsageError, match="give --yes"):
        build(command(double, tmp_path / "d"))
    assert double.asked == []
    told = capsys.readouterr().err
    assert "2 tiles from Earth Engine, project earth-project: 2 requests for pixels" in told
    double.faults += [(429, "Too many requests."), (503, "Later."), (400, "User memory limit exceeded.")]
    double.cut += [300]
    assert not build(command(double, tmp_path / "d", "--yes", "--first-wait-s", "0"))
    manifest = load_manifest(tmp_path / "d")
    assert (manifest.source, manifest.tiles, manifest.failures) == ("ee", 2, ())
    assert set(manifest.products["sentinel1"]) == {PRODUCTS["sentinel1"].title}
    assert all(p.startswith(f"{PRODUCTS['sentinel2'].title}, baseline 02.") for p in manifest.products["sentinel2"])
    tile = Dataset(tmp_path / "d")[IOWA.tile_id]
    assert set(tile.layers) == set(PRODUCTS)


def test_slots_are_shared_adapt_and_outlive_their_holders(tmp_path):
    clock = [100.0]
    slots = Slots(tmp_path / "s", most=4, now=lambda: clock[0], sleep=lambda s: pytest.fail("waited"))
    with slots.one(), slots.one(), slots.one(), slots.one():
        full = Slots(tmp_path / "s", most=4, sleep=lambda s: (_ for _ in ()).throw(TimeoutError))
        with pytest.raises(TimeoutError), full.one():
            pass
    slots.refused()
    slots.refused()  # of a request from before the cut
    assert slots.width() == 2
    clock[0] += 3
    slots.refused()
    clock[0] += 3
    slots.refused()
    assert slots.width() == 1
    for _ in range(40):
        slots.succeeded()
    assert slots.width() == 4
    with slots.one():
        pass
