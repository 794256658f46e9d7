"""Toy evaluation: a task that a few numbers decide and an encoder of a few weights, for tests of protocols."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from geomeld.core.draw import generator
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import SPLITS, Sample, TaskKind

RED, GREEN, BLUE = "B4", "B3", "B2"


@dataclass
class ToyTask:
    """Images whose classes differ in their mean colour, `counts` of them in train, valid and test."""

    kind: TaskKind = TaskKind.MULTICLASS
    counts: tuple[int, int, int] = (12, 6, 6)
    size: int = 8
    classes: int = 3
    bands: tuple[str, ...] = (BLUE, GREEN, RED)
    noise: float = 0.2
    """Deviation of each pixel; the colours of classes lie about 1 apart."""
    lacking: tuple[str, ...] = ()
    """Bands that are not valid in any image."""
    interrupt_at: int = -1
    """The read, counted from 0, at which Ctrl-C is pressed; -1 for never."""
    reads: list[str] = field(default_factory=list)
    """Names of the samples that were read, in order."""

    name = "toy"
    class_names: tuple[str, ...] = ()
    traps: tuple[str, ...] = ()

    @cached_property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """ "train-0", "train-1", ..."""
        counted = zip(SPLITS, self.counts, strict=True)
        return {split: tuple(f"{split}-{i}" for i in range(count)) for split, count in counted}

    @property
    def images(self) -> str:
        """Its own: no other task has them."""
        return f"{self.name}-{self.fingerprint()}"

    def sample(self, name: str) -> Sample:
        """A pure function of the name."""
        self.reads.append(name)
        if len(self.reads) == self.interrupt_at + 1:
            raise KeyboardInterrupt
        rng = generator(0, "toy", name)
        colours = generator(0, "toy", "colours").normal(size=(self.classes, len(self.bands)))
        number = int(name.split("-")[1])
        if self.kind is TaskKind.SEGMENTATION:
            label = (np.add.outer(np.arange(self.size) // 4, np.arange(self.size) // 4) + number) % self.classes
            image = colours[label].transpose(2, 0, 1)
        elif self.kind is TaskKind.MULTILABEL:
            label = rng.integers(0, 2, self.classes)
            image = np.broadcast_to((label @ colours)[:, None, None], (len(self.bands), self.size, self.size))
        else:
            label = np.array(number % self.classes)
            image = np.broadcast_to(colours[label][:, None, None], (len(self.bands), self.size, self.size))
        values = (image + self.noise * rng.normal(size=image.shape)).astype(np.float32)
        valid = np.array([band not in self.lacking for band in self.bands])
        values[~valid] = 0
        return Sample(name, values, valid, label.astype(np.int64))

    def own_scale(self) -> Scale:
        """Mean 0, deviation 1; NaN for bands that it lacks."""
        absent = np.array([np.nan if band in self.lacking else 0.0 for band in self.bands], np.float32)
        return Scale(self.bands, absent, absent + 1, "own")

    def pretraining_scale(self, mean: Sequence[float], std: Sequence[float]) -> Scale:
        """As it is told."""
        return Scale(self.bands, np.asarray(mean, np.float32), np.asarray(std, np.float32), "pretraining")

    def fingerprint(self) -> str:
        """Of its kind and counts."""
        return f"{self.kind.name}{self.counts}".ljust(12, "0")[:12]


class ToyEncoder(Encoder):
    """Two maps, of strides 2 and 4, with a residual block on each."""

    title, identity, width, widths, strides, multiple = "toy", "0123456789ab", 8, (6, 8), (2, 4), 4

    def __init__(self, bands: Sequence[str] = (BLUE, GREEN, RED), *, masks_bands: bool = True, seed: int = 0) -> None:
        super().__init__()
        self.bands, self.masks_bands = tuple(bands), masks_bands
        self.mean, self.std = (0.5,) * len(self.bands), (2.0,) * len(self.bands)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.stem = nn.Conv2d(len(self.bands), 6, 2, stride=2)
            self.fine = Residual(6)
            self.downsample = nn.Conv2d(6, 8, 2, stride=2)
            self.coarse = Residual(8)
            self.norm = nn.LayerNorm(8)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """(B, 6, H / 2, W / 2) and (B, 8, H / 4, W / 4)."""
        fine = self.fine(self.stem(images))
        return [fine, self.coarse(self.downsample(fine))]

    def pooled(self, images: Tensor) -> Tensor:
        """(B, 8)."""
        return self.norm(self.pyramid(images)[-1].mean(dim=(2, 3)))

    def depths(self) -> Sequence[Sequence[tuple[str, nn.Parameter]]]:
        """Stem, two blocks, norm."""
        parts = (("stem",), ("fine",), ("downsample", "coarse"), ("norm",))
        named = list(self.named_parameters())
        return [[(n, p) for n, p in named if n.split(".")[0] in part] for part in parts]

    def blocks(self) -> Sequence[nn.Module]:
        """Both."""
        return [self.fine, self.coarse]


class Residual(nn.Module):
    """x + tanh of a 1x1 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same."""
        return x + torch.tanh(self.conv(x))
