"""JEPA: predict the teacher's tokens of the hidden patches from the context's tokens (paper eq. 12, 13)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from geomeld.core.errors import ConfigError
from geomeld.pretrain.ema import TAU
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch

MOMENTS = "jepa/moments"
"""The sum that `collapse` makes numbers of."""


@dataclass(frozen=True)
class Jepa:
    """Latent prediction: L_JEPA, the term "jepa"; every `watch_every` steps also "jepa/std" and "jepa/rank".

    These two tell collapse from learning. They are of the teacher's layer-normalised tokens, over all hidden patches
    of the step: the mean over features of the standard deviation (about 1 for tokens that differ, 0 for tokens that
    are all the same), and the effective rank, exp of the entropy of the covariance's eigenvalues (1 to the width).
    """

    weight: float = 0.5
    """alpha (paper 5.1); 0 leaves it out, and the teacher with it."""
    tau: float = TAU
    """Momentum of the EMA teacher (paper 5.1)."""
    final_tau: float | None = None
    """Momentum at the last step, reached along half a cosine (BYOL); None keeps `tau`, as the paper does."""
    watch_every: int = 10
    """Steps between looks for collapse."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ConfigError(f"The weight of jepa is {self.weight}; it is a number not below 0.")
        for name in ("tau", "final_tau"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ConfigError(f"jepa.{name} is {value}; it lies between 0 and 1.")
        if self.watch_every < 1:
            raise ConfigError(f"jepa.watch_every is {self.watch_every}; it is at least 1.")

    def momentum(self, step: int, steps: int) -> float:
        """tau after step 0..steps-1."""
        if self.final_tau is None:
            return self.tau
        along = 0.5 * (1 + math.cos(math.pi * step / max(1, steps - 1)))
        return self.final_tau + (self.tau - self.final_tau) * along

    @property
    def name(self) -> str:
        """Name of the loss in the log."""
        return "jepa"

    def counts(self, learner: Learner, masked: MaskedBatch) -> dict[str, Tensor]:
        """Hidden patches."""
        return {"jepa": torch.tensor(masked.hidden.numel(), device=masked.visible.device)}

    def sums(self, learner: Learner, masked: MaskedBatch, tokens: Tensor) -> dict[str, Tensor]:
        """Squared distances to the target tokens, summed. The teacher sees the hidden patches only."""
        assert learner.teacher is not None
        hidden, image = masked.hidden, masked.image(learner.model.config.input.name)
        with torch.no_grad():
            target = normalised(learner.teacher(image, hidden))
        predicted = learner.model.predictor(tokens, masked.visible, hidden, masked.grid)
        sums = {"jepa": sum_of_distances(predicted, target)}
        return sums | ({MOMENTS: moments(target)} if masked.step % self.watch_every == 0 else {})

    def loss(self, learner: Learner, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor], share: Tensor) -> Tensor:
        """Eq. 12."""
        return sums["jepa"] / counts["jepa"].clamp(min=1)

    def row(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> dict[str, float]:
        """The mean distance, and the signs of collapse where they were looked for."""
        count = max(float(counts["jepa"]), 1)
        row = {"jepa": float(sums["jepa"]) / count}
        return row | (collapse(sums[MOMENTS], count) if MOMENTS in sums else {})


def normalised(target: Tensor) -> Tensor:
    """Layer-normalised tokens in float32, without gradient."""
    return F.layer_norm(target.detach().float(), target.shape[-1:])


def sum_of_distances(predicted: Tensor, target: Tensor) -> Tensor:
    """Squared distances of tokens (B, m, d) to the layer-normalised target, divided by d and summed over tokens.

    That is, in units of the normalised token's own length: else the term would grow with the encoder's width, and one
    alpha could not serve all sizes.
    """
    return (predicted.float() - target).square().sum() / target.shape[-1]


def moments(tokens: Tensor) -> Tensor:
    """(d + 1, d): the sum of tokens (..., d), and below it the sum of their outer products."""
    rows = tokens.flatten(0, -2)
    with torch.autocast(rows.device.type, enabled=False):
        return torch.cat([rows.sum(dim=0, keepdim=True), rows.t() @ rows])


def collapse(moments: Tensor, count: float) -> dict[str, float]:
    """The signs of collapse of `count` tokens."""
    mean, products = moments[0].double() / count, moments[1:].double() / count
    covariance = products - mean.outer(mean)
    eigenvalues = torch.linalg.eigvalsh(covariance).clamp(min=0)
    share = eigenvalues / eigenvalues.sum().clamp(min=1e-12)
    entropy = -torch.special.xlogy(share, share).sum()
    return {"jepa/std": float(covariance.diagonal().clamp(min=0).sqrt().mean()), "jepa/rank": float(entropy.exp())}
