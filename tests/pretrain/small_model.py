"""A small model, random batches for it, and a small run, for the tests of pretraining."""

from dataclasses import replace

import torch

from geomeld.batch import Batch
from geomeld.core.modality import Categorical, Continuous
from geomeld.loader import Augment, Split
from geomeld.modalities import MODALITIES, TARGETS
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig, train_tokenizer
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch
from geomeld.pretrain.optim import OptimConfig

CAPTIONS = ["a lake and a forest", "crop fields by a road", "mountains under snow", "a town on a river"]

TILE_METRES = 640

RUN = PretrainConfig(
    size="atto", targets=("sentinel2", "aster", "esa_worldcover"), epochs=3, batch_size=3,
    decoder_width=16, predictor_width=16, predictor_depth=1,
    text=TextConfig(vocab_size=300, width=32, depth=2, heads=2, max_length=24),
    split=Split(held_out=0.25, by="tile"), augment=Augment(crop=32), workers=0, save_every=1, best_of=0,
    optim=OptimConfig(lr=1e-3),
)  # fmt: skip
"""Of few steps that take no time."""


SPECK = ((1, 1, 1, 1), (8, 16, 16, 16))
"""Blocks and channels of an encoder that trains and is written in no time, to stand in for "atto"."""


def model_of(modalities=tuple(MODALITIES[name] for name in TARGETS), seed=0):
    torch.manual_seed(seed)
    tokenizer = train_tokenizer(CAPTIONS, 280)
    config = ModelConfig(
        input=LayerSpec.of(MODALITIES["sentinel2"]),
        targets=tuple(LayerSpec.of(m) for m in modalities),
        image_size=64,
        decoder_width=16,
        predictor_width=32,
        predictor_depth=1,
        text=TextConfig(vocab_size=tokenizer.vocab_size, width=32, depth=1, heads=2),
    )
    return GeoMeldFM(config, tokenizer)


def learner_of(modalities=tuple(MODALITIES[name] for name in TARGETS), uncertain=(), seed=0):
    return Learner(model_of(modalities, seed), teacher=True, uncertain=uncertain)


def batch_of(model, n=3, seed=0, invalid=()):
    """Random layers with a fifth of the pixels invalid, all of those named in `invalid`."""
    generator = torch.Generator().manual_seed(seed)
    values, valid = {}, {}
    for spec in {s.name: s for s in (model.config.input, *model.config.targets)}.values():
        side = round(TILE_METRES / spec.gsd)
        shape = (n, len(spec.bands), side, side)
        ok = torch.rand(shape, generator=generator) > 0.2
        if spec.name in invalid:
            ok = torch.zeros_like(ok)
        match spec.kind:
            case Categorical(classes):
                layer = torch.randint(0, len(classes), shape, generator=generator)
            case Continuous():
                layer = torch.randn(shape, generator=generator)
        values[spec.name], valid[spec.name] = layer.masked_fill(~ok, 0), ok
    captions = [CAPTIONS[i % len(CAPTIONS)] for i in range(n)]
    return Batch(list(range(n)), values, valid, captions, model.tokenize(captions))


def masked(batch, step=0):
    return MaskedBatch.draw(batch, "sentinel2", 16, 0, ratio=0.7, seed=0, step=step)


def changed(batch, **fields):
    """The batch with other fields."""
    return replace(batch, **fields)


def gradients(learner):
    return {n: p.grad.clone() for n, p in learner.named_parameters() if p.grad is not None}
