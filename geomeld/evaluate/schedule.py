"""Schedule: the learning rate along a training, and how it fades with the depth of an encoder."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LARGER_BATCHES = 256
"""Images that a base learning rate is for: the rate is base * batch / 256."""


def scaled_rate(base: float, batch: int) -> float:
    """The rate for steps of `batch` images from one per 256."""
    return base * batch / LARGER_BATCHES


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine from `peak` down to `last`."""

    peak: float
    last: float
    epochs: float
    """Length of the training; the last epoch ends at it."""
    warmup: float = 0.0
    """Epochs over which the rate rises from 0."""

    def at(self, epoch: float) -> float:
        """The rate when `epoch` epochs (a broken number within one) are done."""
        if epoch < self.warmup:
            return self.peak * epoch / self.warmup
        along = (epoch - self.warmup) / (self.epochs - self.warmup)
        return self.last + (self.peak - self.last) * 0.5 * (1 + math.cos(math.pi * along))


def depth_scales(depths: Sequence[Sequence[str]], decay: float, *, inverted: bool = False) -> dict[str, float]:
    """What the learning rate of every parameter of an encoder is multiplied by, by its name.

    `depths`: names in groups from input to output. The last group is 1, every group before it `decay` times the next.
    With `inverted`, as MP-MAE's script has it: the first group, its stem, is 1 as well, and the convolution between
    two stages (a name with "downsample") fades like the first block of the stage before it.
    """
    last = len(depths) - 1
    scales = {name: decay ** (last - i) for i, names in enumerate(depths) for name in names}
    if not inverted:
        return scales
    scales |= dict.fromkeys(depths[0], 1.0)
    stage_before = 1
    for i, names in enumerate(depths):
        between = [name for name in names if "downsample" in name]
        if between:
            scales |= dict.fromkeys(between, decay ** (last - stage_before))
            stage_before = i
    return scales
