"""Prediction: the maps that the decoders make of an image, every patch from passes in which it is hidden."""

import numpy as np
import torch
from torch import Tensor

from geomeld.core.draw import generator
from geomeld.core.errors import UsageError
from geomeld.models.geomeld_fm import GeoMeldFM, lay_out

PASSES = 3
"""Each shows one part of the patches, as many as pretraining does (a third, at a mask ratio of 2/3)."""


def predicted(model: GeoMeldFM, images: Tensor, passes: int = PASSES) -> dict[str, Tensor]:
    """Images (B, bands, H, W) of z-scores to a map (B, channels, H, W) per target, in its z-scores or logits.

    The loss of reconstruction is of hidden patches alone (paper section 4.3): what a decoder says of a patch that the
    encoder has seen was never trained and means nothing. So every pass shows another part of the patches, drawn once,
    and a patch is the mean of the passes that did not see it. Raises UsageError for fewer than two passes, which leave
    patches that are never hidden, and for more than there are patches.
    """
    grid = model.encoder.grid(images)
    patches = grid[0] * grid[1]
    if not 2 <= passes <= patches:
        raise UsageError(f"{passes} passes over {patches} patches; give at least 2, and at most one per patch.")
    order = generator(0, "prediction", f"{grid[0]} x {grid[1]}").permutation(patches)
    total: dict[str, Tensor] = {}
    for part in np.array_split(order, passes):
        shown = torch.from_numpy(np.sort(part)).to(images.device)
        visible = shown.expand(len(images), -1)
        hidden = torch.ones(patches, device=images.device).index_fill(0, shown, 0.0)[:, None, None, None]
        for name, squares in model.decode_at(None, model.encoder(images, visible), visible, grid).items():
            total[name] = squares * hidden if name not in total else total[name] + squares * hidden
    return {name: lay_out(squares / (passes - 1), grid) for name, squares in total.items()}
