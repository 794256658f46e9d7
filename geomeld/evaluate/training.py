"""Training: how a head, and the encoder below it, are trained on a task; one field for every choice."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geomeld.core.draw import generator
from geomeld.core.errors import ConfigError, UsageError
from geomeld.evaluate.faults import MENDED, Faults
from geomeld.evaluate.schedule import Cosine, scaled_rate


@dataclass(frozen=True)
class Training:
    """AdamW under half a cosine, without augmentation. The paper states `epochs` and no other field."""

    epochs: int
    base_rate: float
    """Learning rate per 256 images of a step, at its peak. The paper is silent."""
    batch: int
    """Images that go through the network at once. The paper is silent."""
    accumulate: int = 1
    """Batches of one step. The paper is silent."""
    last_rate: float = 0.0
    """Learning rate at the end. The paper is silent."""
    warmup: float = 0.0
    """Epochs over which the rate rises from 0. The paper is silent."""
    weight_decay: float = 0.05
    """On weights of two or more dimensions. The paper is silent."""
    layer_decay: float = 1.0
    """The rate of each block of the encoder is this times that of the next. The paper is silent."""
    smoothing: float = 0.0
    """Of labels. The paper is silent."""
    drop_path: float = 0.0
    """Chance that the last residual block of the encoder is skipped; earlier ones less. The paper is silent."""
    frozen_epochs: int = 0
    """Epochs before the encoder begins to train; all of them in a linear probe. The paper is silent for its U-Net."""
    head_std: float = 0.02
    """Deviation of the last layer's first weights. The paper is silent."""
    new_norm: bool = False
    """Whether features are the mean of the last map behind a new LayerNorm, instead of the encoder's own features."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Of AdamW. The paper is silent."""
    faults: Faults = MENDED

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or self.accumulate < 1:
            raise ConfigError(
                f"A training of {self.epochs} epochs in steps of {self.batch} x {self.accumulate} images does not "
                "exist; each is at least 1."
            )

    @property
    def rate(self) -> Cosine:
        """The learning rate along the training."""
        peak = scaled_rate(self.base_rate, self.batch * self.accumulate)
        return Cosine(peak, self.last_rate, self.epochs, min(self.warmup, self.epochs))

    def lasting(self, epochs: int) -> "Training":
        """The same in another number of epochs, of which as large a share is frozen."""
        frozen = round(self.frozen_epochs * epochs / self.epochs)
        return replace(self, epochs=epochs, frozen_epochs=frozen, warmup=self.warmup * epochs / self.epochs)

    def steps(self, images: int, epoch: int, seed: int, name: str) -> list[list[NDArray[np.int64]]]:
        """Every step of an epoch: its batches of image numbers, in an order that depends on (seed, name, epoch) alone.

        An image that would be a batch of its own at the end of the epoch joins the batch before it: no norm over a
        batch can learn from one image. Raises UsageError where faults leave no step.
        """
        order = generator(seed, f"evaluate/order/{name}", epoch).permutation(images)
        batches = np.split(order, self._cuts(images))
        if self.faults.dropped_micro_batches:
            batches = [b for b in batches if len(b) == self.batch]
            batches = batches[: len(batches) // self.accumulate * self.accumulate]
        if not batches:
            raise UsageError(
                f"This protocol, as it was scripted, throws away what does not fill a step of {self.batch} x "
                f"{self.accumulate} images, and {name} has {images} for training: nothing would be trained. Take its "
                "mended form, or a larger part of the data."
            )
        return [batches[i : i + self.accumulate] for i in range(0, len(batches), self.accumulate)]

    def progress(self, images: int, epoch: int, step: int) -> float:
        """Epochs that are done before a step; batches that faults throw away count among those of an epoch."""
        whole = images // self.batch if self.faults.dropped_micro_batches else len(self._cuts(images)) + 1
        return epoch + step * self.accumulate / whole

    def _cuts(self, images: int) -> list[int]:
        """Where one batch of an epoch ends and the next begins."""
        cuts = list(range(self.batch, images, self.batch))
        alone = cuts and images - cuts[-1] == 1 < self.batch and not self.faults.dropped_micro_batches
        return cuts[:-1] if alone else cuts
