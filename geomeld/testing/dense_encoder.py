"""The encoder run densely with the mask multiplied in after every layer: oracle of the tests, baseline of the bench."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geomeld.models.encoder import Block, ConvNeXtV2, Stage


def dense_masked(encoder: ConvNeXtV2, image: Tensor, visible: Tensor) -> Tensor:
    """(B, C, H, W) to the last stage's map (B, width, H / patch, W / patch), zero at hidden patches.

    Written as masked ConvNeXt usually is (ConvNeXt V2's own dense code, SparK): timm's order of operations on the
    whole map, channels first for convolutions and last for the rest. It shares `encoder`'s weights.
    """
    batch, _, height, width = image.shape
    rows, columns = height // encoder.patch, width // encoder.patch
    mask = image.new_zeros(batch, rows * columns).scatter_(1, visible, 1.0).view(batch, 1, rows, columns)
    masks = [mask.repeat_interleave(side, 2).repeat_interleave(side, 3) for side in (8, 4, 2, 1)]
    pixels = mask.repeat_interleave(encoder.patch, 2).repeat_interleave(encoder.patch, 3)
    conv, norm = encoder.stem.children()
    x = _conv(conv, image * pixels) * masks[0]
    x = _norm2d(norm, x) * masks[0]
    for i, stage in enumerate(encoder.stages):
        assert isinstance(stage, Stage)
        x = _stage(stage, x, masks[i - 1] if i else masks[0], masks[i])
    return x


def _stage(stage: Stage, x: Tensor, before: Tensor, mask: Tensor) -> Tensor:
    halving = list(stage.downsample.children())
    if halving:
        norm, conv = halving
        x = _norm2d(norm, x) * before
        x = _conv(conv, x) * mask
    for block in stage.blocks:
        assert isinstance(block, Block)
        x = _block(block, x, mask)
    return x


def _block(block: Block, x: Tensor, mask: Tensor) -> Tensor:
    y = block.conv_dw(x) * mask
    y = y.permute(0, 2, 3, 1)
    last = mask.permute(0, 2, 3, 1)
    y = block.norm(y) * last
    y = block.mlp.fc1(y) * last
    y = F.gelu(y) * last
    y = _grn(block, y) * last
    y = block.mlp.fc2(y) * last
    return x + y.permute(0, 3, 1, 2)


def _grn(block: Block, x: Tensor) -> Tensor:
    """GRN on (B, H, W, C); hidden sites are zero, so they add nothing to the norm."""
    grn = block.mlp.grn
    energy = x.norm(p=2, dim=(1, 2), keepdim=True)
    response = energy / (energy.mean(dim=-1, keepdim=True) + grn.eps)
    return x + torch.addcmul(grn.bias, grn.weight, x * response)


def _conv(conv: nn.Module, x: Tensor) -> Tensor:
    assert isinstance(conv, nn.Conv2d)
    return F.conv2d(x, conv.weight, conv.bias, stride=conv.stride)


def _norm2d(norm: nn.Module, x: Tensor) -> Tensor:
    return norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
