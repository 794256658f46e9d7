"""Origin: what a checkpoint is called and whether it may be asked by text follow from what its run learned from."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from geomeld.core.config import to_json
from geomeld.evaluate.origin import Origin, origin_of, title_of, why_no_text
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


@pytest.mark.parametrize("text", [None, "no json", "[]", '{"config": {"epochs": 3}}'])
def test_where_nothing_tells_it_is_taken_for_the_whole_model(tmp_path, text) -> None:
    folder = tmp_path / "runs" / "checkpoint"
    folder.mkdir(parents=True)
    if text is not None:
        (folder / "run.json").write_text(text)
    origin = origin_of(folder)
    assert (origin.split, origin.objectives) == (Split(), None)
    assert title_of(model(), origin) == "GeoMeld-FM atto"
    assert why_no_text(model(), origin) == ""
    assert "reads no text" in why_no_text(model(tokenizer=None), origin)
