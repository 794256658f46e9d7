"""The index beside a shard: where every member and every array starts, so that tiles are read by byte offset."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from geomeld.core.errors import CorruptFile
from geomeld.dataset.files import write_atomically
from geomeld.dataset.members import HDF5, Array, Member, locate_arrays, tiles_in
from geomeld.dataset.remote import AT_ONCE, RemoteFile, fetch
from geomeld.dataset.sample import METADATA

__all__ = ["Array", "Member", "ShardIndex", "index_path", "load_index", "locate_arrays", "make_index", "save_index"]

SUFFIX = ".index.json"

Shard = Path | RemoteFile
"""A tar on this machine or on a server."""


@dataclass(frozen=True, slots=True)
class ShardIndex:
    """The members of one shard, in their order."""

    size: int
    """Bytes of the shard that was indexed."""
    sha256: str
    """Checksum of the shard; empty for one on a server, of which only parts were read."""
    members: tuple[Member, ...]


def index_path(shard: Shard) -> Path:
    """Where the index of a shard lies: beside it, or in the cache for one on a server."""
    place = shard.cached if isinstance(shard, RemoteFile) else shard
    return place.with_name(place.name.removesuffix(".tar") + SUFFIX)


def load_index(shard: Shard) -> ShardIndex:
    """The index of a shard: as stored where it fits the shard's size, else made anew (and stored, if that is allowed).

    Raises CorruptFile where the shard itself is damaged.
    """
    stored = index_path(shard)
    size = shard.size if isinstance(shard, RemoteFile) else shard.stat().st_size
    if stored.exists():
        try:
            index = _from_json(json.loads(stored.read_text()))
            if index.size == size and _fits(shard, index):
                return index
        except (ValueError, KeyError, TypeError, AttributeError, OSError):
            pass  # a damaged index is only a cache: make it anew
    index = (_published_index(shard) if isinstance(shard, RemoteFile) else None) or make_index(shard)
    if os.access(stored.parent, os.W_OK):
        save_index(shard, index)
    return index


def save_index(shard: Shard, index: ShardIndex) -> None:
    """Write the index to its place; not synced, since it is made again from the shard where it is no whole one."""
    write_atomically(index_path(shard), (json.dumps(_to_json(index)) + "\n").encode(), durable=False)


def make_index(shard: Shard) -> ShardIndex:
    """Read a shard and note where everything is: from end to end on this machine, on a server only where arrays are
    described. Members that are damaged inside are noted as such. Raises CorruptFile where the tar is damaged."""
    sha256 = shard.sha256 if isinstance(shard, RemoteFile) else digest(shard)
    with shard.open("rb") as file:
        members = tuple(_followed(file, shard) if isinstance(shard, RemoteFile) else tiles_in(file, str(shard)))
        size = file.seek(0, os.SEEK_END)
        if not members and (size < 2 * tarfile.BLOCKSIZE or size % tarfile.BLOCKSIZE):
            raise CorruptFile(f"Shard {shard} is no tar file. Delete it and build again.")
        # tarfile takes a cut between two members for the end; a whole archive ends in two zero blocks.
        file.seek(-2 * tarfile.BLOCKSIZE, os.SEEK_END)
        if any(file.read(2 * tarfile.BLOCKSIZE)):
            last = members[-1].tile_id if members else "its start"
            raise CorruptFile(f"Shard {shard} is truncated after tile {last}. Delete it and build again.")
    return ShardIndex(size, sha256, members)


def _followed(file: io.BufferedReader, shard: RemoteFile) -> Iterator[Member]:
    """The tiles of a shard on a server, which is told how far it is from each to the next."""
    last = None
    for member in tiles_in(file, str(shard), far=True):
        if last is not None:
            file.raw.stride = member.offset - last.offset  # type: ignore[attr-defined]
        yield member
        last = member


def _published_index(shard: RemoteFile) -> ShardIndex | None:
    """The index that lies beside a shard on its server, with the metadata fetched that it does not hold; None where
    there is none that fits."""
    if not fetch(shard.companion(SUFFIX), index_path(shard)):
        return None
    try:
        index = _from_json(json.loads(index_path(shard).read_text()))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    first = index.members[:1]
    if index.size != shard.size or not all(_starts(shard.read(m.offset, tarfile.BLOCKSIZE), m.form) for m in first):
        return None

    def documented(member: Member) -> Member:
        place = member.arrays.get(METADATA)
        if member.problem or place is None or place.offset is None:
            return member
        return replace(member, document=shard.read(place.offset, place.nbytes).rstrip(b"\0").decode())

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return replace(index, members=tuple(pool.map(documented, index.members)))


def digest(shard: Path) -> str:
    """SHA-256 of a file."""
    with shard.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fits(shard: Shard, index: ShardIndex) -> bool:
    """Whether the first and last members still start where the index says (a cheap look, not a checksum); a server
    says itself when its file has changed."""
    if isinstance(shard, RemoteFile):
        return True
    with shard.open("rb") as file:
        for member in index.members[:1] + index.members[-1:]:
            file.seek(member.offset)
            if not member.problem and not _starts(file.read(tarfile.BLOCKSIZE), member.form):
                return False
    return True


def _starts(head: bytes, form: str) -> bool:
    return head.startswith(b"\x89HDF\r\n\x1a\n") if form == HDF5 else head[257:262] == b"ustar"


def _to_json(index: ShardIndex) -> dict[str, Any]:
    return {"size": index.size, "sha256": index.sha256, "members": [_member_to_json(m) for m in index.members]}


def _member_to_json(m: Member) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "tile_id": m.tile_id,
        "offset": m.offset,
        "size": m.size,
        "arrays": {n: [a.offset, a.dtype, list(a.shape), *([True] if a.fortran else [])] for n, a in m.arrays.items()},
    }
    entry |= {"form": m.form} if m.form != HDF5 else {}
    entry |= {"problem": m.problem} if m.problem else {}
    return entry | ({"document": m.document} if m.document is not None else {})


def _from_json(data: dict[str, Any]) -> ShardIndex:
    return ShardIndex(data["size"], data["sha256"], tuple(_member_from_json(m) for m in data["members"]))


@cache
def _shared(dtype: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """The same two objects for all arrays alike: an index of millions of tiles has few kinds of them."""
    return dtype, shape


def _member_from_json(m: dict[str, Any]) -> Member:
    arrays = {n: Array(o, *_shared(dtype, tuple(shape)), *rest) for n, (o, dtype, shape, *rest) in m["arrays"].items()}
    more = {k: m[k] for k in ("form", "problem", "document") if k in m}
    return Member(m["tile_id"], m["offset"], m["size"], arrays, **more)
