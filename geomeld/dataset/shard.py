"""Shards: WebDataset tars of `<tile_id>.h5`, written whole or not at all."""

import io
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, BinaryIO

import h5py

from geomeld.core.tile import Tile
from geomeld.dataset.files import atomic
from geomeld.dataset.index import ShardIndex, index_path, load_index, make_index, save_index
from geomeld.dataset.sample import METADATA, encode, parse_metadata, put_metadata


def shard_name(number: int, with_naip: bool) -> str:
    """The published name: `geomeld-00004.tar`, or `geomeld-00004_n.tar` for tiles with NAIP imagery."""
    return f"geomeld-{number:05d}{'_n' if with_naip else ''}.tar"


def add_member(tar: tarfile.TarFile, tile_id: int, data: bytes) -> None:
    """Append one sample; owner, mode and time are fixed, so that the same tiles give the same bytes."""
    info = tarfile.TarInfo(f"{tile_id}.h5")
    info.size = len(data)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(data))


def open_tar(file: BinaryIO) -> tarfile.TarFile:
    """A tar to append members to."""
    return tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)


class ShardWriter:
    """A shard in the making: members are appended, and it appears under its name, with its index, at `finish`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tiles = 0
        self._stack = ExitStack()
        self._tar = self._stack.enter_context(open_tar(self._stack.enter_context(atomic(path))))

    def add(self, tile_id: int, data: bytes) -> None:
        """Append one sample."""
        add_member(self._tar, tile_id, data)
        self.tiles += 1

    def finish(self) -> ShardIndex:
        """Complete the shard and write its index."""
        self._stack.close()
        index = make_index(self.path)
        save_index(self.path, index)
        return index

    def abandon(self) -> None:
        """Leave nothing behind."""
        with suppress(_Abandoned), self._stack:
            raise _Abandoned


class _Abandoned(Exception):
    """Takes an unfinished file away on its way out."""


def write_shard(path: Path, tiles: Iterable[Tile]) -> ShardIndex:
    """Write tiles into a shard and its index beside it; the shard appears when it is complete."""
    writer = ShardWriter(path)
    try:
        for tile in tiles:
            writer.add(tile.tile_id, encode(tile))
    except BaseException:
        writer.abandon()
        raise
    return writer.finish()


def update_shard(path: Path, updates: Mapping[int, Mapping[str, Any]]) -> ShardIndex:
    """Rewrite a shard with entries of `updates` (by tile id) put into the members' metadata; arrays are copied."""
    index = load_index(path)
    with path.open("rb") as source, atomic(path) as file, open_tar(file) as tar:
        for member in index.members:
            source.seek(member.offset)
            data = source.read(member.size)
            change = updates.get(member.tile_id)
            add_member(tar, member.tile_id, with_metadata(data, change) if change else data)
        # The padded tar often keeps its size: no reader may meet the new shard with the old index.
        index_path(path).unlink(missing_ok=True)
    index = make_index(path)
    save_index(path, index)
    return index


def with_metadata(data: bytes, change: Mapping[str, Any]) -> bytes:
    """The bytes of a sample with entries of its metadata replaced. A fresh file, so that the result does not depend on
    how often it was changed before."""
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(data), "r") as old, h5py.File(buffer, "w", libver=("earliest", "v110")) as new:
        metadata = {**parse_metadata(old[METADATA][()]), **change}
        arrays = {name: dataset for name, dataset in old.items() if name != METADATA}
        for name in sorted(arrays, key=lambda n: arrays[n].id.get_offset() or 0):
            if arrays[name].chunks is None:
                new.create_dataset(name, data=arrays[name][()], track_times=False)
            else:
                old.copy(name, new)
        put_metadata(new, metadata)
    return buffer.getvalue()
