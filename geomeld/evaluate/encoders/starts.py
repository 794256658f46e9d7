"""Starts: the encoder before any pretraining, random (the floor of every table) or from ImageNet."""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import torch

from geomeld.core.errors import UsageError
from geomeld.evaluate.encoders.checkpoint import PatchEncoder
from geomeld.evaluate.encoders.identity import identity_of
from geomeld.evaluate.encoders.timm_models import RGB
from geomeld.modalities import SENTINEL2_BANDS
from geomeld.models.encoder import ConvNeXtV2, Size
from geomeld.models.timm_weights import FILES, IMAGENET, from_timm, initialise_encoder, read_weights

PICTURES = "convnextv2_{size}.fcmae_ft_in1k"
"""timm's name of the weights that a size starts from: masked pretraining, then labels, both on ImageNet-1k."""


def random_encoder(size: str, bands: Sequence[str] | None = None, seed: int = 0) -> PatchEncoder:
    """An encoder of this size with random weights, those of `seed` everywhere and always.

    Raises UsageError for a size that there is not.
    """
    chosen = tuple(bands or SENTINEL2_BANDS)
    network = _seeded(_size(size, "random:"), len(chosen), seed)
    return PatchEncoder(network, f"random {size}", identity_of(network.state_dict(), *chosen), chosen).eval()


def imagenet_encoder(what: str, bands: Sequence[str] | None = None) -> PatchEncoder:
    """An encoder that knows pictures only: timm's ConvNeXtV2 of ImageNet with a stem made to fit `bands` and patch 16.

    `what`: a size, whose weights timm's hub holds, or a file of timm's weights. Bands other than red, green and
    blue start with the mean of those three. Raises UsageError for a size that there is not and for bands without
    red, green and blue, CheckpointError for weights that are no such network or cannot be had.
    """
    chosen = tuple(bands or SENTINEL2_BANDS)
    lacking = [band for band in RGB if band not in chosen]
    if lacking:
        raise UsageError(
            f"A start from pictures needs B4, B3 and B2 (red, green, blue) among the bands; {', '.join(lacking)} is "
            "missing. Add it, or take random:SIZE."
        )
    is_file = what.endswith(FILES)
    size = from_timm(read_weights(Path(what)), what).size if is_file else _size(what, IMAGENET)
    network = _seeded(size, len(chosen), seed=0)
    source = what if is_file else PICTURES.format(size=size)
    initialise_encoder(network, IMAGENET + source, [chosen.index(band) for band in RGB])
    return PatchEncoder(network, f"ImageNet {size}", identity_of(network.state_dict(), *chosen), chosen).eval()


def _seeded(size: Size, channels: int, seed: int) -> ConvNeXtV2:
    """Weights from a generator of their own state: what others have drawn or will draw is not touched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ConvNeXtV2(size, channels)


def _size(name: str, kind: str) -> Size:
    if name not in get_args(Size):
        known = ", ".join(get_args(Size))
        also = f", or a file ({', '.join(FILES)})" if kind == IMAGENET else ""
        raise UsageError(f"{kind}{name} names no size; there are {known}{also}.")
    return name  # type: ignore[return-value]
