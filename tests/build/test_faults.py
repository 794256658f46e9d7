"""Bad days: servers in a storm over real HTTP, disks that are full, folders that may not be written to."""

import datetime as dt
import errno
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from geomeld.build.anchors import sampled_anchors, write_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.ledger import NAME as LEDGER
from geomeld.build.run import build
from geomeld.core.errors import DatasetError
from geomeld.core.tile import Anchor
from geomeld.sources.simulated.export import Reach, export
from geomeld.testing import FakeSource
from geomeld.testing.http import serve
from geomeld.testing.storm import Storm

ANCHORS = sampled_anchors([(10.0 + 3 * k, -20.0 + 7 * k, "") for k in range(5)], "test")
SOURCE = FakeSource(serves=frozenset({"sentinel2", "dynamic_world"}))
CONFIG = BuildConfig(shard_size=2)


def contents(folder: Path, *besides: str) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", LEDGER, *besides))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.fixture(scope="module")
def piece(tmp_path_factory) -> Path:
    """Two places of the simulated Earth as files."""
    folder = tmp_path_factory.mktemp("piece")
    anchors = [Anchor(1, 11.35, 46.05, dt.date(2019, 7, 15)), Anchor(2, 20.0, -5.0, dt.date(2020, 7, 20))]
    export(anchors, folder, seed=5, reach=Reach(days=5, window_days=4))
    write_anchors(folder / "anchors.parquet", anchors)
    return folder


@pytest.mark.slow
def test_a_storm_changes_no_byte_and_what_is_gone_is_listed(piece: Path, tmp_path: Path) -> None:
    haste = {"GDAL_HTTP_TIMEOUT": "1", "GDAL_HTTP_CONNECTTIMEOUT": "1", "GDAL_HTTP_RETRY_DELAY": "0.1"}
    with serve(piece) as server:

        def built(out: str, *more: str) -> dict:
            words = ["build", "--anchors", piece / "anchors.parquet", "--source", f"stac:{server.url}/catalog.json"]
            patience = ["--tries", "6", "--first-wait-s", "0.1", "--longest-wait-s", "1", "--workers", "1", "--json"]
            ran = subprocess.run(
                [sys.executable, "-m", "geomeld", *map(str, words), "--out", tmp_path / out, *patience, *more],
                env={**os.environ, **haste},
                capture_output=True,
                text=True,
            )
            assert ran.returncode == 0, ran.stderr
            return json.loads(ran.stdout)

        assert built("calm")["failures"] == []
        server.storm = Storm(fails=0.10, hangs=0.05, hang_s=1.5, breaks=0.02, refuses=0.02, busy=0.03, busy_s=1.0)
        gone = min(str(p.relative_to(piece)) for p in (piece / "aster-gdem").rglob("*.tif"))
        server.status[gone] = 404
        failures = built("stormy")["failures"]
        assert [(f["stage"], f["kind"]) for f in failures] == [("read", "missing")]
        assert Path(gone).name in failures[0]["reason"]
        assert all(server.storm.met[fault] for fault in ("fails", "hangs", "breaks", "refuses", "busy"))
        server.storm, server.status = None, {}
        assert built("stormy", "--retry-failed")["failures"] == []
    assert contents(tmp_path / "stormy") == contents(tmp_path / "calm")


@pytest.mark.parametrize("fails_at", [0, 3, 5, 8])
def test_a_full_disk_is_named_and_damages_nothing(tmp_path: Path, monkeypatch, fails_at: int) -> None:
    """The n-th file that is begun cannot be filled: samples, shards, indexes, statistics."""
    build(ANCHORS, SOURCE, tmp_path / "whole", CONFIG)
    opened, left = Path.open, fails_at

    def full(self: Path, mode: str = "r", *more, **named):
        nonlocal left
        if mode == "wb":
            left -= 1
        if left < 0 and mode == "wb":
            opened(self, mode).close()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return opened(self, mode, *more, **named)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(OSError, match="No space left"):
        build(ANCHORS, SOURCE, tmp_path / "d", CONFIG)
    monkeypatch.undo()
    assert not list((tmp_path / "d").rglob("*.partial"))
    build(ANCHORS, SOURCE, tmp_path / "d", CONFIG)
    assert contents(tmp_path / "d") == contents(tmp_path / "whole")


def test_a_limit_of_the_system_on_files_is_an_error_that_can_be_gone_on_from(tmp_path: Path) -> None:
    build(ANCHORS, SOURCE, tmp_path / "whole", CONFIG)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, before[1]))  # a sample fits, a shard of two does not
    try:
        with pytest.raises(OSError, match="too large"):
            build(ANCHORS, SOURCE, tmp_path / "d", CONFIG)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((tmp_path / "d").glob("*.tar*"))
    build(ANCHORS, SOURCE, tmp_path / "d", CONFIG)
    assert contents(tmp_path / "d") == contents(tmp_path / "whole")


@pytest.fixture
def nobody() -> Iterator[None]:
    """Whoever runs the tests has no more rights than others."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(65534)
    yield
    os.seteuid(mine)


def test_a_folder_that_may_not_be_written_to_is_an_error(nobody) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "d").mkdir()
        (Path(name) / "d").chmod(0o555)
        for out in (Path(name) / "d", Path(name) / "d" / "below"):
            with pytest.raises(DatasetError, match=r"cannot be written to \(Permission denied\)"):
                build(ANCHORS, SOURCE, out, CONFIG)
        assert list((Path(name) / "d").iterdir()) == []
