"""Kept: arrays that are computed once and found again under all that they depend on, and bars that know of them."""

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from geomeld.dataset.files import atomic

Arrays = Mapping[str, NDArray]


def once(folder: Path | None, name: str, said: str, make: Callable[[], Arrays]) -> Arrays:
    """What `make` gives, made once and kept in `folder` (None: not kept) as a file that begins with `name`.

    `said`: all that the arrays depend on, not one of them called "said". A file that is damaged, or of something else,
    is made anew; what `make` raises is raised, and nothing is kept.
    """
    if folder is None:
        return make()
    path = folder / f"{name}-{sha256(said.encode()).hexdigest()[:16]}.npz"
    found = _load(path, said)
    if found is None:
        found = make()
        folder.mkdir(parents=True, exist_ok=True)
        with atomic(path) as file:
            np.savez(file, said=np.array(said), **found)  # type: ignore[arg-type]
    return found


def advance_kept(bar: tqdm, count: float) -> None:
    """Move a bar on by what was kept, which took no time: what is left is told by what is computed in this run."""
    if not bar.disable:
        bar.n += count
        bar.initial += count
        bar.last_print_n += count


def _load(path: Path, said: str) -> Arrays | None:
    """What was kept there; None where there is nothing, or it is damaged or of something else."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {key: held[key] for key in held.files if key != "said"} if str(held["said"]) == said else None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None
