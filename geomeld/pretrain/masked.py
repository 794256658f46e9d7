"""MaskedBatch: tiles together with the patches of each that the encoder sees."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from geomeld.batch import Batch
from geomeld.pretrain.masking import complement, visible_patches


@dataclass(frozen=True)
class MaskedBatch:
    """What the objectives are computed from; masks belong to (seed, tile, epoch), so a part is masked as the whole."""

    batch: Batch
    visible: Tensor
    """(B, n) indices of visible patches, row by row on the grid, ascending."""
    grid: tuple[int, int]
    """Patches per column and row."""
    step: int = 0
    """Which step of the run it belongs to."""

    @classmethod
    def draw(
        cls, batch: Batch, image: str, patch: int, epoch: int, *, ratio: float, seed: int, step: int = 0
    ) -> "MaskedBatch":
        """Mask a batch whose encoder input is the layer `image`, in patches of `patch` pixels."""
        rows, columns = (side // patch for side in batch.values[image].shape[-2:])
        visible = visible_patches(batch.tile_ids, epoch, patches=rows * columns, ratio=ratio, seed=seed)
        return cls(batch, visible, (rows, columns), step)

    def __len__(self) -> int:
        """Number of tiles."""
        return len(self.batch)

    @property
    def hidden(self) -> Tensor:
        """(B, patches - n) indices of the other patches, ascending."""
        return complement(self.visible, self.grid[0] * self.grid[1])

    def image(self, name: str) -> Tensor:
        """The layer `name` with 0, the mean, at invalid pixels: what encoders see."""
        return self.batch.values[name].masked_fill(~self.batch.valid[name], 0)

    def counted(self, name: str) -> Tensor:
        """Bool in the shape of layer `name`: the valid pixels of hidden patches, Omega_m of eq. 9 and 10."""
        valid = self.batch.valid[name]
        return valid & hidden_pixels(self.visible, self.grid, valid.shape[-1] // self.grid[1])

    def squares(self, name: str) -> tuple[Tensor, Tensor]:
        """Values and validity of layer `name` at the hidden patches, each (B * m, bands, side, side), channels last."""
        hidden = self.hidden
        return _at(self.batch.values[name], hidden, self.grid), _at(self.batch.valid[name], hidden, self.grid)

    def part(self, start: int, stop: int) -> "MaskedBatch":
        """The tiles start..stop-1 (views, no copies)."""
        return MaskedBatch(self.batch.part(start, stop), self.visible[start:stop], self.grid, self.step)

    def parts(self, size: int) -> Sequence["MaskedBatch"]:
        """The batch in parts of at most `size` tiles; one part where it has no tile at all."""
        return [self.part(first, first + size) for first in range(0, max(len(self), 1), size)]

    def to(self, device: torch.device) -> "MaskedBatch":
        """The same on another device."""
        return MaskedBatch(self.batch.to(device), self.visible.to(device, non_blocking=True), self.grid, self.step)


def _at(x: Tensor, patches: Tensor, grid: tuple[int, int]) -> Tensor:
    """(B, C, H, W) at `patches` (B, m) of the grid: (B * m, C, side, side)."""
    x = x.unflatten(3, (grid[1], -1)).unflatten(2, (grid[0], -1)).permute(0, 2, 4, 3, 5, 1).flatten(1, 2)
    sample = torch.arange(len(x), device=x.device)[:, None]
    return x[sample, patches].flatten(0, 1).permute(0, 3, 1, 2)


def hidden_pixels(visible: Tensor, grid: tuple[int, int], side: int) -> Tensor:
    """(B, 1, rows * side, columns * side) bool: pixels of hidden patches, for a layer of `side` pixels per patch."""
    hidden = torch.ones(visible.shape[0], grid[0] * grid[1], dtype=torch.bool, device=visible.device)
    hidden = hidden.scatter_(1, visible, False).view(-1, 1, *grid)
    return hidden.repeat_interleave(side, 2).repeat_interleave(side, 3)
