"""Learner: the model and what only its training needs: the EMA teacher and weights of terms that are learned."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from geomeld.models.encoder import ConvNeXtV2
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.pretrain.ema import make_teacher
from geomeld.pretrain.masked import MaskedBatch


class Learner(nn.Module):
    """Everything that has weights, so that one state dict and one optimiser hold it all."""

    def __init__(self, model: GeoMeldFM, *, teacher: bool, uncertain: Iterable[str] = ()) -> None:
        """`teacher`: whether an objective needs one; `uncertain`: terms whose weights are learned."""
        super().__init__()
        self.model = model
        self.teacher: ConvNeXtV2 | None = make_teacher(model.encoder) if teacher else None
        self.log_variance = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in uncertain})

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.model.log_scale.device

    def tokens(self, masked: MaskedBatch) -> Tensor:
        """The encoder's tokens (B, n, d) of the visible patches."""
        return self.model.encoder(masked.image(self.model.config.input.name), masked.visible)
