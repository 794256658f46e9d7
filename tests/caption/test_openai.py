"""The openai writer against a real client and a faulty server: every fault ends in a caption with a stated status or in
a listed failure, no answer is asked for twice, and interruptions leave no trace."""

import json
import logging
from pathlib import Path

import pytest

pytest.importorskip("openai", reason="needs the openai extra")

from geomeld.caption import run
from geomeld.caption.config import CaptionConfig
from geomeld.caption.endpoint import Endpoint
from geomeld.caption.table import read_captions
from geomeld.caption.writers import server as server_of_writers
from geomeld.caption.writers.openai import ANSWERS
from geomeld.core.errors import CaptionError, ConfigError
from geomeld.dataset import write_dataset
from geomeld.dataset.check import check
from geomeld.testing import fake_tile, tiny_dataset
from geomeld.testing.openai_server import FAULTS, Call, ModelServer, serve_model

TILES = 4


def config(server: ModelServer, **settings) -> CaptionConfig:
    quick = {"base_url": server.url, "model": "m", "image_px": 56, "timeout": 0.5, "retries": 1, "patience": 0}
    return CaptionConfig(writer="openai", endpoint=Endpoint(**{**quick, **settings}), candidates=3, chunk=2)


def tile_of(call: Call, path: Path) -> int:
    """Which tile a request is about: its seed says so."""
    from geomeld.core.draw import draw_words

    seeds = {
        draw_words(0, f"ask-{r}-{c}", t)[0] & 0x7FFFFFFF: t
        for t in range(1, TILES + 1)
        for r in (0, 1)
        for c in range(3)
    }
    return seeds[call.body["seed"]]


def contents(folder: Path) -> dict[str, bytes]:
    """What a run leaves behind, but for its working files, whose lines come in the order of the answers."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in (".lock", run.LEDGER, ANSWERS)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset captioned without any fault."""
    path = tiny_dataset(tmp_path_factory.mktemp("whole") / "d", TILES).path
    with serve_model() as server:
        summary = run.caption_dataset(path, config(server))
    assert summary.failures == {}
    return path


def test_a_model_writes_and_says_of_what(whole: Path) -> None:
    records = read_captions(whole)
    assert len(records) == TILES
    for record in records.values():
        assert record["status"] in ("verified", "repaired")
        assert 1 <= len(record["candidates"]) <= 3
        (answer,) = record["provenance"]["answers"]
        assert answer["image"]["modality"] == "sentinel2"
        assert answer["prompt"]
        assert answer["model"] == "m"
        assert answer["tokens"]["prompt_tokens"] > 256
    assert check(whole) == []


def test_one_request_per_tile_with_a_picture_where_the_server_gives_several(tmp_path: Path) -> None:
    path = tiny_dataset(tmp_path / "d", TILES).path
    with serve_model() as server:
        summary = run.caption_dataset(path, config(server, price_in=2.0, price_out=10.0))
    about_tiles = [c for c in server.asked if c.is_tile]
    assert len(about_tiles) == TILES == summary.author["asked"]
    assert all(c.body["n"] == 3 and len(c.images) == 1 for c in about_tiles)
    assert len({c.images[0] for c in about_tiles}) == TILES
    usage = summary.author
    assert usage["cost"] == pytest.approx(
        (usage["prompt_tokens"] * 2 + usage["completion_tokens"] * 10) / 1e6, abs=1e-6
    )
    assert usage["capabilities"] == {"images": True, "several": True, "seed": True, "logprobs": False, "json": False}


def test_a_server_that_ignores_n_is_asked_until_there_are_enough(tmp_path: Path) -> None:
    path = tiny_dataset(tmp_path / "d", TILES).path
    with serve_model(several=False) as server:
        summary = run.caption_dataset(path, config(server))
    assert summary.author["capabilities"]["several"] is False
    assert all("n" not in c.body or c.body["n"] == 2 for c in server.asked if not c.is_tile)
    assert [c.body["n"] for c in server.asked if c.is_tile and "n" in c.body] == []
    assert TILES < summary.author["asked"] <= 3 * TILES
    assert sum(len(r["candidates"]) for r in read_captions(path).values()) > TILES


