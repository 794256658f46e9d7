"""Batches: requests leave as files, answers come back as files, and no server is spoken to in between."""

import json
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("openai", reason="needs the openai extra")

from geomeld.caption import batch as batches
from geomeld.caption import run
from geomeld.caption.batch import Batch
from geomeld.caption.config import CaptionConfig
from geomeld.caption.endpoint import Endpoint
from geomeld.caption.table import read_captions
from geomeld.core.errors import CaptionError, ConfigError
from geomeld.testing import tiny_dataset
from geomeld.testing.openai_server import serve_model

TILES = 5
# Nobody listens at port 9: a request that is sent after all ends in an error.
CONFIG = CaptionConfig(
    writer="openai", endpoint=Endpoint(base_url="http://127.0.0.1:9/v1", model="m", image_px=56), candidates=3, chunk=2
)


def service(requests: list[Path], answers: Path, spoil: int = 0) -> Path:
    """What a batch service does: every request is sent to a model, the first `spoil` fail; answers in another order."""
    lines = []
    with serve_model(several=False) as server:
        for line in (line for file in requests for line in file.read_text().splitlines()):
            asked = json.loads(line)
            assert (asked["method"], asked["url"]) == ("POST", "/v1/chat/completions")
            data, headers = json.dumps(asked["body"]).encode(), {"Content-Type": "application/json"}
            url = server.url + "/chat/completions"
            with urllib.request.urlopen(urllib.request.Request(url, data, headers)) as reply:
                response = {"status_code": 200, "request_id": "r", "body": json.load(reply)}
            lines.append({"id": "b", "custom_id": asked["custom_id"], "response": response, "error": None})
    for line in lines[:spoil]:
        line |= {"response": None, "error": {"code": "batch_expired", "message": "too late"}}
    answers.write_text("".join(json.dumps(line) + "\n" for line in reversed(lines)))
    return answers


def test_requests_out_answers_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LINES", 6)
    data = tiny_dataset(tmp_path / "d", TILES).path
    first = run.caption_dataset(data, CONFIG, batch=Batch(tmp_path / "out"))
    files = sorted((tmp_path / "out").iterdir())
    assert (first.waiting, first.failures, first.author["left_for_batch"]) == (TILES, {}, 3 * TILES)
    assert [f.name for f in files] == [f"requests-{i:05d}.jsonl" for i in range(3)]
    asked = [json.loads(line) for f in files for line in f.read_text().splitlines()]
    assert len({a["custom_id"] for a in asked}) == 3 * TILES
    assert all("image_url" in str(a["body"]["messages"]) for a in asked)

    answers = service(files, tmp_path / "answers.jsonl", spoil=3)
    second = run.caption_dataset(data, CONFIG, batch=Batch(tmp_path / "again", (answers,)))
    assert second.author["taken_in"] == {"stored": 3 * TILES - 3, "known": 0, "failed": 3}
    assert second.author["left_for_batch"] == 3, "only what failed is asked for again"
    assert 1 <= second.waiting < TILES

    rest = service(sorted((tmp_path / "again").iterdir()), tmp_path / "rest.jsonl")
    third = run.caption_dataset(data, CONFIG, batch=Batch(responses=(answers, rest)))
    assert (third.waiting, third.failures) == (0, {})
    assert third.author["taken_in"]["known"] == 3 * TILES - 3
    records = read_captions(data)
    assert len(records) == TILES
    assert all(len(r["candidates"]) >= 1 and r["provenance"]["answers"][0]["calls"] == 3 for r in records.values())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("not json\n", "line 1, is no answer"),
        ('{"custom_id": "../../etc/passwd", "response": {}}\n', "custom_id"),
        ('{"custom_id": "' + 32 * "a" + '", "response": {"status_code": 200, "body": {"choices": 5}}}\n', "line 1"),
    ],
)
def test_files_that_are_no_answers(tmp_path: Path, content: str, said: str) -> None:
    data = tiny_dataset(tmp_path / "d", 2).path
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(CaptionError, match=said):
        run.caption_dataset(data, CONFIG, batch=Batch(responses=(tmp_path / "a.jsonl",)))
    with pytest.raises(CaptionError, match="No such file"):
        run.caption_dataset(data, CONFIG, batch=Batch(responses=(tmp_path / "b.jsonl",)))


def test_a_folder_in_use_and_a_writer_without_requests(tmp_path: Path) -> None:
    data = tiny_dataset(tmp_path / "d", 2).path
    with pytest.raises(ConfigError, match="not empty"):
        run.caption_dataset(data, CONFIG, batch=Batch(tmp_path))
    with pytest.raises(ConfigError, match="--writer openai"):
        run.caption_dataset(data, CaptionConfig(), batch=Batch(tmp_path / "out"))
