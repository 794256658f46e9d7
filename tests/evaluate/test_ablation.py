"""The ablation: its intervals by plain loops, its verdict on known truths, and the verb from tiles to table."""

import html
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from geomeld.cli.ablate import main
from geomeld.core.draw import generator
from geomeld.core.errors import CheckpointError, UsageError
from geomeld.evaluate import ablation
from geomeld.evaluate.ablation import Column, Contender, Contest, Measured
from geomeld.evaluate.ablation_report import markdown, text
from geomeld.evaluate.ablation_table import AblationTable
from geomeld.evaluate.protocols import FrozenProtocol
from geomeld.evaluate.results import Results
from geomeld.evaluate.score import read_scores
from geomeld.evaluate.spectrum import Spectrum
from geomeld.evaluate.tasks import simulated
from geomeld.figures.ablation_page import Bars, bars
from geomeld.loader import Augment
from geomeld.pretrain import loop
from geomeld.recipes import series
from geomeld.recipes.ablation import ORDER, ROWS, large, small, table3
from geomeld.recipes.series import Run, run_all
from geomeld.testing.datasets import farmed_dataset, tiny_dataset

COLUMN = Column("task", "protocol", "micro F1", 100)
DRAWS = 400


def measured(row: str, *means: float, spread: float = 0.01, images: NDArray | None = None) -> list[Measured]:
    """Seeds of these means, on draws of images that move all of them alike."""
    images = generator(1, "images", "x").normal(0, spread, DRAWS) if images is None else images
    own = [generator(2, row, seed).normal(0, 1e-4, DRAWS) for seed in range(len(means))]
    return [Measured(mean, mean + images + noise) for mean, noise in zip(means, own, strict=True)]


def test_intervals_are_those_of_plain_loops_over_draws_and_seeds() -> None:
    rows = {"s2_mae": measured("s2_mae", 0.4, 0.45, 0.42), "mp_mae": measured("mp_mae", 0.5, 0.44)}
    table = AblationTable({COLUMN: rows}, tuple(rows), ORDER)
    means: dict[str, list[float]] = {}
    for row, seeds in rows.items():
        drawn = generator(0, "ablation/seeds", row).integers(0, len(seeds), (DRAWS, len(seeds)))
        means[row] = []
        for i in range(DRAWS):
            means[row].append(sum(seeds[s].draws[i] for s in drawn[i]) / len(seeds))
        cell = table.cell(row, COLUMN)
        assert cell is not None
        assert (cell.low, cell.high) == pytest.approx(tuple(np.percentile(means[row], (2.5, 97.5))))
        assert cell.mean == pytest.approx(np.mean([m.value for m in seeds]))
    (step,) = table.steps
    differences = [b - a for a, b in zip(means["s2_mae"], means["mp_mae"], strict=True)]
    assert (step.low, step.high) == pytest.approx(tuple(np.percentile(differences, (2.5, 97.5))))
    assert step.gain == pytest.approx(0.47 - 0.42333333)
    assert table.cell("geomeld_fm", COLUMN) is None


def test_the_verdict_on_known_truths() -> None:
    """Pairing: images that move both rows alike hide nothing; seeds that scatter do."""
    rows = {
        "s2_mae": measured("s2_mae", 0.40, 0.40, 0.40, spread=0.2),
        "mp_mae": measured("mp_mae", 0.42, 0.42, 0.42, spread=0.2),
        "mp_mae_jepa": measured("mp_mae_jepa", 0.30, 0.55, 0.45, spread=0.2),
        "mp_mae_itc": measured("mp_mae_itc", 0.41, 0.41, 0.41, spread=0.2),
    }
    table = AblationTable({COLUMN: rows}, tuple(rows), ORDER)
    assert [(s.lower, s.higher, s.verdict) for s in table.steps] == [
        ("s2_mae", "mp_mae", "seen"),
        ("mp_mae", "mp_mae_jepa", "undecided"),
        ("mp_mae", "mp_mae_itc", "reversed"),
    ]
    said = table.sentence()
    assert "3 steps" in said
    assert "1 is beyond" in said
    assert "1 is so the other way round" in said
    assert "1 cannot be told" in said
    assert "in no column" in said
    assert "mp_mae over s2_mae +2.0" in table.details()[0]

    best = {name: measured(name, *[0.3 + 0.1 * i] * 3) for i, name in enumerate(ROWS)}
    assert "as a whole it appears in task" in AblationTable({COLUMN: best}, tuple(best), ORDER).sentence()
    alone = AblationTable({COLUMN: {"s2_mae": rows["s2_mae"]}}, ("s2_mae",), ORDER)
    assert "nothing can be said" in alone.sentence()
    assert alone.details() == ["task: nothing to compare."]


