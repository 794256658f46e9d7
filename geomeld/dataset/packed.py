"""Packed: a shard made for training: integers where they lose nothing, no bands without pixels, one record per tile.

A file is MAGIC, the tiles' records, HEADER (JSON), INDEX (an ENTRY per tile), TAIL. A record is the tile's metadata
(JSON), a ROW per band, and the bands, each at a multiple of ALIGN bytes from its start. Numbers are little-endian.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import CorruptFile, GeoMeldError
from geomeld.core.modality import Modality
from geomeld.core.tile import Layer, Tile
from geomeld.dataset.codes import EMPTY, ROW, stored_dtype
from geomeld.dataset.index import Shard
from geomeld.dataset.remote import RemoteFile
from geomeld.dataset.sample import layer_of, parse_metadata, tile_of
from geomeld.dataset.volume import Ranges

PACKED = ".packed"
"""Ending of a packed shard's name."""
MAGIC = b"GEOMELD1"
TAIL = struct.Struct("<QIII8s")
"""Offset of HEADER, its length, number of tiles, CRC-32 of HEADER and INDEX, MAGIC."""
ENTRY = np.dtype(
    [
        ("tile_id", "<i8"),
        ("offset", "<u8"),
        ("size", "<u4"),
        ("document", "<u4"),
        ("rows", "<u4"),
        ("head_crc", "<u4"),
        ("crc", "<u4"),
    ]
)
"""Of one tile: where its record lies, bytes of it, of its metadata, number of its ROWs, CRC-32 of both and of all."""
ALIGN = 64
NEAR = 1 << 15
"""Bands that lie closer than this are read at once."""


