"""Captions through `transformers serve`: a real OpenAI-compatible server with a tiny model that looks at pictures."""

import base64
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("openai", reason="needs the openai extra")
pytest.importorskip("transformers", reason="needs the serve extra")

from geomeld.caption import run
from geomeld.caption.config import CaptionConfig
from geomeld.caption.endpoint import Endpoint
from geomeld.caption.table import read_captions
from geomeld.dataset import write_dataset
from geomeld.testing import fake_tile
from geomeld.testing.openai_server import serve_model

pytestmark = pytest.mark.slow
TILES = 2


def settings(url: str, model: str) -> CaptionConfig:
    endpoint = Endpoint(base_url=url, model=model, image_px=56, temperature=0.0, patience=0)
    return CaptionConfig(writer="openai", endpoint=endpoint, candidates=1)


def coloured(folder: Path) -> Path:
    """Tiles that even a tiny model can tell apart: one looks red, the other blue, on two covers each."""
    tiles = []
    for number, bright, covers in ((1, "B4", (40, 10)), (2, "B2", (30, 60))):
        tile = fake_tile(number, without=("naip", "dynamic_world"))
        ground = tile.layers["esa_worldcover"]
        layer = tile.layers["sentinel2"]
        values = layer.values.copy()
        for band in ("B2", "B3", "B4"):
            values[layer.bands.index(band)] = 2900 if band == bright else 100
        seen = replace(layer, values=values)
        known = replace(ground, values=np.repeat(np.array(covers, np.uint8), 64)[None, :, None].repeat(128, axis=2))
        tiles.append(replace(tile, layers={**tile.layers, "sentinel2": seen, "esa_worldcover": known}))
    return write_dataset(folder, tiles, source="fake").path


@dataclass
class Taught:
    """What the tiny model knows: for each tile the chat of its caption and a sentence that is true of it."""

    chats: list[list[dict[str, Any]]]
    answers: list[str]

    def with_picture_of(self, chat: int, picture: int) -> list[dict[str, Any]]:
        """The words of one tile with the picture of another."""
        system, user = self.chats[chat]
        return [system, {**user, "content": [self.chats[picture][1]["content"][0], *user["content"][1:]]}]


def redness(chat: list[dict[str, Any]]) -> float:
    data = chat[1]["content"][0]["image_url"]["url"].partition(",")[2]
    return float(np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))[..., 0].mean())


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Taught:
    """The very requests of the run below, and true answers, from the in-process server."""
    path = coloured(tmp_path_factory.mktemp("taught") / "d")
    with serve_model() as server:
        run.caption_dataset(path, settings(server.url, "m"))
    chats = [c.body["messages"] for c in server.asked if c.is_tile]
    answers = [record["candidates"][0] for record in read_captions(path).values()]
    assert len(chats) == len(set(answers)) == TILES
    chats.sort(key=lambda chat: redness(chat), reverse=True)  # requests come in any order
    return Taught(chats, answers)


@pytest.fixture(scope="module")
def server(taught: Taught, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """(address, model) of `transformers serve` with a model that says the sentence of the picture, whatever the words."""
    home, model = tmp_path_factory.mktemp("hub"), tmp_path_factory.mktemp("model")
    pairs = [(i, j) for i in range(TILES) for j in range(TILES)]
    lessons = [(taught.with_picture_of(i, j), taught.answers[j]) for i, j in pairs]
    words = [
        taught.chats[i][k]["content"][-1]["text"] if k else taught.chats[i][k]["content"]
        for i in (0, 1)
        for k in (0, 1)
    ]
    quiet = {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_CACHE": str(home),
        "HF_HOME": str(home),
        "OMP_NUM_THREADS": "1",
    }
    building = [sys.executable, "-c", _BUILD, model]  # in a process of its own: transformers warns as it is imported
    subprocess.run(building, check=True, input=json.dumps([words, lessons]), text=True, env=quiet)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).parent / "transformers", "serve", model, "--device", "cpu", "--dtype", "float32"]
    with (home / "log").open("w") as log:
        served = subprocess.Popen([*command, "--port", str(port)], env=quiet, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", served, home / "log")
        yield f"http://127.0.0.1:{port}/v1", str(model)
    finally:
        served.terminate()
        served.wait(30)


_BUILD = """
import json, sys
from pathlib import Path
from geomeld.testing.tiny_vlm import build_tiny_vlm
words, lessons = json.load(sys.stdin)
build_tiny_vlm(Path(sys.argv[1]), words, lessons)
"""


def _wait_for(address: str, served: subprocess.Popen, log: Path) -> None:
    for _ in range(3000):
        try:
            with urlopen(address, timeout=1):
                return
        except (URLError, OSError):
            assert served.poll() is None, log.read_text()
            time.sleep(0.2)
    pytest.fail(log.read_text())


def test_a_real_server_captions_tiles_from_their_pictures(
    server: tuple[str, str], taught: Taught, tmp_path: Path
) -> None:
    url, model = server
    path = coloured(tmp_path / "d")
    summary = run.caption_dataset(path, settings(url, model))
    assert summary.failures == {}
    assert set(summary.statuses) <= {"verified", "repaired"}
    can = summary.author["capabilities"]
    assert can["images"]
    assert not can["several"]  # `transformers serve` ignores n, log-probabilities and JSON without a word
    assert not can["logprobs"]
    assert not can["json"]
    records = read_captions(path)
    assert [r["candidates"] for r in records.values()] == [[a] for a in taught.answers]
    assert all(r["provenance"]["answers"][0]["tokens"]["prompt_tokens"] > 100 for r in records.values())
    first = {p.name: p.read_bytes() for p in path.iterdir()}
    (path / run.LEDGER).unlink()
    (path / run.NOTE).unlink()
    assert run.caption_dataset(path, settings(url, model)).author["asked"] == 0
    assert {p.name: p.read_bytes() for p in path.iterdir()} == first


def test_it_is_the_picture_that_it_looks_at(server: tuple[str, str], taught: Taught) -> None:
    import openai

    url, model = server
    with openai.OpenAI(base_url=url, api_key="none") as client:
        for words, picture in ((0, 1), (1, 0)):
            chat: Any = taught.with_picture_of(words, picture)
            answer = client.chat.completions.create(model=model, messages=chat, max_tokens=40, temperature=0.0)
            assert answer.choices[0].message.content == taught.answers[picture]
