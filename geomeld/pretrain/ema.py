"""The JEPA teacher: an exponential moving average of the encoder (paper eq. 13)."""

from copy import deepcopy
from typing import TypeVar

import torch
from torch import nn

M = TypeVar("M", bound=nn.Module)

TAU = 0.996
"""Momentum (paper 5.1)."""


def make_teacher(student: M) -> M:
    """A copy that no gradient reaches."""
    return deepcopy(student).requires_grad_(False).eval()


@torch.no_grad()
def update_teacher(teacher: nn.Module, student: nn.Module, tau: float = TAU) -> None:
    """xi <- tau xi + (1 - tau) theta, in place, after each step of the optimiser; buffers are copied."""
    torch._foreach_lerp_(list(teacher.parameters()), list(student.parameters()), 1 - tau)
    for ours, theirs in zip(teacher.buffers(), student.buffers(), strict=True):
        ours.copy_(theirs)
