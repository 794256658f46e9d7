"""A checkpoint on the tiles of a dataset: an interrupted pass goes on, and what was computed once is not again."""

import json
import shutil
from dataclasses import replace
from html import escape
from pathlib import Path

import numpy as np
import pytest
import torch

from geomeld.core.config import to_json
from geomeld.core.errors import UsageError
from geomeld.dataset import Dataset, open_dataset, update_metadata
from geomeld.evaluate import text_answers, tiles
from geomeld.evaluate.geobench import SETS
from geomeld.evaluate.report import write_report
from geomeld.evaluate.results import Results
from geomeld.evaluate.run import Request, evaluate
from geomeld.evaluate.score import read_scores
from geomeld.evaluate.summary import baseline, cell, summaries
from geomeld.evaluate.tasks import QUESTIONS
from geomeld.evaluate.tile_answers import kept_answers
from geomeld.evaluate.tiles import features
from geomeld.loader import Split, read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig, train_tokenizer
from geomeld.models.weights import load_model, save_checkpoint
from geomeld.recipes.pretraining import mp_mae_jepa
from geomeld.testing.datasets import CAPTIONS, farmed_dataset, tiny_dataset
from geomeld.testing.geobench import write_set


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return tiny_dataset(tmp_path_factory.mktemp("tiles") / "data", 12, captions=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of random weights that reads text, of a run that held out one tile in three."""
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = train_tokenizer(CAPTIONS, 280)
    spec = LayerSpec.of(MODALITIES["sentinel2"], tuple(range(1000, 2200, 100)), (500.0,) * 12)
    text = TextConfig(vocab_size=tokenizer.vocab_size, width=32, depth=1, heads=2)
    config = ModelConfig(spec, (spec,), decoder_width=16, predictor_width=32, predictor_depth=1, text=text)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        save_checkpoint(GeoMeldFM(config, tokenizer), folder)
    split = {"by": "tile", "held_out": 0.34, "seed": 0}
    (folder / "run.json").write_text(json.dumps({"config": {"split": split}}))
    return folder


@pytest.fixture(scope="module")
def scored(checkpoint: Path, dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole evaluation."""
    folder = tmp_path_factory.mktemp("scored")
    evaluate(Request((str(checkpoint),), dataset=dataset), folder)
    return folder


class Reads:
    """What reads tiles, counting those that it is asked for, and broken off at one of its calls."""

    def __init__(self, until: int | None = None) -> None:
        self.asked: list[int] = []
        self.left = until

    def __call__(self, dataset, tile_ids, modalities, skipped):
        if self.left == 0:
            raise KeyboardInterrupt
        self.left = None if self.left is None else self.left - 1
        self.asked += tile_ids
        return read_tiles(dataset, tile_ids, modalities, skipped)


def test_an_interrupted_pass_over_tiles_goes_on_with_the_same_features(
    checkpoint, dataset, tmp_path, monkeypatch
) -> None:
    model, ids = load_model(checkpoint), dataset.tile_ids
    whole = features(model, dataset, ids, 2, progress=False)
    monkeypatch.setattr(tiles, "PART", 4)
    monkeypatch.setattr(tiles, "read_tiles", Reads(until=5))
    with pytest.raises(KeyboardInterrupt):
        features(model, dataset, ids, 2, cache=tmp_path, key="a", progress=False)
    for key, asked in (("a", ids[8:]), ("a", []), ("b", ids)):
        monkeypatch.setattr(tiles, "read_tiles", reads := Reads())
        again = features(model, dataset, ids, 2, cache=tmp_path, key=key, progress=False)
        assert reads.asked == asked
        assert (again.tile_ids, again.captions) == (ids, whole.captions)
        np.testing.assert_array_equal(again.pooled, whole.pooled)
        np.testing.assert_array_equal(again.images, whole.images)
        assert again.images.dtype == np.float32


def test_captions_are_read_anew(checkpoint, tmp_path) -> None:
    data, model = tiny_dataset(tmp_path / "data", 4), load_model(checkpoint)
    before = features(model, data, data.tile_ids, cache=tmp_path, key="a", progress=False)
    update_metadata(data.path, {tile_id: {"caption": "A lake"} for tile_id in data.tile_ids})
    after = features(model, open_dataset(data.path), data.tile_ids, cache=tmp_path, key="a", progress=False)
    assert (before.captions, after.captions) == ([""] * 4, ["A lake"] * 4)


def test_a_text_side_that_was_never_trained_is_not_asked(checkpoint, dataset, tmp_path) -> None:
    silent = shutil.copytree(checkpoint, tmp_path / "silent")
    run = json.loads((silent / "run.json").read_text())
    run["config"]["objectives"] = to_json(mp_mae_jepa().objectives)
    (silent / "run.json").write_text(json.dumps(run))
    scores = evaluate(Request((str(silent),), dataset=dataset), tmp_path / "out")
    assert {s.protocol for s in scores} == {"linear probe", "embedding health"}
    assert {s.task for s in scores if s.protocol == "embedding health"} == {"features"}
    assert {s.encoder for s in scores} == {"S2-MAE + JEPA atto"}
    (left_out,) = Results(tmp_path / "out").left_out()
    assert "its text side was never trained" in left_out.why
    assert "MAE and JEPA" in left_out.why
    assert "its text side was never trained" in (tmp_path / "out" / "evaluation.html").read_text()


def test_a_second_evaluation_sees_no_tile_again_and_ends_with_the_same_scores(
    checkpoint, dataset, tmp_path, monkeypatch
) -> None:
    request = Request((str(checkpoint),), dataset=dataset)
    monkeypatch.setattr(tiles, "read_tiles", first := Reads())
    scores = evaluate(request, tmp_path)
    assert sorted(first.asked) == sorted(dataset.tile_ids)
    assert {s.protocol.split(",")[0] for s in scores} >= {"linear probe", "zero-shot", "embedding health"}
    monkeypatch.setattr(tiles, "read_tiles", Reads(until=0))
    assert evaluate(request, tmp_path) == scores


def test_models_are_loaded_where_it_is_asked_and_features_found_again_on_any_device(
    checkpoint, dataset, tmp_path, monkeypatch
) -> None:
    asked = []

    def loaded(path, device="cpu"):
        asked.append(str(device))
        return load_model(path)

    for module in (tiles, text_answers):
        monkeypatch.setattr(module, "load_model", loaded)
    request = Request((str(checkpoint),), dataset=dataset, device="cuda:1")
    scores = evaluate(request, tmp_path / "out")
    assert asked == ["cuda:1"]
    record = SETS["m-so2sat"]
    image = {band: np.full((record.size, record.size), 0.1, np.float32) for band in record.bands}
    write_set(tmp_path, "m-so2sat", {split: [(image, 0)] for split in ("train", "valid", "test")})
    words = Request((str(checkpoint),), geobench=tmp_path, protocols=("zero-shot",), device="cuda:1")
    assert evaluate(words, tmp_path / "text")
    assert asked == ["cuda:1", "cuda:1"]
    monkeypatch.setattr(tiles, "read_tiles", Reads(until=0))
    assert evaluate(replace(request, device="cpu"), tmp_path / "out") == scores


def test_shares_of_tiles_stand_with_intervals_and_so_does_what_they_are_held_against(scored) -> None:
    found = read_scores(scored)
    probe = [s for s in found if s.protocol == "linear probe"]
    shares = [*probe, *(s for s in found if s.protocol.startswith("zero-shot"))]
    assert {s.metric.split("/")[0] for s in shares} == {"accuracy", "balanced accuracy", "macro F1", "recall"}
    assert all(s.low <= s.value <= s.high for s in shares if s.low is not None)
    assert {s.value for s in shares if s.low is None} <= {0.0, 1.0}  # every draw of tiles agrees
    assert {s.baseline_name for s in probe} == {"commonest class", "mean spectrum"}
    assert all(s.baseline_low <= s.baseline <= s.baseline_high for s in probe if s.baseline_low is not None)
    (one,) = (s for s in summaries(probe) if (s.metric, s.baseline_name) == ("accuracy", "commonest class"))
    page = write_report(Results(scored)).read_text().replace("\N{NO-BREAK SPACE}", " ")
    assert ("[" in cell(one)) == (0 < one.value < 1)  # of four tiles that all are wrong nothing is certain
    assert "[" in baseline(one)
    assert f"<td>{cell(one)}</td><td>commonest class</td><td>{baseline(one)}</td>" in page
    assert all((s.low, s.high) == (None, None) for s in found if s.protocol == "embedding health")


def test_tasks_with_too_few_tiles_are_named_and_cost_nothing_else(checkpoint, tmp_path) -> None:
    data = farmed_dataset(tmp_path / "farmed", 14)
    scores = evaluate(Request((str(checkpoint),), dataset=data, protocols=("frozen",)), tmp_path / "out")
    assert {"linear probe", "embedding health"} <= {s.protocol for s in scores}
    found = Results(tmp_path / "out").left_out()
    left_out = {each.task: each.why for each in found}
    assert sorted(each.task for each in found) == sorted(QUESTIONS), "once each, whatever the encoders"
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert all(f"<td>{name}</td>" in page and escape(why) in page for name, why in left_out.items())
    assert "20 tiles to learn from" in left_out["simulated climate"]


def test_the_page_shows_held_out_tiles_with_truth_and_answer(scored, dataset) -> None:
    (answers,) = kept_answers(scored / "tiles")
    probe = [s for s in read_scores(scored) if s.protocol == "linear probe"]
    (accuracy,) = {s.value for s in probe if s.metric == "accuracy"}
    assert (answers.truth == answers.given).mean() == pytest.approx(accuracy)
    assert {s.n for s in probe} == {len(answers.truth)}
    assert len(set(answers.shown)) == len(answers.pictures) == min(len(answers.truth), 8)
    page = (scored / "evaluation.html").read_text()
    assert page.count('<div class="card">') == len(answers.pictures)
    assert "Dominant land cover, linear probe: shares of the tiles of each true class" in page


def test_without_its_run_a_checkpoint_is_tested_on_what_it_is_said_to_have_held_out(
    checkpoint, scored, dataset, tmp_path, capsys
) -> None:
    bare = shutil.copytree(checkpoint, tmp_path / "bare")
    (bare / "run.json").unlink()
    with pytest.raises(UsageError, match="which tiles its training held out"):
        evaluate(Request((str(bare),), dataset=dataset), tmp_path / "none")
    assert not (tmp_path / "none").exists()
    scores = evaluate(Request((str(bare),), dataset=dataset, split=Split(0.34, "tile")), tmp_path / "out")
    kept = [replace(s, encoder="") for s in Results(scored).scores()]
    assert [replace(s, encoder="") for s in scores] == kept


def test_a_folder_with_a_colon_in_its_name_is_a_checkpoint(checkpoint, dataset, tmp_path) -> None:
    colon = shutil.copytree(checkpoint, tmp_path / "ck:lon")
    assert evaluate(Request((str(colon),), dataset=dataset), tmp_path / "out")


def test_robustness_needs_a_checkpoint_and_tiles(checkpoint, dataset, tmp_path) -> None:
    for request in (
        Request((str(checkpoint),), geobench=tmp_path, robustness=True),
        Request(("random:atto",), dataset=dataset, protocols=("knn",), robustness=True),
    ):
        with pytest.raises(UsageError, match="--robustness is of a checkpoint on the tiles of a dataset"):
            evaluate(request, tmp_path / "out")
