"""Datasets on servers: real HTTP with byte ranges, and the Hub's own client against a server that speaks its API."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from geomeld.core.errors import AuthError, DatasetError, TransientError, UsageError
from geomeld.core.retry import Retry
from geomeld.dataset import Dataset, open_dataset, remote, update_metadata
from geomeld.dataset.check import check
from geomeld.dataset.index import index_path
from geomeld.dataset.packing import pack
from geomeld.testing import tiny_dataset
from geomeld.testing.http import Server, serve
from geomeld.testing.hub import Hub, serve_hub

pytest.importorskip("aiohttp", reason="needs the extra remote")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("remote") / "d", 6, shard_size=3, captions=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEOMELD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(remote, "RETRY", Retry(tries=3, first_wait_s=0.0))


def assert_same(ours: Dataset, theirs: Dataset) -> None:
    assert theirs.tile_ids == ours.tile_ids
    for tile_id in ours.tile_ids:
        one, other = ours[tile_id], theirs[tile_id]
        assert one.metadata == other.metadata
        for name, layer in one.layers.items():
            assert layer.values.tobytes() == other.layers[name].values.tobytes()
            assert layer.valid.tobytes() == other.layers[name].valid.tobytes()


def sent(server: Server, start: int = 0) -> int:
    """Bytes that were asked for by range."""
    ends = [r.range.removeprefix("bytes=").split("-") for r in server.asked[start:] if r.range and r.method == "GET"]
    return sum(int(last) - int(first) + 1 for first, last in ends)


def without_companions(local: Dataset, folder: Path) -> Path:
    """The shards alone, as the published ones lie on their server."""
    folder.mkdir()
    for shard in local.shards:
        shutil.copy(shard, folder)
    return folder


def test_a_folder_behind_http_reads_as_it_does_here(local: Dataset) -> None:
    with serve(local.path) as server:
        there = open_dataset(server.url)
        assert_same(local, there)
        assert repr(there.statistics()) == repr(local.statistics())
        assert there.manifest == local.manifest
        assert there.address == server.url
        assert check(Path(server.url)) == []


def test_few_bytes_are_asked_for_and_the_index_is_made_once(local: Dataset, tmp_path: Path) -> None:
    whole = sum(shard.stat().st_size for shard in local.shards)
    with serve(without_companions(local, tmp_path / "bare")) as server:
        address = f"{server.url}/geomeld-0000{{0..1}}.tar"
        there = open_dataset(address)
        assert sent(server) < 0.2 * whole, "what describes the arrays, not the pixels"
        count = len(server.asked)
        again = open_dataset(address)
        assert [r.method for r in server.asked[count:]] == ["HEAD", "HEAD"], "whether they have changed"
        count = len(server.asked)
        again.metadata(4)
        assert len(server.asked) == count, "metadata are kept with the index"
        again.read(4, ["esa_worldcover"])
        assert [r.range is not None for r in server.asked[count:]] == [True]
        assert sent(server, count) == 128 * 128
        assert_same(local, there)


def test_a_shard_that_changes_on_its_server_is_indexed_anew(local: Dataset, tmp_path: Path) -> None:
    folder = without_companions(local, tmp_path / "bare")
    with serve(folder) as server:
        address = f"{server.url}/geomeld-00000.tar"
        before = index_path(open_dataset(address).shards[0])
        shutil.copy(local.shards[1], folder / "geomeld-00000.tar")
        with (folder / "geomeld-00000.tar").open("ab") as file:
            file.write(bytes(10240))
        after = open_dataset(address)
        assert after.tile_ids == local.tile_ids[3:]
        assert index_path(after.shards[0]) != before


def test_a_packed_dataset_is_read_from_a_server_and_a_server_s_is_packed(local: Dataset, tmp_path: Path) -> None:
    with serve(local.path) as server:
        pack(open_dataset(server.url), tmp_path / "p")
    assert_same(local, open_dataset(tmp_path / "p"))
    with serve(tmp_path / "p") as server:
        assert_same(local, open_dataset(server.url))
        assert check(Path(server.url)) == []


def test_failures_of_a_server_are_told_apart(local: Dataset, tmp_path: Path) -> None:
    with serve(local.path) as server:
        there = open_dataset(server.url)
        server.cut = {"*.tar": 1000}
        with pytest.raises(TransientError, match=r"geomeld-00000\.tar"):
            there[1]
        server.cut, server.status = {}, {"*.tar": 503}
        with pytest.raises(TransientError, match="Try again later"):
            there[1]
        server.status = {"*.tar": 403}
        with pytest.raises(AuthError, match="HF_TOKEN"):
            there[1]
        server.status = {}
        assert there[1].tile_id == 1
        with pytest.raises(DatasetError, match="holds no shards"):
            open_dataset(f"{server.url}/nothing")
        with pytest.raises(DatasetError, match="There is no"):
            open_dataset(f"{server.url}/geomeld-00009.tar")
        with pytest.raises(DatasetError, match="cannot be written"):
            update_metadata(server.url, {1: {"caption": "A lake."}})
    with pytest.raises(TransientError, match="Try again later"):
        open_dataset("http://127.0.0.1:9/data")


def test_a_path_is_no_address(tmp_path: Path) -> None:
    assert remote.address_of("hf://datasets/a/b") == "hf://datasets/a/b"
    assert remote.address_of(Path("https://host:80/a/b.tar")) == "https://host:80/a/b.tar"
    for path in ("/data/set", "data", "./a:b/c", "C:/data", Path("/")):
        assert remote.address_of(path) is None


@pytest.fixture
def hub_folder(local: Dataset, tmp_path: Path) -> Path:
    (tmp_path / "repository").mkdir()
    return without_companions(local, tmp_path / "repository" / "data").parent


def geomeld(hub: Hub, tmp_path: Path, *words: str, **more: str) -> subprocess.CompletedProcess:
    """Run a verb as a user would, against the double instead of huggingface.co."""
    env = {**os.environ, "HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), **more}
    env.pop("HF_TOKEN", None) if "HF_TOKEN" not in more else None
    return subprocess.run(
        [sys.executable, "-m", "geomeld", *words], env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )


def test_the_command_line_reads_from_the_hub(hub_folder: Path, tmp_path: Path) -> None:
    with serve_hub(hub_folder, token="secret") as hub:
        refused = geomeld(hub, tmp_path, "show", "hf://datasets/owner/name/data")
        assert (refused.returncode, "HF_TOKEN" in refused.stderr) == (1, True), refused.stderr
        hub.fail = [503]
        words = ("show", "hf://datasets/owner/name/data/geomeld-0000*.tar", "--tile", "5")
        tile = geomeld(hub, tmp_path, *words, HF_TOKEN="secret")
        assert "esa_worldcover  (1, 128, 128)" in tile.stdout, tile.stderr
        assert not hub.fail, "the failure was met, and met with another try"


def test_verbs_that_must_write_say_so(local: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from geomeld.cli import caption, show, stats

    monkeypatch.chdir(tmp_path)
    with serve(local.path) as server:
        assert show.main([server.url]) == 0
        assert "6 tiles in 2 shards" in capsys.readouterr().out
        with pytest.raises(UsageError, match="--out"):
            stats.main([server.url])
        with pytest.raises(DatasetError, match="cannot be written"):
            caption.main([server.url])
    assert [p.name for p in tmp_path.iterdir()] == ["cache"]
