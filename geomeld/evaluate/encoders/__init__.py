"""Encoders: ours and peers' by one spelling, each behind the adapter that every protocol runs on."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from geomeld.core.errors import UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders.checkpoint import open_checkpoint
from geomeld.evaluate.encoders.starts import imagenet_encoder, random_encoder
from geomeld.evaluate.encoders.terratorch_backbones import terratorch_encoder
from geomeld.evaluate.encoders.timm_models import timm_encoder
from geomeld.evaluate.encoders.torchgeo_weights import torchgeo_encoder
from geomeld.modalities import SENTINEL2_BANDS

Bands = Sequence[str] | None

KINDS: dict[str, Callable[[str, Bands], Encoder]] = {
    "random": random_encoder,
    "imagenet": imagenet_encoder,
    "timm": timm_encoder,
    "torchgeo": torchgeo_encoder,
    "terratorch": terratorch_encoder,
}
"""What stands before the colon -> what opens the rest; a name without a colon is a checkpoint's folder."""

EXAMPLES = (
    "runs/mine/checkpoint, random:atto, imagenet:atto, timm:resnet50.a1_in1k, "
    "torchgeo:ResNet50_Weights.SENTINEL2_ALL_MOCO, terratorch:prithvi_eo_v2_300"
)


ALL_BANDS = f"{', '.join(SENTINEL2_BANDS)} and B10"
BANDS = re.compile(r"(.+):(S2|B\d+A?(?:,B\d+A?)*)")
"""NAME:B4,B3,B2, or NAME:S2 for all bands that this project knows of Sentinel-2."""


def is_checkpoint(spec: str) -> bool:
    """Whether an encoder is spelt as the folder of a checkpoint."""
    return ":" not in spec or Path(spec).is_dir()


def open_encoder(spec: str, bands: Bands = None) -> Encoder:
    """The encoder that `spec` names, in evaluation mode, on the CPU.

    `spec`: the folder of a checkpoint, or one of "random:SIZE", "imagenet:SIZE", "imagenet:FILE", "timm:NAME",
    "timm:NAME@FILE", "torchgeo:WEIGHTS" and "terratorch:NAME". `bands`: what it is fed, by this project's names, for
    encoders that leave a choice; None takes those that `spec` ends with (":B4,B3,B2", or ":S2" for all twelve of
    Sentinel-2), else its own.

    Raises UsageError for a name that is none, bands that do not fit or come twice and a package that is not installed,
    CheckpointError for weights that are damaged or cannot be had; each says what to do.
    """
    if is_checkpoint(spec):
        return open_checkpoint(spec, bands)
    kind, _, rest = spec.partition(":")
    if kind not in KINDS:
        raise UsageError(f"{spec!r} is no folder, and there is no kind of encoder {kind!r}; there are {EXAMPLES}.")
    if not rest:
        raise UsageError(f"{spec!r} names no encoder; write for example {EXAMPLES}.")
    named = BANDS.fullmatch(rest)
    if named and bands is None:
        bands = SENTINEL2_BANDS if named[2] == "S2" else tuple(named[2].split(","))
        if strangers := [band for band in bands if band not in (*SENTINEL2_BANDS, "B10")]:
            raise UsageError(f"{spec!r}: Sentinel-2 has no band {', '.join(strangers)}; it has {ALL_BANDS}.")
    if twice := [band for band, count in Counter(bands or ()).items() if count > 1]:
        raise UsageError(f"{spec!r} is to be fed {', '.join(twice)} more than once; name each band once.")
    return KINDS[kind](named[1] if named else rest, bands)


__all__ = ["KINDS", "is_checkpoint", "open_encoder"]
