"""Downloads: fetched once for all processes, resumed, checked; a token that goes nowhere else and is told to nobody."""

import hashlib
import http.server
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from geomeld.core.errors import AuthError, CorruptAsset, MissingAsset, MissingProduct, SourceError, TransientError
from geomeld.core.grid import Grid
from geomeld.modalities import MODALITIES
from geomeld.sources.download import Kept
from geomeld.sources.mosaics import Mosaic

DATA = np.random.default_rng(0).bytes(300_000)
TOKEN = "eyJ-very-secret"


@dataclass
class Store:
    """A server of files with what real ones do: versions, broken connections, logins that point to another host."""

    files: dict[str, bytes] = field(default_factory=dict)
    etag: str = '"one"'
    keeps: int | None = None
    """Bytes of a body that come before the connection breaks."""
    codes: list[int] = field(default_factory=list)
    """Answers that are given first."""
    headers: dict[str, str] = field(default_factory=dict)
    redirect: str = ""
    token: str = ""
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    """(path, Range, Authorization) of every request."""


class _Handler(http.server.BaseHTTPRequestHandler):
    store: Store

    def log_message(self, *words: object) -> None: ...

    def do_GET(self) -> None:
        store = self.store
        asked, login = self.headers.get("Range"), self.headers.get("Authorization")
        store.asked.append((self.path, asked, login))
        if store.codes:
            return self.say(store.codes.pop(0), {"Retry-After": "7"})
        if store.token and login != f"Bearer {store.token}":
            return self.say(401)
        if store.redirect:
            return self.say(302, {"Location": store.redirect + self.path})
        body = store.files.get(self.path)
        if body is None:
            return self.say(404)
        headers = {"ETag": store.etag, **store.headers}
        if asked and self.headers.get("If-Range", store.etag) == store.etag:
            first, _, last = asked.removeprefix("bytes=").partition("-")
            part = body[int(first) : int(last) + 1 if last else None]
            return self.say(206, {**headers, "Content-Range": f"bytes {first}-{len(body) - 1}/{len(body)}"}, part)
        return self.say(200, headers, body)

    def say(self, code: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if self.store.keeps is None else body[: self.store.keeps])


@contextmanager
def serving(store: Store) -> Iterator[str]:
    handler = type("Handler", (_Handler,), {"store": store})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_file_is_fetched_once_for_all_processes(tmp_path):
    store = Store({"/a.tif": DATA})
    work = (
        "import sys; from pathlib import Path; from geomeld.sources.download import Kept;"
        "print(Kept(Path(sys.argv[1])).file(sys.argv[2]).name)"
    )
    with serving(store) as url:
        command = [sys.executable, "-c", work, str(tmp_path), f"{url}/a.tif"]
        at_work = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
        assert [p.communicate()[0] for p in at_work] == ["a.tif\n"] * 3
    assert (tmp_path / "a.tif").read_bytes() == DATA
    assert len(store.asked) == 1
    (told,) = tmp_path.glob("*.sha256")
    assert told.read_text() == f"{hashlib.sha256(DATA).hexdigest()}  a.tif\n"
    assert {p.name for p in tmp_path.iterdir()} == {"a.tif", "a.tif.sha256", ".a.tif.lock"}


def test_what_broke_off_goes_on_where_it_was(tmp_path):
    store = Store({"/a.tif": DATA}, keeps=100_000)
    with serving(store) as url:
        with pytest.raises(TransientError, match="broke off after 100000 of 300000 bytes"):
            Kept(tmp_path).file(f"{url}/a.tif")
        assert not (tmp_path / "a.tif").exists()
        store.keeps = None
        assert Kept(tmp_path).file(f"{url}/a.tif").read_bytes() == DATA
    assert [asked for _, asked, _ in store.asked] == [None, "bytes=99999-"]


def test_a_whole_file_that_was_not_named_yet_costs_one_byte(tmp_path):
    store = Store({"/a.tif": DATA}, keeps=100)
    with serving(store) as url:
        with pytest.raises(TransientError):
            Kept(tmp_path).file(f"{url}/a.tif")
        (tmp_path / ".a.tif.part").write_bytes(DATA)
        assert Kept(tmp_path).file(f"{url}/a.tif").read_bytes() == DATA
    assert store.asked[-1][1] == "bytes=299999-"


def test_half_of_another_version_is_thrown_away(tmp_path):
    store = Store({"/a.tif": DATA}, keeps=100_000)
    with serving(store) as url:
        with pytest.raises(TransientError):
            Kept(tmp_path).file(f"{url}/a.tif")
        store.keeps, store.etag, store.files["/a.tif"] = None, '"two"', DATA[::-1]
        assert Kept(tmp_path).file(f"{url}/a.tif").read_bytes() == DATA[::-1]


