"""What a model makes of held-out tiles: its losses on them, and reconstructions to look at."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from geomeld.batch import Batch, collate
from geomeld.core.modality import Categorical
from geomeld.dataset import Dataset
from geomeld.loader import read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.encoder import ConvNeXtV2
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.models.spec import LayerSpec
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.masking import visible_patches
from geomeld.pretrain.objectives import objectives


@torch.no_grad()
def losses_on(
    model: GeoMeldFM,
    teacher: ConvNeXtV2,
    dataset: Dataset,
    tile_ids: Sequence[int],
    config: PretrainConfig,
    batch_size: int = 32,
) -> dict[str, float]:
    """ "loss" and every term as means over whole tiles, masked as in epoch 0; empty where no tile can be read.

    The contrast depends on how many captions it tells apart, so compare it between runs, not with training's.
    """
    sums: dict[str, float] = {}
    count = 0
    for start in range(0, len(tile_ids), batch_size):
        batch = _whole(model, dataset, tile_ids[start : start + batch_size])
        if batch is None:
            continue
        total, terms = objectives(model, teacher, batch, _visible(model, batch, config), config.weights)
        for name, value in {"loss": total, **terms}.items():
            sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
        count += len(batch)
    return {name: value / count for name, value in sums.items()}


@torch.no_grad()
def reconstructions(
    model: GeoMeldFM, dataset: Dataset, tile_ids: Sequence[int], config: PretrainConfig
) -> dict[str, np.ndarray]:
    """What the model makes of hidden patches: per target "<name>/target", "<name>/predicted" and "<name>/valid" in the
    modality's own unit or class codes (B, bands, H, W); "hidden" (B, H, W) marks the pixels that it did not see.

    Empty where no tile can be read.
    """
    batch = _whole(model, dataset, tile_ids)
    if batch is None:
        return {}
    image = batch.values[model.config.input.name]
    grid, visible = model.encoder.grid(image), _visible(model, batch, config)
    predicted = model.decode(model.encoder(image, visible), visible, grid)
    out: dict[str, np.ndarray] = {"tile_ids": np.array(batch.tile_ids)}
    for spec in model.config.targets:
        out[f"{spec.name}/target"] = _in_unit(spec, batch.values[spec.name])
        out[f"{spec.name}/valid"] = batch.valid[spec.name].cpu().numpy()
        guess = predicted[spec.name].float()
        if isinstance(spec.kind, Categorical):
            guess = guess.argmax(dim=1, keepdim=True)
        out[f"{spec.name}/predicted"] = _in_unit(spec, guess)
    seen = torch.zeros(len(batch), grid[0] * grid[1], dtype=torch.bool).scatter_(1, visible.cpu(), True)
    side = model.config.patch
    out["hidden"] = ~seen.view(-1, *grid).repeat_interleave(side, 1).repeat_interleave(side, 2).numpy()
    return out


def _whole(model: GeoMeldFM, dataset: Dataset, tile_ids: Sequence[int]) -> Batch | None:
    specs = {s.name: s for s in (model.config.input, *model.config.targets)}
    tiles = read_tiles(dataset, tile_ids, [MODALITIES[n] for n in specs], {})
    tokenize = None if model.tokenizer is None else model.tokenize
    return collate(tiles, list(specs.values()), specs, tokenize).to(model.log_scale.device) if tiles else None


def _visible(model: GeoMeldFM, batch: Batch, config: PretrainConfig) -> Tensor:
    rows, columns = model.encoder.grid(batch.values[model.config.input.name])
    visible = visible_patches(batch.tile_ids, 0, patches=rows * columns, ratio=config.mask_ratio, seed=config.seed)
    return visible.to(model.log_scale.device)


def _in_unit(spec: LayerSpec, values: Tensor) -> np.ndarray:
    if isinstance(spec.kind, Categorical):
        return np.array(spec.kind.codes)[values.cpu().numpy()]
    mean, std = (np.array(v, np.float32)[None, :, None, None] for v in (spec.mean, spec.std))
    return values.cpu().numpy() * std + mean
