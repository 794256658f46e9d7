"""One three-objective training step with and without torch.compile, in turns: `python benchmarks/compiled.py`."""

import argparse
import sys
import time
from dataclasses import replace

import torch

from geomeld.batch import Batch
from geomeld.core.modality import Categorical
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch
from geomeld.pretrain.ranks import Ranks
from geomeld.pretrain.start import compile_parts
from geomeld.pretrain.step import Step
from geomeld.recipes.pretraining import RECIPES


def main() -> None:
    """Print seconds per step, least of the rounds, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="atto")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    torch.manual_seed(0)
    recipe = replace(RECIPES["geomeld_fm"](), size=given.size)
    specs = tuple(LayerSpec.of(MODALITIES[name]) for name in recipe.targets)
    config = ModelConfig(specs[0], specs, size=given.size, patch=recipe.patch, text=recipe.text)
    masked = MaskedBatch.draw(random_batch(specs, given.batch), specs[0].name, recipe.patch, 0, ratio=0.7, seed=0)
    step = Step(recipe.objectives, Ranks(device), bf16=device.type == "cuda")
    learners = {"eager": learner_of(config, device), "compiled": learner_of(config, device)}
    compile_parts(learners["compiled"].model)
    began = time.perf_counter()
    step.gradient(learners["compiled"], masked)
    print(f"first compiled step {time.perf_counter() - began:.0f} s", file=sys.stderr)
    best = dict.fromkeys(learners, float("inf"))
    for _ in range(given.rounds):
        for name, learner in learners.items():
            began = time.perf_counter()
            step.gradient(learner, masked)
            best[name] = min(best[name], time.perf_counter() - began)
    print(f"{given.size}, batch {given.batch}, {given.device}: eager {best['eager']:.3f} s, ", end="")
    print(f"compiled {best['compiled']:.3f} s, ratio {best['eager'] / best['compiled']:.2f}")


def learner_of(config: ModelConfig, device: torch.device) -> Learner:
    """A model with its teacher."""
    return Learner(GeoMeldFM(config), teacher=True).to(device)


def random_batch(specs: tuple[LayerSpec, ...], n: int) -> Batch:
    """Noise on every layer, and captions of sixteen tokens."""
    values = {}
    for spec in specs:
        shape = (n, len(spec.bands), round(1280 / spec.gsd), round(1280 / spec.gsd))
        is_class = isinstance(spec.kind, Categorical)
        values[spec.name] = torch.randint(0, spec.channels, shape) if is_class else torch.randn(shape)
    valid = {name: torch.ones_like(v, dtype=torch.bool) for name, v in values.items()}
    return Batch(list(range(n)), values, valid, [f"caption {i}" for i in range(n)], torch.randint(1, 4096, (n, 16)))


if __name__ == "__main__":
    main()
