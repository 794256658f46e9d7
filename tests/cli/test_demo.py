"""The whole flow, small: one command from the simulated Earth to one offline page; then every verb on what it left."""

import json
import re
from pathlib import Path

import pytest

from geomeld.cli import main
from geomeld.dataset import open_dataset

pytestmark = pytest.mark.slow


def run(*words: str | Path) -> int:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as done:
        main([str(w) for w in words])
    return int(done.value.code or 0)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "demo"
    assert run("demo", "--out", out, "--tiles", "16", "--epochs", "1", "--workers", "2") == 0
    return out


def test_the_report_shows_every_part_and_needs_no_network(demo: Path) -> None:
    page = (demo / "report.html").read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)=["'](?:https?:)?//""", page)
    for part in ("Places", "Tiles", "Captions and their evidence", "Pretraining", "Scores", "Search"):
        assert re.search(rf"<h2[^>]*>[^<]*{part}", page, re.IGNORECASE), part
    assert page.count("<img") + page.count("<svg") >= 10
    (run_page,) = re.findall(r'href="([^"#]+/run\.html)"', page)
    assert "finished" in (demo / run_page).read_text(encoding="utf-8")
    assert not list(demo.rglob("*.partial"))


def test_every_verb_works_on_what_the_demo_left(demo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, model, index = (str(demo / name) for name in ("dataset", "checkpoint", "index"))
    tile_id = str(open_dataset(data).tile_ids[0])
    for words in (
        ["check", data],
        ["show", data, "--panel", str(demo / "panel.png")],
        ["stats", data, "--out", str(demo / "stats.html")],
        ["show", data, "--caption", "--tile", tile_id],
        ["evaluate", model, "--data", data, "--out", str(demo / "again")],
    ):
        assert run(*words) == 0, words
    capsys.readouterr()
    assert run("search", index, "a lake with forest around it", "--json") == 0
    hits = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(hits) == 5
    assert (demo / "panel.png").stat().st_size > 10_000


def test_the_same_seed_gives_the_same_files(demo: Path, tmp_path: Path) -> None:
    """Another run, with another number of workers, ends in the same bytes: tiles, captions, weights, vectors."""
    again = tmp_path / "demo"
    assert run("demo", "--out", again, "--tiles", "16", "--epochs", "1", "--workers", "1") == 0
    kinds = ("dataset/*.tar", "dataset/captions.parquet", "checkpoint/model.safetensors", "index/*.npy")
    first, second = (
        {p.relative_to(root): p.read_bytes() for kind in kinds for p in root.glob(kind)} for root in (demo, again)
    )
    assert len(first) >= 5
    assert first == second
