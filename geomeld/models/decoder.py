"""Decoder: the latent tokens of visible patches to one modality's map; each target has its own, nothing is shared."""

import torch
from torch import Tensor, nn

from geomeld.core.errors import ConfigError
from geomeld.models.encoder import Block, initialise
from geomeld.models.sites import Sites
from geomeld.models.spec import LayerSpec


class Decoder(nn.Module):
    """Project, put mask tokens at hidden patches, ConvNeXtV2 blocks, predict each patch's pixels (paper 4.2)."""

    def __init__(self, encoder_width: int, spec: LayerSpec, patch_metres: float, width: int, depth: int) -> None:
        """Raises ConfigError where the layer's pixels do not divide a patch."""
        super().__init__()
        self.side = round(patch_metres / spec.gsd)
        if self.side < 1 or abs(self.side * spec.gsd - patch_metres) > 1e-6:
            raise ConfigError(f"Layer {spec.name!r}: pixels of {spec.gsd} m do not divide a patch of {patch_metres} m.")
        self.channels = spec.channels
        self.proj = nn.Linear(encoder_width, width)
        self.mask_token = nn.Parameter(torch.empty(width))
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Linear(width, self.side**2 * self.channels)
        self.apply(initialise)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, tokens: Tensor, visible: Tensor, everywhere: Sites, wanted: Tensor | None = None) -> Tensor:
        """Tokens (B, n, d) at `visible` (B, n) to squares (B, m, channels, side, side) at the patches `wanted` (B, m).

        `everywhere` are the sites of all patches in row-major order, one per patch; without `wanted`, all of them are
        predicted. Channels are z-scored bands of a Continuous layer, class logits of a Categorical one.
        """
        latent = self.proj(tokens)
        batch, _, width = latent.shape
        patches = everywhere.visible.shape[1]
        x = self.mask_token.to(latent.dtype).expand(batch, patches, width)
        x = x.scatter(1, visible[:, :, None].expand(-1, -1, width), latent)
        for block in self.blocks:
            x = block(x, everywhere)
        if wanted is not None:
            x = x.gather(1, wanted[:, :, None].expand(-1, -1, width))
        x = self.head(x)  # channels fastest, and so they stay in memory
        return x.view(batch, -1, self.side, self.side, self.channels).permute(0, 1, 4, 2, 3)


def lay_out(squares: Tensor, grid: tuple[int, int]) -> Tensor:
    """Squares (B, patches, channels, side, side), row by row on the grid, to a map (B, channels, H, W)."""
    return squares.unflatten(1, grid).permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)
