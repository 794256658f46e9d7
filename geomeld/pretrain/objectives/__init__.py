"""The pretraining objective of GeoMeld-FM: reconstruction, JEPA and image-text contrast, summed (paper eq. 8)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from geomeld.core.errors import ConfigError
from geomeld.models.encoder import ConvNeXtV2
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.pretrain.masking import complement
from geomeld.pretrain.objectives.contrast import contrast_loss
from geomeld.pretrain.objectives.jepa import jepa_loss
from geomeld.pretrain.objectives.reconstruction import reconstruction_loss

if TYPE_CHECKING:
    from geomeld.batch import Batch


@dataclass(frozen=True)
class ObjectiveWeights:
    """Weights of the terms (paper 5.1)."""

    alpha: float = 0.5
    """Weight of the JEPA loss."""
    beta: float = 0.4
    """Weight of the image-text contrast."""
    modality: Mapping[str, float] = field(default_factory=dict)
    """lambda_m of eq. 11 by modality name; 1 where absent (the paper gives no values)."""

    def __post_init__(self) -> None:
        for name, weight in {"alpha": self.alpha, "beta": self.beta, **self.modality}.items():
            if not 0 <= weight < math.inf:
                raise ConfigError(f"The weight of {name} is {weight}; it is a number not below 0.")


def objectives(
    model: GeoMeldFM,
    teacher: ConvNeXtV2,
    batch: "Batch",
    visible: Tensor,
    weights: ObjectiveWeights = ObjectiveWeights(),
) -> tuple[Tensor, dict[str, Tensor]]:
    """L = L_MPMAE + alpha L_JEPA + beta L_ITC on one batch (paper eq. 8), from one pass through the encoder.

    `visible` (B, n_visible) holds the indices of the patches that the encoder sees (geomeld.pretrain.masking).
    `teacher` is the EMA copy of `model.encoder` (geomeld.pretrain.ema); it sees the other patches, without gradient.

    Returns the total with its graph, and every term unweighted and detached, as scalar tensors on the model's device:
    "mpmae/<modality>" for each target, "mpmae" (their weighted sum), "jepa", "itc". A target that is absent from the
    batch or wholly invalid counts as 0, and so does "itc" where fewer than two tiles have captions.
    """
    seen = model.config.input.name
    image = batch.values[seen].masked_fill(~batch.valid[seen], 0)
    grid = model.encoder.grid(image)
    tokens = model.encoder(image, visible)
    mpmae, terms = reconstruction_loss(model, tokens, batch, visible, grid, weights.modality)
    jepa = jepa_loss(model, teacher, tokens, image, visible, complement(visible, grid[0] * grid[1]))
    itc = contrast_loss(model, tokens, batch)
    total = mpmae + weights.alpha * jepa + weights.beta * itc
    return total, terms | {"mpmae": mpmae.detach(), "jepa": jepa.detach(), "itc": itc.detach()}
