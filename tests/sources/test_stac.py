"""StacSource: a catalogue that can be moved; real data; a catalogue with a search; bad input."""

import datetime as dt
import http.server
import json
import pickle
import shutil
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pystac
import pytest

from geomeld.build.anchors import read_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.plan import plan_tile
from geomeld.build.tile import build_tile
from geomeld.core.errors import CorruptAsset, MissingProduct, SourceError, TransientError
from geomeld.core.grid import Grid
from geomeld.modalities import MODALITIES
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.source import Source
from geomeld.sources.stac import StacSource

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "terramesh_stac"


@pytest.fixture
def catalogue(piece) -> Path:
    return piece / "catalog.json"


@pytest.mark.slow
def test_is_a_source_that_can_be_pickled(catalogue):
    source = pickle.loads(pickle.dumps(StacSource(str(catalogue))))
    assert isinstance(source, Source)
    assert source.modalities() == set(MODALITIES)


@pytest.mark.slow
def test_catalogue_is_relative_and_can_be_moved(catalogue, tmp_path):
    moved = tmp_path / "elsewhere"
    shutil.copytree(catalogue.parent, moved)
    root = pystac.read_file(str(moved / "catalog.json"))
    for item in root.get_items(recursive=True):
        assert item.datetime or item.common_metadata.start_datetime
        for asset in item.assets.values():
            assert not Path(asset.href).is_absolute()
            assert Path(asset.get_absolute_href()).is_relative_to(moved)
            assert Path(asset.get_absolute_href()).exists()


def test_files_in_degrees_far_north_are_whole():
    grid, modality, source = Grid.centred_on(25.0, 75.0), MODALITIES["surface_water"], SimulatedSource(5)
    scenes = source.scenes(modality, grid, *[dt.datetime(2020, 1, 1, tzinfo=dt.UTC)] * 2)
    layer = source.read(modality, scenes, grid)
    assert layer is not None
    assert layer.valid.any()


def test_tiles_on_either_side_of_the_antimeridian_have_scenes():
    ever = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 2, 1, tzinfo=dt.UTC)
    for lon in (179.998, -179.998):
        assert SimulatedSource(5).scenes(MODALITIES["sentinel2"], Grid.centred_on(lon, 10.0), *ever), lon


def test_an_unreachable_server_is_worth_another_try():
    with pytest.raises(TransientError, match="did not answer"):
        StacSource("http://127.0.0.1:9/catalog.json").modalities()


@pytest.mark.skipif(not REAL.exists(), reason="the shared TerraMesh catalogue is not here")
def test_real_tiles_have_sensible_values():
    source = StacSource(str(REAL / "catalog.json"))
    assert source.modalities() == {"sentinel2", "sentinel1", "aster"}
    anchors = read_anchors(REAL / "anchors.csv")
    assert len(anchors) == 3
    for anchor in anchors:
        plan = plan_tile(anchor, source, BuildConfig())
        assert not plan.reason
        layers = build_tile(plan, source).layers
        assert set(layers) == {"sentinel2", "sentinel1", "aster"}
        optical, radar, height = layers["sentinel2"], layers["sentinel1"], layers["aster"]
        assert optical.valid.all()
        assert 100 < np.median(optical.values) < 4000
        assert radar.valid.mean(axis=(1, 2)).tolist() == [0, 0, 0, 0, 1, 1, 0, 0]
        assert -30 < radar.band("VH_desc")[0].mean() < radar.band("VV_desc")[0].mean() < 0
        assert 0 <= height.band("elevation")[0].min() < height.band("elevation")[0].max() < 300
        assert 0 <= height.band("slope")[0].min() < height.band("slope")[0].max() < 60


