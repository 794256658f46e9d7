"""The index beside a shard: where every member and every array starts, so that tiles are read by byte offset."""

import hashlib
import io
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py

from geomeld.core.errors import CorruptFile
from geomeld.dataset.files import write_atomically
from geomeld.dataset.sample import METADATA

SUFFIX = ".index.json"


@dataclass(frozen=True, slots=True)
class Array:
    """One array of one member."""

    offset: int | None
    """Byte of the shard at which it starts; None where it is chunked or compressed and HDF5 has to read it."""
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One tile of a shard."""

    tile_id: int
    offset: int
    """Byte of the shard at which the HDF5 file starts."""
    size: int
    """Its length in bytes."""
    arrays: dict[str, Array]
    """By key, the metadata document among them (at an offset only where it is stored as one run of bytes)."""


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """The members of one shard, in their order."""

    size: int
    """Bytes of the shard that was indexed."""
    sha256: str
    members: tuple[Member, ...]


def index_path(shard: Path) -> Path:
    """Where the index of a shard lies."""
    return shard.with_name(shard.name.removesuffix(".tar") + SUFFIX)


def load_index(shard: Path) -> ShardIndex:
    """The index of a shard: as stored where it fits the shard's size, else made anew (and stored, if that is allowed).

    Raises CorruptFile where the shard itself is damaged.
    """
    stored = index_path(shard)
    size = shard.stat().st_size
    if stored.exists():
        try:
            index = _from_json(json.loads(stored.read_text()))
            if index.size == size and _fits(shard, index):
                return index
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            pass  # a damaged index is only a cache: make it anew
    index = make_index(shard)
    if os.access(shard.parent, os.W_OK):
        save_index(shard, index)
    return index


def save_index(shard: Path, index: ShardIndex) -> None:
    """Write the index beside its shard."""
    write_atomically(index_path(shard), (json.dumps(_to_json(index)) + "\n").encode())


def make_index(shard: Path) -> ShardIndex:
    """Read a shard from end to end and note where everything is. Raises CorruptFile naming the shard and the member."""
    digest = hashlib.sha256()
    members = []
    with shard.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    last = "its first member"
    try:
        with tarfile.open(shard, "r:") as tar:
            for info in tar:
                last = info.name
                if not info.isfile() or not info.name.endswith(".h5"):
                    continue
                members.append(_member(tar, info, shard))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise CorruptFile(f"Shard {shard} is damaged near {last}: {error}. Delete it and build again.") from None
    size = shard.stat().st_size
    if not members and (size < 2 * tarfile.BLOCKSIZE or size % tarfile.BLOCKSIZE):
        raise CorruptFile(f"Shard {shard} is no tar file. Delete it and build again.")
    _check_ends(shard, members)
    return ShardIndex(size, digest.hexdigest(), tuple(members))


def _check_ends(shard: Path, members: list[Member]) -> None:
    """tarfile takes a cut between two members for the end; a whole archive ends in two zero blocks."""
    with shard.open("rb") as file:
        file.seek(-2 * tarfile.BLOCKSIZE, os.SEEK_END)
        if any(file.read()):
            last = members[-1].tile_id if members else "its start"
            raise CorruptFile(f"Shard {shard} is truncated after tile {last}. Delete it and build again.")


def _member(tar: tarfile.TarFile, info: tarfile.TarInfo, shard: Path) -> Member:
    stem = Path(info.name).name.removesuffix(".h5")
    extracted = tar.extractfile(info)
    data = extracted.read() if extracted else b""
    if len(data) != info.size:
        raise CorruptFile(f"Shard {shard} is truncated inside {info.name}. Delete it and build again.")
    try:
        arrays = locate_arrays(data, info.offset_data)
    except (OSError, KeyError) as error:
        raise CorruptFile(f"Member {info.name} of shard {shard} is no readable HDF5 file: {error}.") from None
    return Member(int(stem) if stem.isdigit() else _id_inside(data), info.offset_data, info.size, arrays)


def _id_inside(data: bytes) -> int:
    with h5py.File(io.BytesIO(data), "r") as file:
        return int(json.loads(file[METADATA][()])["tile_id"])


def locate_arrays(data: bytes, start: int) -> dict[str, Array]:
    """Where the arrays of one HDF5 file lie, counted from `start`."""
    arrays = {}
    with h5py.File(io.BytesIO(data), "r") as file:
        for name, dataset in file.items():
            if not isinstance(dataset, h5py.Dataset):
                continue
            in_place = dataset.chunks is None and dataset.dtype.kind != "O"
            inside = dataset.id.get_offset() if in_place else None
            offset = None if inside is None else start + inside
            arrays[name] = Array(offset, dataset.dtype.str, dataset.shape)
    return arrays


def _fits(shard: Path, index: ShardIndex) -> bool:
    """Whether the first and last members still start where the index says (a cheap look, not a checksum)."""
    with shard.open("rb") as file:
        for member in index.members[:1] + index.members[-1:]:
            file.seek(member.offset)
            if file.read(8) != b"\x89HDF\r\n\x1a\n":
                return False
    return True


def _to_json(index: ShardIndex) -> dict[str, Any]:
    return {
        "size": index.size,
        "sha256": index.sha256,
        "members": [
            {
                "tile_id": m.tile_id,
                "offset": m.offset,
                "size": m.size,
                "arrays": {n: [a.offset, a.dtype, list(a.shape)] for n, a in m.arrays.items()},
            }
            for m in index.members
        ],
    }


def _from_json(data: dict[str, Any]) -> ShardIndex:
    return ShardIndex(
        data["size"],
        data["sha256"],
        tuple(
            Member(
                m["tile_id"],
                m["offset"],
                m["size"],
                {n: Array(offset, dtype, tuple(shape)) for n, (offset, dtype, shape) in m["arrays"].items()},
            )
            for m in data["members"]
        ),
    )
