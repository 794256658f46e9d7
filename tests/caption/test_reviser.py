"""A model may rewrite a caption that no edit could save: from words alone, adding nothing, once a round."""

from pathlib import Path

import pytest

pytest.importorskip("openai", reason="needs the openai extra")

from geomeld.caption import run
from geomeld.caption.config import CaptionConfig
from geomeld.caption.endpoint import Endpoint
from geomeld.caption.rules import TITLES
from geomeld.caption.table import read_captions
from geomeld.testing import tiny_dataset
from geomeld.testing.openai_server import Call, ModelServer, grounded, serve_model

WRONG = "The open sea fills the whole place, with whitecaps on the water."
ASKS = "What the measurements contradict:"


def config(server: ModelServer, **settings) -> CaptionConfig:
    endpoint = Endpoint(base_url=server.url, model="m", image_px=56, timeout=2, retries=0, patience=0)
    return CaptionConfig(writer="openai", endpoint=endpoint, candidates=2, **settings)


def stubborn(call: Call, which: int) -> str:
    """A model that sees a sea wherever it looks, and mends its ways when it is told."""
    if not call.is_tile:
        return "Blue."
    return grounded(call.text, 0, which) if ASKS in call.text else WRONG


def test_a_caption_beyond_repair_is_rewritten(tmp_path: Path) -> None:
    path = tiny_dataset(tmp_path / "d", 3).path
    with serve_model(reply=stubborn) as server:
        summary = run.caption_dataset(path, config(server))
    revisions = [c for c in server.asked if ASKS in c.text]
    assert summary.statuses == {"repaired": 3}
    assert len(revisions) == 3, "once per tile is enough"
    for call in revisions:
        assert call.images == []
        assert call.body["temperature"] == 0
        assert WRONG in call.text
        demands = [line for line in call.text.split(ASKS)[1].splitlines() if line.startswith("- ")]
        assert demands
        assert all(any(line.endswith(title) for title in TITLES.values()) for line in demands)
    for record in read_captions(path).values():
        assert record["edits"][0]["rule"] == "model"
        assert record["edits"][0]["before"] == WRONG
        assert record["edits"][0]["evidence"]["conflicts"]
        assert "sea" not in record["text"].lower()
        assert not [v for v in record["verdicts"] if v["severity"] == "hard" and v["status"] != "supported"]
    with serve_model(port=server.port, reply=stubborn) as again:
        (path / run.LEDGER).unlink()
        (path / run.NOTE).unlink()
        assert run.caption_dataset(path, config(again)).statuses == {"repaired": 3}
    assert again.asked == [], "no answer is paid for twice"


@pytest.mark.parametrize("second", [WRONG, "A castle stands beside the open sea that fills the whole place."])
def test_a_revision_that_is_no_better_or_adds_something_is_not_taken(tmp_path: Path, second: str) -> None:
    path = tiny_dataset(tmp_path / "d", 2).path
    with serve_model(reply=lambda call, i: second if ASKS in call.text else stubborn(call, i)) as server:
        summary = run.caption_dataset(path, config(server))
    assert summary.statuses == {"fallback": 2}
    assert all("castle" not in r["text"] for r in read_captions(path).values())


def test_revision_can_be_switched_off(tmp_path: Path) -> None:
    path = tiny_dataset(tmp_path / "d", 2).path
    with serve_model(reply=stubborn) as server:
        summary = run.caption_dataset(path, config(server, revise=False))
    assert summary.statuses == {"fallback": 2}
    assert not [c for c in server.asked if ASKS in c.text]
