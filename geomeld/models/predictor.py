"""The JEPA predictor: from context tokens and positions to the teacher's tokens at other positions (paper eq. 4)."""

import math

import torch
from torch import Tensor, nn

from geomeld.models.encoder import initialise
from geomeld.models.transformer import TransformerBlock


class Predictor(nn.Module):
    """A narrow Transformer over context tokens and one query per target position.

    Attention rather than convolution, since context and targets are sets of positions: a window of a 7x7 convolution
    over the 8 x 8 map would mix in mask tokens, and each target is to look at all of the context at once.
    """

    def __init__(self, encoder_width: int, width: int = 256, depth: int = 3, heads: int = 4) -> None:
        super().__init__()
        self.embed = nn.Linear(encoder_width, width)
        self.query = nn.Parameter(torch.empty(width))
        self.blocks = nn.ModuleList(TransformerBlock(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, encoder_width)
        self.apply(initialise)
        nn.init.normal_(self.query, std=0.02)

    def forward(self, context: Tensor, visible: Tensor, targets: Tensor, grid: tuple[int, int]) -> Tensor:
        """Context tokens (B, n, d) at `visible` (B, n) to predictions (B, m, d) at `targets` (B, m).

        Indices count the patches of `grid` (rows, columns) row by row.
        """
        x = self.embed(context)
        places = grid_positions(grid, x.shape[-1]).to(x)
        queries = self.query.to(x.dtype) + places[targets]
        x = torch.cat([x + places[visible], queries], dim=1)
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x[:, context.shape[1] :]))


def grid_positions(grid: tuple[int, int], width: int) -> Tensor:
    """(rows * columns, width) fixed sine-cosine positions: half of the features for the row, half for the column."""
    rates = torch.exp(torch.arange(width // 4) * (-math.log(10_000.0) / (width // 4)))
    rows = torch.arange(grid[0])[:, None] * rates
    columns = torch.arange(grid[1])[:, None] * rates
    rows = torch.cat([rows.sin(), rows.cos()], dim=1)[:, None].expand(-1, grid[1], -1)
    columns = torch.cat([columns.sin(), columns.cos()], dim=1)[None].expand(grid[0], -1, -1)
    return torch.cat([rows, columns], dim=2).flatten(0, 1)
