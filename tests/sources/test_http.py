"""A catalogue behind HTTP: the server's own manners, and a whole build through it, equal to the direct one."""

import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from geomeld.build.anchors import read_anchors
from geomeld.cli.build import main as build
from geomeld.core.grid import Grid
from geomeld.dataset import open_dataset
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.stac import StacSource
from geomeld.testing.http import serve


def get(url: str, method: str = "GET", **headers: str) -> tuple[int, bytes, str | None]:
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read(), answer.headers["Content-Range"]
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), error.headers["Content-Range"]


def test_ranges_and_codes(tmp_path):
    (tmp_path / "a b.txt").write_bytes(b"0123456789")
    with serve(tmp_path) as server:
        url = f"{server.url}/a%20b.txt"
        assert get(url) == (200, b"0123456789", None)
        assert get(url, "HEAD") == (200, b"", None)
        assert get(url, Range="bytes=2-4") == (206, b"234", "bytes 2-4/10")
        assert get(url, Range="bytes=7-99") == (206, b"789", "bytes 7-9/10")
        assert get(url, Range="bytes=-3") == (206, b"789", "bytes 7-9/10")
        assert get(url, Range="bytes=10-") == (416, b"", "bytes */10")
        assert get(url, Range="bytes=0-1,4-5") == (200, b"0123456789", None)
        assert get(f"{server.url}/none") == (404, b"", None)
        assert get(f"{server.url}/../{Path(__file__).name}")[0] == 404
        assert (server.asked[2].method, server.asked[2].range) == ("GET", "bytes=2-4")


def test_faults_are_switched_by_path(tmp_path):
    for name in ("a.tif", "b.tif", "c.json"):
        (tmp_path / name).write_bytes(b"0123456789")
    with serve(tmp_path) as server:
        server.status |= {"a.*": 403, "*": 500}
        assert [get(f"{server.url}/{n}")[0] for n in ("a.tif", "b.tif")] == [403, 500]
        server.status.clear()
        server.cut["*.tif"] = 4
        with pytest.raises(Exception, match="4 bytes read, 6 more expected"):
            get(f"{server.url}/b.tif")
        assert get(f"{server.url}/c.json")[1] == b"0123456789"
        server.delay["*.json"] = 30.0
        with pytest.raises(TimeoutError):
            urllib.request.urlopen(f"{server.url}/c.json", timeout=0.1)


@pytest.mark.slow
def test_a_build_over_http_is_the_direct_build(piece, tmp_path):
    words = ["--anchors", str(piece / "anchors.parquet"), "--workers", "1", "--out"]
    with serve(piece) as server:
        build([*words, str(tmp_path / "http"), "--source", f"stac:{server.url}/catalog.json"])
        remote, direct = StacSource(f"{server.url}/catalog.json"), SimulatedSource(5)
        for anchor in read_anchors(piece / "anchors.parquet"):
            grid = Grid.centred_on(anchor.lon, anchor.lat)
            assert remote.features(grid) == direct.features(grid)
        ranges = [r for r in server.asked if r.path.endswith(".tif") and r.method == "GET"]
        assert ranges
        assert all(r.range for r in ranges)
    build([*words, str(tmp_path / "direct"), "--source", "simulated:5"])
    seen, truth = ({t.anchor.tile_id: t for t in open_dataset(tmp_path / n)} for n in ("http", "direct"))
    assert set(seen) == set(truth) == {1, 2, 3}
    for key, there in truth.items():
        tile = seen[key]
        assert set(tile.layers) == set(there.layers)
        assert ("naip" in tile.layers) == (key == 2)
        for name, layer in there.layers.items():
            np.testing.assert_array_equal(tile.layers[name].values, layer.values, err_msg=f"{key} {name}")
            np.testing.assert_array_equal(tile.layers[name].valid, layer.valid, err_msg=f"{key} {name}")
            assert (tile.layers[name].scenes, tile.layers[name].acquired) == (layer.scenes, layer.acquired)
            assert tile.layers[name].product.startswith(layer.product.partition(",")[0])
        # Layers were compared one by one: two providers may word a product or a map differently.
        worded = {"layers": {}, "map_product": ""}
        assert {**tile.metadata, **worded} == {**there.metadata, **worded}


@pytest.mark.slow
def test_a_refused_file_costs_its_tile_and_no_other(piece, tmp_path):
    source = ["--anchors", str(piece / "anchors.parquet"), "--workers", "2"]
    with serve(piece) as server:
        server.status["aster-gdem/*N46E011*.tif"] = 403
        build([*source, "--source", f"stac:{server.url}/catalog.json", "--out", str(tmp_path / "most")])
    dataset = open_dataset(tmp_path / "most")
    assert {t.anchor.tile_id for t in dataset} == {2, 3}
    (failure,) = dataset.manifest.failures
    assert (failure.tile_id, failure.stage) == (1, "read")
    assert "Asset elevation of aster item aster-gdem_N46E011 was refused" in failure.reason
