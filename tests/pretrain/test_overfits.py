"""A small model learns 256 squares of the simulated Earth by heart, in every term."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest
import torch

from geomeld.batch import Batch, View, collate
from geomeld.core.grid import Grid
from geomeld.core.modality import Categorical
from geomeld.core.tile import Anchor, Tile
from geomeld.modalities import MODALITIES, TARGETS
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig, train_tokenizer
from geomeld.pretrain.ema import update_teacher
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch
from geomeld.pretrain.optim import OptimConfig, learning_rate, make_optimizer, set_rate
from geomeld.pretrain.step import Step
from geomeld.sources.simulated import SimulatedSource

SIDE = 32
"""Pixels of a square; a tile of 128 makes sixteen."""

TILES = 16
BATCH = 32
EPOCHS = 20

LEFT = {
    "mpmae/sentinel2": 0.4,
    "mpmae/sentinel1": 0.9,
    "mpmae/aster": 0.6,
    "mpmae/canopy_height": 0.8,
    "mpmae/dynamic_world": 0.2,
    "mpmae/esa_worldcover": 0.2,
    "jepa": 0.3,
    "itc": 0.8,
}
"""Share of each term that may be left. Radar speckle and single trees are what a short run cannot learn by heart."""


def simulated_tile(source: SimulatedSource, number: int) -> Tile:
    lon, lat = -110.0 + 13.7 * number % 220, -35.0 + 6.1 * number % 85
    grid, date = Grid.centred_on(lon, lat), dt.datetime(2020, 6, 15, tzinfo=dt.UTC)
    window = (date - dt.timedelta(days=40), date + dt.timedelta(days=40))
    layers = {}
    for name in TARGETS:
        scenes = sorted(source.scenes(MODALITIES[name], grid, *window), key=lambda s: s.cloud_cover or 0)
        layers[name] = source.read(MODALITIES[name], scenes[:1], grid)
    present = {name: layer for name, layer in layers.items() if layer is not None}
    return Tile(Anchor(number, lon, lat, date.date()), grid, present, {})


def caption_of(tile: Tile, view: View) -> str:
    """What is true of one square, and of no other: the mean of two bands and the height."""
    numbers = []
    for name, band in (("sentinel2", 2), ("sentinel2", 7), ("aster", 0)):
        seen = view.apply(tile.layers[name].values, MODALITIES[name].gsd)[band]
        numbers.append(f"{float(seen.mean()):.0f}")
    return "blue {}, infrared {}, height {} m".format(*numbers)


def squares() -> tuple[Batch, tuple[LayerSpec, ...], object]:
    source = SimulatedSource(7)
    tiles = [simulated_tile(source, number) for number in range(TILES)]
    specs = []
    for name in TARGETS:
        values = [t.layers[name].values for t in tiles if name in t.layers]
        valid = [t.layers[name].valid for t in tiles if name in t.layers]
        if isinstance(MODALITIES[name].kind, Categorical):
            specs.append(LayerSpec.of(MODALITIES[name]))
            continue
        known = np.where(np.concatenate(valid, axis=1), np.concatenate(values, axis=1), np.nan).reshape(
            len(values[0]), -1
        )
        seen = np.isfinite(known).any(axis=1)
        mean, std = np.zeros(len(known)), np.ones(len(known))
        mean[seen], std[seen] = np.nanmean(known[seen], axis=1), np.nanstd(known[seen], axis=1)
        specs.append(LayerSpec.of(MODALITIES[name], mean, std))
    metres = SIDE * 10.0
    pieces = [
        (replace(tile, anchor=replace(tile.anchor, tile_id=16 * i + j)), View(j % 4 * metres, j // 4 * metres, metres))
        for i, tile in enumerate(tiles)
        for j in range(16)
    ]
    pieces = [pieces[i] for i in np.random.default_rng(0).permutation(len(pieces))]
    captions = [caption_of(tile, view) for tile, view in pieces]
    tokenizer = train_tokenizer(captions, 400)
    named = {s.name: s for s in specs}
    batch = collate(
        [t for t, _ in pieces], specs, named, lambda _: tokenizer.encode(captions, 32), [v for _, v in pieces]
    )
    return replace(batch, captions=captions), tuple(specs), tokenizer


@pytest.mark.slow
def test_every_term_is_learned_by_heart() -> None:
    batch, specs, tokenizer = squares()
    assert len(batch) == 256
    torch.manual_seed(0)
    config = ModelConfig(
        input=specs[0],
        targets=specs,
        patch=16,
        image_size=SIDE,
        decoder_width=96,
        predictor_width=96,
        predictor_depth=2,
        text=TextConfig(vocab_size=tokenizer.vocab_size, width=96, depth=2, heads=4, max_length=32),
    )
    learner = Learner(GeoMeldFM(config, tokenizer), teacher=True)
    optim = OptimConfig(lr=5e-4, weight_decay=0.0, warmup=0.1, clip=1.0)
    optimizer, steps = make_optimizer(learner, optim), EPOCHS * (len(batch) // BATCH)
    whole = MaskedBatch.draw(batch, "sentinel2", 16, 0, ratio=0.7, seed=0)
    first, step = Step(part_size=BATCH).losses(learner, whole), Step()
    for number in range(steps):
        set_rate(optimizer, learning_rate(optim, number, steps))
        order = torch.randperm(8, generator=torch.Generator().manual_seed(number // 8))
        at = int(order[number % 8]) * BATCH
        optimizer.zero_grad()
        step.gradient(learner, whole.part(at, at + BATCH))
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
        update_teacher(learner.teacher, learner.model.encoder, 0.996)
    last = Step(part_size=BATCH).losses(learner, whole)
    left = {term: last[term] / first[term] for term in LEFT}
    assert {term: share for term, share in left.items() if share > LEFT[term]} == {}, left
    assert last["jepa/rank"] > 1.5, "the teacher has collapsed"
