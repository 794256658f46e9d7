"""JEPA: predict the teacher's tokens of the hidden patches from the context's tokens (paper eq. 12)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from geomeld.models.encoder import ConvNeXtV2
from geomeld.models.geomeld_fm import GeoMeldFM


def jepa_loss(
    model: GeoMeldFM, teacher: ConvNeXtV2, tokens: Tensor, image: Tensor, visible: Tensor, hidden: Tensor
) -> Tensor:
    """L_JEPA of context `tokens` (B, n, d) at `visible`; the teacher sees the patches `hidden` of `image` only."""
    with torch.no_grad():
        target = teacher(image, hidden)
    return latent_error(model.predictor(tokens, visible, hidden, model.encoder.grid(image)), target)


def latent_error(predicted: Tensor, target: Tensor) -> Tensor:
    """Eq. 12 for tokens (B, m, d): mean over tokens of the squared distance to the layer-normalised target.

    Distances are divided by d, that is, measured in units of the normalised token's own length: else the term would
    grow with the encoder's width, and one alpha could not serve all sizes. No gradient flows into `target`.
    """
    target = F.layer_norm(target.detach().float(), target.shape[-1:])
    return (predicted.float() - target).square().sum(dim=-1).mean() / target.shape[-1]
