"""Dataset: tiles on disk, by position or by identifier, read by byte offset."""

import json
import os
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import CorruptFile, DatasetError
from geomeld.core.modality import Modality
from geomeld.core.pool import in_order
from geomeld.core.tile import Tile
from geomeld.dataset import manifest as manifests
from geomeld.dataset import statistics as figures
from geomeld.dataset.files import write_atomically
from geomeld.dataset.index import Array, Member, load_index
from geomeld.dataset.manifest import Manifest
from geomeld.dataset.sample import METADATA, assemble, decode, parse_metadata
from geomeld.dataset.shard import update_shard, write_shard
from geomeld.modalities import MODALITIES

UPDATING = ".updating.json"
"""Names of the shards whose metadata are being rewritten; there only while that lasts."""


class Dataset:
    """A folder of shards. Opening reads the indexes only; a tile is read when it is asked for. Can be pickled."""

    def __init__(self, path: Path, modalities: Mapping[str, Modality] = MODALITIES) -> None:
        """Raises DatasetError where `path` is no folder with shards, CorruptFile where a shard is damaged."""
        self.path = path
        self.modalities = modalities
        self.shards = shards_of(path)
        self._members: dict[int, tuple[Path, Member]] = {}
        self._sizes: dict[Path, int] = {}
        for shard in self.shards:
            index = load_index(shard)
            self._sizes[shard] = index.size
            for member in index.members:
                if member.tile_id in self._members:
                    other = self._members[member.tile_id][0].name
                    raise DatasetError(f"Tile {member.tile_id} is in {other} and in {shard.name}; remove one of them.")
                self._members[member.tile_id] = (shard, member)
        self._handles: dict[Path, int] = {}
        weakref.finalize(self, _close, self._handles)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        weakref.finalize(self, _close, self._handles)

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Tile]:
        """All tiles, in the order of shards and members."""
        return (self[tile_id] for tile_id in self.tile_ids)

    def __contains__(self, tile_id: object) -> bool:
        return tile_id in self._members

    def __getitem__(self, tile_id: int) -> Tile:
        """The tile with this identifier, every layer read. Raises KeyError for one that is not there."""
        return self.read(tile_id)

    def __repr__(self) -> str:
        return f"Dataset({str(self.path)!r}, {len(self)} tiles)"

    @property
    def tile_ids(self) -> list[int]:
        """Identifiers in stored order."""
        return list(self._members)

    @property
    def manifest(self) -> Manifest:
        """The manifest. Raises DatasetError where the folder has none (published shards come without)."""
        return manifests.load_manifest(self.path)

    def shard_of(self, tile_id: int) -> Path:
        """The shard that holds a tile."""
        return self._find(tile_id)[0]

    def layers_of(self, tile_id: int) -> tuple[str, ...]:
        """Names of the layers that a tile has, without reading them."""
        return tuple(n for n in self._find(tile_id)[1].arrays if n in self.modalities)

    def metadata(self, tile_id: int) -> dict[str, Any]:
        """The metadata document of a tile."""
        shard, member = self._find(tile_id)
        found = member.arrays.get(METADATA)
        if found is None or found.offset is None:
            data = self._bytes(shard, member)
            with _naming(shard, member):
                return dict(decode(data, (), self.modalities).metadata)
        return self._document(shard, member, found)

    def read(self, tile_id: int, names: Sequence[str] | None = None) -> Tile:
        """The tile with only the layers in `names` (None: all it has). Raises CorruptFile naming shard and tile."""
        shard, member = self._find(tile_id)
        wanted = [n for n in self.modalities if n in member.arrays and (names is None or n in names)]
        in_place = all(member.arrays[n].offset is not None for n in wanted)
        document = member.arrays.get(METADATA)
        if not in_place or document is None or document.offset is None:
            data = self._bytes(shard, member)
            with _naming(shard, member):
                return decode(data, names, self.modalities)
        arrays = {n: self._array(shard, member, member.arrays[n]) for n in wanted}
        metadata = self._document(shard, member, document)
        with _naming(shard, member):
            return assemble(arrays, metadata, self.modalities)

    def statistics(self) -> dict[str, figures.BandStatistics | figures.ClassCounts]:
        """Statistics over valid pixels by modality: as stored with the dataset, else computed now (and stored)."""
        stored = figures.load_statistics(self.path, self.modalities)
        if stored is None:
            stored = figures.statistics_of(self, self.modalities)
            if os.access(self.path, os.W_OK):
                figures.save_statistics(self.path, stored)
        return stored

    def _find(self, tile_id: int) -> tuple[Path, Member]:
        if tile_id not in self._members:
            raise KeyError(f"No tile {tile_id} in {self.path}; it holds {len(self)} tiles (see `tile_ids`).")
        return self._members[tile_id]

    def _bytes(self, shard: Path, member: Member) -> bytes:
        return self._pread(shard, member, member.size, member.offset)

    def _array(self, shard: Path, member: Member, array: Array) -> NDArray:
        assert array.offset is not None
        values = np.empty(array.shape, array.dtype)
        # Straight into the array: it can be written to, and nothing is copied.
        if os.preadv(self._handle(shard), [memoryview(values).cast("B")], array.offset) != values.nbytes:
            raise _cut_short(shard, member)
        return values

    def _document(self, shard: Path, member: Member, array: Array) -> dict[str, Any]:
        assert array.offset is not None
        data = self._pread(shard, member, np.dtype(array.dtype).itemsize, array.offset)
        try:
            return parse_metadata(data.rstrip(b"\0"))
        except ValueError:
            raise CorruptFile(f"The metadata of tile {member.tile_id} in {shard} is damaged.") from None

    def _pread(self, shard: Path, member: Member, size: int, offset: int) -> bytes:
        data = os.pread(self._handle(shard), size, offset)
        if len(data) != size:
            raise _cut_short(shard, member)
        return data

    def _handle(self, shard: Path) -> int:
        if shard not in self._handles:
            self._handles[shard] = os.open(shard, os.O_RDONLY)
            if os.fstat(self._handles[shard]).st_size != self._sizes[shard]:
                raise DatasetError(f"Shard {shard} was rewritten since the dataset was opened; open it again.")
        return self._handles[shard]


