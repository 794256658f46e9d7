"""A tile that cannot be measured costs no other tile its caption."""

from pathlib import Path

import pytest

from geomeld import signals
from geomeld.caption import run
from geomeld.caption.config import CaptionConfig
from geomeld.caption.table import read_captions
from geomeld.core.errors import CaptionError
from geomeld.dataset import open_dataset
from geomeld.testing import tiny_dataset


def test_a_tile_that_cannot_be_measured_stays_in_its_slot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny_dataset(tmp_path / "d", 4).path
    whole = tiny_dataset(tmp_path / "w", 4).path
    run.caption_dataset(whole)
    measure = signals.measure

    def fragile(tile, layers):
        if tile.tile_id == 2:
            raise ValueError("odd elevation")
        return measure(tile, layers)

    monkeypatch.setattr(signals, "measure", fragile)
    summary = run.caption_dataset(path, CaptionConfig(chunk=3))
    assert summary.tiles == 4
    assert summary.failures == {2: "ValueError: odd elevation"}
    assert [t.caption is not None for t in open_dataset(path)] == [True, False, True, True]
    assert set(read_captions(path)) == {1, 3, 4}
    monkeypatch.setattr(signals, "measure", measure)
    assert run.caption_dataset(path).failures == {}  # a later run makes up for it
    for name in [run.TABLE, *(s.name for s in open_dataset(path).shards)]:
        assert (path / name).read_bytes() == (whole / name).read_bytes()
    monkeypatch.setattr(signals, "measure", lambda tile, layers: 1 / 0)
    table = (path / run.TABLE).read_bytes()
    with pytest.raises(CaptionError, match="ZeroDivisionError"):
        run.caption_dataset(path, CaptionConfig(seed=1))
    assert (path / run.TABLE).read_bytes() == table  # what there was stays
