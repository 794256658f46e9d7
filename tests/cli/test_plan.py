"""`geomeld plan`: a plan of nothing takes no other's place."""

from pathlib import Path

import pytest

from geomeld.cli import main


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
    assert "0 of 1 anchors planned -> nothing written" in capsys.readouterr().out
    assert out.read_bytes() == before
