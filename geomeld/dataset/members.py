"""Members: the tiles inside a tar, in either published form, and the place of each of their arrays."""

import io
import math
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath
from typing import BinaryIO

import h5py
import numpy as np

from geomeld.core.errors import CorruptFile, GeoMeldError
from geomeld.core.tile import tile_id_of
from geomeld.dataset.sample import METADATA, anchor_of, grid_of, parse_metadata

HDF5, NPY = "h5", "npy"
"""Forms of a tile in a tar: one HDF5 file, or one .npy file per layer beside a .metadata.json."""
DOCUMENTS = ("metadata.json", "json")
"""Names under which the npy form may carry its metadata."""
NOT_TILES = (tarfile.TarError, EOFError, OSError)


@dataclass(frozen=True, slots=True)
class Array:
    """One array of one tile."""

    offset: int | None
    """Byte of the shard at which it starts; None where it is chunked or compressed and HDF5 has to read it."""
    dtype: str
    shape: tuple[int, ...]
    fortran: bool = False
    """Columns first, as .npy files may be."""

    @property
    def nbytes(self) -> int:
        """Its length in bytes."""
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True, slots=True)
class Member:
    """One tile of a shard."""

    tile_id: int
    offset: int
    """Byte of the shard at which the HDF5 file starts, or the tar header of the first .npy file."""
    size: int
    """Bytes from there to the end of the tile."""
    arrays: dict[str, Array]
    """By key, the metadata document among them (at an offset only where it is stored as one run of bytes)."""
    form: str = HDF5
    problem: str = ""
    """Why the tile cannot be read; empty where it can."""
    document: str | None = None
    """The metadata as text, kept where reading it again would cost a request to a server."""


def tiles_in(file: BinaryIO, name: str, *, far: bool = False) -> Iterator[Member]:
    """The tiles of an open tar, in order; one that is damaged inside comes with its `problem`. Those of a file that is
    `far`, on a server, come with their metadata, and nothing is read of it that need not be.

    Only regular files are looked at, and only the last part of their names: links and paths lead nowhere. Raises
    CorruptFile where the tar itself is cut short or damaged; `name` names it.
    """
    last = "its first member"
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            files = (info for info in tar if info.isfile() and _key(info)[0])
            for (key, is_hdf5), infos in groupby(files, lambda i: (_key(i)[0], _key(i)[1] == HDF5)):
                for group in [[info] for info in infos] if is_hdf5 else [list(infos)]:
                    last = group[-1].name
                    member = _hdf5_tile(file, key, group[0], far) if is_hdf5 else _npy_tile(file, key, group)
                    if member is not None:
                        yield member if far else _without_document(member)
    except NOT_TILES as error:
        raise CorruptFile(f"Shard {name} is damaged near {last}: {error}. Delete it and build again.") from None


def _without_document(member: Member) -> Member:
    if member.document is None:
        return member
    return Member(member.tile_id, member.offset, member.size, member.arrays, member.form, member.problem)


def _key(info: tarfile.TarInfo) -> tuple[str, str]:
    """(key, field) of a WebDataset member: the file's name up to its first dot, and the rest."""
    key, _, field = PurePosixPath(info.name).name.partition(".")
    return (key, field) if field == HDF5 or field.endswith(".npy") or field in DOCUMENTS else ("", "")


def _hdf5_tile(file: BinaryIO, key: str, info: tarfile.TarInfo, far: bool) -> Member:
    start, size = info.offset_data, info.size
    window = _Window(file, start, size, far)
    arrays, text, problem = {}, None, ""
    try:
        with h5py.File(window, "r") as sample:
            arrays = {n: a for n, d in sample.items() if (a := located(d, start)) is not None}
            stored = np.asarray(sample[METADATA][()]).item()
            text = stored.decode() if isinstance(stored, bytes) else str(stored)
        if arrays[METADATA].offset is None and (found := window.find(text.encode())) is not None:
            # A string of variable length lies in a heap of the file: whole, wherever these very bytes are.
            arrays[METADATA] = Array(start + found, f"|S{len(text.encode())}", ())
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, UnicodeError) as error:
        problem = f"no readable HDF5 file ({error})"
    tile_id, amiss = _identified(key, text)
    return Member(tile_id, start, size, arrays, HDF5, problem or amiss, text)


