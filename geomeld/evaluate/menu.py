"""Menu: the tasks that lie in folders, by name, each opened with the bands of the encoder that is to be evaluated."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from geomeld.core.errors import UsageError
from geomeld.dataset import Dataset
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.geobench import SETS, open_set
from geomeld.evaluate.geobench.reader import Fill
from geomeld.evaluate.geobench_v2 import open_set_v2, sets_in
from geomeld.evaluate.held_out import HeldOut
from geomeld.evaluate.task import Task
from geomeld.evaluate.tasks import QUESTIONS, not_asked, simulated_tasks
from geomeld.evaluate.tasks.places import input_layer
from geomeld.modalities import MODALITIES

Opener = Callable[[Encoder], Task]
"""An encoder -> the task with its bands. Raises UsageError where the bands do not fit."""


def geobench_tasks(
    folder: Path, partition: str = "default", neighbours: bool = False, cache: Path | None = None
) -> dict[str, Opener]:
    """Every set of GEO-Bench in `folder`: the benchmark's, that of one version of it, or that of one set; of version 2
    the sets that are read, from their tortilla files.

    `neighbours`: a band that a set lacks is replaced as MMEarth's evaluation does, where it does; otherwise it is
    masked for encoders that know of missing bands, and refused to others. `cache`: folder in which statistics of sets
    that hold none are kept. Raises UsageError where there is no set.
    """
    if folder.resolve().name in SETS:
        paths = [folder]
    else:
        paths = sorted(p for pattern in ("m-*", "*_v1.0/m-*") for p in folder.glob(pattern) if p.name in SETS)
    second = sets_in(folder)
    if not paths and not second:
        others = sorted(p.parent.name for p in folder.glob("*_v*/m-*"))
        hint = f"it holds sets of {others[0]}, and this reads version 1.0; fetch" if others else "fetch"
        raise UsageError(
            f"{folder} holds no set of GEO-Bench v1.0: {hint} one with `geomeld geobench fetch m-so2sat --out DIR`."
        )
    openers = {path.name: _opener(path, partition, neighbours) for path in paths}
    return openers | {name: partial(_opened_v2, name, path, partition, cache) for name, path in second.items()}


def _opened_v2(name: str, path: Path, partition: str, cache: Path | None, encoder: Encoder) -> Task:
    if partition != "default":
        raise UsageError(f"{name} is of GEO-Bench v2, which has no partitions; leave --partition out.")
    return open_set_v2(path, encoder.bands, fill="mask" if encoder.masks_bands else "refuse", cache=cache)


def _opener(path: Path, partition: str, neighbours: bool) -> Opener:
    def opened(encoder: Encoder) -> Task:
        replaced = neighbours and stands_in(path.name, encoder)
        fill: Fill = "neighbour" if replaced else "mask" if encoder.masks_bands else "refuse"
        return open_set(path, encoder.bands, partition=partition, fill=fill)

    return opened


def stands_in(name: str, encoder: Encoder) -> bool:
    """Whether a set of version 1 lacks bands of an encoder, and others of it can stand in for all of these."""
    record = SETS.get(name)
    lacking = set() if record is None else set(encoder.bands) - set(record.bands.values())
    return record is not None and bool(lacking) and lacking <= set(record.neighbours)


def simulated_menu(dataset: Dataset, held_out: HeldOut, cache: Path) -> tuple[dict[str, Opener], dict[str, str]]:
    """Tasks from the truth of the simulated Earth that a dataset was built on, tested on the tiles of `held_out`; and
    those for which there are too few tiles, each with that reason. Labels are kept in `cache`.

    Raises UsageError for a dataset of real places, DatasetError where a split is empty.
    """
    unasked = not_asked(dataset, held_out, cache)
    asked = (name for name in QUESTIONS if name not in unasked)
    return {name: partial(_with_bands, dataset, held_out, cache, name) for name in asked}, unasked


def _with_bands(dataset: Dataset, held_out: HeldOut, cache: Path, name: str, encoder: Encoder) -> Task:
    known = set(MODALITIES[input_layer()].bands)
    bands = tuple(band for band in encoder.bands if band in known)
    return simulated_tasks(dataset, held_out, cache, bands or None)[name]


Named = TypeVar("Named")


def chosen(menu: Mapping[str, Named], names: Sequence[str]) -> dict[str, Named]:
    """The tasks of these names, all without any. Raises UsageError for a name that is not there."""
    strangers = [name for name in names if name not in menu]
    if strangers:
        raise UsageError(f"There is no task {strangers[0]!r}; there are {', '.join(menu) or 'none'}.")
    return {name: menu[name] for name in names} if names else dict(menu)
