"""Pretraining recipes: the paper's model, the rows of its ablation, its baseline MMEarth, sizes, and the demo."""

from collections.abc import Callable
from dataclasses import replace

from geomeld.loader import Augment, Split
from geomeld.models.text import TextConfig
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.objectives import Contrast, Jepa, Reconstruction
from geomeld.pretrain.optim import OptimConfig


def demo() -> PretrainConfig:
    """A small model that learns something in minutes on two cores.

    Six text layers as in the paper, all widths reduced; one tile in five held out, tile by tile (a small dataset has
    few neighbours).

    Command: `geomeld pretrain demo DATASET`.
    Cost: 7.5 M parameters, 2.7 GFLOP per sample; 192 tiles and 12 epochs take some two minutes on two cores.
    Result: measured, in docs/results.md, section "The demo".
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
    """GeoMeld-FM with all three objectives (paper section 4, table 3's last row), with the paper's settings.

    Command: `geomeld pretrain geomeld_fm DATASET`.
    Cost: that of `paper`, which it equals.
    Result: not run.
    """
    return PretrainConfig()


def paper() -> PretrainConfig:
    """The paper's run to the letter (section 5.1): 150 epochs, batch 4096, AdamW at 1e-4, cosine.

    The paper does not say whether 1e-4 is the rate itself or a base rate for 256 samples, which would make it 1.6e-3;
    it is taken as the rate itself, and `--optim.lr-per 256` takes it the other way. Nor does it name the encoder's size
    (`tiny` here), the patch (16), or the betas, warm-up and clipping (MMEarth's).

    Command: `torchrun --nproc-per-node GPUS -m geomeld pretrain paper DATASET --accumulate 16`.
    Cost: computed; 2.5 million tiles make 91,500 steps and 375 million samples. See docs/results.md.
    Result: not run.
    """
    return PretrainConfig(epochs=150, batch_size=4096, mask_ratio=0.7, optim=OptimConfig(lr=1e-4, weight_decay=0.05))


def s2_mae() -> PretrainConfig:
    """Table 3, first row (S2-MAE): Sentinel-2 reconstruction alone.

    Command: `geomeld pretrain s2_mae DATASET`.
    Cost: less than `geomeld_fm` by the teacher, the text encoder and five decoders; `--dry-run` counts it.
    Result: not run.
    """
    return PretrainConfig(targets=("sentinel2",), objectives=(Reconstruction(),))


def mp_mae() -> PretrainConfig:
    """Table 3, second row (+MP): reconstruction of six modalities.

    Command: `geomeld pretrain mp_mae DATASET`.
    Cost: less than `geomeld_fm` by the teacher and the text encoder; `--dry-run` counts it.
    Result: not run at full size; measured in small beside per-pixel regression in docs/results.md.
    """
    return PretrainConfig(objectives=(Reconstruction(),))


def mp_mae_jepa() -> PretrainConfig:
    """Table 3, third row (+MP+JEPA): reconstruction of six modalities and latent prediction.

    Command: `geomeld pretrain mp_mae_jepa DATASET`.
    Cost: less than `geomeld_fm` by the text encoder; `--dry-run` counts it.
    Result: not run.
    """
    return PretrainConfig(objectives=(Reconstruction(), Jepa()))


def mp_mae_itc() -> PretrainConfig:
    """Table 3, fourth row (+MP+ITC): reconstruction of six modalities and caption contrast.

    Command: `geomeld pretrain mp_mae_itc DATASET`.
    Cost: less than `geomeld_fm` by the teacher and the predictor; `--dry-run` counts it.
    Result: not run.
    """
    return PretrainConfig(objectives=(Reconstruction(), Contrast()))


def mmearth() -> PretrainConfig:
    """MMEarth's protocol on GeoMeld's targets: squared errors, 60 % hidden, learned weights of the terms.

    Sentinel-2 in units of its patches, atto, crops of 112 pixels, 200 epochs (40 of warm-up), 1.5e-4 per 256 samples.
    Its encoder's stem, its single decoder shared by all targets, its image-level targets (climate, place, date) and its
    faults with missing data are not copied: this is its recipe, not its model.

    Command: `geomeld pretrain mmearth DATASET`.
    Cost: `--dry-run` counts it.
    Result: not run.
    """
    return PretrainConfig(
        size="atto",
        mask_ratio=0.6,
        objectives=(Reconstruction(error="mse", normalise=("sentinel2",), uncertainty=True),),
        epochs=200,
        batch_size=4096,
        decoder_width=512,
        optim=OptimConfig(lr=1.5e-4, lr_per=256, weight_decay=0.05, warmup=0.2),
        augment=Augment(crop=112),
        split=Split(held_out=0.0),
    )


def atto() -> PretrainConfig:
    """GeoMeld-FM with the smallest encoder (3.4 M parameters), for a laptop or a first look at a dataset.

    Command: `geomeld pretrain atto DATASET --batch-size 64 --epochs 10`.
    Cost: `--dry-run` counts it.
    Result: not run.
    """
    return replace(geomeld_fm(), size="atto")


def nano() -> PretrainConfig:
    """GeoMeld-FM with a small encoder (15 M parameters), for one modest GPU.

    Command: `geomeld pretrain nano DATASET --accumulate 8`.
    Cost: `--dry-run` counts it.
    Result: not run.
    """
    return replace(geomeld_fm(), size="nano")


def base() -> PretrainConfig:
    """GeoMeld-FM with a large encoder (88 M parameters).

    Command: `torchrun --nproc-per-node GPUS -m geomeld pretrain base DATASET --accumulate 32`.
    Cost: `--dry-run` counts it.
    Result: not run.
    """
    return replace(geomeld_fm(), size="base")


def large() -> PretrainConfig:
    """GeoMeld-FM with a very large encoder (197 M parameters; `--size huge` takes 660 M).

    Command: `torchrun --nproc-per-node GPUS -m geomeld pretrain large DATASET --accumulate 64`.
    Cost: `--dry-run` counts it.
    Result: not run.
    """
    return replace(geomeld_fm(), size="large")


RECIPES: dict[str, Callable[[], PretrainConfig]] = {
    r.__name__: r
    for r in (
        *(demo, geomeld_fm, paper, s2_mae, mp_mae, mp_mae_jepa, mp_mae_itc, mmearth),
        *(atto, nano, base, large),
    )
}
"""By the name that the command line takes."""
