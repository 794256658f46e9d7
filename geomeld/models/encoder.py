"""ConvNeXtV2 that computes visible patches only; its weights carry timm's names for convnextv2_* with a patch stem."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geomeld.core.errors import ConfigError
from geomeld.models.depthwise import depthwise
from geomeld.models.mlp import Mlp
from geomeld.models.sites import Sites, z_order

Size = Literal["atto", "femto", "pico", "nano", "tiny", "base", "large", "huge"]

SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "atto": ((2, 2, 6, 2), (40, 80, 160, 320)),
    "femto": ((2, 2, 6, 2), (48, 96, 192, 384)),
    "pico": ((2, 2, 6, 2), (64, 128, 256, 512)),
    "nano": ((2, 2, 8, 2), (80, 160, 320, 640)),
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "huge": ((3, 3, 27, 3), (352, 704, 1408, 2816)),
}
"""Blocks and channels per stage (ConvNeXt V2, table 1 and appendix)."""


class Block(nn.Module):
    """ConvNeXtV2 block: depthwise 7x7 over visible sites, LayerNorm, Mlp, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.mlp = Mlp(channels)

    def forward(self, x: Tensor, sites: Sites) -> Tensor:
        """(B, sites, C) -> (B, sites, C)."""
        assert self.conv_dw.bias is not None
        y = depthwise(x, self.conv_dw.weight, self.conv_dw.bias, sites)
        return x + self.mlp(self.norm(y))


class SquareConv(nn.Conv2d):
    """A convolution whose stride is its size, on sites of which each k x k square lies together (Z-order)."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, sites, C) -> (B, sites / k^2, C')."""
        taps = self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(x.reshape(x.shape[0], -1, taps.shape[1]), taps, self.bias)


class Stage(nn.Module):
    """Halve the map (but for the first stage), then blocks."""

    def __init__(self, before: int | None, channels: int, depth: int) -> None:
        """`before` is the number of channels of the stage before, None for the first stage."""
        super().__init__()
        self.downsample: nn.Module = nn.Identity()
        if before is not None:
            self.downsample = nn.Sequential(nn.LayerNorm(before, eps=1e-6), SquareConv(before, channels, 2, stride=2))
        self.blocks = nn.ModuleList(Block(channels) for _ in range(depth))

    def forward(self, x: Tensor, sites: Sites) -> Tensor:
        """(B, sites, C) -> (B, sites / 4, C'), or (B, sites, C) in the first stage."""
        x = self.downsample(x)
        for block in self.blocks:
            x = block(x, sites)
        return x


class ConvNeXtV2(nn.Module):
    """The vision encoder (paper 4.2): patches of pixels to one token each, total stride `patch`.

    Only visible patches are computed, and exactly: depthwise convolutions see zeros at hidden sites; everything else
    runs on the visible tokens alone. With every patch visible it is the plain dense network.

    Weight names follow timm's convnextv2_* with stem_type="patch", patch_size=patch/8. timm halves the map once more
    in its first stage when that stride is 2; here the first stage never does, so that a patch of 16 pixels is one
    token. geomeld.models.timm_weights goes both ways.
    """

    def __init__(self, size: Size = "atto", in_channels: int = 12, patch: int = 16) -> None:
        """Raises ConfigError for an unknown size, or a patch that is no multiple of 8."""
        super().__init__()
        if size not in get_args(Size):
            raise ConfigError(f"There is no encoder of size {size!r}; sizes are {', '.join(get_args(Size))}.")
        if patch < 8 or patch % 8:
            raise ConfigError(f"The patch is {patch} pixels; it must be a multiple of 8 (three halvings and a stem).")
        depths, widths = SIZES[size]
        self.size, self.in_channels, self.patch, self.width = size, in_channels, patch, widths[-1]
        self.stem = nn.Sequential(
            SquareConv(in_channels, widths[0], patch // 8, stride=patch // 8), nn.LayerNorm(widths[0], eps=1e-6)
        )
        before = (None, *widths[:-1])
        self.stages = nn.ModuleList(Stage(b, w, d) for b, w, d in zip(before, widths, depths, strict=True))
        self.head = nn.ModuleDict({"norm": nn.LayerNorm(widths[-1], eps=1e-6)})
        self.apply(initialise)

    def forward(self, image: Tensor, visible: Tensor | None = None) -> Tensor:
        """(B, C, H, W) to tokens (B, n, width), one for each of the `visible` (B, n) patches, in their order.

        Patches are numbered row by row. Without `visible`, all patches. H and W are multiples of the patch; pixels
        of hidden patches are never read. Raises ValueError where the shape does not fit.
        """
        return self.stage_tokens(image, visible)[-1][0]

    def maps(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) to the maps of the four stages (B, C_i, H_i, W_i), fine to coarse, for dense prediction."""
        return [sites.scatter(tokens) for tokens, sites in self.stage_tokens(image, None)]

    def pool(self, tokens: Tensor) -> Tensor:
        """Tokens (B, n, width) to one vector (B, width): mean, then LayerNorm (eq. 6; timm's head)."""
        return self.head["norm"](tokens.mean(dim=1))

    def features(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to pooled features (B, width) of all patches."""
        return self.pool(self(image))

    def stage_tokens(self, image: Tensor, visible: Tensor | None) -> list[tuple[Tensor, Sites]]:
        """The tokens of every stage with the sites they lie on; see `forward`."""
        grid = self.grid(image)
        if visible is None:
            visible = torch.arange(grid[0] * grid[1], device=image.device).expand(image.shape[0], -1)
        x = self.stem(_squares(image, visible, self.patch))
        out = []
        for i, stage in enumerate(self.stages):
            sites = Sites(visible, grid, side=8 >> i)
            x = stage(x, sites)
            out.append((x, sites))
        return out

    def grid(self, image: Tensor) -> tuple[int, int]:
        """Rows and columns of patches of an image (B, C, H, W). Raises ValueError where it does not divide."""
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise ValueError(f"The encoder takes (B, {self.in_channels}, H, W), not {tuple(image.shape)}.")
        height, width = image.shape[2:]
        if height % self.patch or width % self.patch:
            raise ValueError(f"An image of {height} x {width} pixels does not divide into patches of {self.patch}.")
        return height // self.patch, width // self.patch


def _squares(image: Tensor, visible: Tensor, patch: int) -> Tensor:
    """The visible patches' pixels (B, n * 64 * k * k, C), k = patch / 8: the stem's squares in Z-order, rows inside."""
    batch, channels, height, width = image.shape
    k = patch // 8
    patches = image.reshape(batch, channels, height // patch, patch, width // patch, patch)
    patches = patches.permute(0, 2, 4, 3, 5, 1).flatten(1, 2)
    seen = patches[torch.arange(batch, device=image.device)[:, None], visible]
    seen = seen.reshape(batch, -1, 8, k, 8, k, channels).transpose(3, 4).flatten(4).flatten(2, 3)
    order = torch.from_numpy(z_order(8) @ [8, 1]).to(image.device)
    return seen[:, :, order].reshape(batch, -1, channels)


def initialise(module: nn.Module) -> None:
    """Truncated normal of standard deviation 0.02, zero biases (ConvNeXt V2's own)."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
