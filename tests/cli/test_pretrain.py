"""`geomeld pretrain`: recipes by name, the cost before a launch, and what a watched run leaves to look at."""

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from geomeld.cli import main
from geomeld.dataset import update_metadata, write_dataset
from geomeld.evaluate.neighbours import nearest_class
from geomeld.figures.curves import thinned
from geomeld.models.encoder import SIZES
from geomeld.pretrain import watch
from geomeld.pretrain.progress import Meter, duration
from geomeld.pretrain.trackers import _Sent
from geomeld.recipes.pretraining import RECIPES
from geomeld.testing import fake_tile, tiny_dataset

SMALL = (
    *("--batch-size", 2, "--epochs", 3, "--augment.crop", 32, "--split.by", "tile", "--split.held-out", 0.3),
    *("--targets", "sentinel2", "esa_worldcover", "--decoder-width", 16, "--predictor-width", 16),
    *("--text.width", 32, "--text.depth", 1, "--text.heads", 2, "--workers", 0, "--device", "cpu"),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "d", 9, captions=True).path


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def run(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as done:
            main(["pretrain", *map(str, words)])
        said = capsys.readouterr()
        return int(done.value.code or 0), said.out, said.err

    return run


def rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def every(n: int, steps: list[int]) -> set[int]:
    """Every n-th step, and the last."""
    return {s for s in steps if (s + 1) % n == 0} | {steps[-1]}


def test_help_lists_every_recipe_and_wrong_words_are_named(run, data: Path) -> None:
    code, out, _ = run("--help")
    assert code == 0
    assert all(re.search(rf"^  {name} ", out, re.MULTILINE) for name in RECIPES)
    assert "--objectives.jepa.weight" in out
    code, _, err = run("mmeart", data)
    assert (code, "Did you mean mmearth?" in err) == (2, True)
    code, _, err = run("demo")
    assert (code, "RECIPE DATASET" in err) == (2, True)
    code, _, err = run("demo", data, "--picture-every", -1)
    assert (code, "picture_every" in err) == (2, True)


def test_a_dry_run_counts_and_checks_and_writes_nothing(run, tmp_path: Path, monkeypatch) -> None:
    dataset = tiny_dataset(tmp_path / "d", 9, captions=True).path
    (dataset / "statistics.json").unlink()
    monkeypatch.chdir(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    code, out, _ = run("mp_mae", dataset, *SMALL, "--dry-run", "--json", "--size", "atto")
    said = json.loads(out)
    cost, found = said["cost"], said["dataset"]
    assert code == 0
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before
    assert found["train"] + found["held_out"] == found["tiles"] == 9
    assert cost["steps"] == 3 * (found["train"] // 2)
    assert cost["samples_per_second"] > 0
    assert cost["bytes_activations"] > cost["bytes_batch"] > 0
    assert any("statistics.json" in w for w in found["warnings"])
    code, out, _ = run("mp_mae", dataset, *SMALL, "--dry-run")
    assert (code, "GFLOP per sample" in out, "to train on" in out) == (0, True, True)


def test_arithmetic_is_that_of_a_count_by_layers(run, data: Path) -> None:
    """Every product of the encoder and one decoder, forward and twice backward, at 4 patches of which 1 is seen."""
    words = ("s2_mae", data, *SMALL, "--size", "atto", "--targets", "sentinel2", "--dry-run", "--json")
    _, out, _ = run(*words)
    depths, widths = SIZES["atto"]
    sites = [64, 16, 4, 1]
    stem = 64 * (12 * 4) * widths[0]
    forward = 0
    for i, (depth, width, n) in enumerate(zip(depths, widths, sites, strict=True)):
        forward += depth * n * (8 * width**2 + 49 * width)
        forward += n * 4 * widths[i - 1] * width if i else 0
    decoder = widths[3] * 16 + 4 * (8 * 16**2 + 49 * 16) + 3 * 16 * (16 * 16 * 12)
    expected = 2 * (3 * (forward + decoder) + 2 * stem)  # no gradient flows to the pixels
    # The rest are gradients of biases, once per batch.
    assert json.loads(out)["cost"]["flops"] == pytest.approx(expected, rel=0.03)


def test_a_dry_run_names_what_is_wrong_with_a_dataset(run, tmp_path: Path) -> None:
    tiles = [fake_tile(i + 1, without=("sentinel1",)) for i in range(6)]
    for tile in tiles:
        tile.layers["sentinel2"].values[3] = 500.0
    for tile in tiles[:4]:
        tile.metadata["caption"] = "a lake"
    path = write_dataset(tmp_path / "d", tiles).path
    stored = json.loads((path / "statistics.json").read_text())
    stored["aster"]["mean"][0] += 1e6
    (path / "statistics.json").write_text(json.dumps(stored))
    words = ("geomeld_fm", path, *SMALL, "--targets", "sentinel2", "sentinel1", "aster", "--split.held-out", 0)
    code, out, _ = run(*words, "--batch-size", 4096, "--size", "atto", "--dry-run")
    assert code == 0
    for words_of_warning in (
        "2 training tiles have no caption",
        "No training tile has sentinel1",
        "sentinel2: B4 never varies",
        "does not fit aster elevation",
        "there are 6: every step takes all",
        "No tile is held out",
    ):
        assert words_of_warning in out, out
    update_metadata(path, {t.tile_id: {"caption": ""} for t in tiles})
    code, out, _ = run(*words, "--dry-run")
    assert (code, "geomeld caption" in out, "tiles/s" in out) == (1, True, False)


def test_a_run_that_goes_on_shows_every_step_once(run, data: Path, tmp_path: Path, monkeypatch) -> None:
    out, seen = tmp_path / "c", []
    words = ("demo", data, *SMALL, "--out", out, "--picture-every", 4, "--evaluate-every", 3, "--save-every", 3)
    step = watch.Watch.step

    def killed(self, number: int, row, batch) -> None:
        step(self, number, row, batch)
        seen.append(number)
        if number == 4:
            raise OSError("the power went")

    with monkeypatch.context() as patched:
        patched.setattr(watch.Watch, "step", killed)
        code, _, err = run(*words)
    assert (code, "the power went" in err) == (1, True)
    assert "stopped after 5" in (out / watch.PAGE).read_text()
    with (out / watch.PACE).open("a") as file:
        file.write('{"step": 5, "samp')  # a line that a killed process left half written
    code, said, _ = run(*words)
    assert code == 0
    assert str(out / watch.PAGE) in said
    steps = [r["step"] for r in rows(out / "log.jsonl")]
    assert steps == list(range(len(steps)))
    assert [r["step"] for r in rows(out / watch.PACE)] == steps
    events = EventAccumulator(str(out / "tensorboard")).Reload()
    assert [e.step for e in events.Scalars("loss")] == steps
    np.testing.assert_allclose(
        [e.value for e in events.Scalars("loss")], [r["loss"] for r in rows(out / "log.jsonl")], rtol=1e-6
    )
    assert {e.step for e in events.Images("reconstructions")} == every(4, steps)
    scores = rows(out / watch.SCORES)
    assert {r["step"] for r in scores} == every(3, steps)
    assert len(scores) == len(every(3, steps))
    assert {"held out/loss", "kNN/land cover", "retrieval/image to text R@5"} <= set(scores[-1])
    page = (out / watch.PAGE).read_text()
    assert "finished after" in page
    assert not re.search(r"""(?:src|href)=["']?(?:http|//)""", page)
    assert page.count("<img") == 3 + 2  # curves of losses, scores and speed; two pictures


def test_a_tracker_that_is_not_installed_says_how(run, data: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    code, _, err = run("demo", data, *SMALL, "--out", tmp_path / "c", "--trackers", "trackio")
    assert (code, "pip install 'geomeld[trackio]'" in err) == (2, True)


def test_a_service_that_cannot_forget_is_told_every_step_once(tmp_path: Path) -> None:
    first = _Sent(tmp_path, "wandb")
    assert [first.is_new(s) for s in (0, 1, 2)] == [True] * 3
    other, again = _Sent(tmp_path, "trackio"), _Sent(tmp_path, "wandb")
    assert [again.is_new(s) for s in (1, 2, 3)] == [False, False, True]
    assert again.run == first.run != other.run
    assert other.is_new(0)


def test_neighbours_vote_as_in_scikit_learn() -> None:
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(3)
    known, labels, new = rng.normal(size=(60, 8)), rng.integers(0, 4, 60), rng.normal(size=(25, 8))
    expected = KNeighborsClassifier(10, metric="cosine", algorithm="brute").fit(known, labels).predict(new)
    np.testing.assert_array_equal(nearest_class(known, labels, new, 10), expected)


def test_pace_is_of_the_last_steps() -> None:
    meter = Meter()
    for _ in range(60):
        meter.add(1, 10.0, 10.0)
    for _ in range(50):
        pace = meter.add(8, 2.0, 0.5)
    assert (pace.samples_per_second, pace.waiting, pace.seconds_per_step) == pytest.approx((4.0, 0.25, 2.0))
    assert pace.memory > 0
    assert [duration(s) for s in (42, 200, 18600, 183600)] == ["42 s", "3 min", "5 h 10 min", "2 d 3 h"]


def test_a_thinned_curve_keeps_the_mean() -> None:
    steps, values = thinned([(i, i % 7) for i in range(5000)], points=1000)
    assert len(steps) == 1000
    assert np.mean(values) == pytest.approx(np.mean([i % 7 for i in range(5000)]))
