"""TorchGeo: the weights that it publishes for networks of timm, with the bands and the scale that they state."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geomeld.core.errors import CheckpointError, MissingExtra, UsageError
from geomeld.evaluate.encoders.timm_models import TimmEncoder
from geomeld.modalities import SENTINEL2_BANDS
from geomeld.models.hub import reason_of

NETWORKS = ("resnet", "vit_")
"""How the networks begin that are timm's; the others of TorchGeo have contracts of their own."""
SENSOR = "SENTINEL2_"
"""How weights of Sentinel-2 begin. Bands of Landsat are named alike (B1, B2, ...) and are others."""
REFLECTANCE = 300.0
"""A scale whose largest deviation is below it is of 8-bit pictures, not of reflectance x 10000."""
PICTURE = 255
"""What bands of pictures are divided by, in weights that mix them with others."""


def torchgeo_encoder(what: str, bands: Sequence[str] | None = None) -> TimmEncoder:
    """The network that TorchGeo's weights belong to, with them. `what`: e.g. ResNet50_Weights.SENTINEL2_ALL_MOCO.

    `bands`: those of its own that it is fed, the others being 0; None feeds all. Mean and deviation are those of
    the normalisation in the weights' transforms; resizing and cropping are not done. Raises MissingExtra without
    TorchGeo, UsageError for weights that do not exist, of another sensor or of a network that is not timm's,
    CheckpointError where they cannot be had.
    """
    weights = _weights(what)
    own = _bands(what, weights)
    mean, std = _scale(weights.transforms, len(own))
    return TimmEncoder(_built(what, weights), f"torchgeo {what}", own, bands, mean, std)


def _weights(what: str) -> Any:
    try:
        from torchgeo.models import get_model_weights, get_weight, list_models
    except ImportError as error:
        raise MissingExtra(f"This needs TorchGeo ({error}); install it with: pip install 'geomeld[torchgeo]'") from None
    try:
        return get_weight(what)
    except ValueError:
        known = {str(w) for name in list_models() for w in _members(get_model_weights, name)}
        usable = sorted(w for w in known if f".{SENSOR}" in w)
        near = get_close_matches(what, usable, 3) or usable[:3]
        raise UsageError(f"TorchGeo has no weights {what}; it has {', '.join(near)} and others.") from None


def _members(get_model_weights: Any, name: str) -> list[Any]:
    try:
        return list(get_model_weights(name))
    except KeyError:  # a network without weights
        return []


def _bands(what: str, weights: Any) -> tuple[str, ...]:
    model = str(weights.meta.get("model", ""))
    if not model.startswith(NETWORKS):
        raise UsageError(
            f"{what} belongs to {model or 'an unnamed network'}, which is none of timm's; weights of ResNets and plain "
            "vision transformers can be opened (ResNet18, ResNet50, ResNet152, ViT...)."
        )
    if not weights.name.startswith(SENSOR):
        raise UsageError(f"{what} is not of Sentinel-2; weights whose name begins with {SENSOR} can be opened.")
    named = tuple(re.sub(r"^B0?(\d+)(a?)$", lambda m: f"B{m[1]}{m[2].upper()}", str(b)) for b in weights.meta["bands"])
    strangers = [band for band in named if band not in (*SENTINEL2_BANDS, "B10")]
    if strangers:
        raise UsageError(f"{what} takes {', '.join(strangers)}, which is no band of Sentinel-2; take other weights.")
    return named


def _built(what: str, weights: Any) -> nn.Module:
    from torchgeo.models import get_model

    name = weights.meta["model"]
    options = {"dynamic_img_size": True} if name.startswith("vit_") else {}
    try:
        return get_model(name, weights=weights, num_classes=0, **options)
    except Exception as error:  # whatever torch's downloader raises, the user can do the same about it
        raise CheckpointError(
            f"The weights {what} could not be had: {reason_of(error)}. Download {weights.url} elsewhere and put the "
            f"file into {torch.hub.get_dir()}/checkpoints."
        ) from error


def _scale(transforms: Any, bands: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation, reflectance x 10000 per band, that a chain of normalisations amounts to; empty where there is
    none, or where it is of pictures."""
    mean, std, found = np.zeros(bands), np.ones(bands), False
    for m, s in _normalisations(transforms):
        mean, std, found = mean + std * m, std * s, True
    divided = (mean == 0) & (std <= PICTURE)
    if not found or std.max() < REFLECTANCE or divided.any():
        return (), ()
    return tuple(mean.tolist()), tuple(std.tolist())


def _normalisations(transforms: Any) -> Iterator[tuple[NDArray, NDArray]]:
    """(mean, std) of each, in order: torchvision's, or kornia's, which keeps them among its flags."""
    for module in transforms.modules() if isinstance(transforms, nn.Module) else ():
        if type(module).__name__ == "Normalize":
            held = getattr(module, "flags", None) or {"mean": module.mean, "std": module.std}
            yield np.asarray(held["mean"], float).ravel(), np.asarray(held["std"], float).ravel()
