"""Choice: the held-out tiles by which the weights of a checkpoint folder were chosen, in chosen_by.json beside them."""

import json
from collections.abc import Iterable
from pathlib import Path

from geomeld.core.errors import CheckpointError
from geomeld.dataset.files import write_atomically

CHOSEN_BY = "chosen_by.json"


def note_choice(folder: Path, tile_ids: Iterable[int]) -> None:
    """Note that weights in `folder`, made if need be, are chosen by these tiles as well as by those noted before."""
    before = choice_of(folder) or frozenset()
    chosen = before.union(tile_ids)
    if chosen != before:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / CHOSEN_BY, (json.dumps({"tiles": sorted(chosen)}) + "\n").encode())


def choice_of(folder: Path) -> frozenset[int] | None:
    """The tiles that `note_choice` noted; None where there is no note. Raises CheckpointError for a damaged one."""
    path = folder / CHOSEN_BY
    try:
        return frozenset(int(tile_id) for tile_id in json.loads(path.read_text())["tiles"])
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"{path} does not say by which tiles the weights were chosen ({error!r}): copy it from the run again."
        ) from None
