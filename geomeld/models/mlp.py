"""The pointwise half of a ConvNeXtV2 block: widen four times, GELU, GRN, narrow."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

PIECE = 1 << 21
"""Values of widened tokens that are worked on at once on a CPU: 8 MB, by measurement."""


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

    Samples go through in pieces that stay in the cache, and of the widened tokens only h = fc1(x) is kept for the
    backward pass, which makes g = GELU(h) again: a pass costs less than fresh memory.

    With n the norms, m = mean(n) + eps, r = n / m and a = 1 + w r (per sample and channel), y = a g + b. For a
    gradient e of y and q = sum over sites of e g: dw = sum q r, dn = q w / m - sum_c(q w n) / (C m^2), and
    dg = a e + (dn / n) g.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Any) -> Tensor:
        w1, b1, w, b, w2, b2, eps = weights
        x = x.contiguous()
        wide = x.shape[:2] + w.shape
        h, n, out = x.new_empty(wide), x.new_empty(len(x), 1, len(w)), torch.empty_like(x)
        pieces = _pieces(wide)
        g, y = (x.new_empty(len(pieces[0]), *wide[1:]) for _ in range(2))
        for at in pieces:
            h_, g_, y_ = h[at.start : at.stop], g[: len(at)], y[: len(at)]
            torch.addmm(b1, _rows(x, at), w1.t(), out=_rows(h, at))
            torch.ops.aten.gelu.out(h_, out=g_)
            n_ = torch.mul(g_, g_, out=y_).sum(dim=1, keepdim=True).sqrt_()
            a = 1 + w * (n_ / (n_.mean(dim=-1, keepdim=True) + eps))
            torch.addcmul(b, g_, a, out=y_)
            torch.addmm(b2, y_.flatten(0, 1), w2.t(), out=_rows(out, at))
            n[at.start : at.stop] = n_
        ctx.save_for_backward(x, h, n, w1, w, b, w2)
        ctx.eps = eps
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, h, n, w1, w, b, w2 = ctx.saved_tensors
        out = grads[0].contiguous()
        m = n.mean(dim=-1, keepdim=True) + ctx.eps
        a = 1 + w * (n / m)
        pieces = _pieces(h.shape)
        g, y, e = (h.new_empty(len(pieces[0]), *h.shape[1:]) for _ in range(3))
        d_x, d_w1, d_b1, d_w2, q = (torch.empty_like(x), *map(torch.zeros_like, (w1, w, w2)), torch.empty_like(n))
        for at in pieces:
            one = slice(at.start, at.stop)
            h_, g_, y_, e_ = h[one], g[: len(at)], y[: len(at)], e[: len(at)]
            torch.ops.aten.gelu.out(h_, out=g_)
            torch.addcmul(b, g_, a[one], out=y_)
            torch.addmm(d_w2, _rows(out, at).t(), y_.flatten(0, 1), out=d_w2)
            torch.mm(_rows(out, at), w2, out=e_.view(-1, len(w)))
            q[one] = torch.mul(e_, g_, out=y_).sum(dim=1, keepdim=True)
            e_.mul_(a[one]).addcmul_(g_, _over_norm(q[one] * w, n[one], m[one]))
            torch.ops.aten.gelu_backward.grad_input(e_, h_, grad_input=e_)
            wide = e_.flatten(0, 1)
            torch.mm(wide, w1, out=_rows(d_x, at))
            torch.addmm(d_w1, wide.t(), _rows(x, at), out=d_w1)
            d_b1 += wide.sum(dim=0)
        d_b2 = out.flatten(0, 1).sum(dim=0)
        return d_x, d_w1, d_b1, (q * (n / m)).sum(dim=(0, 1)), d_b2 @ w2, d_w2, d_b2, None


def _over_norm(qw: Tensor, n: Tensor, m: Tensor) -> Tensor:
    """dn / n, 0 where a channel is dead."""
    d_n = qw / m - (qw * n).sum(dim=-1, keepdim=True) / (m.square() * n.shape[-1])
    return (d_n / n).masked_fill_(n == 0, 0)


def _pieces(shape: torch.Size) -> list[range]:
    """The samples of a tensor (B, sites, C) in pieces of at most PIECE values, of one sample at least."""
    step = max(1, PIECE // (shape[1] * shape[2]))
    return [range(first, min(first + step, shape[0])) for first in range(0, shape[0], step)]


def _rows(x: Tensor, samples: range) -> Tensor:
    """(B, sites, C), contiguous, to the rows of these samples, as a view."""
    return x[samples.start : samples.stop].view(-1, x.shape[-1])