@pytest.mark.parametrize(
    ("headers", "whole"),
    [
        ({"x-goog-hash": "crc32c=AAAA,md5=1B2M2Y8AsgTpgAmY7PhCfg=="}, False),
        ({"x-amz-request-id": "1", "ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}, False),
        ({"x-amz-request-id": "1", "ETag": f'"{hashlib.md5(DATA).hexdigest()}"'}, True),
        ({"x-amz-request-id": "1", "ETag": '"d41d8cd98f00b204e9800998ecf8427e-7"'}, True),  # sent in seven pieces
        ({"ETag": '"d41d8cd98f00b204e9800998ecf8427e"'}, True),  # nobody says that this is a sum
    ],
    ids=["google", "amazon", "amazon-true", "amazon-pieces", "other"],
)
def test_sums_that_servers_state_are_checked(tmp_path, headers, whole):
    with serving(Store({"/a.tif": DATA}, headers=headers)) as url:
        if whole:
            assert Kept(tmp_path).file(f"{url}/a.tif").read_bytes() == DATA
            return
        with pytest.raises(CorruptAsset, match="other bytes than its server promised"):
            Kept(tmp_path).file(f"{url}/a.tif")
    assert not (tmp_path / "a.tif").exists()
    assert not (tmp_path / ".a.tif.part").exists()


@pytest.mark.parametrize(
    ("code", "error"),
    [(503, TransientError), (429, TransientError), (404, MissingAsset), (403, AuthError), (400, SourceError)],
)
def test_servers_that_say_no(tmp_path, code, error):
    with serving(Store({"/a.tif": DATA}, codes=[code])) as url:
        with pytest.raises(error, match=f"answered {code}") as told:
            Kept(tmp_path).file(f"{url}/a.tif")
        assert type(told.value) is error
        if error is TransientError:
            assert told.value.retry_after == 7
        assert Kept(tmp_path).file(f"{url}/a.tif").read_bytes() == DATA


def test_a_token_goes_to_its_server_alone_and_into_no_message(tmp_path, monkeypatch):
    monkeypatch.setenv("LOGIN", TOKEN)
    behind = Store({"/a.tif": DATA})
    with serving(behind) as elsewhere, serving(Store(token=TOKEN, redirect=elsewhere)) as url:
        kept = Kept(tmp_path / "a", "LOGIN")
        assert kept.file(f"{url}/a.tif").read_bytes() == DATA
        assert [login for _, _, login in behind.asked] == [None]
        monkeypatch.setenv("LOGIN", TOKEN + "-expired")
        with pytest.raises(AuthError, match="answered 401") as told:
            Kept(tmp_path / "b", "LOGIN").file(f"{url}/a.tif")
        assert TOKEN not in str(told.value) + repr(kept)
        monkeypatch.delenv("LOGIN")
        with pytest.raises(AuthError, match="environment variable LOGIN"):
            Kept(tmp_path / "b", "LOGIN").file(f"{url}/a.tif")
    written = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert TOKEN.encode() not in written


def raster(path: Path) -> bytes:
    values = np.full((1201, 1201), 700, np.int16)
    profile = {"driver": "GTiff", "height": 1201, "width": 1201, "count": 1, "dtype": "int16", "crs": "EPSG:4326"}
    step = 1 / 1200
    with rasterio.open(
        path, "w", **profile, transform=Affine(step, 0, 6 - step / 2, 0, -step, 1 + step / 2)
    ) as dataset:
        dataset.write(values, 1)
    return path.read_bytes()


def test_a_product_behind_a_login_is_kept_and_damage_is_mended(tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    name = "/ASTGTMV003_N00E006_dem.tif"
    store = Store({name: raster(tmp_path / "a.tif")}, token=TOKEN)
    grid, aster = Grid.centred_on(6.6, 0.2), MODALITIES["aster"]
    with serving(store) as url:
        mosaic = Mosaic("aster-gdem", f"kept:{url}")

        def elevation() -> float:
            layer = mosaic.read(aster, mosaic.scenes(aster, grid, None, None), grid)
            return float(layer.values[0].mean())

        assert elevation() == 700
        asked = len(store.asked)
        assert elevation() == 700
        assert len(store.asked) == asked
        (kept,) = (tmp_path / "cache").rglob("*_dem.tif")
        kept.write_bytes(kept.read_bytes()[:-900_000])
        assert elevation() == 700
        assert len(store.asked) == asked + 1
        store.files[name] = store.files[name][:-900_000]
        kept.write_bytes(store.files[name])
        with pytest.raises(CorruptAsset, match="ASTER GDEM v3"):
            elevation()
        sea = Grid.centred_on(2.5, -2.5)
        assert mosaic.read(aster, mosaic.scenes(aster, sea, None, None), sea) is None
        with pytest.raises(MissingProduct, match="is not where ASTER GDEM v3 is"):
            Mosaic("aster-gdem", f"kept:{url}/elsewhere").modalities()
