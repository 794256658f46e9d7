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

    def forward(self, tokens: Tensor, visible: Tensor, everywhere: Sites) -> Tensor:
        """Tokens (B, n, d) at `visible` (B, n) to a map (B, channels, H, W).

        `everywhere` are the sites of all patches in row-major order, one per patch. Channels are z-scored bands of a
        Continuous layer, class logits of a Categorical one.
        """
        rows, columns = everywhere.grid
        squares = self._squares(self._decode(tokens, visible, everywhere)).unflatten(1, (rows, columns))
        return squares.permute(0, 3, 1, 4, 2, 5).reshape(-1, self.channels, rows * self.side, columns * self.side)

    def at(self, wanted: Tensor, tokens: Tensor, visible: Tensor, everywhere: Sites) -> Tensor:
        """Squares (B, m, channels, side, side) of the same map at the patches `wanted` (B, m) alone.

        Losses need no more than the hidden patches, and so neither the other predictions nor a map to lay them on.
        """
        x = self._decode(tokens, visible, everywhere)
        return self._squares(x.gather(1, wanted[:, :, None].expand(-1, -1, x.shape[2])))

    def _decode(self, tokens: Tensor, visible: Tensor, everywhere: Sites) -> Tensor:
        """(B, patches, width) before the head."""
        latent = self.proj(tokens)
        batch, _, width = latent.shape
        patches = everywhere.visible.shape[1]
        x = self.mask_token.to(latent.dtype).expand(batch, patches, width)
        x = x.scatter(1, visible[:, :, None].expand(-1, -1, width), latent)
        for block in self.blocks:
            x = block(x, everywhere)
        return x

    def _squares(self, x: Tensor) -> Tensor:
        """(B, m, width) to (B, m, channels, side, side), a view of the head's output, channels fastest."""
        x = self.head(x)
        return x.view(*x.shape[:2], self.side, self.side, self.channels).permute(0, 1, 4, 2, 3)
