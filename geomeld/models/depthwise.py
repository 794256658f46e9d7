"""Depthwise 7x7 convolution over the visible sites only: hidden sites count as zeros and are never computed."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from geomeld.models.mlp import on_plain_cpu
from geomeld.models.sites import REACH, Sites

WINDOW = 2 * REACH + 1


def depthwise(x: Tensor, weight: Tensor, bias: Tensor, sites: Sites) -> Tensor:
    """Convolve tokens (B, sites, C) with `weight` (C, 1, 7, 7) as if every hidden site of the map held zero.

    Returns (B, sites, C). In float32 on a CPU, compiled loops visit the visible neighbours of each site; elsewhere the
    tokens are scattered into the dense map, convolved there and gathered. Both give the same numbers up to rounding.
    """
    if on_plain_cpu(x, weight):
        return _VisibleDepthwise.apply(x.flatten(0, 1), weight, bias, sites).view_as(x)
    return dense_depthwise(x, weight, bias, sites)


def dense_depthwise(x: Tensor, weight: Tensor, bias: Tensor, sites: Sites) -> Tensor:
    """The same through the dense map (B, C, rows, columns): the fast way on a GPU, and the oracle."""
    dense = F.conv2d(sites.scatter(x), weight, bias, padding=REACH, groups=x.shape[-1])
    return sites.gather(dense)


class _VisibleDepthwise(torch.autograd.Function):
    """Forward and backward in compiled loops over (site, visible neighbour)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, sites: Sites) -> Tensor:
        x = x.contiguous()
        taps = weight.detach().reshape(x.shape[-1], -1).t().contiguous()
        ctx.save_for_backward(x, taps)
        ctx.sites = sites
        return _convolve(x, taps, bias.detach(), sites)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        (x, taps), sites, grad = ctx.saved_tensors, ctx.sites, grads[0].contiguous()
        grad_x = None
        if ctx.needs_input_grad[0]:
            # Visibility is mutual, so the adjoint is the same convolution with its taps turned by 180 degrees.
            grad_x = _convolve(grad, taps.flip(0), grad.new_zeros(grad.shape[-1]), sites)
        partial = np.zeros((sites.shape[0], *taps.shape), dtype=np.float32)
        arrays = (x.numpy(), grad.numpy(), sites.neighbours, sites.yx, partial)
        _in_threads(_correlate, sites.shape[0], *arrays)
        grad_weight = torch.from_numpy(partial.sum(0)).t().reshape(-1, 1, WINDOW, WINDOW)
        return grad_x, grad_weight, grad.sum(0), None


def _convolve(x: Tensor, taps: Tensor, bias: Tensor, sites: Sites) -> Tensor:
    out = torch.empty_like(x)
    arrays = (x.detach().numpy(), taps.numpy(), bias.numpy(), sites.neighbours, sites.yx, out.numpy())
    _in_threads(_visit, x.shape[0], *arrays)
    return out


def _in_threads(kernel: Callable[..., None], n: int, x: NDArray, *others: NDArray) -> None:
    """Run `kernel(x, *others, first, last)` over 0..n in up to torch's number of threads; kernels release the GIL.

    A thread is worth starting for a quarter of a million values; small pieces even out what other threads take away.
    """
    threads = min(torch.get_num_threads(), n, x.size >> 18)
    if threads < 2:
        kernel(x, *others, 0, n)
        return
    edges = np.linspace(0, n, min(n, 4 * threads) + 1).astype(int)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda ends: kernel(x, *others, *ends), pairwise(edges)))


@njit(nogil=True, cache=True, fastmath=True)
def _visit(x, taps, bias, neighbours, yx, out, first, last):  # type: ignore[no-untyped-def]  # pragma: no cover
    channels = x.shape[1]
    per_sample = yx.shape[1]
    for row in range(first, last):
        b, i = row // per_sample, row % per_sample
        y, x0 = yx[b, i, 0], yx[b, i, 1]
        for c in range(channels):
            out[row, c] = bias[c]
        for dy in range(7):
            for dx in range(7):
                other = neighbours[b, y + dy, x0 + dx]
                if other >= 0:
                    for c in range(channels):
                        out[row, c] += x[other, c] * taps[dy * 7 + dx, c]


@njit(nogil=True, cache=True, fastmath=True)
def _correlate(x, grad, neighbours, yx, partial, first, last):  # type: ignore[no-untyped-def]  # pragma: no cover
    channels = x.shape[1]
    per_sample = yx.shape[1]
    for b in range(first, last):
        for i in range(per_sample):
            row = b * per_sample + i
            y, x0 = yx[b, i, 0], yx[b, i, 1]
            for dy in range(7):
                for dx in range(7):
                    other = neighbours[b, y + dy, x0 + dx]
                    if other >= 0:
                        for c in range(channels):
                            partial[b, dy * 7 + dx, c] += x[other, c] * grad[row, c]
