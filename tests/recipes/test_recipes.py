"""Recipes: what the paper and MMEarth say, and that each docstring tells command, cost and result."""

import pytest

from geomeld.core.config import from_json, to_json
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.objectives import Contrast, Jepa, Reconstruction
from geomeld.pretrain.optim import OptimConfig, learning_rate
from geomeld.recipes.pretraining import RECIPES

SIX = {"sentinel2", "sentinel1", "aster", "canopy_height", "dynamic_world", "esa_worldcover"}


@pytest.mark.parametrize("name", RECIPES)
def test_a_docstring_tells_command_cost_and_result(name: str) -> None:
    lines = [line.strip() for line in (RECIPES[name].__doc__ or "").splitlines()]
    assert lines[0].endswith(".")
    (command,) = (line for line in lines if line.startswith("Command: "))
    assert f"geomeld pretrain {name} DATASET" in command
    assert any(line.startswith("Cost: ") for line in lines)
    (result,) = (line for line in lines if line.startswith("Result: "))
    assert "not run" in result or "measured" in result or "computed" in result


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_survives_being_stored(name: str) -> None:
    recipe = RECIPES[name]()
    assert from_json(PretrainConfig, to_json(recipe)) == recipe


@pytest.mark.parametrize(
    ("name", "kinds", "targets"),
    [
        ("s2_mae", {Reconstruction}, {"sentinel2"}),
        ("mp_mae", {Reconstruction}, SIX),
        ("mp_mae_jepa", {Reconstruction, Jepa}, SIX),
        ("mp_mae_itc", {Reconstruction, Contrast}, SIX),
        ("geomeld_fm", {Reconstruction, Jepa, Contrast}, SIX),
        ("paper", {Reconstruction, Jepa, Contrast}, SIX),
    ],
)
def test_rows_of_table_3_differ_in_objectives_and_targets_alone(name: str, kinds: set, targets: set) -> None:
    recipe, paper = RECIPES[name](), RECIPES["paper"]()
    assert {type(o) for o in recipe.objectives} == kinds
    assert set(recipe.targets) == targets
    differ = {f for f, v in vars(recipe).items() if v != vars(paper)[f]}
    assert differ <= {"objectives", "targets"}


def test_the_paper_and_both_readings_of_its_rate() -> None:
    paper = RECIPES["paper"]()
    assert (paper.epochs, paper.batch_size, paper.mask_ratio) == (150, 4096, 0.7)
    assert {o.name: o.weight for o in paper.objectives} == {"mpmae": 1.0, "jepa": 0.5, "itc": 0.4}
    assert (paper.optim.lr, paper.optim.lr_per, paper.optim.weight_decay) == (1e-4, None, 0.05)
    assert paper.optim.for_batch(4096).lr == 1e-4
    base = OptimConfig(lr=1e-4, final_lr=1e-6, lr_per=256).for_batch(4096)
    assert (base.lr, base.final_lr, base.lr_per) == (pytest.approx(1.6e-3), pytest.approx(1.6e-5), None)


def test_mmearth_follows_its_published_protocol() -> None:
    recipe = RECIPES["mmearth"]()
    (reconstruction,) = recipe.objectives
    assert isinstance(reconstruction, Reconstruction)
    assert (reconstruction.error, reconstruction.normalise, reconstruction.uncertainty) == ("mse", ("sentinel2",), True)
    assert (recipe.size, recipe.mask_ratio, recipe.augment.crop, recipe.epochs) == ("atto", 0.6, 112, 200)
    optim = recipe.optim.for_batch(recipe.batch_size)
    assert max(learning_rate(optim, s, 1000) for s in range(1000)) == pytest.approx(2.4e-3)
    assert learning_rate(optim, 199, 1000) == pytest.approx(2.4e-3)  # 40 of 200 epochs warm up