def test_no_answer_is_asked_for_twice(tmp_path: Path) -> None:
    path = tiny_dataset(tmp_path / "d", TILES).path
    with serve_model() as server:
        run.caption_dataset(path, config(server))
        first, before = contents(path), len(server.asked)
        (path / run.LEDGER).unlink()  # every caption is lost, the answers are not
        (path / run.NOTE).unlink()
        summary = run.caption_dataset(path, config(server, base_url=server.url + "/"))
        assert len(server.asked) == before
        assert (summary.author["asked"], summary.author["stored"]) == (0, TILES)
    assert contents(path) == first
    (path / run.LEDGER).unlink()
    (path / run.NOTE).unlink()
    run.caption_dataset(path, config(server))  # nobody listens any more, and nobody is needed
    assert contents(path) == first


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_that_passes_leaves_no_trace(fault: str, tmp_path: Path, whole: Path) -> None:
    """Each tile's first request meets the fault. What a client can cure, it cures; an answer without use stays, and the
    tile is asked again."""
    path, met = tiny_dataset(tmp_path / "d", TILES).path, set()

    def once(call: Call) -> str | None:
        if not call.is_tile or (tile := tile_of(call, path)) in met:
            return None
        if fault == "401" and tile in (1, 2):
            return None  # the key runs out on the way
        met.add(tile)
        return fault

    with serve_model(fault=once) as server:
        summary = run.caption_dataset(path, config(server))
        if fault == "401":  # the key ran out: no tile is at fault, the next run goes on
            assert set(summary.failures) & {3, 4}
            assert all("401" in reason for reason in summary.failures.values())
            server.fault = lambda call: None
            summary = run.caption_dataset(path, config(server))
    assert summary.failures == {}
    assert len(met) == TILES or fault == "401"
    if fault in ("429", "500", "503", "hang", "half json", "no choices", "drop", "401"):
        assert contents(path) == contents(whole)
    else:  # an answer came and was of little use, or was refused for good
        expected = {"fallback"} if fault == "400" else {"verified", "repaired"}
        assert set(summary.statuses) <= expected
    assert check(path) == []


@pytest.mark.parametrize("fault", [f for f in FAULTS if f not in ("401", "429", "wrong n")])
def test_a_poisoned_tile_falls_back_alone(fault: str, tmp_path: Path, whole: Path) -> None:
    path = tiny_dataset(tmp_path / "d", TILES).path

    def poison(call: Call) -> str | None:
        return fault if call.is_tile and tile_of(call, path) == 2 else None

    with serve_model(fault=poison) as server:
        summary = run.caption_dataset(path, config(server, patience=5))
    assert summary.failures == {}
    assert summary.statuses["fallback"] == 1
    records, good = read_captions(path), read_captions(whole)
    assert {t: r["text"] for t, r in records.items() if t != 2} == {t: r["text"] for t, r in good.items() if t != 2}
    assert records[2]["text"]
    assert records[2]["status"] == "fallback"
    told = records[2]["provenance"]["answers"][0]
    assert told.get("given_up") or told["rejected"]
    assert len([c for c in server.asked if c.is_tile]) < 30


@pytest.mark.parametrize("fault", ["500", "401", "hang", "half json", "drop"])
def test_an_endpoint_of_no_use_is_named_before_anything_is_written(fault: str, tmp_path: Path) -> None:
    path = tiny_dataset(tmp_path / "d", 2).path
    before = contents(path)
    with (
        serve_model(fault=lambda call: fault) as server,
        pytest.raises(CaptionError, match="does not answer for the model m"),
    ):
        run.caption_dataset(path, config(server))
    with pytest.raises(CaptionError, match=r"does not answer.*Start the server"):
        run.caption_dataset(path, config(server))  # and nobody listens now
    assert contents(path) == before


