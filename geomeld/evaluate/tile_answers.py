"""Tile answers: what a probe says of held-out tiles, kept with pictures of a few of them for pages."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from geomeld.core.draw import draw_words
from geomeld.core.errors import CorruptFile
from geomeld.dataset.files import write_atomically
from geomeld.figures.pictures import picture
from geomeld.loader import read_tiles
from geomeld.modalities import MODALITIES

if TYPE_CHECKING:  # what reads tiles needs this
    from geomeld.evaluate.tiles import Sides

SHOWN = 8
"""Held-out tiles that a page shows, at most."""
ENDING = ".answers.npz"


@dataclass(frozen=True)
class TileAnswers:
    """What the linear probe of one checkpoint says of the dominant land cover of held-out tiles."""

    checkpoint: str
    """First 12 digits of the weights' SHA-256."""
    data: str
    """Fingerprint of the dataset and of which of its tiles are tested."""
    classes: tuple[str, ...]
    truth: NDArray[np.int64]
    """(n,) places in `classes`."""
    given: NDArray[np.int64]
    """(n,) likewise."""
    shown: tuple[int, ...]
    """Which of the n are in `pictures`."""
    pictures: NDArray[np.uint8]
    """(shown, rows, columns, 3)."""

    def confusion(self, classes: Sequence[int]) -> NDArray[np.float64]:
        """(k, k) of `classes`, places in the whole list: of the tiles of the row's class, the share that was called the
        column's; 0 for a class that does not occur."""
        counts = np.array([[np.sum((self.truth == a) & (self.given == b)) for b in classes] for a in classes], float)
        return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def save(self, folder: Path) -> None:
        """Write to one .npz file in a folder, whole or not at all."""
        arrays = {name: getattr(self, name) for name in ("truth", "given", "pictures")}
        said = {k: getattr(self, k) for k in self.__dataclass_fields__ if k not in arrays}
        held = io.BytesIO()
        np.savez_compressed(held, said=np.array(json.dumps(said)), **arrays)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / f"{self.checkpoint}-{self.data}{ENDING}", held.getvalue())

    @classmethod
    def load(cls, path: Path) -> "TileAnswers":
        """Read what `save` wrote. Raises CorruptFile for anything else."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
                said = json.loads(str(held["said"]))
                said["classes"], said["shown"] = tuple(said["classes"]), tuple(said["shown"])
                return cls(truth=held["truth"], given=held["given"], pictures=held["pictures"], **said)
        except (OSError, KeyError, ValueError, TypeError, EOFError, BadZipFile) as error:
            raise CorruptFile(f"{path} holds no answers on tiles ({error}); remove it and evaluate again.") from None


def kept_answers(folder: Path) -> list[TileAnswers]:
    """All that lie in a folder. Raises CorruptFile for one that is damaged."""
    return [TileAnswers.load(path) for path in sorted(folder.glob(f"*{ENDING}"))]


def tile_answers(tiles: "Sides") -> TileAnswers | None:
    """The answers of a checkpoint with pictures of up to SHOWN tiles, which are drawn by their identifiers: the same
    ones for every checkpoint, and no label is looked at. None where no tile has a land cover."""
    cover = tiles.land_cover
    if cover is None:
        return None
    shown, pictures = _pictures(tiles, cover.tile_ids)
    return TileAnswers(tiles.checkpoint, tiles.tested, cover.classes, cover.truth, cover.probe, shown, pictures)


def _pictures(tiles: "Sides", tile_ids: Sequence[int]) -> tuple[tuple[int, ...], NDArray[np.uint8]]:
    """(places in `tile_ids`, their pictures) of the first tiles by lot that can be read."""
    spec = tiles.model.config.input
    shown, pictures = [], []
    for at in sorted(range(len(tile_ids)), key=lambda i: draw_words(0, "shown/tiles", tile_ids[i]))[: 2 * SHOWN]:
        for tile in read_tiles(tiles.dataset, [tile_ids[at]], [MODALITIES[spec.name]], {}):
            shown.append(at)
            pictures.append(picture(MODALITIES[spec.name], tile.layers[spec.name]))
        if len(shown) == SHOWN:
            break
    if not shown:
        return (), np.zeros((0, 1, 1, 3), np.uint8)
    return tuple(shown), np.round(255 * np.stack(pictures)).astype(np.uint8)