@contextmanager
def _naming(shard: Path, member: Member) -> Iterator[None]:
    """Say which tile it is that cannot be read."""
    try:
        yield
    except CorruptFile as error:
        raise CorruptFile(f"Tile {member.tile_id} in {shard}: {error}") from None


def _cut_short(shard: Path, member: Member) -> CorruptFile:
    return CorruptFile(f"Shard {shard} is truncated inside tile {member.tile_id}. Delete it and build again.")


def _close(handles: dict[Path, int]) -> None:
    for handle in handles.values():
        os.close(handle)
    handles.clear()


def shards_of(path: Path) -> list[Path]:
    """The shards of a folder, by name. Raises DatasetError where there are none."""
    if not path.exists():
        raise DatasetError(f"{path} does not exist; give the folder that `geomeld build --out` wrote.")
    if not path.is_dir():
        raise DatasetError(f"{path} is a file; give the folder of a dataset.")
    shards = sorted(path.glob("*.tar"))
    if not shards:
        raise DatasetError(f"{path} holds no shards (*.tar): it is no dataset, or its build has not finished.")
    return shards


def open_dataset(path: str | Path) -> Dataset:
    """Open a folder of shards, our own or the published ones.

    Raises DatasetError where the folder is no dataset, CorruptFile where a shard is damaged.
    """
    return Dataset(Path(path))


def write_dataset(path: str | Path, tiles: Iterable[Tile], *, source: str = "", shard_size: int = 64) -> Dataset:
    """Write tiles as a dataset: shards, indexes, manifest and statistics. The folder must hold no shards yet."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.tar")):
        raise DatasetError(f"{folder} holds shards already; give an empty folder.")
    entries, batch, number = [], [], 0
    for tile in [*tiles, None]:
        if tile is not None:
            batch.append(tile)
        if batch and (tile is None or len(batch) == shard_size):
            shard = folder / f"geomeld-{number:05d}.tar"
            index = write_shard(shard, batch)
            entries.append(manifests.ShardEntry(shard.name, len(batch), index.size, index.sha256))
            batch, number = [], number + 1
    manifests.save_manifest(folder, Manifest(source=source, shards=tuple(entries)))
    dataset = Dataset(folder)
    dataset.statistics()
    return dataset


def _update(job: tuple[Path, dict[int, Mapping[str, Any]]]) -> None:
    update_shard(*job)


def update_metadata(path: str | Path, updates: Mapping[int, Mapping[str, Any]], *, workers: int = 1) -> None:
    """Put entries into the metadata of tiles (by identifier); each touched shard is rewritten in one step, by one of
    `workers` processes.

    Raises KeyError for a tile that the dataset does not hold.
    """
    dataset = Dataset(Path(path))
    by_shard: dict[Path, dict[int, Mapping[str, Any]]] = {}
    for tile_id, change in updates.items():
        if any(dataset.metadata(tile_id).get(k) != v for k, v in change.items()):
            by_shard.setdefault(dataset.shard_of(tile_id), {})[tile_id] = change
    note = dataset.path / UPDATING
    begun = json.loads(note.read_text()) if note.exists() else []
    names = sorted({*begun, *(shard.name for shard in by_shard)})
    if not names:
        return
    # Shards first, the manifest last: the note lets the next call finish what a killed one began.
    write_atomically(note, json.dumps(names).encode())
    for _ in in_order(_update, list(by_shard.items()), min(workers, len(by_shard)), preload=(__name__,)):
        pass
    indexes = {name: load_index(dataset.path / name) for name in names if (dataset.path / name).exists()}
    entries = {name: (index.size, index.sha256) for name, index in indexes.items()}
    if (dataset.path / manifests.NAME).exists():
        manifest = dataset.manifest
        shards = tuple(
            manifests.ShardEntry(s.name, s.tiles, *entries.get(s.name, (s.bytes, s.sha256))) for s in manifest.shards
        )
        changed = Manifest(**{**vars(manifest), "shards": shards})
        manifests.save_manifest(dataset.path, changed)
    note.unlink()
