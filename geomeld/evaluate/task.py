"""Task: labelled images in three splits, whoever made them; what every protocol of evaluation runs on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import CorruptFile, UsageError
from geomeld.evaluate.scale import Scale

SPLITS = ("train", "valid", "test")
SIMULATED_MARK = "simulated.json"
"""File beside a set, or the end of its name, that says: written from the simulated Earth in the form of the set."""
SIMULATED = "images and labels are of the simulated Earth, in the form of the set"
"""What such a set says first."""


def simulated_traps(traps: Sequence[str]) -> tuple[str, ...]:
    """What one should know of a set that was written from the simulated Earth in the form of a real one, of which
    `traps` are known."""
    return (SIMULATED, *(f"of the real set: {trap}" for trap in traps))


class TaskKind(Enum):
    """What is asked of an image."""

    MULTICLASS = "one class per image"
    MULTILABEL = "any number of classes per image"
    SEGMENTATION = "one class per pixel"


@dataclass(frozen=True)
class Sample:
    """One image and its label."""

    name: str
    values: NDArray[np.float32]
    """(bands, rows, columns), reflectance x 10000 where the task's unit is known; 0 in bands that are not valid."""
    valid: NDArray[np.bool_]
    """(bands,): which bands the image has."""
    label: NDArray[np.int64]
    """() a class, (classes,) zeros and ones, or (rows, columns) a class per pixel."""


class Task(Protocol):
    """A set of labelled images of one size."""

    @property
    def name(self) -> str:
        """Short and unique, such as "m-so2sat"; stands beside every score."""

    @property
    def kind(self) -> TaskKind:
        """What is asked."""

    @property
    def classes(self) -> int:
        """Number of classes."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """In order of the classes; empty where nobody tells."""

    @property
    def size(self) -> int:
        """Rows and columns of every image, pixels."""

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands of `Sample.values`, in order."""

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Samples of "train", "valid" and "test", in an order that never changes."""

    @property
    def traps(self) -> tuple[str, ...]:
        """What one should know before believing a score."""

    @property
    def images(self) -> str:
        """What its images are called, whatever is asked of them: tasks of the same images share features."""

    def sample(self, name: str) -> Sample:
        """One sample by its name. Raises CorruptFile where it cannot be read, or its pixels are not all numbers."""

    def own_scale(self) -> Scale:
        """Normalisation by the task's own statistics (of its training images)."""

    def pretraining_scale(self, mean: Sequence[float], std: Sequence[float]) -> Scale:
        """Normalisation by an encoder's statistics, one per band. Raises UsageError where the unit is not known."""

    def fingerprint(self) -> str:
        """First 12 digits of a SHA-256 over what the scores depend on: names, splits and labels' source."""


def refuse_gaps(values: NDArray[np.float32], bands: Sequence[str], where: str, again: str) -> None:
    """Raises CorruptFile where pixels (bands, rows, columns) are not all numbers: sets of images have no gaps, so no
    encoder is shown one, whatever it knows of missing bands. `where`: the file, `again`: what to do."""
    if not (numbers := np.isfinite(values)).all():
        bad = [band for band, fine in zip(bands, numbers.all((1, 2)), strict=True) if not fine]
        count = f"{(~numbers).sum():,} of {values.size:,}"
        raise CorruptFile(f"{where}: {count} pixels are not numbers (in {', '.join(bad)}); {again}.")


def no_such_bands(
    name: str, lacking: Sequence[str], bands: Sequence[str], *, some: bool, neighbours: Sequence[str] = ()
) -> UsageError:
    """The error for bands that a set lacks, which has these `bands`. `some`: whether it has others that were asked for.
    `neighbours`: bands that others of it can stand in for."""
    return UsageError(
        f"{name} has no band {', '.join(lacking) or 'that was asked for'}; it has {', '.join(bands)}. Evaluate an "
        "encoder of bands that are there (where it leaves a choice, name them at its end: random:atto:B4,B3,B2)"
        + (', or one that knows of missing bands, such as a checkpoint (fill="mask")' if some else "")
        + (f', or say --neighbours (fill="neighbour") for {", ".join(neighbours)}' if neighbours else "")
        + "."
    )
