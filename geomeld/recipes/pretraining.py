"""Pretraining recipes: the paper's model, the rows of its ablation, and the demo."""

from collections.abc import Callable

from geomeld.loader import Split
from geomeld.models.text import TextConfig
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.objectives import ObjectiveWeights
from geomeld.pretrain.optim import OptimConfig


def demo() -> PretrainConfig:
    """A small model that learns something in two minutes on two cores.

    Command: `geomeld pretrain demo --data DATASET --out CHECKPOINT`.
    Six text layers as in the paper, all widths reduced; one tile in five held out, tile by tile (a small dataset has
    few neighbours).
    """
    return PretrainConfig(
        size="atto",
        epochs=12,
        batch_size=16,
        optim=OptimConfig(lr=5e-4, warmup=0.1, clip=1.0),
        decoder_width=96,
        predictor_width=96,
        predictor_depth=2,
        text=TextConfig(vocab_size=768, width=128, depth=6, heads=4, max_length=64),
        split=Split(held_out=0.2, by="tile"),
        save_every=20,
        workers=1,
    )


def geomeld_fm() -> PretrainConfig:
    """The paper's GeoMeld-FM (section 5.1): 150 epochs, batch 4096, AdamW 1e-4, cosine, all three objectives.

    Command: `geomeld pretrain geomeld_fm --data DATASET --out CHECKPOINT`. Its cost is computed in docs/results.md.
    """
    return PretrainConfig()


def mp_mae() -> PretrainConfig:
    """Table 3, second row: multi-pretext reconstruction alone."""
    return PretrainConfig(weights=ObjectiveWeights(alpha=0.0, beta=0.0))


def mp_mae_jepa() -> PretrainConfig:
    """Table 3, third row: reconstruction and JEPA."""
    return PretrainConfig(weights=ObjectiveWeights(beta=0.0))


def mp_mae_itc() -> PretrainConfig:
    """Table 3, fourth row: reconstruction and caption contrast."""
    return PretrainConfig(weights=ObjectiveWeights(alpha=0.0))


def s2_mae() -> PretrainConfig:
    """Table 3, first row: Sentinel-2 reconstruction alone."""
    return PretrainConfig(targets=("sentinel2",), weights=ObjectiveWeights(alpha=0.0, beta=0.0))


RECIPES: dict[str, Callable[[], PretrainConfig]] = {
    r.__name__: r for r in (demo, geomeld_fm, mp_mae, mp_mae_itc, mp_mae_jepa, s2_mae)
}
"""By the name that the command line takes."""
