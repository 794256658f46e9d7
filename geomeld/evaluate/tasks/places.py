"""Places: which tiles a task learns from, chooses by and is tested on, none of which share ground."""

from dataclasses import dataclass, replace

from geomeld.core.errors import DatasetError
from geomeld.core.modality import Timing
from geomeld.dataset import Dataset
from geomeld.evaluate.held_out import HeldOut, apart
from geomeld.modalities import MODALITIES

VALID = 0.2
"""Share of the tiles that pretraining has seen on which a task chooses its settings."""


@dataclass(frozen=True)
class Places:
    """Tiles by what they are for."""

    train: tuple[int, ...]
    """Labelled, to learn from; pretraining has seen their pixels, never the labels."""
    valid: tuple[int, ...]
    """Likewise, to choose by."""
    test: tuple[int, ...]
    """Held out of pretraining as well."""
    left_out: tuple[int, ...]
    """Tiles that share ground with one of another part, and those by which weights were chosen."""
    held_out: str
    """What `test` is, in words."""


def input_layer() -> str:
    """The layer that tasks show."""
    return next(n for n, m in MODALITIES.items() if m.timing is Timing.REFERENCE)


def places_of(dataset: Dataset, held_out: HeldOut) -> Places:
    """The tiles of a dataset: those on which what pretraining held out may be tested, and of those that it has seen one
    in five, by a draw of the same kind, for choosing. A tile of the choice that overlaps one to learn from is left
    out. Tiles without images are not counted.

    Raises DatasetError where a part is empty.
    """
    parts, split = held_out.parts(dataset, input_layer()), held_out.split
    chooses = replace(split, held_out=VALID, seed=split.seed + 1)
    position = {t: dataset.metadata(t) for t in parts.seen}
    drawn = [t for t in parts.seen if chooses.holds_out(t, float(position[t]["long"]), float(position[t]["lat"]))]
    chosen = set(drawn)
    train = [t for t in parts.seen if t not in chosen]
    valid = apart(dataset, drawn, train)
    kept_out = len(parts.test) + len(parts.chosen_by) + len(parts.shared)
    for name, tiles in (("train", train), ("valid", valid), ("test", parts.test)):
        if not tiles:
            raise DatasetError(
                f"{dataset.path} leaves no tile for {name}: of {len(dataset)}, {kept_out} are held out of "
                f"pretraining by {split.by}. Tasks need tiles on both sides; give a larger dataset.{parts.remedy}"
            )
    left_out = {*parts.chosen_by, *parts.shared, *chosen} - {*valid}
    return Places(tuple(train), tuple(valid), parts.test, tuple(sorted(left_out)), str(parts))