@pytest.mark.skipif(not REAL.exists(), reason="the shared TerraMesh catalogue is not here")
@pytest.mark.parametrize("keep", [0, 300, 0.5, 0.95])
def test_a_truncated_file_names_its_item_and_asset(tmp_path, keep):
    shutil.copytree(REAL, tmp_path / "real")
    (anchor, *_) = read_anchors(REAL / "anchors.csv")
    damaged = tmp_path / "real" / "sentinel-2-l2a" / "S2_282D_485L_3_3" / "B04.tif"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[: keep if keep == 0 or keep > 1 else int(keep * len(whole))])
    source = StacSource(str(tmp_path / "real" / "catalog.json"))
    with pytest.raises(CorruptAsset, match=r"Asset B04 of sentinel2 item S2_282D_485L_3_3"):
        build_tile(plan_tile(anchor, source, BuildConfig()), source)
    damaged.unlink()
    with pytest.raises(SourceError, match=r"B04 .* is not there"):
        build_tile(plan_tile(anchor, source, BuildConfig()), source)


def test_bad_catalogues(tmp_path):
    with pytest.raises(SourceError, match="cannot be read: No such file"):
        StacSource(str(tmp_path / "nothing.json")).modalities()
    text = tmp_path / "text.json"
    text.write_text("hello")
    with pytest.raises(SourceError, match="is not JSON"):
        StacSource(str(text)).modalities()
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"type": "FeatureCollection", "features": []}))
    with pytest.raises(SourceError, match="no STAC catalogue"):
        StacSource(str(other)).modalities()


def test_a_catalogue_without_the_reference_says_what_it_holds(tmp_path):
    extent = pystac.Extent(pystac.SpatialExtent([[-180, -90, 180, 90]]), pystac.TemporalExtent([[None, None]]))
    root = pystac.Catalog("some", "some")
    root.add_child(pystac.Collection("landsat-c2-l2", "Landsat", extent))
    root.normalize_and_save(str(tmp_path), pystac.CatalogType.SELF_CONTAINED)
    with pytest.raises(MissingProduct, match=r"sentinel-2-l2a.*landsat-c2-l2"):
        StacSource(str(tmp_path / "catalog.json")).modalities()


class Api(http.server.BaseHTTPRequestHandler):
    """The smallest STAC API: the real catalogue's Sentinel-2 collection, and a search that keeps a request's words."""

    asked: ClassVar[list[dict]] = []

    def log_message(self, *args):
        pass

    def answer(self, data: dict) -> None:
        body = json.dumps(data).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        root = f"http://{self.headers['Host']}"
        collection = json.loads((REAL / "sentinel-2-l2a" / "collection.json").read_text()) | {"links": []}
        if self.path.startswith("/collections"):
            return self.answer({"collections": [collection], "links": []})
        links = [
            {"rel": "data", "href": f"{root}/collections", "type": "application/json"},
            {"rel": "search", "href": f"{root}/search", "type": "application/geo+json", "method": "POST"},
        ]
        about = {"type": "Catalog", "id": "api", "stac_version": "1.0.0", "description": "api", "links": links}
        classes = ["core", "collections", "item-search"]
        return self.answer(about | {"conformsTo": [f"https://api.stacspec.org/v1.0.0/{c}" for c in classes]})

    def do_POST(self):
        Api.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        folder = REAL / "sentinel-2-l2a" / "S2_282D_485L_3_3"
        item = json.loads((folder / f"{folder.name}.json").read_text()) | {"links": []}
        for name, asset in item["assets"].items():
            asset["href"] = str(folder / f"{name}.tif")
        self.answer({"type": "FeatureCollection", "features": [item], "links": []})


@pytest.mark.skipif(not REAL.exists(), reason="the shared TerraMesh catalogue is not here")
def test_a_catalogue_with_a_search_is_searched():
    anchor, *_ = read_anchors(REAL / "anchors.csv")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            source = StacSource(f"http://127.0.0.1:{server.server_port}/")
            plan = plan_tile(anchor, source, BuildConfig())
            tile = build_tile(plan, source)
        finally:
            server.shutdown()
    local = StacSource(str(REAL / "catalog.json"))
    there = build_tile(plan_tile(anchor, local, BuildConfig()), local)
    np.testing.assert_array_equal(tile.layers["sentinel2"].values, there.layers["sentinel2"].values)
    (asked,) = Api.asked
    assert asked["collections"] == ["sentinel-2-l2a"]
    assert asked["datetime"] == "2020-05-05T12:00:00Z/2020-06-04T12:00:00Z"
    assert asked["intersects"]["type"] == "Polygon"
