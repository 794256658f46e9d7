"""Cross-sensor retrieval: a tile's own radar image by what the decoder makes of its optical one, and back."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from geomeld.batch import LayerType, collate
from geomeld.core.draw import draw_words
from geomeld.core.errors import DatasetError, UsageError
from geomeld.core.modality import Continuous, Modality
from geomeld.dataset import Dataset
from geomeld.evaluate.kept import Arrays, once
from geomeld.evaluate.retrieval import found_in, ranks_in
from geomeld.evaluate.score import Score
from geomeld.loader import read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.models.prediction import predicted

if TYPE_CHECKING:
    from geomeld.evaluate.tiles import Sides

CELL = 8
"""Pixels per side of the squares over which radar is averaged before it is compared: single pixels are speckle."""
GALLERY = 1000
"""Held-out tiles that are told apart, at most, drawn by key."""
VERSION = 1
"""Counted up when similarities change: what another version kept is not used."""
FOLDER = "sensors"
"""Of a cache."""


@torch.no_grad()
def cross_sensor(
    model: GeoMeldFM,
    dataset: Dataset,
    tile_ids: Sequence[int],
    target: Modality,
    batch_size: int = 32,
    skipped: dict[int, str] | None = None,
    progress: bool = True,
) -> tuple[NDArray[np.float64], int]:
    """(similarity (n, n), n): how well the map of `target` that the decoder predicts from the input of one tile fits
    the one measured at another, the negative mean square of the difference of z-scores averaged over cells.

    Row: predicted, from the optical image; column: measured. Tiles that lack one of the two are left out; those of
    which one cannot be read go to `skipped` with the reason, or are raised as CorruptFile where there is no such dict.
    Progress is shown on stderr. Raises UsageError where the model has no decoder of the target.
    """
    specs = {t.name: t for t in model.config.targets}
    if target.name not in specs:
        raise UsageError(f"The model has no decoder of {target.title}; its targets are {', '.join(specs)}.")
    spec, source = specs[target.name], model.config.input
    guessed, measured, weights = [], [], []
    have = [t for t in tile_ids if {source.name, spec.name} <= set(dataset.layers_of(t))]
    starts = range(0, len(have), batch_size)
    for start in tqdm(starts, target.title, unit="batch", dynamic_ncols=True, disable=not (progress and have)):
        tiles = read_tiles(dataset, have[start : start + batch_size], [source, spec], skipped)
        if not tiles:
            continue
        batch = collate(tiles, [source, spec], {source.name: source, spec.name: spec})
        images = batch.values[source.name].to(model.log_scale.device)
        maps = predicted(model, images)[spec.name].float().cpu()
        values, valid = batch.values[spec.name], batch.valid[spec.name].float()
        share = _averaged(valid)
        guessed.append(_averaged(maps).flatten(1).double().numpy())
        measured.append((_averaged(values * valid) / share.clamp(min=1e-6)).flatten(1).double().numpy())
        weights.append(share.flatten(1).double().numpy())
    if not guessed:
        raise DatasetError(f"None of {len(tile_ids)} tiles of {dataset.path} has both layers.")
    return _fit(*(np.concatenate(part) for part in (guessed, measured, weights)))


def _averaged(maps: Tensor) -> Tensor:
    return torch.nn.functional.avg_pool2d(maps, CELL)


def _fit(guessed: NDArray, measured: NDArray, weights: NDArray) -> tuple[NDArray[np.float64], int]:
    """Minus the weighted mean of (guessed_i - measured_j)^2 with the weights of j, written as products."""
    kept = weights.sum(axis=1) > 0
    p, t, w = guessed[kept], measured[kept], weights[kept]
    squares = p**2 @ w.T - 2 * p @ (w * t).T + (w * t**2).sum(axis=1)
    return -squares / w.sum(axis=1), int(kept.sum())


def cross_sensor_scores(tiles: "Sides", cache: Path | None = None, seed: int = 0) -> list[Score]:
    """Retrieval of a tile's own radar by what the decoder predicts from its optical image, among held-out tiles, and of
    the optical image by the radar; beside the value of a random order. What is kept in `cache` is not computed again.
    """
    targets = [MODALITIES[t.name] for t in tiles.model.config.targets if t.name in MODALITIES]
    found = []
    for target in (t for t in targets if t.linear_power and isinstance(t.kind, Continuous)):
        drawn = sorted(tiles.new.tile_ids, key=lambda t: draw_words(seed, "gallery", t))[:GALLERY]
        try:
            similarity = _similarity(tiles, drawn, target, cache)
        except DatasetError:  # tiles without this sensor
            continue
        own = np.eye(n := len(similarity), dtype=bool)
        for way, matrix in (("optical to radar", similarity), ("radar to optical", similarity.T)):
            found += found_in(ranks_in(matrix, own), f"{way}, {target.title}", f"retrieval among {n:,}", seed)
    return [
        replace(
            tiles.score(f.task, f.protocol, f.metric, f.value, f.n, ("chance", f.chance)), low=f.low, high=f.high
        )
        for f in found
    ]  # fmt: skip


def _similarity(tiles: "Sides", drawn: Sequence[int], target: Modality, cache: Path | None) -> NDArray[np.float64]:
    """That of `cross_sensor`, kept in `cache`. Tiles that were left out are looked at again, for they may have been
    mended."""

    def made() -> Arrays:
        lost: dict[int, str] = {}
        try:
            similarity, _ = cross_sensor(tiles.model, tiles.dataset, drawn, target, skipped=lost)
        finally:
            tiles.skipped.update(lost)
        return {"similarity": similarity, "lost": np.array(list(lost), np.int64)}

    layers: list[LayerType] = [tiles.model.config.input, target]
    folder = None if cache is None else cache / FOLDER
    said = [VERSION, tiles.checkpoint, tiles.data, *(layer.name for layer in layers), drawn]
    held = once(folder, target.name, json.dumps(said), made)
    mended = [t for t in held["lost"].tolist() if read_tiles(tiles.dataset, [t], layers, tiles.skipped)]
    return (once(folder, target.name, json.dumps([*said, mended]), made) if mended else held)["similarity"]