def located(dataset: h5py.Dataset, start: int) -> Array | None:
    """Where an array of an HDF5 file lies, counted from `start`; None for what is no array."""
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        return None
    inside = None
    if dataset.dtype.kind == "O":
        pass
    elif dataset.chunks is None:
        inside = dataset.id.get_offset()
    elif dataset.chunks == dataset.shape and not dataset.id.get_create_plist().get_nfilters():
        inside = dataset.id.get_chunk_info(0).byte_offset if dataset.id.get_num_chunks() else None
    return Array(None if inside is None else start + inside, dataset.dtype.str, dataset.shape)


def locate_arrays(data: bytes, start: int) -> dict[str, Array]:
    """Where the arrays of one HDF5 file lie, counted from `start`."""
    with h5py.File(io.BytesIO(data), "r") as file:
        return {n: a for n, d in file.items() if (a := located(d, start)) is not None}


def _npy_tile(file: BinaryIO, key: str, infos: list[tarfile.TarInfo]) -> Member | None:
    arrays, text, problem = {}, None, ""
    for info in infos:
        field = _key(info)[1]
        try:
            if field in DOCUMENTS:
                file.seek(info.offset_data)
                text = file.read(info.size).decode()
                arrays[METADATA] = Array(info.offset_data, f"|S{info.size}", ())
            else:
                arrays[field.removesuffix(".npy")] = _npy_array(_Window(file, info.offset_data, info.size), info)
        except (ValueError, UnicodeError) as error:
            problem = f"{info.name} cannot be read ({error})"
    if text is None and not arrays:
        return None
    if text is None:
        problem = problem or f"it has no .{DOCUMENTS[0]}"
    tile_id, amiss = _identified(key, text)
    start = infos[0].offset
    return Member(tile_id, start, infos[-1].offset_data + infos[-1].size - start, arrays, NPY, problem or amiss, text)


def _npy_array(window: "_Window", info: tarfile.TarInfo) -> Array:
    major, _ = np.lib.format.read_magic(window)
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(window)
    array = Array(info.offset_data + window.tell(), dtype.str, shape, fortran)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    if window.tell() + array.nbytes != info.size:
        raise ValueError(f"{info.size} bytes for {shape} of {dtype}")
    return array


def _identified(key: str, text: str | None) -> tuple[int, str]:
    """(tile id, what is amiss with the metadata). The file's name is the id, else the metadata say it."""
    tile_id = int(key) if key.isdecimal() else tile_id_of("member", key)
    try:
        metadata = parse_metadata(text)
        if not key.isdecimal():
            tile_id = int(metadata["tile_id"])
        anchor_of(metadata), grid_of(metadata)
    except (GeoMeldError, KeyError, ValueError, TypeError, AttributeError) as error:
        return tile_id, f"its metadata make no tile ({type(error).__name__}: {error})"
    return tile_id, ""


class _Window(io.RawIOBase):
    """A part of a file, as a file of its own."""

    def __init__(self, file: BinaryIO, start: int, size: int, far: bool = False) -> None:
        self._file, self._start, self._size, self._at = file, start, size, 0
        self._far = far

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._file.seek(self._start + self._at)
        data = self._file.read(max(min(len(buffer), self._size - self._at), 0))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def find(self, text: bytes) -> int | None:
        """Where the window holds these bytes; None where it does not, or where looking would fetch all of it."""
        if self._far:
            return None
        self._file.seek(self._start)
        found = self._file.read(self._size).find(text)
        return None if found < 0 else found