def aligned(size: int) -> int:
    """The next multiple of ALIGN."""
    return -(-size // ALIGN) * ALIGN


class PackedVolume:
    """A packed shard, opened for reading."""

    def __init__(self, shard: Shard, modalities: Mapping[str, Modality], ranges: Ranges) -> None:
        """Reads header and index. Raises CorruptFile where they are damaged."""
        self.shard = shard
        self.damaged: dict[int, str] = {}
        self._modalities = modalities
        self._ranges = ranges
        self._size = shard.size if isinstance(shard, RemoteFile) else shard.stat().st_size
        self.header, self._entries = self._contents()
        self._layers = [(x["name"], tuple(x["bands"]), np.dtype(x["dtype"])) for x in self.header["layers"]]
        self._pixels = np.array([[stored_dtype(code, x[2]).itemsize for code in range(4)] for x in self._layers])
        self._pixels[:, EMPTY] = 0
        self._places = {int(t): i for i, t in enumerate(self._entries["tile_id"])}

    def _contents(self) -> tuple[dict[str, Any], NDArray]:
        (tail,) = self._get([(max(self._size - TAIL.size, 0), TAIL.size)])
        if tail.size != TAIL.size or bytes(tail[-len(MAGIC) :]) != MAGIC:
            raise CorruptFile(f"{self.shard} is cut short or no packed shard. Delete it and pack again.")
        start, length, tiles, crc, _ = TAIL.unpack(tail.tobytes())
        (data,) = self._get([(start, length + tiles * ENTRY.itemsize)])
        if zlib.crc32(data) != crc:
            raise CorruptFile(f"The index of {self.shard} is damaged. Delete it and pack again.")
        return json.loads(data[:length].tobytes()), data[length:].view(ENTRY)

    @property
    def tile_ids(self) -> Sequence[int]:
        """The tiles, in stored order."""
        return list(self._places)

    def layers_of(self, tile_id: int) -> Sequence[str]:
        """Names of the layers that a tile has."""
        _, rows = self._head(tile_id)
        names = {self._layers[i][0] for i in np.unique(rows["layer"])}
        return tuple(n for n in self._modalities if n in names)

    def metadata(self, tile_id: int) -> dict[str, Any]:
        """The metadata document of a tile."""
        return self._head(tile_id)[0]

    def read(self, tile_id: int, names: Sequence[str] | None) -> Tile:
        """The tile with only the layers in `names` (None: all it has). Raises CorruptFile naming shard and tile."""
        metadata, groups = self._described(tile_id, names)
        try:
            layers = self._layers_of(tile_id, groups, metadata)
            return tile_of({n: layers[n] for n in self._modalities if n in layers}, metadata)
        except (GeoMeldError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise CorruptFile(f"Tile {tile_id} in {self.shard} is no tile ({error}).") from None

    def spans(self, tile_id: int, names: Sequence[str] | None) -> list[tuple[int, int]]:
        """(offset, length) of the pixels of some layers in the shard."""
        start = int(self._entries[self._places[tile_id]]["offset"])
        found = [self._span(group) for group in self._described(tile_id, names)[1]]
        return [(start + first, end - first) for first, end in found]

    def damage(self) -> Iterator[str]:
        """Every tile whose bytes are not those that were written."""
        for entry in self._entries:
            (data,) = self._get([(int(entry["offset"]), int(entry["size"]))])
            if zlib.crc32(data) != entry["crc"]:
                yield f"tile {entry['tile_id']} is damaged (checksum)"

    def _head(self, tile_id: int) -> tuple[dict[str, Any], NDArray]:
        """(metadata, rows) of a tile."""
        entry = self._entries[self._places[tile_id]]
        document, rows = int(entry["document"]), int(entry["rows"])
        (data,) = self._get([(int(entry["offset"]), document + rows * ROW.itemsize)])
        if zlib.crc32(data) != entry["head_crc"]:
            raise CorruptFile(f"Tile {tile_id} in {self.shard} is damaged. Delete the shard and pack again.")
        return parse_metadata(data[:document].tobytes()), data[document:].view(ROW)

    def _described(self, tile_id: int, names: Sequence[str] | None) -> tuple[dict[str, Any], list[NDArray]]:
        """(metadata, rows of every wanted layer) of a tile."""
        metadata, rows = self._head(tile_id)
        wanted = np.array([n in self._modalities and (names is None or n in names) for n, _, _ in self._layers])
        rows = rows[wanted[rows["layer"]]]
        cuts = np.flatnonzero(np.diff(rows["layer"], prepend=-1, append=-1))
        return metadata, [rows[a:b] for a, b in pairwise(cuts)]

    def _layers_of(self, tile_id: int, groups: list[NDArray], metadata: Mapping[str, Any]) -> dict[str, Layer]:
        from geomeld.dataset.unpack import decode_layer  # compiled: loaded when pixels are wanted

        start = int(self._entries[self._places[tile_id]]["offset"])
        layers = {}
        for group, data in zip(groups, self._stored(start, [self._span(g) for g in groups]), strict=True):
            name, bands, dtype = self._layers[int(group["layer"][0])]
            shape = (len(bands), int(group["rows"][0]), int(group["columns"][0]))
            values, valid = np.empty(shape, dtype), np.empty(shape, bool)
            if len(group) != len(bands) or data.size % ALIGN:
                raise ValueError(f"{name} is not whole")
            decode_layer(group, data, values, valid)
            layers[name] = layer_of(name, values, valid, bands, metadata)
        return layers

    def _span(self, rows: NDArray) -> tuple[int, int]:
        """(first, end) of the bytes of some bands, from the start of their tile's record."""
        last = rows[-1]
        pixel = self._pixels[last["layer"], last["code"]]
        return int(rows["offset"][0]), int(last["offset"] + aligned(int(last["rows"]) * int(last["columns"]) * pixel))

    def _stored(self, start: int, spans: Sequence[tuple[int, int]]) -> list[NDArray[np.uint8]]:
        """The bytes of some spans of a record, each where the one before ends or later; neighbours are read at once."""
        groups: list[list[int]] = []
        for first, end in spans:
            if groups and first <= groups[-1][1] + NEAR:
                groups[-1][1] = end
            else:
                groups.append([first, end])
        read = self._get([(start + first, end - first) for first, end in groups])
        parts = {(first, end): data for (first, end), data in zip(groups, read, strict=True)}
        return [
            next(data[first - a : end - a] for (a, b), data in parts.items() if a <= first and end <= b)
            for first, end in spans
        ]

    def _get(self, spans: Sequence[tuple[int, int]]) -> list[NDArray[np.uint8]]:
        return self._ranges.read(self.shard, self._size, spans)
