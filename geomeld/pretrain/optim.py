"""Optimiser: AdamW with decay on matrices only, and a warm-up followed by half a cosine."""

import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from geomeld.core.errors import ConfigError


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule (paper 5.1; betas, warm-up and clipping follow MMEarth, the paper is silent)."""

    lr: float = 1e-4
    """Peak learning rate, absolute unless `lr_per` is given."""
    lr_per: int | None = None
    """Samples that `lr` is for: the rate is then lr * batch_size / lr_per. None takes it as it is. (The paper's 1e-4
    may be either; MMEarth's 1.5e-4 is per 256.)"""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.05
    """On weights of two or more dimensions; never on biases, norms, GRN or tokens."""
    warmup: float = 0.05
    """Share of all steps over which the rate rises linearly from 0."""
    final_lr: float = 0.0
    """Rate at the last step."""
    clip: float | None = None
    """Largest norm of the gradient over all parameters; None leaves it as it is."""

    def __post_init__(self) -> None:
        for name in ("lr", "weight_decay", "final_lr"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"optim.{name} is {getattr(self, name)}; it is a number not below 0.")
        if self.lr_per is not None and self.lr_per < 1:
            raise ConfigError(f"optim.lr_per is {self.lr_per}; it is a number of samples, at least 1, or None.")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"optim.betas is {self.betas}; each lies between 0 and 1.")
        if not 0 <= self.warmup <= 1:
            raise ConfigError(f"optim.warmup is {self.warmup}; it is a share between 0 and 1.")
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise ConfigError(f"optim.clip is {self.clip}; it is a norm above 0, or None.")

    def for_batch(self, batch_size: int) -> "OptimConfig":
        """The same with an absolute rate for steps of `batch_size` samples."""
        if self.lr_per is None:
            return self
        scale = batch_size / self.lr_per
        return replace(self, lr=self.lr * scale, final_lr=self.final_lr * scale, lr_per=None)


def learning_rate(config: OptimConfig, step: int, steps: int) -> float:
    """The rate of step 0..steps-1: linear warm-up, then half a cosine down to `final_lr`."""
    warmup = max(1, round(config.warmup * steps))
    if step < warmup:
        return config.lr * (step + 1) / warmup
    along = (step - warmup + 1) / max(1, steps - warmup)
    return config.final_lr + (config.lr - config.final_lr) * 0.5 * (1 + math.cos(math.pi * along))


def is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """Whether weight decay applies: real matrices and kernels only.

    The test goes by dimensions longer than 1, so that GRN's (1, C) scales and mask tokens of (1, 1, C) are spared.
    """
    return sum(side > 1 for side in parameter.shape) > 1 and not name.endswith("bias")


def make_optimizer(module: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the parameters of `module` that want gradients, in two groups: with and without decay.

    Fused: one kernel over all weights, on CPUs as well."""
    named = [(n, p) for n, p in module.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for n, p in named if is_decayed(n, p)], "weight_decay": config.weight_decay},
        {"params": [p for n, p in named if not is_decayed(n, p)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, fused=True)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group the same learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate
