"""Encoder: any network that turns images into features and maps, ours or a peer's; what every protocol runs on."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class Encoder(nn.Module, ABC):
    """A pretrained network behind one adapter.

    Images come z-scored (B, bands, H, W), bands in the order of `bands`, 0 where a band is missing; any H and W. An
    adapter whose network wants multiples of `multiple` pixels is given images that are padded so (see `padded`).
    """

    title: str
    """What stands in a table, e.g. "GeoMeld-FM atto" or "timm resnet18"."""
    identity: str
    """First 12 digits of the weights' SHA-256; features are cached and scores kept under it."""
    bands: tuple[str, ...]
    """Bands it takes, by this project's names, in its own order."""
    mean: tuple[float, ...]
    """Of its pretraining data, reflectance x 10000, one per band; empty where unknown."""
    std: tuple[float, ...]
    width: int
    """Length of its features."""
    widths: tuple[int, ...]
    """Channels of its maps, fine to coarse."""
    strides: tuple[int, ...]
    """Pixels of the image per pixel of each map."""
    multiple: int
    """H and W of what the network itself is given are multiples of it."""
    masks_bands: bool
    """Whether it was trained to see 0 where a band is missing; others are refused tasks that lack one of its bands."""

    @abstractmethod
    def pooled(self, images: Tensor) -> Tensor:
        """(B, bands, H, W), H and W multiples of `multiple`, to features (B, width)."""

    @abstractmethod
    def pyramid(self, images: Tensor) -> list[Tensor]:
        """(B, bands, H, W), H and W multiples of `multiple`, to maps (B, widths[i], H / strides[i], W / strides[i])."""

    @abstractmethod
    def depths(self) -> Sequence[Sequence[tuple[str, nn.Parameter]]]:
        """Its named parameters in groups from input to output, for a learning rate that decays with depth."""

    def blocks(self) -> Sequence[nn.Module]:
        """Its residual blocks, from input to output: each gives its first input plus something of the same shape.
        Protocols with drop path skip them at random; an encoder that names none is trained without."""
        return ()

    def forward(self, images: Tensor) -> Tensor:
        """(B, bands, H, W) of any size to features (B, width)."""
        return self.pooled(padded(images, self.multiple))


def padded(images: Tensor, multiple: int) -> Tensor:
    """(B, C, H, W) with rows and columns mirrored on at the lower and right edge up to multiples of `multiple`.

    An image that is too small to be mirrored so far is repeated at its edge instead.
    """
    rows, columns = (-images.shape[-2]) % multiple, (-images.shape[-1]) % multiple
    if not rows and not columns:
        return images
    mode = "reflect" if rows < images.shape[-2] and columns < images.shape[-1] else "replicate"
    return F.pad(images, (0, columns, 0, rows), mode=mode)


def cropped(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The upper left `size` (rows, columns) of (B, C, H, W): `padded` undone."""
    return maps[..., : size[0], : size[1]]
