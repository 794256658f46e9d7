"""The index beside a shard: where every member and every array starts, so that tiles are read by byte offset."""

import hashlib
import json
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomeld.core.errors import CorruptFile
from geomeld.dataset.files import write_atomically
from geomeld.dataset.members import HDF5, Array, Member, locate_arrays, tiles_in
from geomeld.dataset.remote import RemoteFile

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
    index = make_index(shard)
    if os.access(stored.parent, os.W_OK):
        save_index(shard, index)
    return index


def save_index(shard: Shard, index: ShardIndex) -> None:
    """Write the index to its place."""
    write_atomically(index_path(shard), (json.dumps(_to_json(index)) + "\n").encode())


def make_index(shard: Shard) -> ShardIndex:
    """Read a shard and note where everything is: from end to end on this machine, on a server only where arrays are
    described. Members that are damaged inside are noted as such. Raises CorruptFile where the tar is damaged."""
    sha256 = shard.sha256 if isinstance(shard, RemoteFile) else digest(shard)
    with shard.open("rb") as file:
        members = tuple(tiles_in(file, str(shard), keep_documents=isinstance(shard, RemoteFile)))
        size = file.seek(0, os.SEEK_END)
        if not members and (size < 2 * tarfile.BLOCKSIZE or size % tarfile.BLOCKSIZE):
            raise CorruptFile(f"Shard {shard} is no tar file. Delete it and build again.")
        # tarfile takes a cut between two members for the end; a whole archive ends in two zero blocks.
        file.seek(-2 * tarfile.BLOCKSIZE, os.SEEK_END)
        if any(file.read(2 * tarfile.BLOCKSIZE)):
            last = members[-1].tile_id if members else "its start"
            raise CorruptFile(f"Shard {shard} is truncated after tile {last}. Delete it and build again.")
    return ShardIndex(size, sha256, members)


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


def _member_from_json(m: dict[str, Any]) -> Member:
    arrays = {n: Array(offset, dtype, tuple(shape), *rest) for n, (offset, dtype, shape, *rest) in m["arrays"].items()}
    more = {k: m[k] for k in ("form", "problem", "document") if k in m}
    return Member(m["tile_id"], m["offset"], m["size"], arrays, **more)
