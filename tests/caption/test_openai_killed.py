"""Client or server killed at any moment: the next run ends in the same records, and no answer is paid for twice."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from shutil import copytree

import pytest

pytest.importorskip("openai", reason="needs the openai extra")

from geomeld.caption import run
from geomeld.caption.config import CaptionConfig
from geomeld.caption.endpoint import Endpoint
from geomeld.caption.writers.openai import ANSWERS
from geomeld.testing import tiny_dataset
from geomeld.testing.openai_server import Call, ModelServer, serve_model

TILES = 6
CLIENT = """
import sys
from geomeld.caption.config import CaptionConfig
from geomeld.caption.endpoint import Endpoint
from geomeld.caption.run import caption_dataset
path, url = sys.argv[1:]
endpoint = Endpoint(base_url=url, model="m", image_px=56, timeout=5, retries=1, patience=0, concurrency=2)
caption_dataset(path, CaptionConfig(writer="openai", endpoint=endpoint, candidates=2, chunk=2))
"""


def config(url: str, patience: float) -> CaptionConfig:
    endpoint = Endpoint(base_url=url, model="m", image_px=56, timeout=5, retries=1, patience=patience, concurrency=2)
    return CaptionConfig(writer="openai", endpoint=endpoint, candidates=2, chunk=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in (".lock", run.LEDGER, ANSWERS)}


def tiles_asked(server: ModelServer) -> int:
    return sum(c.is_tile for c in server.asked)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("fresh") / "d", TILES).path


@pytest.fixture(scope="module")
def whole(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = copytree(fresh, tmp_path_factory.mktemp("whole") / "d")
    with serve_model() as server:
        assert run.caption_dataset(path, config(server.url, 0)).failures == {}
        assert tiles_asked(server) == TILES
    return path


@pytest.mark.parametrize("after", [1, 4, TILES])
def test_a_killed_client_pays_for_no_answer_twice(after: int, fresh: Path, whole: Path, tmp_path: Path) -> None:
    path, victims = copytree(fresh, tmp_path / "d"), list[subprocess.Popen]()

    def kill(call: Call) -> None:
        if call.is_tile and tiles_asked(server) == after and victims:
            victims.pop().send_signal(signal.SIGKILL)

    with serve_model(fault=kill) as server:
        client = subprocess.Popen([sys.executable, "-c", CLIENT, path, server.url], env=os.environ, stderr=-3)
        victims.append(client)
        assert client.wait(120) == -signal.SIGKILL
        stored = len((path / ANSWERS).read_bytes().splitlines()) if (path / ANSWERS).exists() else 0
        before = tiles_asked(server)
        assert run.caption_dataset(path, config(server.url, 0)).failures == {}
        assert tiles_asked(server) == before + TILES - stored
    assert contents(path) == contents(whole)


def test_a_server_that_comes_back_is_waited_for(fresh: Path, whole: Path, tmp_path: Path) -> None:
    path, enough = copytree(fresh, tmp_path / "d"), threading.Event()

    def slow(call: Call) -> None:
        if call.is_tile and tiles_asked(first) == 3:
            enough.set()
            first.closing.wait(10)  # the third request is in flight when the server dies

    def restart() -> None:
        with serve_model(port) as second:
            over.wait(60)
            asked.append(tiles_asked(second))

    over, asked = threading.Event(), list[int]()
    with serve_model(fault=slow) as first:
        port, url = first.port, first.url
        done: list[run.Summary] = []
        client = threading.Thread(target=lambda: done.append(run.caption_dataset(path, config(url, 30))))
        client.start()
        assert enough.wait(60)
        first.closing.set()
    time.sleep(0.3)  # nobody listens for a while
    again = threading.Thread(target=restart)
    again.start()
    client.join(60)
    over.set()
    again.join(60)
    assert done
    assert done[0].failures == {}
    assert contents(path) == contents(whole)
    assert asked[0] >= TILES - 3


def test_a_server_that_stays_away_leaves_a_list_and_the_next_run_goes_on(
    fresh: Path, whole: Path, tmp_path: Path
) -> None:
    path = copytree(fresh, tmp_path / "d")

    def dying(call: Call) -> str | None:
        return "drop" if tiles_asked(first) > 3 else None

    with serve_model(fault=dying) as first:
        summary = run.caption_dataset(path, config(first.url, 0))
    assert 1 <= len(summary.failures) <= TILES - 1
    assert all("run again to go on" in reason for reason in summary.failures.values())
    assert summary.author["down"]
    with serve_model() as second:
        assert run.caption_dataset(path, config(second.url, 0)).failures == {}
        assert tiles_asked(second) <= TILES - 3 + 1
    assert contents(path) == contents(whole)
