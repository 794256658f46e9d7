"""Units: the places of one shard number, and the writing of their shards once all of them are settled."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from mmap import mmap
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from geomeld.build import spool
from geomeld.build.attempt import LayerRow, Outcome
from geomeld.build.ledger import Ledger
from geomeld.build.spool import Sample
from geomeld.core.errors import DatasetError
from geomeld.dataset.index import index_path, load_index
from geomeld.dataset.members import Array, Member
from geomeld.dataset.sample import decode
from geomeld.dataset.shard import ShardWriter, moved, shard_name
from geomeld.modalities import MODALITIES

J = TypeVar("J")
R = TypeVar("R")

PHOTOGRAPHS = (False, True)
"""Tiles with photographs have shards of their own, as in the published files."""


def write_unit(
    out: Path,
    unit: int,
    ledger: Ledger,
    tile_ids: NDArray[np.int64],
    folder: Path,
    sweeper: Executor,
    *,
    verify: bool = True,
) -> list[int]:
    """Write the shards of a unit: what is read comes from the spool, what is stored from the shard it is in.

    `tile_ids`: of all places, by position; `sweeper` takes samples away that are in their shard; `verify`: see
    `spool.get`. Returns the positions whose samples are gone; where there are any, no shard is touched. The same
    samples always give the same bytes.
    """
    rows = ledger.samples(unit)
    if all(sample is None for _, sample in rows):
        return []
    known = {m.tile_id: (path, m, photograph) for path, m, photograph in _members(out, unit)}
    writers: dict[bool, ShardWriter] = {}
    lost = []
    try:
        for position, part in _ahead(partial(_part, known, tile_ids, folder, verify), rows):
            if part is None:
                lost.append(position)
            elif not lost:
                if part.photograph not in writers:
                    writers[part.photograph] = ShardWriter(out / shard_name(unit, part.photograph))
                writers[part.photograph].add(int(tile_ids[position]), part.data, part.arrays)
        if lost:
            return lost
        for photograph in PHOTOGRAPHS:
            if photograph in writers:
                writers.pop(photograph).finish()
            else:
                _remove(out / shard_name(unit, photograph))
    finally:
        for writer in writers.values():
            writer.abandon()
    ledger.stored(unit)
    sweeper.submit(spool.drop, folder, [position for position, sample in rows if sample is not None])
    return []


@dataclass(frozen=True, slots=True)
class _Part:
    """What goes into a shard for one tile."""

    data: bytes | mmap
    arrays: Mapping[str, Array]
    photograph: bool


Known = Mapping[int, tuple[Path, Member, bool]]


def _part(
    known: Known, tile_ids: NDArray[np.int64], folder: Path, verify: bool, row: tuple[int, Sample | None]
) -> tuple[int, _Part | None]:
    """(position, part of its shard); None where the sample is gone."""
    position, sample = row
    if sample is not None:
        data = spool.get(folder, position, sample, verify=verify)
        return position, None if data is None else _Part(data, sample.arrays, sample.photograph)
    if int(tile_ids[position]) not in known:
        return position, None
    path, member, photograph = known[int(tile_ids[position])]
    return position, _Part(_bytes(path, member), moved(member.arrays, -member.offset), photograph)


def _ahead(work: Callable[[J], R], jobs: Iterable[J]) -> Iterator[R]:
    """`work(job)` for every job, in order, the next one under way while the last one is used."""
    waiting = iter(jobs)
    with ThreadPoolExecutor(1) as thread:
        flying = deque(thread.submit(work, job) for job in islice(waiting, 2))
        while flying:
            result = flying.popleft().result()
            flying.extend(thread.submit(work, job) for job in islice(waiting, 1))
            yield result


def take_stock(out: Path, ledger: Ledger, tile_ids: NDArray[np.int64], size: int) -> None:
    """Let the ledger know which shards are gone, and which tiles are in shards that it knows nothing of.

    Raises CorruptFile for a shard that is cut short, DatasetError for one that is not of this build.
    """
    for unit, photograph in ledger.shards():
        if not (out / shard_name(unit, photograph)).exists():
            ledger.lose(unit, photograph)
    units = range(-(-len(tile_ids) // size))
    foreign = {p.name for p in out.glob("*.tar")} - {shard_name(u, p) for u in units for p in PHOTOGRAPHS}
    if foreign:
        raise DatasetError(f"{out / min(foreign)} is no shard of this build; give an empty folder.")
    for unit in units:
        positions = {int(tile_ids[p]): p for p in range(unit * size, min((unit + 1) * size, len(tile_ids)))}
        found = []
        for path, member, photograph in _members(out, unit):
            if member.tile_id not in positions:
                raise DatasetError(f"{path} holds tile {member.tile_id}, which no build of this folder put there.")
            found.append((_adopted(path, member, positions[member.tile_id], ledger), photograph))
        ledger.adopt(unit, [(outcome, photograph) for outcome, photograph in found if outcome is not None])


def _members(out: Path, unit: int) -> Iterator[tuple[Path, Member, bool]]:
    for photograph in PHOTOGRAPHS:
        path = out / shard_name(unit, photograph)
        if path.exists():
            yield from ((path, member, photograph) for member in load_index(path).members)


def _adopted(path: Path, member: Member, position: int, ledger: Ledger) -> Outcome | None:
    """What a shard tells of a tile that the ledger knows nothing of."""
    if ledger.knows(position):
        return None
    layers = decode(_bytes(path, member), (), MODALITIES).metadata["layers"]
    rows = [LayerRow(name, "read", "", "", tuple(layer["scenes"])) for name, layer in layers.items()]
    return Outcome(position, member.tile_id, layers=tuple(rows))


def _bytes(path: Path, member: Member) -> bytes:
    with path.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size)


def _remove(shard: Path) -> None:
    for path in (shard, index_path(shard)):
        with suppress(FileNotFoundError):
            path.unlink()