def test_no_interval_stands_where_every_draw_agrees() -> None:
    right = [Measured(1.0, np.ones(DRAWS))] * 2
    table = AblationTable({COLUMN: {"mp_mae": right}}, ("mp_mae",), ORDER)
    assert str(table.cell("mp_mae", COLUMN)) == "100.0"
    (axes,) = bars(["mp_mae"], [Bars("task", "metric", [(1.0,)], [1.0], [None], [None])]).axes
    assert [bar.get_width() for bar in axes.patches] == [100]


def test_the_variants_differ_in_what_they_learn_and_in_nothing_else() -> None:
    for shared in (small(epochs=3, seed=2), large()):
        found = table3(shared)
        assert list(found) == ["s2_mae", "mp_mae", "mp_mae_jepa", "mp_mae_itc", "geomeld_fm"]
        for name, config in found.items():
            assert replace(config, targets=shared.targets, objectives=shared.objectives) == shared
            assert len(config.targets) == (1 if name == "s2_mae" else 6)
            assert (config.jepa is not None) == (name in ("mp_mae_jepa", "geomeld_fm"))
            assert (config.contrast is not None) == (name in ("mp_mae_itc", "geomeld_fm"))


def test_a_series_takes_over_what_is_there_and_refuses_what_is_not_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = tiny_dataset(tmp_path / "dataset", 8, captions=True)
    shared = replace(small(epochs=2), batch_size=3, augment=Augment(crop=32), save_every=1)
    runs = [Run(f"{name}-0", config, tmp_path / f"{name}-0") for name, config in table3(shared).items()][:2]
    pretrain = loop.pretrain
    pretrain(runs[0].config, dataset, runs[0].out, device="cpu")
    before = (runs[0].out / "model.safetensors").stat().st_mtime_ns

    class Interrupting(series._Silent):
        def step(self, step: int, *rest: object) -> None:
            if step == 1:
                raise KeyboardInterrupt

    def interrupted(*args: object, watch: object, **more: object) -> object:
        return pretrain(*args, watch=Interrupting(), **more)  # type: ignore[arg-type]

    monkeypatch.setattr(series, "pretrain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_all(runs, dataset, "cpu")
    assert not runs[1].is_finished
    begun: list[int] = []

    def counted(*args: object, **more: object) -> object:
        summary = pretrain(*args, **more)  # type: ignore[arg-type]
        begun.append(summary.steps)
        return summary

    monkeypatch.setattr(series, "pretrain", counted)
    run_all(runs, dataset, "cpu")
    assert len(begun) == 1, "the finished one is not run again"
    assert (runs[0].out / "model.safetensors").stat().st_mtime_ns == before
    steps = [json.loads(line)["step"] for line in (runs[1].out / loop.LOG).read_text().splitlines()]
    assert steps == list(range(begun[0])), "it went on where it was interrupted"

    other = [replace(run, config=replace(run.config, seed=5)) for run in runs]
    with pytest.raises(CheckpointError, match=r"another configuration \(seed"):
        run_all(other, dataset, "cpu")
    assert len(begun) == 1


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2, "whoever computed in another number of them has put it back"
    torch.set_num_threads(before)


def test_read_outs_compute_in_one_thread(tmp_path: Path, two_threads: None) -> None:
    """As those do that have a process of their own: numbers are the same however many stand side by side."""
    dataset, seen = tiny_dataset(tmp_path / "dataset", 2), []

    def opened() -> Spectrum:
        seen.append(torch.get_num_threads())
        return Spectrum(("B4",))

    Contest({}, {}, dataset, (), Results(tmp_path)).measure(Contender("any", 0, opened))
    assert seen == [1]


@pytest.mark.slow
def test_runs_side_by_side_are_the_same_bytes(tmp_path: Path, two_threads: None) -> None:
    dataset = tiny_dataset(tmp_path / "dataset", 8, captions=True)
    shared = replace(small(epochs=2), batch_size=3, augment=Augment(crop=32))
    made = {}
    for workers in (1, 2):
        runs = [Run(name, c, tmp_path / f"{workers}" / name) for name, c in list(table3(shared).items())[1:3]]
        run_all(runs, dataset, "cpu", workers)
        made[workers] = [(run.out / "model.safetensors").read_bytes() for run in runs]
        assert [run.logged for run in runs] == [4, 4]
    assert made[1] == made[2]


@pytest.mark.slow
def test_the_verb_from_tiles_to_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(simulated, "FEWEST", {"train": 3, "valid": 1, "test": 2})
    dataset, out = farmed_dataset(tmp_path / "dataset", 24), tmp_path / "out"
    words = [str(dataset.path), "--out", str(out), "--seeds", "1", "--epochs", "1", "--workers", "1"]
    words += ["--variants", "mp_mae", "mp_mae_itc"]
    assert main([*words, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said["rows"]) == ["random", "mean spectrum", "mp_mae", "mp_mae_itc"]
    assert [c["task"] for c in said["columns"]][-2:] == ["image to text", "text to image"]
    assert all(cell is not None for cell in said["rows"]["mp_mae_itc"])
    assert said["rows"]["mp_mae"][-2:] == [None, None]
    assert len(said["steps"]) == len(said["columns"]) - 2
    scores = read_scores(out)
    assert {s.encoder for s in scores} >= {"random, seed 0", "mp_mae, seed 0", "mp_mae_itc, seed 0"}
    by_place = {(s.task, s.metric, s.encoder): s for s in scores}
    for n, column in enumerate(said["columns"]):
        score = by_place[column["task"], column["metric"], "mp_mae_itc, seed 0"]
        cell = said["rows"]["mp_mae_itc"][n]
        assert (score.value, score.low, score.high) == pytest.approx((cell["mean"], cell["low"], cell["high"]))
        assert score.n == column["n"]
    assert said["sentence"].split(";")[0] in html.unescape((out / "table.html").read_text())

    monkeypatch.setattr(ablation, "_hits", lambda *given: pytest.fail("retrieval was computed twice"))
    monkeypatch.setattr(FrozenProtocol, "run", lambda *given, **more: pytest.fail("an outcome was computed twice"))
    monkeypatch.setattr(series, "pretrain", None)
    assert main([*words, "--markdown"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("| variant | simulated land cover, micro F1 |")
    assert table[4].startswith("| mp_mae |")
    with pytest.raises(CheckpointError, match="epochs"):
        main([*words[:5], "--epochs", "2", *words[7:]])


def test_words_that_are_wrong_cost_nothing(tmp_path: Path) -> None:
    real = tiny_dataset(tmp_path / "real", 4, captions=True)
    out = tmp_path / "out"
    for words, said in (
        (["--variants", "mp_mae_ict"], "no variant 'mp_mae_ict'"),
        (["--seeds", "0"], "at least 1"),
        (["--size", "giant"], "no size 'giant'"),
        (["--unet-epochs", "-1"], "at least 0"),
        ([], "simulated Earth"),
    ):
        with pytest.raises(UsageError, match=said):
            main([str(real.path), "--out", str(out), *words])
    assert not out.exists()


def test_the_table_as_text() -> None:
    rows = {"s2_mae": measured("s2_mae", 0.4), "mp_mae": measured("mp_mae", 0.5)}
    table = AblationTable({COLUMN: rows, replace(COLUMN, task="other"): {"mp_mae": rows["mp_mae"]}}, tuple(rows), ORDER)
    lines = text(table).splitlines()
    assert lines[:2] == ["[1] task, micro F1", "[2] other, micro F1"]
    assert lines[4].split()[:2] == ["s2_mae", "40.0"]
    assert lines[4].endswith("-")
    assert markdown(table).splitlines()[2].endswith("| - |")
