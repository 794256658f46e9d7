"""Volume: one shard opened for reading; its tiles by identifier, each read by byte offset."""

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import CorruptFile, DatasetError
from geomeld.core.modality import Modality
from geomeld.core.tile import Tile
from geomeld.dataset.index import Shard, load_index
from geomeld.dataset.members import Array, Member
from geomeld.dataset.remote import RemoteFile
from geomeld.dataset.sample import METADATA, assemble, decode, parse_metadata

OPEN_FILES = 256
"""Shards that are kept open at once; systems allow a process 1024 files or so."""


class Volume(Protocol):
    """A shard of any form, opened for reading."""

    @property
    def shard(self) -> Shard:
        """The file it was opened from."""

    @property
    def damaged(self) -> Mapping[int, str]:
        """Tiles that cannot be read, with the reason."""

    @property
    def tile_ids(self) -> Sequence[int]:
        """The tiles that can be read, in stored order."""

    def layers_of(self, tile_id: int) -> Sequence[str]:
        """Names of the layers that a tile has."""

    def metadata(self, tile_id: int) -> dict[str, Any]:
        """The metadata document of a tile."""

    def read(self, tile_id: int, names: Sequence[str] | None) -> Tile:
        """The tile with only the layers in `names` (None: all it has)."""

    def spans(self, tile_id: int, names: Sequence[str] | None) -> list[tuple[int, int]]:
        """(offset, length) of the pixels of some layers in the shard."""


class _Handle:
    """An open file, closed when nobody reads from it any more."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.number).st_size

    def __del__(self) -> None:
        os.close(self.number)


class Ranges:
    """Byte ranges of shards on this machine or on servers; the files last read from stay open. Safe among threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._open: OrderedDict[Path, _Handle] = OrderedDict()

    def __reduce__(self) -> tuple[type["Ranges"], tuple[()]]:
        return Ranges, ()

    def read(self, shard: Shard, size: int, spans: Sequence[tuple[int, int]]) -> list[NDArray[np.uint8]]:
        """The bytes at each (offset, length), as arrays that may be written to, shorter where the file ends before.

        `size` is the shard's length as it was when its index was read. Raises DatasetError where it has changed.
        """
        if isinstance(shard, RemoteFile):
            return [np.frombuffer(bytearray(data), np.uint8) for data in shard.spans(spans)]
        handle = self._handle(shard, size)
        parts = []
        for offset, length in spans:
            part = np.empty(length, np.uint8)
            # Straight into the array: nothing is copied.
            parts.append(part[: os.preadv(handle.number, [part.data], offset)] if length else part)
        return parts

    def _handle(self, shard: Path, size: int) -> _Handle:
        with self._lock:
            handle = self._open.get(shard)
            if handle is None:
                handle = self._open[shard] = _Handle(shard)
                if len(self._open) > OPEN_FILES:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(shard)
        if handle.size != size:
            raise DatasetError(f"Shard {shard} was rewritten since the dataset was opened; open it again.")
        return handle


class TarVolume:
    """A tar of tiles in either published form."""

    def __init__(self, shard: Shard, modalities: Mapping[str, Modality], ranges: Ranges) -> None:
        """Reads the index. Raises CorruptFile where the tar is damaged."""
        index = load_index(shard)
        self.shard = shard
        self.damaged = {m.tile_id: m.problem for m in index.members if m.problem}
        self._size = index.size
        self._modalities = modalities
        self._ranges = ranges
        self._members = {m.tile_id: m for m in index.members if not m.problem}
        if len(self._members) + len(self.damaged) < len(index.members):
            raise DatasetError(f"{shard} holds a tile twice; remove one of them.")

    @property
    def tile_ids(self) -> Sequence[int]:
        """The tiles that can be read, in stored order."""
        return list(self._members)

    def layers_of(self, tile_id: int) -> Sequence[str]:
        """Names of the layers that a tile has."""
        arrays = self._members[tile_id].arrays
        return tuple(n for n in self._modalities if n in arrays)

    def metadata(self, tile_id: int) -> dict[str, Any]:
        """The metadata document of a tile."""
        member = self._members[tile_id]
        if member.document is not None:
            return parse_metadata(member.document)
        if member.arrays[METADATA].offset is None:
            with self._naming(member):
                return dict(decode(self._whole(member), (), self._modalities).metadata)
        return self._parsed(member, *self._read(member, [member.arrays[METADATA]]))

    def read(self, tile_id: int, names: Sequence[str] | None) -> Tile:
        """The tile with only the layers in `names` (None: all it has). Raises CorruptFile naming shard and tile."""
        member = self._members[tile_id]
        wanted = [n for n in self._modalities if n in member.arrays and (names is None or n in names)]
        found = [member.arrays[n] for n in wanted]
        if member.document is None:
            found.append(member.arrays[METADATA])
        if any(a.offset is None for a in found):
            with self._naming(member):
                return decode(self._whole(member), names, self._modalities)
        parts = self._read(member, found)
        metadata = parse_metadata(member.document) if member.document else self._parsed(member, parts.pop())
        arrays = {n: _shaped(part, a) for n, part, a in zip(wanted, parts, found, strict=False)}
        with self._naming(member):
            return assemble(arrays, metadata, self._modalities)

    def spans(self, tile_id: int, names: Sequence[str] | None) -> list[tuple[int, int]]:
        """(offset, length) of the pixels of some layers in the shard, those that HDF5 has to find left out."""
        arrays = self._members[tile_id].arrays
        found = [arrays[n] for n in self._modalities if n in arrays and (names is None or n in names)]
        return [(a.offset, a.nbytes) for a in found if a.offset is not None]

    def _whole(self, member: Member) -> bytes:
        (data,) = self._ranges.read(self.shard, self._size, [(member.offset, member.size)])
        return self._complete(member, data, member.size).tobytes()

    def _read(self, member: Member, arrays: Sequence[Array]) -> list[NDArray[np.uint8]]:
        parts = self._ranges.read(self.shard, self._size, [(a.offset or 0, a.nbytes) for a in arrays])
        return [self._complete(member, part, a.nbytes) for part, a in zip(parts, arrays, strict=True)]

    def _complete(self, member: Member, part: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
        if part.size != size:
            raise CorruptFile(
                f"Shard {self.shard} is truncated inside tile {member.tile_id}. Delete it and build again."
            )
        return part

    def _parsed(self, member: Member, document: NDArray[np.uint8]) -> dict[str, Any]:
        try:
            return parse_metadata(document.tobytes().rstrip(b"\0"))
        except ValueError:
            raise CorruptFile(f"The metadata of tile {member.tile_id} in {self.shard} is damaged.") from None

    @contextmanager
    def _naming(self, member: Member) -> Iterator[None]:
        """Say which tile it is that cannot be read."""
        try:
            yield
        except CorruptFile as error:
            raise CorruptFile(f"Tile {member.tile_id} in {self.shard}: {error}") from None


def _shaped(data: NDArray[np.uint8], array: Array) -> NDArray:
    values = data.view(array.dtype)
    return np.ascontiguousarray(values.reshape(array.shape[::-1]).T) if array.fortran else values.reshape(array.shape)
