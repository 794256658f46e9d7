"""The command lines of `geomeld anchors`, `build`, `stats` and `pack` say what is wrong with what it was given."""

from pathlib import Path

import pytest

from geomeld.cli import main


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["build", "--out", "made", "--sample", "2", "--workers", "-1"], 2, "--workers is -1"),
        (["build", "--out", "made", "--plan", "nope.parquet"], 1, "There is no plan nope.parquet"),
        (["anchors", "--out", "made.csv", "--sample", "1"], 2, "a name in .parquet"),
        (["build", "--out", "made", "--source", "stac:no.json", "--sample", "2"], 1, "no.json cannot be read"),
        (["stats", "nowhere", "--held-out", "0.2"], 2, "give it as well"),
        (["pack", "nowhere", "--out", "made", "--workers", "0"], 2, "--workers is 0"),
    ],
)
def test_bad_options_are_named(
    arguments: list[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == code
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
