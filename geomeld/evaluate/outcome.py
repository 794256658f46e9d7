"""Outcome: what a protocol predicted for the test images of a task; scores, tables and pictures are made from it."""

import io
import json
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import CorruptFile, TrainingError
from geomeld.dataset.files import write_atomically


@dataclass(frozen=True)
class Outcome:
    """One encoder, one task, one protocol, one seed. Test labels were read once, after everything was chosen."""

    task: str
    protocol: str
    """By its name in the table of protocols, e.g. "linear probe, paper"."""
    encoder: str
    """Its title."""
    identity: str
    """Of the encoder's weights."""
    data: str
    """Fingerprint of the task."""
    scale: str
    """Whose statistics normalised the images: "own" or "pretraining"."""
    seed: int
    names: tuple[str, ...]
    """The test samples, in order."""
    predicted: NDArray
    """Images: scores (n, classes) float32, the higher the likelier (one label of several is given above 0). Pixels:
    classes (n, rows, columns) uint8."""
    truth: NDArray
    """Labels: (n,), (n, classes) of 0 and 1, or (n, rows, columns) uint8."""
    chosen: dict[str, Any] = field(default_factory=dict)
    """What validation chose: hyper-parameters, epoch."""
    curve: tuple[dict[str, float], ...] = ()
    """Per epoch: "epoch", "loss" on training, "valid" score; empty where nothing is iterated."""

    def save(self, path: Path) -> None:
        """Write to one .npz file, whole or not at all; the same outcome gives the same bytes. Raises TrainingError for
        predictions that are not finite, which are never kept."""
        self.check_finite()
        said = {k: getattr(self, k) for k in self.__dataclass_fields__ if k not in ("predicted", "truth")}
        held = io.BytesIO()
        np.savez_compressed(held, predicted=self.predicted, truth=self.truth, said=np.array(json.dumps(said)))
        write_atomically(path, held.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Outcome":
        """Read what `save` wrote. Raises CorruptFile for anything else."""
        again = "remove it and run again."
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                said = json.loads(str(held["said"]))
                said["names"], said["curve"] = tuple(said["names"]), tuple(said["curve"])
                found = cls(predicted=held["predicted"], truth=held["truth"], **said)
        except (OSError, KeyError, ValueError, TypeError, EOFError, BadZipFile, zlib.error) as error:
            raise CorruptFile(f"{path} holds no outcome of an evaluation ({error}); {again}") from None
        try:
            found.check_finite()
        except TrainingError:
            raise CorruptFile(f"{path} holds predictions that are not finite; {again}") from None
        return found

    def check_finite(self) -> None:
        """Raises TrainingError for predictions that are not finite."""
        if not np.isfinite(self.predicted).all():
            raise TrainingError(
                f"{self.protocol} of {self.encoder} on {self.task} predicted numbers that are not finite, of images "
                "that are: its training diverged. Lower the learning rate, or look at the encoder's weights."
            )
