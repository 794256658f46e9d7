"""`geomeld plan`: from items and from a source, interrupted and gone on with; a plan of nothing takes no other's place."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from geomeld.build.anchors import read_anchors, sampled_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.plan import Plan, write_plan
from geomeld.build.plan.each import CHUNK, forget, plan_each
from geomeld.build.plan.rules import noon
from geomeld.build.plan.tables import write_items
from geomeld.build.run import build
from geomeld.cli import main
from geomeld.core.errors import TransientError
from geomeld.core.grid import Grid
from geomeld.core.retry import Retry
from geomeld.modalities import MODALITIES
from geomeld.sources.simulated import SimulatedSource
from geomeld.testing.items import item_json
from geomeld.testing.sources import FakeSource


def run(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as done:
        main([str(w) for w in words])
    return int(done.value.code or 0)


def test_nothing_planned_leaves_what_was_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anchors, out = tmp_path / "a.csv", tmp_path / "plan.parquet"
    anchors.write_text("lat,lon\n45.0,10.0\n")
    assert run("plan", "--anchors", anchors, "--source", "simulated", "--out", out) == 0
    before = out.read_bytes()
    assert run("plan", "--anchors", anchors, "--source", "simulated", "--max-cloud", "0.0001", "--out", out) == 1
    told = capsys.readouterr().err
    assert "None of the 1 anchors could be planned, nothing written: 1 x no scene of sentinel2" in told
    assert out.read_bytes() == before
    assert run("plan", "--out", out) == 2
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.csv", "plan.parquet"]


@pytest.mark.slow
def test_a_plan_from_items_is_told_drawn_and_built(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    anchors, out = tmp_path / "a.csv", tmp_path / "plan.parquet"
    anchors.write_text("lat,lon,date\n48.0,9.0,2020-06-01\n48.3,9.0,2020-06-01\n-30.0,20.0,2020-06-01\n")
    source, items = SimulatedSource(), {}
    for anchor in read_anchors(anchors)[:2]:
        start, end = (anchor.reference_date.replace(month=m) for m in (5, 7))
        for name in ("sentinel2", "sentinel1"):
            grid = Grid.centred_on(anchor.lon, anchor.lat)
            for scene in source.scenes(MODALITIES[name], grid, noon(start), noon(end)):
                items[scene.scene_id] = scene
    for name in ("sentinel2", "sentinel1"):
        write_items(tmp_path / f"{name}.parquet", [item_json(s) for s in items.values() if s.modality == name])
    assert (
        run("plan", "--anchors", anchors, "--items", tmp_path / "s*.parquet", "--out", out, "--report", "--json") == 0
    )
    told = json.loads(capsys.readouterr().out)
    assert (told["anchors"], told["planned"]) == (3, 2)
    assert told["reasons"] == {"no scene of sentinel2 within reach": 1}
    page = out.with_suffix(".html").read_text()
    assert "2 of 3 anchors have scenes" in page
    assert page.count("<img") >= 6
    before = page
    assert run("plan", "--out", out, "--report") == 0
    assert out.with_suffix(".html").read_text() == before


def test_a_plan_is_built_without_reading_all_of_it(tmp_path: Path) -> None:
    anchors = sampled_anchors([(1.0, 10.0, ""), (2.0, 10.0, "")], "test")
    write_plan(tmp_path / "plan.parquet", plan_each(anchors, FakeSource(), BuildConfig()))
    manifest = build(Plan(tmp_path / "plan.parquet"), FakeSource(), tmp_path / "built", BuildConfig())
    again = build(anchors, FakeSource(), tmp_path / "again", BuildConfig())
    assert manifest.tiles == 2
    assert [s.sha256 for s in manifest.shards] == [s.sha256 for s in again.shards]


CALLS: list[str] = []


@dataclass(frozen=True)
class Watched(FakeSource):
    """Counts what it is asked, and can be interrupted or fail."""

    stop_after: int = 10**9
    fails: bool = False

    def __repr__(self) -> str:
        return "Watched()"

    def scenes(self, modality, grid, start, end):
        CALLS.append(modality.name)
        if len(CALLS) > self.stop_after:
            raise KeyboardInterrupt
        if self.fails and grid.centre[0] < 1.5:
            raise TransientError("503")
        return FakeSource.scenes(self, modality, grid, start, end)


def test_an_interrupted_plan_asks_for_nothing_twice(tmp_path: Path) -> None:
    anchors = sampled_anchors([(0.05 * i % 50, 10 + 0.05 * (i // 50), "") for i in range(3 * CHUNK)], "test")
    config, keep = BuildConfig(), tmp_path / "answers"
    CALLS.clear()
    whole = list(plan_each(anchors, Watched(), config))
    each = len(CALLS) // len(anchors)
    CALLS.clear()
    with pytest.raises(KeyboardInterrupt):
        list(plan_each(anchors, Watched(stop_after=each * (2 * CHUNK + 50)), config, keep=keep))
    assert len(list(keep.glob("*.parquet"))) == 2
    CALLS.clear()
    assert list(plan_each(anchors, Watched(), config, keep=keep)) == whole
    assert len(CALLS) == each * CHUNK
    forget(keep)
    assert not keep.exists()


def test_servers_that_fail_are_asked_again_and_their_failures_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("geomeld.build.plan.each.Retry", lambda: Retry(3, 0.0, 0.0))
    anchors = sampled_anchors([(1.0, 10.0, ""), (2.0, 10.0, "")], "test")
    CALLS.clear()
    rows = list(plan_each(anchors, Watched(fails=True), BuildConfig(), keep=tmp_path))
    assert [r.reason for r in rows] == ["503", ""]
    assert len(CALLS) == 3 + len(FakeSource().modalities())
    assert not list(tmp_path.iterdir())
    rows = list(plan_each(anchors, Watched(), BuildConfig(), keep=tmp_path))
    assert [r.reason for r in rows] == ["", ""]
    assert len(list(tmp_path.iterdir())) == 1
