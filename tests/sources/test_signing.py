"""Files that open only with a token, on a real web server that checks them: renewed in time, once too late, by one."""

import datetime as dt
import json
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geomeld.build.anchors import read_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.run import build
from geomeld.core.errors import AuthError, MissingAsset, SourceError, TransientError
from geomeld.core.grid import Grid
from geomeld.dataset import open_dataset
from geomeld.modalities import MODALITIES
from geomeld.sources import signing
from geomeld.sources.asset import look
from geomeld.sources.signing import PLANETARY_COMPUTER, Signing, signing_of
from geomeld.sources.stac import StacSource
from geomeld.testing.nginx import nginx
from geomeld.testing.service import lacking
from geomeld.testing.tokens import token_server

PLACES = Path(__file__).parents[2].parent / "shared" / "data" / "terramesh_stac"
WHY_NOT = "the shared real data are not here" if not PLACES.exists() else lacking("nginx")
SECRET = "a secret"
EVER = dt.datetime(2015, 1, 1, tzinfo=dt.UTC), dt.datetime(2030, 1, 1, tzinfo=dt.UTC)

needs_nginx = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here")


@pytest.fixture
def tokens():
    with token_server(SECRET) as server:
        yield server


@pytest.fixture
def web(tmp_path):
    """The files of the places behind a web server, and a catalogue on disk that names them where they are signed."""
    with nginx(PLACES, secret=SECRET) as server:
        shutil.copytree(
            PLACES, tmp_path / "stac", ignore=shutil.ignore_patterns("*.tif"), copy_function=shutil.copyfile
        )
        for path in (tmp_path / "stac").glob("*/*/*.json"):
            path.parent.chmod(0o755)
            item = json.loads(path.read_text())
            for asset in item["assets"].values():
                asset["href"] = (
                    f"{server.signed}/{path.parent.relative_to(tmp_path / 'stac')}/{Path(asset['href']).name}"
                )
            path.write_text(json.dumps(item))
        yield server


@pytest.fixture
def source(web, tokens, tmp_path) -> StacSource:
    return StacSource(str(tmp_path / "stac" / "catalog.json"), tokens=tokens.url)


def radar(source: StacSource, place: int = 0):
    anchor = read_anchors(PLACES / "anchors.csv")[place]
    grid = Grid.centred_on(anchor.lon, anchor.lat)
    layer = source.read(MODALITIES["sentinel1"], source.scenes(MODALITIES["sentinel1"], grid, *EVER), grid)
    assert layer is not None
    return layer


def codes(web) -> list[int]:
    return [code for request, code, _ in web.asked() if request.path.endswith(".tif")]


@needs_nginx
def test_without_a_token_files_are_refused_and_with_one_they_are_read(source, web, tokens):
    bare = StacSource(source.href)
    with pytest.raises(AuthError, match=r"Asset v[vh] of sentinel1 item S1_282D_485L_3_3 was refused"):
        radar(bare)
    there = radar(StacSource(str(PLACES / "catalog.json")))
    np.testing.assert_array_equal(radar(source).values, there.values)
    assert tokens.asked == ["sentinel-1-rtc"]


@needs_nginx
def test_a_token_that_is_refused_is_renewed_once(source, web, tokens, caplog):
    caplog.set_level("INFO")
    tokens.stale = 1
    radar(source)
    assert tokens.asked == ["sentinel-1-rtc"] * 2
    assert 403 in codes(web)
    tokens.stale = 99
    signing._tokens.known.clear()
    with pytest.raises(AuthError, match="was refused") as caught:
        radar(source, 1)
    assert len(tokens.asked) == 4
    assert "sig=" not in str(caught.value)
    assert "se=" not in str(caught.value)
    assert "sig=" not in caplog.text


@needs_nginx
@pytest.mark.parametrize("skew", [-7200.0, 7200.0], ids=["clock behind", "clock ahead"])
def test_tokens_are_renewed_in_time_whatever_the_clocks_say(source, web, tokens, monkeypatch, skew):
    passed = 0.0
    real = time.monotonic
    monkeypatch.setattr(signing.time, "monotonic", lambda: real() + passed)
    tokens.skew_s, tokens.life_s = skew, 600.0
    radar(source, 0)
    passed = 450.0
    radar(source, 1)
    assert len(tokens.asked) == 1, "a token that lives is used again"
    passed = 540.0
    radar(source, 2)
    assert len(tokens.asked) == 2, "a minute before it expires it is renewed"
    assert set(codes(web)) <= {200, 206}


