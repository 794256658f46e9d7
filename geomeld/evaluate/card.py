"""Card: what tables and pages must know of a task when its images are no longer at hand."""

import io
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geomeld.core.draw import draw_words
from geomeld.core.errors import CorruptFile
from geomeld.dataset.files import write_atomically
from geomeld.evaluate.task import SPLITS, Task, TaskKind

SHOWN = 8
"""Test images that a page shows, at most."""
COLOURS = ("B4", "B3", "B2")


@dataclass(frozen=True)
class Card:
    """A task without its images, but for a few small pictures of test images."""

    name: str
    kind: TaskKind
    classes: int
    class_names: tuple[str, ...]
    size: int
    """Rows and columns of an image, pixels."""
    traps: tuple[str, ...]
    data: str
    """Fingerprint of the task."""
    splits: tuple[int, int, int]
    """Images of train, valid and test."""
    published: tuple[int, int, int] | None
    """What the published set has, where this is one; scores on other numbers of images do not stand beside others'."""
    partition: str
    shown: tuple[str, ...]
    """Names of the test images of `pictures`."""
    pictures: NDArray[np.uint8]
    """(shown, rows, columns, 3)."""

    def fingerprint(self) -> str:
        """Of the task."""
        return self.data

    @property
    def as_published(self) -> bool:
        """Whether scores may stand beside printed ones."""
        return self.partition == "default" and self.published == self.splits

    @property
    def simulated(self) -> bool:
        """Whether its images, or its labels, are of the simulated Earth."""
        return any("simulated Earth" in trap for trap in self.traps)

    def save(self, path: Path) -> None:
        """Write to one .npz file, whole or not at all."""
        said = {k: getattr(self, k) for k in self.__dataclass_fields__ if k != "pictures"} | {"kind": self.kind.name}
        held = io.BytesIO()
        np.savez_compressed(held, pictures=self.pictures, said=np.array(json.dumps(said)))
        write_atomically(path, held.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Card":
        """Read what `save` wrote. Raises CorruptFile for anything else."""
        try:
            with np.load(path, allow_pickle=False) as held:
                said = json.loads(str(held["said"]))
                for name in ("class_names", "traps", "splits", "shown"):
                    said[name] = tuple(said[name])
                said["published"] = tuple(said["published"]) if said["published"] else None
                said["kind"] = TaskKind[said["kind"]]
                return cls(pictures=held["pictures"], **said)
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise CorruptFile(f"{path} describes no task ({error}); remove it and run again.") from None


def card_of(task: Task) -> Card:
    """The card of a task, with pictures of up to SHOWN test images that are drawn by lot; no label is looked at."""
    test = task.names["test"]
    order = sorted(test, key=lambda name: draw_words(0, f"shown/{task.name}", name))
    shown = tuple(order[:SHOWN])
    record = getattr(task, "record", None)
    return Card(
        task.name,
        task.kind,
        task.classes,
        tuple(task.class_names),
        task.size,
        tuple(task.traps),
        task.fingerprint(),
        tuple(len(task.names[split]) for split in SPLITS),  # type: ignore[arg-type]
        getattr(record, "splits", None),
        getattr(task, "partition", "default"),
        shown,
        _pictures(task, shown),
    )


def _pictures(task: Task, names: tuple[str, ...]) -> NDArray[np.uint8]:
    """Red, green and blue where the task has them, else its first band; stretched over all pictures together."""
    if not names:
        return np.zeros((0, task.size, task.size, 3), np.uint8)
    wanted = [task.bands.index(b) for b in COLOURS if b in task.bands] or [0]
    planes = wanted if len(wanted) == 3 else wanted[:1] * 3
    read = np.stack([task.sample(name).values[planes] for name in names]).astype(np.float64)
    low, high = np.percentile(read, (2, 98), axis=(0, 2, 3), keepdims=True)
    shown = np.clip((read - low) / np.maximum(high - low, 1e-9), 0, 1) ** (1 / 1.4)
    return np.moveaxis(np.round(255 * shown), 1, -1).astype(np.uint8)
