"""Which patches of a tile the encoder sees: keyed draws, the same whatever batch or worker a tile falls to."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from geomeld.core.draw import generator

MASK_RATIO = 0.7
"""Share of patches that are hidden (paper 5.1)."""


def visible_count(patches: int, ratio: float = MASK_RATIO) -> int:
    """How many patches stay visible: the whole part of patches * (1 - ratio), at least 1 (19 of 64 at 0.7)."""
    return max(1, math.floor(patches * (1 - ratio) + 1e-9))


def visible_patches(
    tile_ids: Sequence[int], epoch: int, *, patches: int = 64, ratio: float = MASK_RATIO, seed: int = 0
) -> Tensor:
    """(B, visible_count) indices of visible patches in ascending order, drawn by (seed, tile, epoch)."""
    n = visible_count(patches, ratio)
    rows = [np.sort(generator(seed, "mask", f"{tile}|{epoch}").permutation(patches)[:n]) for tile in tile_ids]
    return torch.from_numpy(np.stack(rows))


def complement(visible: Tensor, patches: int) -> Tensor:
    """(B, patches - n) the other patches of each sample, in ascending order."""
    hidden = torch.ones(visible.shape[0], patches, dtype=torch.bool, device=visible.device)
    hidden.scatter_(1, visible, False)
    return hidden.nonzero()[:, 1].view(visible.shape[0], -1)
