"""The pointwise half of a ConvNeXtV2 block: widen four times, GELU, GRN, narrow."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GlobalResponseNorm(nn.Module):
    """GRN (ConvNeXt V2, section 4): channels compete by their norm over a sample's sites.

    The norm runs over the sites that are there: hidden sites take no part, and samples never mix.
    """

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """(B, sites, C) -> (B, sites, C)."""
        energy = x.norm(dim=1, keepdim=True)
        response = energy / (energy.mean(dim=-1, keepdim=True) + self.eps)
        return torch.addcmul(self.bias, x, 1 + self.weight * response)


class Mlp(nn.Module):
    """fc2(GRN(GELU(fc1(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.grn = GlobalResponseNorm(4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(B, sites, C) -> (B, sites, C)."""
        if on_plain_cpu(x, self.fc1.weight):
            fc1, grn, fc2 = self.fc1, self.grn, self.fc2
            return _FusedMlp.apply(x, fc1.weight, fc1.bias, grn.weight, grn.bias, fc2.weight, fc2.bias, grn.eps)
        return self.fc2(self.grn(F.gelu(self.fc1(x))))


def on_plain_cpu(x: Tensor, weight: Tensor) -> bool:
    """Whether to take the hand-written path: float32 on a CPU, without autocast."""
    float32 = x.dtype == weight.dtype == torch.float32
    return x.device.type == "cpu" and float32 and not torch.is_autocast_enabled("cpu")


class _FusedMlp(torch.autograd.Function):
    """The same with its gradient by hand: half of autograd's passes over the widened tokens, which bound the speed.

    With n the norms, m = mean(n) + eps, r = n / m and a = 1 + w r (per sample and channel), y = a g + b. For a
    gradient e of y and q = sum over sites of e g: dw = sum q r, dn = q w / m - sum_c(q w n) / (C m^2), and
    dg = a e + (dn / n) g.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Any) -> Tensor:
        w1, b1, w, b, w2, b2, eps = weights
        batch, sites, channels = x.shape
        rows = x.reshape(-1, channels)
        h = torch.addmm(b1, rows, w1.t())
        g = F.gelu(h).view(batch, sites, -1)
        y = g.square()
        n = y.sum(dim=1, keepdim=True).sqrt_()
        m = n.mean(dim=-1, keepdim=True) + eps
        a = 1 + w * (n / m)
        y = torch.addcmul(b, g, a, out=y).flatten(0, 1)
        ctx.save_for_backward(rows, h, g, n, m, a, w1, w, b, w2)
        return torch.addmm(b2, y, w2.t()).view(batch, sites, channels)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        rows, h, g, n, m, a, w1, w, b, w2 = ctx.saved_tensors
        out = grads[0].reshape(-1, grads[0].shape[-1])
        y = torch.addcmul(b, g, a)  # made again rather than kept: a pass costs less than fresh memory
        d_w2, d_b2 = out.t() @ y.flatten(0, 1), out.sum(dim=0)
        e = (out @ w2).view_as(g)
        q = torch.mul(e, g, out=y).sum(dim=1, keepdim=True)
        qw = q * w
        d_n = qw / m - (qw * n).sum(dim=-1, keepdim=True) / (m.square() * n.shape[-1])
        e.mul_(a).addcmul_(g, (d_n / n).masked_fill_(n == 0, 0))
        e = e.flatten(0, 1)
        torch.ops.aten.gelu_backward.grad_input(e, h, grad_input=e)
        d_w, d_b = (q * (n / m)).sum(dim=(0, 1)), d_b2 @ w2
        return (e @ w1).view_as(grads[0]), e.t() @ rows, e.sum(dim=0), d_w, d_b, d_w2, d_b2, None
