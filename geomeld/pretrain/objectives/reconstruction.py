"""Multi-pretext masked reconstruction: L1 on measurements, cross-entropy on classes, on hidden patches (eq. 9-11)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from geomeld.core.errors import ConfigError
from geomeld.core.modality import Categorical, Continuous
from geomeld.models.spec import LayerSpec
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch

EPS = 1e-6
"""Added to a patch's variance (MAE)."""

PREFIX = "mpmae/"
"""Of the terms in the log, before a modality's name."""


@dataclass(frozen=True)
class Reconstruction:
    """Masked reconstruction of every target, each by its own decoder: L_MPMAE, terms "mpmae/<modality>" and "mpmae".

    Each term is a mean over the valid hidden measurements (or pixels, for classes) of the whole step. Omega_m of eq. 9
    is read as the set of single measurements, one pixel of one band of one tile: its sum over bands becomes a mean,
    since bands may be missing one by one, and a modality of 12 bands is to weigh as much as one of 2. Eq. 11 prints
    L_rec for classes as well; L_ce of eq. 10 is meant.
    """

    weight: float = 1.0
    """Factor of L_MPMAE; 0 leaves it out."""
    lambdas: Mapping[str, float] = field(default_factory=dict)
    """lambda_m of eq. 11 by modality name; 1 where absent (the paper gives no values)."""
    uncertainty: bool = False
    """Learn the weights of the terms: sum of exp(-s_m) L_m + s_m (Kendall; MMEarth). The paper is silent."""
    error: Literal["l1", "mse"] = "l1"
    """Of measurements: absolute (eq. 9) or squared (MMEarth)."""
    normalise: tuple[str, ...] = ()
    """Targets that are predicted in units of each patch: less its mean, over its standard deviation, of all bands
    together (MAE, and MMEarth for Sentinel-2)."""

    def __post_init__(self) -> None:
        for name, weight in {"reconstruction.weight": self.weight, **self.lambdas}.items():
            if not 0 <= weight < math.inf:
                raise ConfigError(f"The weight of {name} is {weight}; it is a number not below 0.")

    @property
    def name(self) -> str:
        """Name of the loss in the log."""
        return "mpmae"

    def counts(self, learner: Learner, masked: MaskedBatch) -> dict[str, Tensor]:
        """Valid hidden measurements per target."""
        zero = torch.zeros((), dtype=torch.int64, device=masked.visible.device)
        names = [spec.name for spec in learner.model.config.targets]
        return {_term(n): masked.counted(n).sum() if n in masked.batch.values else zero for n in names}

    def sums(self, learner: Learner, masked: MaskedBatch, tokens: Tensor) -> dict[str, Tensor]:
        """Errors of each target, summed; 0 with zero gradient for a target that the batch lacks."""
        squares = learner.model.decode_at(masked.hidden, tokens, masked.visible, masked.grid)
        return {_term(spec.name): self._sum(spec, squares[spec.name], masked) for spec in learner.model.config.targets}

    def loss(self, learner: Learner, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor], share: Tensor) -> Tensor:
        """Sum of lambda_m L_m; a term that nothing was counted for adds nothing, not even its s_m."""
        total = torch.zeros((), device=learner.device)
        for spec in learner.model.config.targets:
            count = counts[_term(spec.name)]
            mean = sums[_term(spec.name)] / count.clamp(min=1)
            if self.uncertainty:
                s = learner.log_variance[spec.name]
                mean = (-s).exp() * mean + s * share * (count > 0)
            total = total + self.lambdas.get(spec.name, 1.0) * mean
        return total

    def row(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> dict[str, float]:
        """The mean error of each target."""
        own = {name: max(float(count), 1) for name, count in counts.items() if name.startswith(PREFIX)}
        return {name: float(sums[name]) / count for name, count in own.items()}

    def _sum(self, spec: LayerSpec, predicted: Tensor, masked: MaskedBatch) -> Tensor:
        if spec.name not in masked.batch.values:
            return (predicted * 0).sum().float()
        (target, counted), predicted = masked.squares(spec.name), predicted.flatten(0, 1)
        match spec.kind:
            case Continuous():
                if spec.name in self.normalise:
                    target = in_patch_units(target, counted, target.shape[-1])
                return (sum_of_l1 if self.error == "l1" else sum_of_squares)(predicted, target, counted)
            case Categorical():
                return sum_of_cross_entropy(predicted, target, counted)


def sum_of_l1(predicted: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """|predicted - target| over (B, C, H, W), summed where `counted` is set; elsewhere not even NaN matters."""
    return _difference(predicted, target, counted).abs().sum()


def sum_of_squares(predicted: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """(predicted - target)^2 over (B, C, H, W), summed where `counted` is set."""
    return _difference(predicted, target, counted).square().sum()


def sum_of_cross_entropy(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """-log softmax of logits (B, classes, H, W) at indices (B, 1, H, W), summed where `counted` (B, 1, H, W) is set."""
    classes = target.masked_fill(~counted, -100).flatten().long()
    # One row per class: over a handful of classes that lie side by side, softmax on a CPU takes three times as long.
    by_class = logits.float().transpose(0, 1).flatten(1).contiguous()
    return F.cross_entropy(by_class[None], classes[None], ignore_index=-100, reduction="sum")


def in_patch_units(target: Tensor, valid: Tensor, side: int) -> Tensor:
    """(B, C, H, W) less the mean of each patch of `side` pixels over its standard deviation, of valid values of all
    bands together; the variance is that of a sample (n - 1), as in MAE."""
    mean, spread = _units(target, valid, side)
    return _whole((_in_patches(target, side) - mean) / spread)


def from_patch_units(predicted: Tensor, target: Tensor, valid: Tensor, side: int) -> Tensor:
    """The inverse of `in_patch_units` for a prediction, with the means and deviations of the target's patches."""
    mean, spread = _units(target, valid, side)
    return _whole(_in_patches(predicted, side) * spread + mean)


def _units(target: Tensor, valid: Tensor, side: int) -> tuple[Tensor, Tensor]:
    """(mean, standard deviation) of each patch, each (B, 1, rows, 1, columns, 1)."""
    x, known = (_in_patches(t, side) for t in (target.float().masked_fill(~valid, 0), valid))
    within = (1, 3, 5)
    n = known.sum(within, keepdim=True)
    mean = x.sum(within, keepdim=True) / n.clamp(min=1)
    variance = (x - mean).masked_fill(~known, 0).square().sum(within, keepdim=True) / (n - 1).clamp(min=1)
    return mean, (variance + EPS).sqrt()


def _in_patches(x: Tensor, side: int) -> Tensor:
    return x.unflatten(3, (-1, side)).unflatten(2, (-1, side))


def _whole(patches: Tensor) -> Tensor:
    return patches.flatten(4, 5).flatten(2, 3)


def _difference(predicted: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    return (predicted.float() - target.float().masked_fill(~counted, 0)).masked_fill(~counted, 0)


def _term(name: str) -> str:
    return PREFIX + name
