"""What is wrong with a catalogue or a file: refused, absent, damaged and passing faults are told apart; parts missing."""

import datetime as dt
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio

from geomeld.core.errors import AuthError, CorruptAsset, MissingAsset, SourceError, TransientError, UsageError
from geomeld.core.grid import Grid
from geomeld.modalities import MODALITIES
from geomeld.sources import asset, open_source
from geomeld.sources.profiles import offset_of
from geomeld.sources.stac import StacSource
from geomeld.testing.http import serve
from geomeld.testing.nginx import nginx
from geomeld.testing.service import lacking, program

GRID = Grid.centred_on(11.35, 46.05)
EVER = dt.datetime(2017, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
SIDE = 200
"""Pixels of a file: the tile and 360 m around it."""

COLLECTIONS = {"sentinel2": "sentinel-2-l2a", "naip": "naip", "aster": "cop-dem-glo-30"}


def write(path: Path, values: np.ndarray, pixel: float = 10.0, **profile) -> None:
    """A GeoTIFF around the tile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    bands, rows, columns = values.shape
    margin = (pixel * columns - GRID.metres) / 2
    transform = rasterio.Affine(pixel, 0, GRID.left - margin, 0, -pixel, GRID.top + margin)
    profile |= {"width": columns, "height": rows, "count": bands, "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", crs=f"EPSG:{GRID.epsg}", transform=transform, **profile) as dataset:
        dataset.write(values)


def catalogue(folder: Path, modality: str, items: dict[str, dict], assets: dict[str, np.ndarray], **profile) -> Path:
    """A static catalogue of one collection whose items have these properties, all with the same files."""
    outline = [list(p) for p in Grid.centred_on(*GRID.centre).padded(300).footprint()]
    name = COLLECTIONS[modality]
    extent = {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [[None, None]]}}
    about = {"stac_version": "1.0.0", "description": "some", "license": "other"}
    links = []
    for item, properties in items.items():
        for key, values in assets.items():
            write(folder / name / item / f"{key}.tif", values, **profile)
        found = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": item,
            "collection": name,
            "geometry": {"type": "Polygon", "coordinates": [[*outline, outline[0]]]},
            "bbox": [*np.min(outline, axis=0), *np.max(outline, axis=0)],
            "properties": {"datetime": "2020-06-01T10:00:00Z"} | properties,
            "links": [],
            "assets": {key: {"href": f"./{key}.tif"} for key in assets},
        }
        (folder / name / item / "item.json").write_text(json.dumps(found))
        links.append({"rel": "item", "href": f"./{item}/item.json"})
    collection = {"type": "Collection", "id": name, "extent": extent, "links": links}
    (folder / name / "collection.json").write_text(json.dumps(about | collection))
    reference = {"type": "Collection", "id": "sentinel-2-l2a", "extent": extent, "links": []}
    if modality != "sentinel2":
        (folder / "reference.json").write_text(json.dumps(about | reference))
    children = [f"./{name}/collection.json", *([] if modality == "sentinel2" else ["./reference.json"])]
    root = {"type": "Catalog", "id": "some", "links": [{"rel": "child", "href": href} for href in children]}
    (folder / "catalog.json").write_text(json.dumps(about | root))
    return folder / "catalog.json"


def heights() -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 900, (1, SIDE, SIDE)).astype(np.float32)


def read(source: StacSource, modality: str = "aster"):
    scenes = source.scenes(MODALITIES[modality], GRID, *EVER)
    assert scenes
    return source.read(MODALITIES[modality], scenes, GRID)


@pytest.fixture
def elevation(tmp_path) -> Path:
    return catalogue(tmp_path / "stac", "aster", {"one": {}}, {"data": heights()}, compress="deflate")


FAULTS = {
    "refused": ({"status": 403}, AuthError, "Asset data of aster item one was refused .*data.tif.*403.*signed"),
    "without a login": ({"status": 401}, AuthError, "was refused .*401"),
    "not public": ({"status": 409}, AuthError, "was refused .*409"),
    "absent": ({"status": 404}, MissingAsset, "is not there .*data.tif.*404.*leave its item out"),
    "gone": ({"status": 410}, MissingAsset, "is not there"),
    "busy": ({"status": 429}, TransientError, "429.*Try again later"),
    "broken": ({"status": 503}, TransientError, "503.*Try again later"),
    "cut at once": ({"cut": 0}, TransientError, "did not come whole.*Try again later"),
    "cut on the way": ({"cut": 100}, TransientError, "did not come whole"),
    "cut in the tags": ({"cut": 400}, TransientError, "did not come whole"),
    "cut in the pixels": ({"cut": 9000}, TransientError, "did not come whole"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_a_server_are_told_apart(elevation, monkeypatch, fault):
    monkeypatch.setitem(asset.HTTP, "GDAL_HTTP_MAX_RETRY", "0")
    switches, kind, words = FAULTS[fault]
    with serve(elevation.parent) as server:
        for name, value in switches.items():
            getattr(server, name)["*.tif"] = value
        with pytest.raises(SourceError, match=words) as caught:
            read(StacSource(f"{server.url}/catalog.json"))
        for name in switches:
            getattr(server, name).clear()
        assert read(StacSource(f"{server.url}/catalog.json")) is not None, "what failed before is asked for again"
    assert type(caught.value) is kind


def test_a_server_that_is_slow_or_gone_may_be_asked_again(elevation, monkeypatch):
    monkeypatch.setitem(asset.HTTP, "GDAL_HTTP_MAX_RETRY", "0")
    monkeypatch.setitem(asset.HTTP, "GDAL_HTTP_TIMEOUT", "1")
    with serve(elevation.parent) as server:
        source = StacSource(f"{server.url}/catalog.json")
        scenes = source.scenes(MODALITIES["aster"], GRID, *EVER)
        server.delay["*.tif"] = 1.5
        with pytest.raises(TransientError, match="Try again later"):
            source.read(MODALITIES["aster"], scenes, GRID)
    with pytest.raises(TransientError, match="Try again later"):
        source.read(MODALITIES["aster"], scenes, GRID)


@pytest.mark.parametrize("kept", [0, 7, 0.2, 0.7])
@pytest.mark.parametrize("remote", [False, True])
def test_a_truncated_file_is_damaged_wherever_it_lies(elevation, kept, remote):
    file = elevation.parent / "cop-dem-glo-30" / "one" / "data.tif"
    whole = file.read_bytes()
    file.write_bytes(whole[: int(kept * len(whole)) if kept < 1 else kept])
    with serve(elevation.parent) as server:
        source = StacSource(f"{server.url}/catalog.json" if remote else str(elevation))
        with pytest.raises(CorruptAsset, match=r"Asset data of aster item one cannot be decoded .*data.tif"):
            read(source)


def test_a_file_that_lies_nowhere_is_damaged(elevation):
    file = elevation.parent / "cop-dem-glo-30" / "one" / "data.tif"
    with warnings.catch_warnings(), rasterio.open(file) as dataset:
        warnings.simplefilter("ignore")
        values, profile = dataset.read(), dataset.profile | {"transform": rasterio.Affine.identity()}
        with rasterio.open(file.with_name("bare.tif"), "w", **profile) as bare:
            bare.write(values)
    file.with_name("bare.tif").replace(file)
    with pytest.raises(CorruptAsset, match="does not say where its pixels lie"):
        read(StacSource(str(elevation)))


def test_a_missing_local_file_is_not_called_damaged(elevation):
    (elevation.parent / "cop-dem-glo-30" / "one" / "data.tif").unlink()
    with pytest.raises(SourceError, match=r"Asset data of aster item one is not there .*data.tif") as caught:
        read(StacSource(str(elevation)))
    assert not isinstance(caught.value, CorruptAsset | TransientError)


def test_an_item_without_a_time_is_left_out_with_one_warning(tmp_path):
    times = {
        "dated": {},
        "never": {"datetime": None},
        "period": {"datetime": None, "start_datetime": "2020-06-03T10:00:00Z", "end_datetime": "2020-06-03T11:00:00Z"},
        "half": {"datetime": None, "end_datetime": "2020-06-04T10:00:00Z"},
    }
    values = np.full((1, SIDE, SIDE), 1000, np.uint16)
    source = StacSource(str(catalogue(tmp_path, "sentinel2", times, {"B04": values})))
    with pytest.warns(UserWarning, match=r"Item never of sentinel-2-l2a has neither") as told:
        scenes = source.scenes(MODALITIES["sentinel2"], GRID, *EVER)
    assert len(told) == 1
    assert {s.scene_id: s.acquired.day for s in scenes if s.acquired} == {"dated": 1, "period": 3, "half": 4}


def optical(properties: dict, bands: dict | None = None) -> pystac.Item:
    taken = dt.datetime.fromisoformat(properties.pop("taken", "2020-06-01T10:00:00+00:00"))
    item = pystac.Item("one", None, None, taken, properties)
    item.add_asset("B04", pystac.Asset("B04.tif", extra_fields=bands or {}))
    item.add_asset("SCL", pystac.Asset("SCL.tif", extra_fields={"raster:bands": [{"data_type": "uint8"}]}))
    return item


def test_offset_begins_with_baseline_4():
    for baseline, offset in {"02.14": 0, "03.01": 0, "04.00": -1000, "05.10": -1000}.items():
        assert offset_of(optical({"s2:processing_baseline": baseline}), ["B04"]) == (offset, f"baseline {baseline}")
    applied = {"s2:processing_baseline": "05.09", "earthsearch:boa_offset_applied": True}
    assert offset_of(optical(applied), ["B04"])[0] == 0


@pytest.mark.parametrize(
    "bands",
    [
        {"raster:bands": [{"offset": -0.1, "scale": 0.0001}]},
        {"bands": [{"raster:offset": -0.1, "raster:scale": 0.0001}]},
        {"raster:offset": -0.1, "raster:scale": 0.0001},
    ],
)
def test_without_a_baseline_the_assets_decide_then_the_date(bands):
    early, late = "2022-01-24T23:59:59+00:00", "2022-01-25T00:00:00+00:00"
    stated = {"offset": 0, "scale": 0.0001}
    assert offset_of(optical({"taken": early}, bands), ["B04", "SCL"]) == (
        -1000,
        "offset -1000 as its assets state, no baseline",
    )
    assert offset_of(optical({"taken": late}, {"raster:bands": [stated]}), ["B04"])[0] == 0
    assert offset_of(optical({"taken": early}), ["B04"]) == (0, "offset 0 by its date, no baseline")
    assert offset_of(optical({"taken": late}), ["B04"]) == (-1000, "offset -1000 by its date, no baseline")
    assert offset_of(optical({"taken": late}, bands), ["SCL"])[0] == -1000


def test_the_offset_and_its_reason_go_into_the_product(tmp_path):
    values = np.full((1, SIDE, SIDE), 3000, np.uint16)
    late = {"late": {"datetime": "2022-06-01T10:00:00Z"}}
    layer = read(StacSource(str(catalogue(tmp_path, "sentinel2", late, {"B04": values}))), "sentinel2")
    assert layer is not None
    assert (layer.band("B4")[0] == 2000).all()
    assert layer.product == "Sentinel-2 L2A (sentinel-2-l2a), offset -1000 by its date, no baseline"


def test_the_black_collar_of_a_photograph_is_missing_and_dark_pixels_are_not(tmp_path):
    side = 1400
    photo = np.full((3, side, side), 90, np.uint8)
    photo[1:, 700:, :] = 0
    photo[:, :, :300] = 0
    files = {"one": {"datetime": "2020-06-01T10:00:00Z"}}
    layer = read(StacSource(str(catalogue(tmp_path, "naip", files, {"image": photo}, pixel=1.0))), "naip")
    assert layer is not None
    inside = np.zeros((1280, 1280), bool)
    inside[:, 240:] = True  # the file reaches 60 m beyond the tile
    for band in layer.valid:
        np.testing.assert_array_equal(band, inside)
    assert (layer.values[0][inside] == 90).all()
    assert (layer.values[1:, 640:] == 0).all()


def test_a_file_with_a_mask_goes_by_it(tmp_path):
    photo = np.zeros((4, 1400, 1400), np.uint8)
    photo[3, :, 300:] = 255
    files = {"one": {"datetime": "2020-06-01T10:00:00Z"}}
    path = catalogue(tmp_path, "naip", files, {"image": photo}, pixel=1.0, photometric="RGB", alpha="yes")
    layer = read(StacSource(str(path)), "naip")
    assert layer is not None
    assert layer.valid[:, :, 240:].all()
    assert not layer.valid[:, :, :240].any()


MALFORMED = {
    "without properties": ({"properties": None}, "has no properties"),
    "without a name": ({"id": ""}, "has no identifier"),
    "at no time": ({"properties": {"datetime": "last summer"}}, "states no proper time"),
    "with assets in a list": ({"assets": [{"href": "./B04.tif"}]}, "has assets without an address"),
    "with an asset that leads nowhere": ({"assets": {"B04": {"title": "red"}}}, "has assets without an address"),
    "with cloud in words": (
        {"properties": {"datetime": "2020-06-01T10:00:00Z", "eo:cloud_cover": "low"}},
        "is no number",
    ),
    "in metres": ({"geometry": {"type": "Point", "coordinates": [600000, 5100000]}}, "not in degrees"),
    "of no shape": ({"geometry": {"type": "Polygon", "coordinates": []}}, "no proper footprint"),
    "of a strange shape": ({"geometry": {"type": "Blob", "coordinates": [1, 2]}}, "no proper footprint"),
}


@pytest.mark.parametrize("fault", MALFORMED)
def test_a_malformed_item_is_left_out_and_the_others_are_used(tmp_path, fault):
    changes, words = MALFORMED[fault]
    path = catalogue(tmp_path, "sentinel2", {"bad": {}, "good": {}}, {"B04": np.full((1, SIDE, SIDE), 1000, np.uint16)})
    item = path.parent / "sentinel-2-l2a" / "bad" / "item.json"
    item.write_text(json.dumps(json.loads(item.read_text()) | changes))
    with pytest.warns(UserWarning, match=words):
        scenes = StacSource(str(path)).scenes(MODALITIES["sentinel2"], GRID, *EVER)
    assert [s.scene_id for s in scenes] == ["good"]


def test_a_file_in_another_projection_than_it_says_is_damaged(elevation):
    file = elevation.parent / "cop-dem-glo-30" / "one" / "data.tif"
    with rasterio.open(file, "r+") as dataset:
        dataset.crs = "EPSG:32718"
    with pytest.raises(CorruptAsset, match=r"do not lie where its item says.*EPSG:32632.*EPSG:32718"):
        read(StacSource(str(elevation)))


def test_a_file_in_an_unknown_projection_is_damaged(elevation):
    file = elevation.parent / "cop-dem-glo-30" / "one" / "data.tif"
    with rasterio.open(file, "r+") as dataset:
        dataset.crs = 'LOCAL_CS["somewhere",UNIT["metre",1]]'
    with pytest.raises(CorruptAsset, match=r"Asset data of aster item one"):
        read(StacSource(str(elevation)))


def test_nothing_but_missing_pixels_is_no_layer(tmp_path):
    path = catalogue(
        tmp_path, "aster", {"one": {}}, {"data": np.full((1, SIDE, SIDE), -9999, np.float32)}, nodata=-9999
    )
    assert read(StacSource(str(path))) is None


def test_missing_pixels_stay_missing_from_the_file_to_the_layer(tmp_path):
    values = np.random.default_rng(4).integers(1000, 4000, (1, SIDE, SIDE)).astype(np.uint16)
    holes = np.random.default_rng(5).random(values.shape) < 0.3
    late = {"late": {"datetime": "2022-06-01T10:00:00Z"}}
    files = {"B04": np.where(holes, 0, values).astype(np.uint16)}
    layer = read(StacSource(str(catalogue(tmp_path, "sentinel2", late, files, nodata=0))), "sentinel2")
    assert layer is not None
    seen, valid = layer.band("B4")
    margin = (SIDE - GRID.size) // 2
    inside = (slice(margin, margin + GRID.size),) * 2
    np.testing.assert_array_equal(valid, ~holes[0][inside])
    np.testing.assert_array_equal(seen[valid], np.maximum(values[0][inside][valid] - 1000.0, 1))
    assert not layer.band("B3")[1].any(), "a band without a file is missing"


def test_a_raster_of_huge_size_is_refused_unread(tmp_path):
    path = catalogue(tmp_path, "aster", {"one": {}}, {"data": heights()})
    file = path.parent / "cop-dem-glo-30" / "one" / "data.tif"
    size = {"width": 1_400_000, "height": 1_400_000, "count": 1, "dtype": "uint8", "crs": f"EPSG:{GRID.epsg}"}
    size |= {"tiled": True, "blockxsize": 8192, "blockysize": 8192, "sparse_ok": True, "BIGTIFF": "YES"}
    corner = rasterio.Affine(1e-3, 0, GRID.left - 50, 0, -1e-3, GRID.top + 50)
    rasterio.open(file, "w", driver="GTiff", transform=corner, **size).close()
    with pytest.raises(CorruptAsset, match="would need 1280004 x 1280004 of its pixels"):
        read(StacSource(str(path)))


def test_blocks_of_huge_size_are_refused_unread(tmp_path):
    path = catalogue(tmp_path, "aster", {"one": {}}, {"data": heights()})
    file = path.parent / "cop-dem-glo-30" / "one" / "data.tif"
    size = {"width": 16384, "height": 16384, "count": 1, "dtype": "uint8", "crs": f"EPSG:{GRID.epsg}"}
    size |= {"tiled": True, "blockxsize": 16384, "blockysize": 16384, "sparse_ok": True}
    corner = rasterio.Affine(1, 0, GRID.left - 50, 0, -1, GRID.top + 50)
    rasterio.open(file, "w", driver="GTiff", transform=corner, **size).close()
    with pytest.raises(CorruptAsset, match="its blocks are of 16384 x 16384 pixels"):
        read(StacSource(str(path)))


def test_a_file_that_names_other_files_is_not_read(elevation):
    """A stranger's catalogue must not reach further files of this machine."""
    file = elevation.parent / "cop-dem-glo-30" / "one" / "data.tif"
    with rasterio.open(file) as dataset:
        a, b, c, d, e, f = dataset.transform.to_gdal()
        wkt = dataset.crs.to_wkt()
    file.with_name("secret.tif").write_bytes(file.read_bytes())
    band = f"<SimpleSource><SourceFilename>{file.with_name('secret.tif')}</SourceFilename></SimpleSource>"
    file.write_text(
        f'<VRTDataset rasterXSize="{SIDE}" rasterYSize="{SIDE}"><SRS>{wkt}</SRS><GeoTransform>{a},{b},{c},{d},{e},{f}'
        f'</GeoTransform><VRTRasterBand dataType="Float32" band="1">{band}</VRTRasterBand></VRTDataset>'
    )
    with pytest.raises(CorruptAsset, match="GDAL's VRT"):
        read(StacSource(str(elevation)))


def test_names_of_the_copernicus_data_space_are_known(tmp_path):
    values = np.full((1, SIDE, SIDE), 3000, np.uint16)
    item = {"one": {"processing:version": "05.11"}}
    layer = read(
        StacSource(str(catalogue(tmp_path, "sentinel2", item, {"B04_10m": values, "B11_20m": values}))), "sentinel2"
    )
    assert layer is not None
    assert (layer.band("B4")[0] == 2000).all()
    assert (layer.band("B11")[0] == 2000).all()
    assert "baseline 05.11" in layer.product


def test_files_of_object_stores_are_read(tmp_path, monkeypatch):
    if not program("nginx"):
        pytest.skip(lacking("nginx"))
    path = catalogue(tmp_path / "stac", "aster", {"one": {}}, {"data": heights()})
    there = read(StacSource(str(path)))
    item = path.parent / "cop-dem-glo-30" / "one" / "item.json"
    item.write_text(item.read_text().replace("./data.tif", "s3://files/cop-dem-glo-30/one/data.tif"))
    with nginx(path.parent) as server:
        monkeypatch.setenv("AWS_S3_ENDPOINT", server.url.removeprefix("http://"))
        for name, value in {"HTTPS": "NO", "VIRTUAL_HOSTING": "FALSE", "NO_SIGN_REQUEST": "YES"}.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        shutil.copytree(path.parent, tmp_path / "moved")
        seen = read(StacSource(str(tmp_path / "moved" / "catalog.json")))
        assert [r for r, code, _ in server.asked() if r.path.endswith("data.tif") and code == 206]
    np.testing.assert_array_equal(seen.values, there.values)


def test_words_for_catalogues():
    assert open_source("stac:planetary-computer") == StacSource("https://planetarycomputer.microsoft.com/api/stac/v1")
    signed = StacSource("https://example.org/stac", tokens="https://example.org/token")
    assert open_source("stac:https://example.org/stac,tokens=https://example.org/token") == signed
    with pytest.raises(UsageError, match="signs the files of a STAC catalogue"):
        open_source("simulated:3,tokens=https://example.org/token")


def test_no_loss_in_a_header_goes_unnoticed(tmp_path, monkeypatch):
    """GDAL goes on without the parts of a header that a broken connection cut off, the no-data value among them."""
    monkeypatch.setitem(asset.HTTP, "GDAL_HTTP_MAX_RETRY", "0")
    holes = np.where(np.random.default_rng(6).random((1, SIDE, SIDE)) < 0.3, -7, heights()).astype(np.float32)
    path = catalogue(tmp_path, "aster", {"one": {}}, {"data": holes}, nodata=-7)
    there = read(StacSource(str(path)))
    href, lost = "cop-dem-glo-30/one/data.tif", set()
    with serve(path.parent) as server:
        for kept in range(8, 640, 8):
            server.cut["*.tif"] = kept
            with pytest.raises(TransientError, match="did not come whole") as caught:
                asset.look(f"{server.url}/{href}", "height", lambda dataset: dataset.read(1))
            lost.add("IO error" in str(caught.value))
        server.cut.clear()
        seen = read(StacSource(f"{server.url}/catalog.json"))
    assert lost == {True, False}, "some cuts hide a tag, others the whole"
    np.testing.assert_array_equal(seen.valid, there.valid)
