"""Images of a task as an encoder wants them: its bands in its order, z-scored, read ahead of the network."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from geomeld.core.errors import CorruptFile, UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import Task

Statistics = Literal["own", "pretraining"]
"""Whose mean and deviation images are normalised by: the task's, or those that the encoder was trained with."""

AHEAD = 3
"""Batches that are read before they are asked for."""


class Source(Protocol):
    """What a network is given, by number, and the labels beside it."""

    def __len__(self) -> int: ...

    def read(self, at: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Inputs (B, ...) float32 and labels (B, ...) int64."""


@dataclass(frozen=True)
class Vectors:
    """Features that were computed before."""

    values: NDArray[np.float32]
    """(n, width)."""
    labels: NDArray[np.int64]
    """(n, ...)."""

    def __len__(self) -> int:
        return len(self.values)

    def read(self, at: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Features (B, width) and labels (B, ...)."""
        return torch.from_numpy(self.values[at]), torch.from_numpy(self.labels[at])


@dataclass(frozen=True)
class Images:
    """The images of one split. Nothing is read before it is asked for."""

    task: Task
    split: str
    scale: Scale
    bands: tuple[str, ...]
    """The encoder's."""
    masks_bands: bool
    """Whether the encoder may be shown 0 where a band is missing."""

    def __len__(self) -> int:
        return len(self.task.names[self.split])

    @cached_property
    def columns(self) -> list[int | None]:
        """Where each band of the encoder lies among the task's; None for one that it lacks."""
        return [self.task.bands.index(band) if band in self.task.bands else None for band in self.bands]

    def read(self, at: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Images (B, bands, H, W) and labels (B, ...). Raises what `Task.sample` raises, UsageError for bands that an
        image lacks where the encoder needs them, CorruptFile for values that normalised are not finite."""
        size = self.task.size
        images, labels = np.zeros((len(at), len(self.bands), size, size), np.float32), []
        for into, i in zip(images, at, strict=True):
            sample = self.task.sample(self.task.names[self.split][i])
            missing = [b for b, c in zip(self.bands, self.columns, strict=True) if c is None or not sample.valid[c]]
            if missing and not self.masks_bands:
                raise lacks(self.task, missing)
            scaled = self.scale(sample.values, sample.valid)
            for k, column in enumerate(self.columns):
                if column is not None:
                    into[k] = scaled[column]
            if not np.isfinite(into).all():
                raise CorruptFile(
                    f"{self.task.name}: {sample.name} holds values that are not finite once they are normalised by "
                    f"{self.scale.source} statistics; look at its pixels and at those."
                )
            labels.append(sample.label)
        return torch.from_numpy(images), torch.from_numpy(np.stack(labels))


def images_for(encoder: Encoder, task: Task, split: str, scale: Scale) -> Images:
    """The images of a split for an encoder.

    Raises UsageError for a split without images, and for bands that the task lacks where the encoder needs them.
    """
    if not task.names[split]:
        raise UsageError(f"{task.name} has no image in its split {split!r}; choose another set.")
    missing = [band for band in encoder.bands if band not in task.bands]
    if len(missing) == len(encoder.bands) or (missing and not encoder.masks_bands):
        raise lacks(task, missing)
    return Images(task, split, scale, encoder.bands, encoder.masks_bands)


def lacks(task: Task, missing: Sequence[str]) -> UsageError:
    """The error for bands that an encoder needs."""
    return UsageError(
        f"{task.name} has no band {', '.join(missing)}, which the encoder needs and was not trained to do without; "
        "evaluate an encoder of the bands that are there, or let neighbours stand in where the task can (--neighbours)."
    )


def scale_for(encoder: Encoder, task: Task, statistics: Statistics) -> Scale:
    """Normalisation of the task's bands by its own statistics, or by the encoder's.

    Raises UsageError where the encoder's are not known, or the task's values are in no known unit.
    """
    if statistics == "own":
        return task.own_scale()
    if not encoder.mean:
        raise UsageError(f"Nobody knows what {encoder.title} was normalised by in pretraining; use the task's own.")
    known = dict(zip(encoder.bands, zip(encoder.mean, encoder.std, strict=True), strict=True))
    rows = [known.get(band, (np.nan, np.nan)) for band in task.bands]
    return task.pretraining_scale([mean for mean, _ in rows], [std for _, std in rows])


def ahead(source: Source, batches: Iterable[NDArray[np.int64]]) -> Iterator[tuple[Tensor, Tensor]]:
    """Every batch, in order, read by a thread while the one before is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming = iter(batches)
        waiting = deque(reader.submit(source.read, at) for at in islice(coming, AHEAD))
        try:
            while waiting:
                done = waiting.popleft().result()
                waiting.extend(reader.submit(source.read, at) for at in islice(coming, 1))
                yield done
        finally:
            for future in waiting:
                future.cancel()
