"""Start: everything that a run begins with, from its configuration and a dataset."""

from dataclasses import dataclass

import torch

from geomeld.core.errors import DatasetError
from geomeld.core.modality import Timing
from geomeld.dataset import BandStatistics, Dataset
from geomeld.loader import Loader
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import train_tokenizer
from geomeld.models.timm_weights import initialise_encoder
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.ranks import Ranks


@dataclass(frozen=True)
class Tiles:
    """What a run learns from."""

    train: list[int]
    held_out: list[int]
    captions: list[str]
    """Of the training tiles that have one."""


def find_tiles(config: PretrainConfig, dataset: Dataset) -> Tiles:
    """The tiles of a run. Raises DatasetError where there are none, or no captions though they are contrasted."""
    reference = input_name()
    usable = {t for t in dataset.tile_ids if reference in dataset.layers_of(t)}
    train, held_out = (([t for t in side if t in usable]) for side in config.split.apply(dataset))
    if not train:
        raise DatasetError(
            f"{dataset.path} has no tile to train on: {len(dataset)} tiles, {len(usable)} with {reference}, "
            f"{len(held_out)} of them held out by {config.split.by} (--split.by, --split.held-out)."
        )
    captions = [c for t in train if (c := dataset.metadata(t).get("caption"))]
    if not captions and config.contrast is not None:
        raise DatasetError(
            f"No training tile of {dataset.path} has a caption, and the recipe contrasts images with captions: "
            f"run `geomeld caption {dataset.path}` first (packed or remote: caption the original on this machine), "
            "or set --objectives.contrast.weight 0."
        )
    return Tiles(train, held_out, captions)


def make_learner(config: PretrainConfig, dataset: Dataset, captions: list[str], device: torch.device) -> Learner:
    """The untrained model with what its objectives need, the same on every machine."""
    tokenizer = train_tokenizer(captions, config.text.vocab_size) if captions else None
    with torch.random.fork_rng(devices=[]):  # weights come from torch's generator, which is left as it was
        torch.manual_seed(config.seed)
        model = GeoMeldFM(model_config(config, dataset), tokenizer)
    if config.init is not None:
        initialise_encoder(model.encoder, config.init, _rgb())
    uncertain = config.targets if config.reconstruction and config.reconstruction.uncertainty else ()
    learner = Learner(model, teacher=config.jepa is not None, uncertain=uncertain).to(device)
    if config.compile:
        compile_parts(model)
    return learner


def compile_parts(model: GeoMeldFM) -> None:
    """torch.compile of each part in place, at its first use; names of weights stay as they are."""
    for part in (model.encoder, *model.decoders.values(), model.predictor, model.text):
        part.compile()


def model_config(config: PretrainConfig, dataset: Dataset) -> ModelConfig:
    """The model's own configuration, with the dataset's statistics."""
    statistics = dataset.statistics()

    def spec(name: str) -> LayerSpec:
        known = statistics.get(name)
        return LayerSpec.of(
            MODALITIES[name], *((known.mean, known.std) if isinstance(known, BandStatistics) else ((), ()))
        )

    return ModelConfig(
        input=spec(input_name()),
        targets=tuple(spec(t) for t in config.targets),
        size=config.size,
        patch=config.patch,
        image_size=config.augment.crop or MODALITIES[input_name()].shape()[1],
        decoder_width=config.decoder_width,
        decoder_depth=config.decoder_depth,
        predictor_width=config.predictor_width,
        predictor_depth=config.predictor_depth,
        text=config.text,
        temperature=config.contrast.temperature if config.contrast else 0.07,
    )


def make_loader(config: PretrainConfig, dataset: Dataset, model: GeoMeldFM, train: list[int], ranks: Ranks) -> Loader:
    """This rank's batches."""
    specs = {s.name: s for s in (model.config.input, *model.config.targets)}
    tokenizer, length = model.tokenizer, model.config.text.max_length
    return Loader(
        dataset,
        train,
        list(specs.values()),
        specs,
        min(config.batch_size, len(train)),
        None if tokenizer is None else (lambda texts: tokenizer.encode(texts, length)),
        config.seed,
        config.augment,
        config.workers,
        rank=ranks.rank,
        ranks=ranks.size,
        strict=config.strict,
        pin=ranks.device.type == "cuda",
    )


def _rgb() -> list[int]:
    """Places of red, green and blue among the encoder's bands."""
    seen = MODALITIES[input_name()]
    return [seen.bands.index(band) for band in seen.composite]


def input_name() -> str:
    """The layer that the encoder sees."""
    return next(n for n, m in MODALITIES.items() if m.timing is Timing.REFERENCE)
