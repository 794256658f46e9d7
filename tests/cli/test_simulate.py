"""geomeld simulate from the command line: a small piece, words that cannot be used, and a run that is killed."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rasterio

from geomeld.cli import main
from geomeld.sources.catalogue import open_catalogue

# A desert: few clouds, so few scenes.
PLACE = "id,lat,lon,date\n7,22.5,45.5,2020-07-15\n"


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as done:
        main(["simulate", *words])
    assert isinstance(done.value.code, int)
    return done.value.code


def places(folder: Path, text: str = PLACE) -> list[str]:
    file = folder / "places.csv"
    file.write_text(text)
    return ["--anchors", str(file), "--days", "3"]


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_help_names_the_options(capsys) -> None:
    assert run("--help") == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("--out", "--anchors", "--places", "--seed", "--days", "--json", "catalog.json"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--anchors"),
        (["--places", "0"], "--places is 0"),
        (["--places", "2", "--days", "0"], "--days is 0"),
        (["--places", "2", "--anchors", "places.csv"], "either"),
        (["--anchors", "none.csv"], "no anchors file none.csv"),
    ],
)
def test_words_that_cannot_be_used(tmp_path, monkeypatch, capsys, words, said) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*words, "--out", "piece") == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "piece").exists()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("7,91.0,45.5,2020-07-15", "91.0 is outside -90..90.*swapped"),
        ("7,22.5,190.0,2020-07-15", "190.0 is outside -180..180"),
        ("7,-89.0,45.5,2020-07-15", "outside UTM"),
        ("7,22.5,45.5,yesterday", "yesterday"),
    ],
)
def test_places_that_are_nowhere(tmp_path, capsys, row, said) -> None:
    assert run(*places(tmp_path, f"id,lat,lon,date\n{row}\n"), "--out", str(tmp_path / "piece")) == 2
    error = capsys.readouterr().err
    assert "row 2" in error
    assert re.search(said, error)
    assert not (tmp_path / "piece").exists()


@pytest.mark.slow
def test_a_piece_is_written_and_no_other_over_it(tmp_path, capsys) -> None:
    words, out = places(tmp_path), tmp_path / "piece"
    assert run(*words, "--out", str(out), "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["places"] == 1
    assert told["items"]["sentinel-2-l2a"] >= 1
    found = open_catalogue(told["catalogue"])
    assert {name: len(list(c.get_items())) for name, c in found.collections.items()} == told["items"]
    before = files(out)
    for others in (["--seed", "1"], ["--days", "4"]):
        assert run(*words, *others, "--out", str(out)) == 2
        assert "holds another piece" in capsys.readouterr().err
    assert files(out) == before


def test_a_folder_with_other_things_is_left_alone(tmp_path, capsys) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert run(*places(tmp_path), "--out", str(tmp_path / "mine")) == 2
    assert "is not empty" in capsys.readouterr().err
    assert run(*places(tmp_path), "--out", str(tmp_path / "mine" / "thesis.txt")) == 2
    assert "is a file" in capsys.readouterr().err
    assert files(tmp_path / "mine") == {"thesis.txt": b"years of work"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [".piece.json", "B04.tif", "map.osm.pbf", "collection.json", "catalog.json"])
def test_a_file_has_its_name_when_it_is_complete(tmp_path, monkeypatch, name) -> None:
    replace = Path.replace

    def full(path: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise OSError(28, "No space left on device", str(target))
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    out = tmp_path / "piece"
    assert run(*places(tmp_path), "--out", str(out)) == 1
    assert name not in {p.name for p in out.rglob("*")}
    assert not (out / "catalog.json").exists()


@pytest.mark.slow
def test_a_killed_run_leaves_no_half_file_and_goes_on(tmp_path) -> None:
    words, out = places(tmp_path), tmp_path / "piece"
    command = [sys.executable, "-m", "geomeld", "simulate", *words, "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(out.rglob("*.tif"))) < 12 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (out / "catalog.json").exists()
    for file in out.rglob("*.tif"):
        with rasterio.open(file) as dataset:
            dataset.read()
    # What a writer leaves that dies between two calls.
    torn = next(out.rglob("*.tif"))
    torn.with_name(torn.name + ".partial.ovr.tmp").write_bytes(torn.read_bytes()[:50])
    (out / "catalog.json.99.partial").write_bytes(b"{")
    assert run(*words, "--out", str(out)) == 0
    assert run(*words, "--out", str(tmp_path / "whole")) == 0
    assert files(out) == files(tmp_path / "whole")
