"""Origin: what a checkpoint is called and whether it may be asked by text follow from what its run learned from."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from geomeld.core.config import to_json
from geomeld.core.errors import CheckpointError, UsageError
from geomeld.evaluate.origin import Origin, origin_of, split_of, title_of, why_no_text
from geomeld.loader import Split
from geomeld.pretrain.objectives import Contrast, Jepa
from geomeld.recipes.ablation import table3
from geomeld.recipes.pretraining import mmearth, mp_mae

ROWS = {
    "s2_mae": "S2-MAE atto",
    "mp_mae": "MP-MAE atto",
    "mp_mae_jepa": "MP-MAE + JEPA atto",
    "mp_mae_itc": "MP-MAE + ITC atto",
    "geomeld_fm": "GeoMeld-FM atto",
}


def model(targets=("sentinel2", "aster"), tokenizer: object = "words") -> SimpleNamespace:
    """As much of a model as is asked for."""
    named = tuple(SimpleNamespace(name=name) for name in targets)
    config = SimpleNamespace(targets=named, input=SimpleNamespace(name="sentinel2"), size="atto")
    return SimpleNamespace(config=config, tokenizer=tokenizer)


def run_of(folder, config) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"config": to_json(config)}))


@pytest.mark.parametrize("name", list(ROWS))
def test_every_row_of_table_3_is_named_by_what_it_is(tmp_path, name) -> None:
    config = table3()[name]
    run_of(tmp_path, config)
    origin, made = origin_of(tmp_path), model(config.targets)
    assert origin.split == config.split
    assert title_of(made, origin) == ROWS[name]
    assert bool(why_no_text(made, origin)) == (config.contrast is None)


def test_objectives_without_weight_and_other_recipes(tmp_path) -> None:
    run_of(tmp_path, replace(mp_mae(), objectives=(*mp_mae().objectives, Contrast(weight=0), Jepa())))
    assert title_of(model(), origin_of(tmp_path)) == "MP-MAE + JEPA atto"
    assert "MAE and JEPA, not from captions" in why_no_text(model(), origin_of(tmp_path))
    run_of(tmp_path, replace(mp_mae(), objectives=(Contrast(),)))
    assert title_of(model(), origin_of(tmp_path)) == "ITC atto"
    run_of(tmp_path, mmearth())
    assert title_of(model(), origin_of(tmp_path)) == "MP-MAE atto"


def test_the_best_model_of_a_run_has_the_origin_of_the_run_around_it(tmp_path) -> None:
    run_of(tmp_path, table3()["mp_mae"])
    (tmp_path / "best").mkdir()
    assert origin_of(tmp_path / "best") == origin_of(tmp_path) != Origin()


def test_where_nothing_tells_it_is_taken_for_the_whole_model_of_an_unknown_split(tmp_path) -> None:
    folder = tmp_path / "runs" / "checkpoint"
    folder.mkdir(parents=True)
    origin = origin_of(folder)
    assert (origin.split, origin.objectives) == (None, None)
    assert title_of(model(), origin) == "GeoMeld-FM atto"
    assert why_no_text(model(), origin) == ""
    assert "reads no text" in why_no_text(model(tokenizer=None), origin)


def test_no_test_on_tiles_that_training_may_have_seen(tmp_path) -> None:
    quarter = Split(0.25, "tile")
    with pytest.raises(UsageError, match=r"which tiles its training held out, for it has no run.json.*--held-out"):
        split_of(tmp_path)
    assert split_of(tmp_path, quarter) == quarter
    run_of(tmp_path, replace(mp_mae(), split=quarter))
    assert split_of(tmp_path) == split_of(tmp_path, quarter) == quarter
    with pytest.raises(UsageError, match=r"held out 25 % of tiles of its training, not 10 % of 1-degree cells"):
        split_of(tmp_path, Split())


@pytest.mark.parametrize("text", ["no json", "[]", '{"config": {"epochs": 3}}'])
def test_a_damaged_run_is_not_taken_for_none(tmp_path, text) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"run.json does not say how .* was trained"):
        origin_of(tmp_path)