def test_a_model_that_takes_no_pictures_is_refused_unless_told_so(tmp_path: Path) -> None:
    path = tiny_dataset(tmp_path / "d", 2).path
    with serve_model(images=False) as server:
        with pytest.raises(CaptionError, match="takes no pictures"):
            run.caption_dataset(path, config(server))
        assert run.caption_dataset(path, config(server, image=False)).failures == {}
        assert all(not c.images for c in server.asked[-2:])


def test_a_tile_that_is_always_turned_away_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_of_writers, "TURNED_AWAY", 2)
    path = tiny_dataset(tmp_path / "d", TILES).path
    with serve_model(fault=lambda call: "429" if call.is_tile and tile_of(call, path) == 2 else None) as server:
        summary = run.caption_dataset(path, config(server, patience=5))
    assert list(summary.failures) == [2]
    assert "HTTP 429" in summary.failures[2]


def test_a_tile_without_a_picture_is_asked_about_in_words(tmp_path: Path) -> None:
    bare = [fake_tile(1), fake_tile(2, without=("naip", "sentinel2"))]
    path = write_dataset(tmp_path / "d", bare, source="fake").path
    with serve_model() as server:
        assert run.caption_dataset(path, config(server)).failures == {}
    assert sorted(len(c.images) for c in server.asked if c.is_tile) == [0, 1]
    assert [r["provenance"]["answers"][0]["image"] is None for r in read_captions(path).values()] == [False, True]


def test_a_server_that_dies_is_waited_for_or_its_tiles_are_listed(tmp_path: Path, whole: Path) -> None:
    path = tiny_dataset(tmp_path / "d", TILES).path

    def dying(call: Call) -> str | None:
        return "500" if sum(c.is_tile for c in server.asked) > 2 else None

    with serve_model(fault=dying) as server:
        summary = run.caption_dataset(path, config(server))
        assert 1 <= len(summary.failures) < TILES
        assert all("stopped answering" in reason for reason in summary.failures.values())
        server.fault = lambda call: None
        before = sum(c.is_tile for c in server.asked)
        assert run.caption_dataset(path, config(server)).failures == {}
        assert sum(c.is_tile for c in server.asked) == before + len(summary.failures)
    assert contents(path) == contents(whole)


def test_the_key_is_sent_and_kept_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = "sk-very-secret-0123456789"
    monkeypatch.setenv("GEOMELD_API_KEY", secret)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-of-another-service")
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another-service")
    caplog.set_level(logging.DEBUG)
    path = tiny_dataset(tmp_path / "d", 2).path
    poisoned = {"400"}

    def fault(call: Call) -> str | None:  # its message repeats the key
        return poisoned.pop() if call.is_tile and poisoned else None

    with serve_model(fault=fault) as server:
        summary = run.caption_dataset(path, config(server))
        assert {c.key for c in server.asked} == {secret}
        server.fault = lambda call: "401"
        with pytest.raises(CaptionError, match="HTTP 401") as refused:
            run.caption_dataset(tiny_dataset(tmp_path / "e", 2).path, config(server))
    assert "$GEOMELD_API_KEY" in str(refused.value)
    for text in (str(refused.value), repr(summary), caplog.text):
        assert secret not in text
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()


def test_every_answer_is_on_the_disk_as_it_came(tmp_path: Path) -> None:
    path = tiny_dataset(tmp_path / "d", 2).path
    with serve_model(
        reply=lambda call, which: f"Here is the caption: **Forest covers the area {'very ' * which}well.**"
    ) as server:
        run.caption_dataset(path, config(server))
    lines = [json.loads(line)["record"] for line in (path / ANSWERS).read_text().splitlines()]
    texts = {c["text"] for line in lines for c in line["choices"]}
    assert "Here is the caption: **Forest covers the area well.**" in texts
    assert all(line["tokens"]["prompt_tokens"] > 256 and line["model"] == "m" for line in lines)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base_url": "ftp://x/v1"}, "base_url"),
        ({"base_url": "http://user:word@x/v1"}, "keys come from the environment"),
        ({"base_url": "http://x/v1?key=1"}, "keys come from the environment"),
        ({"temperature": -1}, "temperature"),
        ({"concurrency": 0}, "concurrency"),
    ],
)
def test_bad_words(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Endpoint(**settings)
