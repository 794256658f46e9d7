"""Labels: the answers for all tiles of a dataset, computed once and kept in a folder; what is there is not redone."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from geomeld.core.grid import Grid
from geomeld.core.pool import in_order
from geomeld.dataset import Dataset
from geomeld.dataset.files import atomic
from geomeld.evaluate.tasks.questions import QUESTIONS
from geomeld.sources.simulated.truth import truth

VERSION = 1
"""Counted up when an answer changes: labels kept by another version are not used."""
CHUNK = 64
"""Tiles per file."""

Answers = Mapping[str, Mapping[int, NDArray[np.uint8]]]
"""Question -> tile -> label; tiles that a question is not asked of are left out."""


@dataclass(frozen=True)
class _Chunk:
    """Some tiles, where they lie, and the file of their labels."""

    tile_ids: tuple[int, ...]
    grids: tuple[Grid, ...]
    path: Path


def labels_of(dataset: Dataset, tile_ids: Sequence[int], earth: int, cache: Path, workers: int = 1) -> Answers:
    """The answer to every question for every tile, kept in the folder `cache`; about 40 ms a tile where they are not.

    `earth`: seed of the simulated Earth. `workers`: processes.
    """
    cache.mkdir(parents=True, exist_ok=True)
    parts = (tuple(tile_ids[start : start + CHUNK]) for start in range(0, len(tile_ids), CHUNK))
    chunks = [_chunk(dataset, part, earth, cache) for part in parts]
    kept = {chunk.path: _load(chunk) for chunk in chunks}
    missing = [chunk for chunk in chunks if kept[chunk.path] is None]
    done = in_order(partial(_make, earth), missing, min(workers, len(missing)), preload=(__name__,))
    with tqdm(total=sum(len(c.tile_ids) for c in missing), desc="truth", unit="tile", disable=not missing) as bar:
        for count in done:
            bar.update(count)
    answers: dict[str, dict[int, NDArray[np.uint8]]] = {name: {} for name in QUESTIONS}
    for chunk in chunks:
        for name, tile_id, label in kept[chunk.path] or _load(chunk) or ():
            answers[name][tile_id] = label
    return answers


def _chunk(dataset: Dataset, tile_ids: tuple[int, ...], earth: int, cache: Path) -> _Chunk:
    grids = tuple(dataset.read(tile_id, []).grid for tile_id in tile_ids)
    key = json.dumps([VERSION, earth, tile_ids, [tuple(g) for g in grids]])
    return _Chunk(tile_ids, grids, cache / f"truth-{sha256(key.encode()).hexdigest()[:12]}.npz")


def _make(earth: int, chunk: _Chunk) -> int:
    """Compute a chunk's labels and write its file; the number of tiles."""
    asked: dict[str, NDArray] = {}
    found: dict[str, list[NDArray[np.uint8]]] = {name: [] for name in QUESTIONS}
    tiles: dict[str, list[int]] = {name: [] for name in QUESTIONS}
    for tile_id, grid in zip(chunk.tile_ids, chunk.grids, strict=True):
        land = truth(earth, grid)
        for name, question in QUESTIONS.items():
            label = question.answer(land)
            if label is not None:
                found[name].append(label)
                tiles[name].append(tile_id)
    for name in QUESTIONS:
        asked[f"{name}, tiles"] = np.array(tiles[name], np.int64)
        asked[name] = np.stack(found[name]) if found[name] else np.empty(0, np.uint8)
    with atomic(chunk.path) as file:
        np.savez_compressed(file, **asked)  # type: ignore[arg-type]
    return len(chunk.tile_ids)


def _load(chunk: _Chunk) -> list[tuple[str, int, NDArray[np.uint8]]] | None:
    """(question, tile, label) of a chunk's file; None where there is none, or a damaged one."""
    try:
        with chunk.path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return list(_rows(held))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def _rows(held: Mapping[str, NDArray]) -> Iterator[tuple[str, int, NDArray[np.uint8]]]:
    for name in QUESTIONS:
        for tile_id, label in zip(held[f"{name}, tiles"].tolist(), held[name], strict=True):
            yield name, tile_id, label
