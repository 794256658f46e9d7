"""Tortilla: files one after another in one file, with a table of them at its end; a file in it may be a tortilla."""

import io
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from geomeld.core.errors import CorruptFile, DatasetError

MAGIC = (b"#y", b"WX")
"""First bytes of a tortilla, and of a taco, which begins alike and says more."""
HEADER = 26
"""Bytes: the magic, then offset and length of the table and the number of parts, 8 bytes each, little-endian."""
AGAIN = "fetch the file again"


@dataclass(frozen=True)
class Entry:
    """One file in a tortilla."""

    path: Path
    """Of the outermost tortilla."""
    offset: int
    """Where it begins there, bytes."""
    length: int
    columns: dict[str, Any]
    """Its row of the table, "tortilla:id" and "tortilla:data_split" among them."""

    @property
    def id(self) -> str:
        """Its name."""
        return str(self.columns["tortilla:id"])

    def read(self) -> bytes:
        """Its bytes. Raises CorruptFile where they are not all there."""
        return _bytes_at(self.path, self.offset, self.length)

    def inside(self) -> list["Entry"]:
        """The files of a tortilla within a tortilla, in its order. Raises CorruptFile where it is none."""
        return _entries(self.path, self.offset, self.length)


def entries(path: Path) -> list[Entry]:
    """The files of a tortilla, in its order.

    Raises DatasetError for a file that is none, CorruptFile for one that is cut off or damaged.
    """
    return _entries(path, 0, path.stat().st_size)


def parts(path: Path) -> int:
    """Of how many files the tortilla is one part, 1 where it is whole."""
    return int.from_bytes(_header(path, 0)[18:26], "little")


def _entries(path: Path, start: int, size: int) -> list[Entry]:
    header = _header(path, start)
    offset, length = (int.from_bytes(header[i : i + 8], "little") for i in (2, 10))
    if offset + length > size:
        raise CorruptFile(f"{path} is cut off: its table should end at byte {start + offset + length}; {AGAIN}.")
    try:
        table = pq.read_table(io.BytesIO(_bytes_at(path, start + offset, length)))
    except (pa.ArrowInvalid, OSError) as error:
        raise CorruptFile(f"{path} has no readable table of its files ({error}); {AGAIN}.") from None
    needed = {"tortilla:id", "tortilla:offset", "tortilla:length"}
    if not needed <= set(table.column_names):
        raise CorruptFile(f"{path}: its table lacks {', '.join(sorted(needed - set(table.column_names)))}; {AGAIN}.")
    rows = table.to_pylist()
    found = [Entry(path, start + int(r["tortilla:offset"]), int(r["tortilla:length"]), r) for r in rows]
    if any(e.offset < start or e.offset + e.length > start + size for e in found):
        raise CorruptFile(f"{path}: its table names files beyond its end; {AGAIN}.")
    return found


def _header(path: Path, start: int) -> bytes:
    header = _bytes_at(path, start, HEADER)
    if header[:2] not in MAGIC:
        raise DatasetError(f"{path} holds no tortilla at byte {start}: it begins with {header[:4]!r}; {AGAIN}.")
    return header


def _bytes_at(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        held = os.pread(file.fileno(), length, offset)
    if len(held) < length:
        raise CorruptFile(f"{path} is cut off: {length} bytes at {offset} are not all there; {AGAIN}.")
    return held
