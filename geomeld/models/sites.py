"""Sites: where the visible tokens of one stage lie on its map."""

from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

REACH = 3
"""How far a 7x7 window reaches from its centre."""


@lru_cache(maxsize=16)
def z_order(side: int) -> NDArray[np.int64]:
    """(side * side, 2) rows and columns of a patch's sites in Z-order; `side` is a power of two.

    In this order each 2x2 square is four neighbours in memory, so halving the map is a view, never a copy.
    """
    index = np.arange(side * side)
    y, x = np.zeros_like(index), np.zeros_like(index)
    for bit in range(side.bit_length() - 1):
        x |= (index >> (2 * bit) & 1) << bit
        y |= (index >> (2 * bit + 1) & 1) << bit
    return np.stack([y, x], axis=1)


class Sites:
    """The sites of the visible patches at one stage, sample by sample, patch by patch, in Z-order inside a patch."""

    def __init__(self, visible: Tensor, grid: tuple[int, int], side: int) -> None:
        """`visible` (B, n) patch indices, row-major on the `grid` of patches; a patch has `side` x `side` sites."""
        self.visible = visible
        self.grid = grid
        self.side = side
        self.shape = (visible.shape[0], grid[0] * side, grid[1] * side)

    @cached_property
    def position(self) -> Tensor:
        """(B, n * side^2, 2) row and column of every token on its sample's map."""
        inside = torch.from_numpy(z_order(self.side)).to(self.visible.device)
        corner = torch.stack([self.visible // self.grid[1], self.visible % self.grid[1]], dim=-1) * self.side
        return (corner[:, :, None] + inside).flatten(1, 2)

    @cached_property
    def flat(self) -> Tensor:
        """(B * n * side^2,) index of every token into the flattened dense map (B, rows, columns)."""
        batch, height, width = self.shape
        sample = torch.arange(batch, device=self.visible.device)[:, None] * (height * width)
        return (sample + self.position[..., 0] * width + self.position[..., 1]).flatten()

    @cached_property
    def yx(self) -> NDArray[np.int64]:
        """`position` as a NumPy array, for compiled loops."""
        return self.position.numpy()

    @cached_property
    def neighbours(self) -> NDArray[np.int32]:
        """(B, rows + 6, columns + 6) the token at each place of the padded map, -1 where hidden or outside."""
        batch, height, width = self.shape
        table = np.full((batch, height + 2 * REACH, width + 2 * REACH), -1, dtype=np.int32)
        y, x = self.yx[..., 0], self.yx[..., 1]
        table[np.arange(batch)[:, None], y + REACH, x + REACH] = np.arange(y.size, dtype=np.int32).reshape(y.shape)
        return table

    def scatter(self, tokens: Tensor) -> Tensor:
        """Tokens (B, n * side^2, C) on the dense map (B, C, rows, columns), zero at hidden sites."""
        batch, height, width = self.shape
        dense = tokens.new_zeros(batch * height * width, tokens.shape[-1]).index_copy(
            0, self.flat, tokens.flatten(0, 1)
        )
        return dense.view(batch, height, width, -1).permute(0, 3, 1, 2)

    def gather(self, dense: Tensor) -> Tensor:
        """The dense map (B, C, rows, columns) at the visible sites: tokens (B, n * side^2, C)."""
        batch, channels = dense.shape[:2]
        rows = dense.permute(0, 2, 3, 1).reshape(-1, channels)
        return rows.index_select(0, self.flat).view(batch, -1, channels)
