"""Spool: samples that wait, each in a file of its own, until all of their shard are there."""

import mmap as mmap_module
import os
import socket
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from mmap import MAP_SHARED, PROT_READ, mmap
from pathlib import Path

from geomeld.dataset.index import Array, locate_arrays

AT_ONCE = getattr(mmap_module, "MAP_POPULATE", 0)
"""Pages are mapped together, not one by one as they are met (Linux)."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One encoded tile that waits."""

    tile_id: int
    bytes: int
    checksum: int
    """CRC-32 of its bytes: after a power cut a file may have its name and size, and not its content."""
    photograph: bool
    """Whether it holds a 1 m photograph: such tiles have shards of their own, as in the published files."""
    arrays: Mapping[str, Array]
    """Where its arrays lie, counted from its first byte."""


def put(folder: Path, position: int, tile_id: int, data: bytes, photograph: bool) -> Sample:
    """Put a sample down under the position of its tile; it appears when it is complete. Not synced: a sample that a
    power cut takes is read again."""
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(folder, position)
    # Another machine of a cluster may be at the same tile, with a process of the same number.
    partial = path.with_suffix(f".{socket.gethostname()}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return Sample(tile_id, len(data), zlib.crc32(data), photograph, locate_arrays(data, 0))


def get(folder: Path, position: int, sample: Sample, *, verify: bool = True) -> mmap | None:
    """The bytes of a sample; None where they are gone or not what was put down. Without `verify` only their number is
    looked at, which is enough for samples that were put down since the machine was started."""
    try:
        with path_of(folder, position).open("rb") as file:
            if os.fstat(file.fileno()).st_size != sample.bytes:
                return None
            data = mmap(file.fileno(), 0, flags=MAP_SHARED | AT_ONCE, prot=PROT_READ)
    except FileNotFoundError:
        return None
    return data if not verify or zlib.crc32(data) == sample.checksum else None


def drop(folder: Path, positions: Iterable[int]) -> None:
    """Take samples away."""
    for position in positions:
        path_of(folder, position).unlink(missing_ok=True)


def path_of(folder: Path, position: int) -> Path:
    """Where the sample of a position lies."""
    return folder / f"{position}.h5"
