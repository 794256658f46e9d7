"""Spectrum: what can be read off pixels without any network, as an encoder; the floor that a network has to clear."""

from collections.abc import Sequence
from hashlib import sha256

import torch
from torch import Tensor, nn

from geomeld.evaluate.encoder import Encoder


class Spectrum(Encoder):
    """The mean and the deviation of every band as features, the image itself as its only map. Nothing to train."""

    masks_bands = True
    mean = std = ()
    multiple = 1
    strides = (1,)

    def __init__(self, bands: Sequence[str]) -> None:
        """`bands`: those that it is fed, in their order."""
        super().__init__()
        self.title, self.bands = "mean spectrum", tuple(bands)
        self.identity = sha256(f"spectrum {self.bands}".encode()).hexdigest()[:12]
        self.width, self.widths = 2 * len(self.bands), (len(self.bands),)

    def pooled(self, images: Tensor) -> Tensor:
        """(B, bands, H, W) to (B, 2 * bands): means, then deviations."""
        deviations, means = torch.std_mean(images, dim=(2, 3), correction=0)
        return torch.cat([means, deviations], dim=1)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The image."""
        return [images]

    def depths(self) -> Sequence[Sequence[tuple[str, nn.Parameter]]]:
        """None: it has no weights."""
        return ()
