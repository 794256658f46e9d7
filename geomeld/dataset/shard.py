"""Shards: WebDataset tars of `<tile_id>.h5`, written whole or not at all."""

import hashlib
import io
import math
import os
import tarfile
from collections import deque
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import replace
from mmap import mmap
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np
from numpy.typing import NDArray

from geomeld.core.tile import Tile
from geomeld.dataset.files import atomic
from geomeld.dataset.index import ShardIndex, index_path, load_index, save_index
from geomeld.dataset.members import HDF5, Array, Member, locate_arrays
from geomeld.dataset.sample import LIBRARY, METADATA, encode, parse_metadata, put_metadata

BEHIND = 8
"""Most writes that the checksum may be behind, so that their bytes fit in memory."""

SYNC_EVERY = 1 << 24
"""Bytes after which the disk is set to work while more are written, so that little is left to wait for at the end."""


def shard_name(number: int, with_naip: bool) -> str:
    """The published name: `geomeld-00004.tar`, or `geomeld-00004_n.tar` for tiles with NAIP imagery."""
    return f"geomeld-{number:05d}{'_n' if with_naip else ''}.tar"


def add_member(tar: tarfile.TarFile, tile_id: int, data: bytes | mmap) -> None:
    """Append one sample; owner, mode and time are fixed, so that the same tiles give the same bytes."""
    info = tarfile.TarInfo(f"{tile_id}.h5")
    info.size = len(data)
    info.mode = 0o644
    # Straight from where the bytes are: `addfile` would read them out of a file first.
    for part in (info.tobuf(tarfile.USTAR_FORMAT), data, bytes(-len(data) % tarfile.BLOCKSIZE)):
        tar.fileobj.write(part)  # type: ignore[union-attr, arg-type]
        tar.offset += len(part)


def open_tar(file: BinaryIO) -> tarfile.TarFile:
    """A tar to append members to."""
    return tarfile.TarFile(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT, copybufsize=1 << 24)


class ShardWriter:
    """A shard in the making: members are appended, and it appears under its name, with its index, at `finish`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tiles = 0
        self._members: list[Member] = []
        self._stack = ExitStack()
        self._hashed = self._stack.enter_context(_Hashed(self._stack.enter_context(atomic(path))))
        self._tar = self._stack.enter_context(open_tar(self._hashed))  # type: ignore[arg-type]

    def add(self, tile_id: int, data: bytes | mmap, arrays: Mapping[str, Array] | None = None) -> None:
        """Append one sample; `arrays` says where its arrays lie from its first byte, where that is known already."""
        start = self._tar.offset + tarfile.BLOCKSIZE
        add_member(self._tar, tile_id, data)
        self._members.append(Member(tile_id, start, len(data), moved(arrays or locate_arrays(bytes(data), 0), start)))
        self.tiles += 1

    def finish(self) -> ShardIndex:
        """Complete the shard and write its index."""
        # The padded tar often keeps its size: no reader may meet the new shard with an index of an old one.
        index_path(self.path).unlink(missing_ok=True)
        self._stack.close()
        index = ShardIndex(self._hashed.size, self._hashed.digest.hexdigest(), tuple(self._members))
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
    old, members = load_index(path), []
    with path.open("rb") as source, atomic(path) as file:
        with _Hashed(file) as hashed, open_tar(hashed) as tar:  # type: ignore[arg-type]
            for member in old.members:
                source.seek(member.offset)
                data = source.read(member.size)
                if member.problem:
                    members.append(_copied(tar, member, data))
                    continue
                data, arrays = with_metadata(data, member, updates.get(member.tile_id))
                start = tar.offset + tarfile.BLOCKSIZE
                add_member(tar, member.tile_id, data)
                members.append(Member(member.tile_id, start, len(data), moved(arrays, start)))
        # The padded tar often keeps its size: no reader may meet the new shard with the old index.
        index_path(path).unlink(missing_ok=True)
    index = ShardIndex(hashed.size, hashed.digest.hexdigest(), tuple(members))
    save_index(path, index)
    return index


def _copied(tar: tarfile.TarFile, member: Member, data: bytes) -> Member:
    """A damaged member as it was: nobody can tell what it held."""
    if member.form == HDF5:
        add_member(tar, member.tile_id, data)
        start = tar.offset - len(data) - -len(data) % tarfile.BLOCKSIZE
    else:  # tar headers and all
        start, padded = tar.offset, data + bytes(-len(data) % tarfile.BLOCKSIZE)
        tar.fileobj.write(padded)  # type: ignore[union-attr]
        tar.offset += len(padded)
    return replace(member, offset=start, arrays=moved(member.arrays, start - member.offset))


class _Hashed:
    """A file written from start to end, while other threads compute its checksum and send it to the disk."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = 0
        self.digest = hashlib.sha256()
        """Complete once the block is left."""
        self._hasher, self._syncer = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._hashing: deque[Future[None]] = deque()
        self._syncing: Future[None] | None = None
        self._unsynced = 0

    def __enter__(self) -> "_Hashed":
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        self._hasher.shutdown()
        self._syncer.shutdown()
        if failed is None and self._syncing is not None:
            self._syncing.result()

    def write(self, data: bytes | mmap) -> int:
        self.size += len(data)
        self._hashing.append(self._hasher.submit(self.digest.update, data))
        if len(self._hashing) > BEHIND:
            self._hashing.popleft().result()
        written = self._file.write(data)
        self._unsynced += written
        if self._unsynced >= SYNC_EVERY and (self._syncing is None or self._syncing.done()):
            if self._syncing is not None:
                self._syncing.result()
            self._syncing, self._unsynced = (
                self._syncer.submit(getattr(os, "fdatasync", os.fsync), self._file.fileno()),
                0,
            )
        return written

    def tell(self) -> int:
        return self.size


