"""Captions of a whole dataset: evidence on disk, failures in their slot, the same bytes after any interruption."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from geomeld.caption import run
from geomeld.caption.agents import orchestrator
from geomeld.caption.config import CaptionConfig
from geomeld.caption.graph import caption_graph
from geomeld.caption.rules import conflicts
from geomeld.caption.table import read_caption, read_captions
from geomeld.core.caption import Caption
from geomeld.core.config import from_json
from geomeld.core.errors import CaptionError, ConfigError, DatasetError
from geomeld.dataset import open_dataset
from geomeld.dataset.check import check
from geomeld.dataset.shard import write_shard
from geomeld.testing import tiny_dataset


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != ".lock"}


def test_captions_and_their_evidence_are_kept(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 5, shard_size=3)
    summary = run.caption_dataset(dataset.path, CaptionConfig(chunk=2))
    assert (summary.tiles, summary.failures) == (5, {})
    again = open_dataset(dataset.path)
    rows = pq.read_table(dataset.path / "captions.parquet").to_pylist()
    for row in rows:
        record = from_json(Caption, json.loads(row["record"]))
        assert again[row["tile_id"]].caption == record.text == row["caption"]
        assert conflicts(record.verdicts) == []
        assert record.claims
        assert {v.claim_id for v in record.verdicts} - {""} == {c.claim_id for c in record.claims}
    assert check(dataset.path) == []


def test_chunks_and_interruptions_change_no_byte(tmp_path: Path) -> None:
    whole = tiny_dataset(tmp_path / "a", 5, shard_size=3).path
    run.caption_dataset(whole, CaptionConfig(chunk=5))
    broken = tiny_dataset(tmp_path / "b", 5, shard_size=3).path
    run.caption_dataset(broken, CaptionConfig(chunk=2), limit=3)
    ledger = broken / run.LEDGER
    ledger.write_bytes(ledger.read_bytes()[:-50])  # a kill in the middle of a line
    (broken / run.TABLE).unlink()
    run.caption_dataset(broken, CaptionConfig(chunk=2))
    a, b = contents(whole), contents(broken)
    a.pop(run.LEDGER), b.pop(run.LEDGER)
    assert a == b
    before = contents(whole)
    run.caption_dataset(whole, CaptionConfig(chunk=3))
    assert contents(whole) == before


def test_workers_change_no_byte(tmp_path: Path) -> None:
    one, two = (tiny_dataset(tmp_path / name, 5, shard_size=3).path for name in ("one", "two"))
    run.caption_dataset(one, CaptionConfig(chunk=2))
    run.caption_dataset(two, CaptionConfig(chunk=2), workers=2)
    assert contents(one) == contents(two)


def test_a_folder_without_tiles_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no shards"):
        run.caption_dataset(tmp_path)
    write_shard(tmp_path / "geomeld-00000.tar", [])
    with pytest.raises(DatasetError, match="no tiles"):
        run.caption_dataset(tmp_path)


def test_one_caption_is_read_without_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "GROUP", 2)
    dataset = tiny_dataset(tmp_path / "d", 5)
    run.caption_dataset(dataset.path)
    whole = read_captions(dataset.path)
    assert list(whole) == dataset.tile_ids
    assert [read_caption(dataset.path, tile_id) for tile_id in whole] == list(whole.values())
    assert read_caption(dataset.path, 99) is None


def test_a_tile_that_fails_stays_in_its_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = tiny_dataset(tmp_path / "d", 3)
    whole = orchestrator.facts_of

    def fragile(signals):
        if signals.tile_id == 2:
            raise RuntimeError("boom")
        return whole(signals)

    monkeypatch.setattr(orchestrator, "facts_of", fragile)
    summary = run.caption_dataset(dataset.path)
    assert summary.failures == {2: "RuntimeError: boom"}
    again = open_dataset(dataset.path)
    assert again[1].caption
    assert again[2].caption is None
    monkeypatch.setattr(orchestrator, "facts_of", lambda s: 1 / 0)
    with pytest.raises(CaptionError, match="ZeroDivisionError"):
        run.caption_dataset(tiny_dataset(tmp_path / "e", 2).path)


def test_the_graph_has_four_agents_and_a_way_back() -> None:
    drawn = caption_graph().get_graph().draw_mermaid()
    for name in ("orchestrator", "captioner", "evaluator", "verification"):
        assert name in drawn
    assert "again" in drawn


def test_bad_words() -> None:
    with pytest.raises(ConfigError, match="candidates"):
        CaptionConfig(candidates=0)
    with pytest.raises(DatasetError):
        read_captions(Path("nowhere"))
