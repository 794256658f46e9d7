"""Multi-pretext masked reconstruction: L1 on measurements, cross-entropy on classes, on hidden patches (eq. 9-11)."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from geomeld.core.modality import Categorical, Continuous
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.models.spec import LayerSpec

if TYPE_CHECKING:
    from geomeld.batch import Batch


def reconstruction_loss(
    model: GeoMeldFM,
    tokens: Tensor,
    batch: "Batch",
    visible: Tensor,
    grid: tuple[int, int],
    weights: Mapping[str, float],
) -> tuple[Tensor, dict[str, Tensor]]:
    """L_MPMAE: sum over targets of lambda_m L_m, and each L_m detached as "mpmae/<modality>".

    Every target is held to the hidden patches of the encoder's input, whatever its own pixel size. Eq. 11 prints
    L_rec for classes as well; L_ce of eq. 10 is meant. `weights` gives lambda_m, 1 where absent.
    """
    maps = model.decode(tokens, visible, grid)
    total = tokens.new_zeros((), dtype=torch.float32)
    terms = {}
    for spec in model.config.targets:
        predicted = maps[spec.name]
        if spec.name in batch.values:
            hidden = hidden_pixels(visible, grid, predicted.shape[-1] // grid[1])
            loss = layer_loss(spec, predicted, batch.values[spec.name], batch.valid[spec.name] & hidden)
        else:
            loss = (predicted * 0).sum().float()
        total = total + weights.get(spec.name, 1.0) * loss
        terms[f"mpmae/{spec.name}"] = loss.detach()
    return total, terms


def layer_loss(spec: LayerSpec, predicted: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """One target's loss over the pixels where `counted` is set, 0 with zero gradient where it never is."""
    match spec.kind:
        case Continuous():
            return masked_l1(predicted, target, counted)
        case Categorical():
            return masked_cross_entropy(predicted, target, counted)


def masked_l1(predicted: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Eq. 9 over (B, C, H, W): mean of |predicted - target| over the measurements where `counted` (same shape) is set.

    Omega_m is read as the set of single measurements, one pixel of one band of one tile: the sum over bands of eq. 9
    becomes a mean. Bands may be missing one by one (HH and HV nearly everywhere), and a modality of 12 bands is to
    weigh as much as one of 2. Values outside `counted` never matter, not even NaN.
    """
    error = (predicted.float() - target.float().masked_fill(~counted, 0)).abs()
    return error.masked_fill(~counted, 0).sum() / counted.sum().clamp(min=1)


def masked_cross_entropy(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Eq. 10, pixel by pixel: mean cross-entropy of logits (B, classes, H, W) against indices (B, 1, H, W).

    Only pixels where `counted` (B, 1, H, W) is set take part; Omega_m is their set over the whole batch.
    """
    classes = target.masked_fill(~counted, -100).squeeze(1).long()
    total = F.cross_entropy(logits.float(), classes, ignore_index=-100, reduction="sum")
    return total / counted.sum().clamp(min=1)


def hidden_pixels(visible: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """(B, 1, rows * side, columns * side) bool: pixels of hidden patches, for a layer of `side` pixels per patch."""
    hidden = torch.ones(visible.shape[0], grid[0] * grid[1], dtype=torch.bool, device=visible.device)
    hidden = hidden.scatter_(1, visible, False).view(-1, 1, *grid)
    return hidden.repeat_interleave(side, 2).repeat_interleave(side, 3)