def moved(arrays: Mapping[str, Array], by: int) -> dict[str, Array]:
    """Arrays whose file begins `by` bytes further on."""
    return {n: replace(a, offset=None if a.offset is None else by + a.offset) for n, a in arrays.items()}


def with_metadata(data: bytes, member: Member, change: Mapping[str, Any] | None) -> tuple[bytes, dict[str, Array]]:
    """(bytes of a sample with entries of its metadata replaced, its arrays by their place in them). A fresh file, as if
    the tile had been encoded so, whatever was changed before; from either published form to HDF5."""
    if change is None and member.form == HDF5:
        return data, moved(member.arrays, -member.offset)
    if any(a.offset is None for a in member.arrays.values()):
        data = _rewritten_by_hdf5(data, change or {})
        return data, locate_arrays(data, 0)
    old = sorted(member.arrays.items(), key=lambda item: item[1].offset or 0)
    values = {n: _array(data, a, (a.offset or 0) - member.offset) for n, a in old}
    metadata = {**parse_metadata(values.pop(METADATA).tobytes().rstrip(b"\0")), **(change or {})}
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=LIBRARY) as new:
        arrays = {name: _put_array(new, name, array) for name, array in values.items()}
        put_metadata(new, metadata)
        document = new[METADATA]
        arrays[METADATA] = Array(document.id.get_offset(), document.dtype.str, document.shape)
    return buffer.getvalue(), dict(sorted(arrays.items()))


def _array(data: bytes, array: Array, start: int) -> NDArray:
    """A view of an array that lies in a file as it is."""
    values = np.frombuffer(data, array.dtype, math.prod(array.shape), start)
    return np.ascontiguousarray(values.reshape(array.shape, order="F" if array.fortran else "C"))


def _put_array(file: h5py.File, name: str, values: NDArray) -> Array:
    """What `create_dataset(name, data=values, track_times=False)` writes, at a tenth of its cost."""
    plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plan.set_obj_track_times(False)
    kind, space = h5py.h5t.py_create(values.dtype, logical=True), h5py.h5s.create_simple(values.shape)
    stored = h5py.h5d.create(file.id, name.encode(), kind, space, plan)
    stored.write(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return Array(stored.get_offset(), values.dtype.str, values.shape)


def _rewritten_by_hdf5(data: bytes, change: Mapping[str, Any]) -> bytes:
    """The same for files of others, whose arrays may be chunked or compressed."""
    buffer = io.BytesIO()
    with h5py.File(io.BytesIO(data), "r") as old, h5py.File(buffer, "w", libver=LIBRARY) as new:
        metadata = {**parse_metadata(old[METADATA][()]), **change}
        arrays = {name: dataset for name, dataset in old.items() if name != METADATA}
        for name in sorted(arrays, key=lambda n: arrays[n].id.get_offset() or 0):
            if arrays[name].chunks is None:
                new.create_dataset(name, data=arrays[name][()], track_times=False)
            else:
                old.copy(name, new)
        put_metadata(new, metadata)
    return buffer.getvalue()