@needs_nginx
def test_many_threads_want_one_token(source, web, tokens):
    with ThreadPoolExecutor(8) as pool:
        layers = list(pool.map(lambda i: radar(source, i % 3).values, range(24)))
    assert tokens.asked == ["sentinel-1-rtc"]
    for i, values in enumerate(layers):
        np.testing.assert_array_equal(values, layers[i % 3])


@needs_nginx
@pytest.mark.slow
def test_a_build_outlives_its_tokens(source, web, tokens, tmp_path):
    tokens.life_s = 1.0
    anchors = read_anchors(PLACES / "anchors.csv")
    build(anchors, source, tmp_path / "signed", BuildConfig(), workers=2)
    build(anchors, StacSource(str(PLACES / "catalog.json")), tmp_path / "disk", BuildConfig())
    seen, there = ({t.tile_id: t for t in open_dataset(tmp_path / n)} for n in ("signed", "disk"))
    assert set(seen) == set(there) == {a.tile_id for a in anchors}
    for key, tile in there.items():
        for name, layer in tile.layers.items():
            np.testing.assert_array_equal(seen[key].layers[name].values, layer.values)
    assert set(tokens.asked) == {"sentinel-2-l2a", "sentinel-1-rtc", "cop-dem-glo-30"}
    written = b"".join(p.read_bytes() for p in (tmp_path / "signed").rglob("*") if p.is_file())
    assert b"sig=" not in written


FAULTS = {
    "no login": ({"status": 401}, AuthError, "answered 401"),
    "no such collection": ({"status": 404}, MissingAsset, "answered 404"),
    "busy": ({"status": 429, "headers": {"Retry-After": "7"}}, TransientError, "answered 429"),
    "broken": ({"status": 503}, TransientError, "answered 503"),
    "no token": ({"body": b"{}"}, SourceError, "without a token"),
    "no JSON": ({"body": b"<html>"}, SourceError, "without a token"),
    "no time": ({"body": b'{"token": "sig=1", "msft:expiry": "soon"}'}, SourceError, "without a token"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_can_be_wrong_with_the_service(tokens, fault):
    switches, kind, words = FAULTS[fault]
    for name, value in switches.items():
        setattr(tokens, name, value)
    with pytest.raises(SourceError, match=words) as caught:
        Signing(tokens.url).signed("http://127.0.0.1/a.tif", "some")
    assert type(caught.value) is kind
    assert getattr(caught.value, "retry_after", None) == (7.0 if fault == "busy" else None)


def test_tokens_go_to_their_own_hosts_alone(tokens, monkeypatch):
    monkeypatch.setenv(signing.KEY_VARIABLE, "a key")
    here = Signing(tokens.url)
    for other in ("https://example.org/a.tif", "/data/a.tif", "s3://bucket/a.tif"):
        assert here.signed(other, "some") == other
    assert tokens.asked == []
    first = here.signed("http://127.0.0.1/a.tif?se=1&sig=old", "some")
    assert first.startswith("http://127.0.0.1/a.tif?se=")
    assert "old" not in first
    assert tokens.keys == ["a key"]


def test_the_planetary_computer_signs_its_own_files():
    found = signing_of("https://planetarycomputer.microsoft.com/api/stac/v1")
    assert found == PLANETARY_COMPUTER
    assert found.signs("https://sentinel2l2a01.blob.core.windows.net/sentinel2-l2/B02.tif")
    assert not found.signs("https://blob.core.windows.net.example.org/B02.tif")
    assert not found.signs("https://example.org/B02.tif")
    assert signing_of("https://earth-search.aws.element84.com/v1") is None
    assert signing_of("a/copy/catalog.json", "planetary-computer") == PLANETARY_COMPUTER


@needs_nginx
def test_a_token_that_dies_while_its_file_is_open_is_renewed(web, tokens):
    tokens.opens_s = 1.0
    href, whose = f"{web.signed}/sentinel-1-rtc/S1_282D_485L_3_3/vv.tif", Signing(tokens.url)
    look(href, "vv", lambda dataset: dataset.crs, whose, "sentinel-1-rtc")
    time.sleep(2.1)  # the web server counts in seconds
    tokens.opens_s = None
    seen = look(href, "vv", lambda dataset: dataset.read(1), whose, "sentinel-1-rtc")
    with rasterio.open(PLACES / "sentinel-1-rtc/S1_282D_485L_3_3/vv.tif") as dataset:
        np.testing.assert_array_equal(seen, dataset.read(1))
    assert len(tokens.asked) == 2
    assert 403 in codes(web)
