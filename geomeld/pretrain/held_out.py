"""What a model makes of held-out tiles: its losses on them, and reconstructions to look at."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from geomeld.batch import collate
from geomeld.core.modality import Categorical
from geomeld.dataset import Dataset
from geomeld.loader import read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.spec import LayerSpec
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch, hidden_pixels
from geomeld.pretrain.objectives.reconstruction import from_patch_units
from geomeld.pretrain.ranks import Ranks
from geomeld.pretrain.step import Step


@torch.no_grad()
def losses_on(
    learner: Learner,
    dataset: Dataset,
    tile_ids: Sequence[int],
    config: PretrainConfig,
    step: Step | None = None,
    batch_size: int = 32,
) -> dict[str, float]:
    """ "loss" and every term as means over whole tiles, masked as in epoch 0; empty where no tile can be read.

    Batches are shared out over the ranks of `step`, and all ranks have the result. The contrast depends on how many
    captions it tells apart (`batch_size`), so compare it between runs, not with training's.
    """
    step = step or Step(config.objectives, Ranks(learner.device))
    alone = replace(step, ranks=Ranks(step.ranks.device))
    mine: list[tuple[int, dict[str, float]]] = []
    for start in range(step.ranks.rank * batch_size, len(tile_ids), step.ranks.size * batch_size):
        masked = _whole(learner, dataset, tile_ids[start : start + batch_size], config)
        if masked is not None:
            mine.append((len(masked), alone.losses(learner, masked)))
    rows = [row for rank in step.ranks.collect(mine) for row in rank]
    tiles = sum(n for n, _ in rows)
    return {name: sum(n * row[name] for n, row in rows) / tiles for name in (rows[0][1] if rows else {})}


@torch.no_grad()
def reconstructions(
    learner: Learner, dataset: Dataset, tile_ids: Sequence[int], config: PretrainConfig
) -> dict[str, np.ndarray]:
    """What the model makes of hidden patches: per target "<name>/target", "<name>/predicted" and "<name>/valid" in the
    modality's own unit or class codes (B, bands, H, W); "hidden" (B, H, W) marks the pixels that it did not see.

    A target that is predicted in units of each patch is shown with the patch's own mean and spread. Empty where no
    tile can be read.
    """
    masked = _whole(learner, dataset, tile_ids, config)
    if masked is None:
        return {}
    model, batch = learner.model, masked.batch
    predicted = model.decode(learner.tokens(masked), masked.visible, masked.grid)
    in_patch_units = config.reconstruction.normalise if config.reconstruction else ()
    out: dict[str, np.ndarray] = {"tile_ids": np.array(batch.tile_ids)}
    for spec in model.config.targets:
        target, valid, guess = batch.values[spec.name], batch.valid[spec.name], predicted[spec.name].float()
        if isinstance(spec.kind, Categorical):
            guess = guess.argmax(dim=1, keepdim=True)
        elif spec.name in in_patch_units:
            guess = from_patch_units(guess, target, valid, target.shape[-1] // masked.grid[1])
        out[f"{spec.name}/target"] = _in_unit(spec, target)
        out[f"{spec.name}/valid"] = valid.cpu().numpy()
        out[f"{spec.name}/predicted"] = _in_unit(spec, guess)
    out["hidden"] = hidden_pixels(masked.visible, masked.grid, model.config.patch)[:, 0].cpu().numpy()
    return out


def _whole(learner: Learner, dataset: Dataset, tile_ids: Sequence[int], config: PretrainConfig) -> MaskedBatch | None:
    model = learner.model
    specs = {s.name: s for s in (model.config.input, *model.config.targets)}
    tiles = read_tiles(dataset, tile_ids, [MODALITIES[n] for n in specs], {})
    if not tiles:
        return None
    batch = collate(tiles, list(specs.values()), specs, None if model.tokenizer is None else model.tokenize)
    name, patch = model.config.input.name, model.config.patch
    return MaskedBatch.draw(batch, name, patch, 0, ratio=config.mask_ratio, seed=config.seed).to(learner.device)


def _in_unit(spec: LayerSpec, values: Tensor) -> np.ndarray:
    if isinstance(spec.kind, Categorical):
        return np.array(spec.kind.codes)[values.cpu().numpy()]
    mean, std = (np.array(v, np.float32)[None, :, None, None] for v in (spec.mean, spec.std))
    return values.cpu().numpy() * std + mean
