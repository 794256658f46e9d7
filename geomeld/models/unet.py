"""U-Net: a decoder over the maps of any encoder, up to one score per class and pixel of the image."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geomeld.models.encoder import initialise

COARSEST_JOIN = 4
"""Pixels per pixel of the map that the image is joined to; a finest map that is coarser (a ViT's) is enlarged twofold,
with half the channels, until it is there: its hundreds of channels would cost too much at full resolution."""


class UNet(nn.Module):
    """From the coarsest map upwards: enlarge, convolve, join the next finer map; at last the image itself.

    MP-MAE's decoder (nearest neighbours, 3x3 convolution, LayerNorm over channels, GELU), written for maps of any
    widths and strides. Where that network takes a skip from the first convolution of its encoder, a patch stem has
    none: a 3x3 convolution of the image stands in, and belongs to the decoder.
    """

    def __init__(self, bands: int, widths: Sequence[int], strides: Sequence[int], classes: int) -> None:
        """`widths` and `strides` of the encoder's maps, fine to coarse.

        Raises ValueError where the two do not fit together.
        """
        super().__init__()
        if not widths or len(widths) != len(strides) or list(strides) != sorted(strides):
            raise ValueError(f"Maps of widths {tuple(widths)} and strides {tuple(strides)} are no pyramid.")
        # Every map is joined by as many channels as it has itself, so that neither drowns the other.
        width, joins = widths[-1], []
        for skip in reversed(widths[:-1]):
            joins.append(ConvNormAct(width, skip))
            width = 2 * skip
        finest, stride, climbs = widths[0], strides[0], []
        while stride > COARSEST_JOIN:
            finest, stride = max(1, finest // 2), stride // 2
            climbs.append(ConvNormAct(width, finest))
            width = finest
        self.joins, self.climbs = nn.ModuleList(joins), nn.ModuleList(climbs)
        self.up, self.image = ConvNormAct(width, finest), ConvNormAct(bands, finest)
        self.last = ConvNormAct(2 * finest, max(1, finest // 2))
        self.head = nn.Conv2d(max(1, finest // 2), classes, 1)
        self.apply(initialise)

    def forward(self, images: Tensor, maps: Sequence[Tensor]) -> Tensor:
        """Images (B, bands, H, W) and their maps, fine to coarse, to scores (B, classes, H, W)."""
        x = maps[-1]
        for join, skip in zip(self.joins, reversed(maps[:-1]), strict=True):
            x = torch.cat([join(enlarged(x, skip)), skip], dim=1)
        for climb in self.climbs:
            x = climb(F.interpolate(x, scale_factor=2, mode="nearest"))
        x = torch.cat([self.up(enlarged(x, images)), self.image(images)], dim=1)
        return self.head(self.last(x))


def enlarged(x: Tensor, other: Tensor) -> Tensor:
    """(B, C, h, w) at the rows and columns of `other` (B, C', H, W), each pixel repeated."""
    return F.interpolate(x, size=other.shape[-2:], mode="nearest")


class ConvNormAct(nn.Module):
    """3x3 convolution that keeps the size, LayerNorm over the channels of each pixel, GELU."""

    def __init__(self, before: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, channels, 3, padding=1)
        self.norm = nn.LayerNorm(channels, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        """(B, before, H, W) -> (B, channels, H, W)."""
        normed = self.norm(self.conv(x).permute(0, 2, 3, 1))
        return F.gelu(normed).permute(0, 3, 1, 2)
