"""Dataset: tiles on disk, by position or by identifier, read by byte offset."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from geomeld.core.errors import CorruptFile, DatasetError
from geomeld.core.modality import Modality
from geomeld.core.pool import in_order
from geomeld.core.tile import Tile
from geomeld.dataset import manifest as manifests
from geomeld.dataset import statistics as figures
from geomeld.dataset.files import write_atomically
from geomeld.dataset.index import Shard, digest, load_index, make_index
from geomeld.dataset.manifest import Manifest
from geomeld.dataset.packed import PACKED, PackedVolume
from geomeld.dataset.remote import RemoteFile, address_of, fetch, remote_shards
from geomeld.dataset.shard import update_shard, write_shard
from geomeld.dataset.volume import Ranges, TarVolume, Volume
from geomeld.modalities import MODALITIES

UPDATING = ".updating.json"
"""Names of the shards whose metadata are being rewritten; there only while that lasts."""


class Dataset:
    """A folder of shards, here or on a server. Opening reads the indexes only; a tile is read when it is asked for. Can
    be pickled; safe among threads."""

    def __init__(self, path: str | Path, modalities: Mapping[str, Modality] = MODALITIES) -> None:
        """Raises DatasetError where `path` is no folder with shards, CorruptFile where a shard is damaged."""
        self.address = address_of(path)
        """Where the dataset lies, when that is on a server; None on this machine."""
        self.path, self.shards = located(path)
        """The dataset's folder (the cache of one on a server), and its shards."""
        self.modalities = modalities
        self.damaged: dict[int, str] = {}
        """Tiles that cannot be read, with the reason; the dataset does not count them among its own."""
        self._volumes: dict[int, Volume] = {}
        ranges = Ranges()
        for shard in self.shards:
            volume = open_volume(shard, modalities, ranges)
            self.damaged |= {t: f"Tile {t} in {shard}: {reason}" for t, reason in volume.damaged.items()}
            for tile_id in volume.tile_ids:
                if (other := self._volumes.setdefault(tile_id, volume)) is not volume:
                    raise DatasetError(f"Tile {tile_id} is in {other.shard.name} and in {shard.name}; remove one.")

    def __len__(self) -> int:
        return len(self._volumes)

    def __iter__(self) -> Iterator[Tile]:
        """All tiles, in the order of shards and members."""
        return (self[tile_id] for tile_id in self.tile_ids)

    def __contains__(self, tile_id: object) -> bool:
        return tile_id in self._volumes

    def __getitem__(self, tile_id: int) -> Tile:
        """The tile with this identifier, every layer read. Raises KeyError for one that is not there."""
        return self.read(tile_id)

    def __repr__(self) -> str:
        return f"Dataset({self.address or str(self.path)!r}, {len(self)} tiles)"

    @property
    def tile_ids(self) -> list[int]:
        """Identifiers in stored order."""
        return list(self._volumes)

    @property
    def manifest(self) -> Manifest:
        """The manifest. Raises DatasetError where the folder has none (published shards come without)."""
        return manifests.load_manifest(self.path)

    def shard_of(self, tile_id: int) -> Shard:
        """The shard that holds a tile."""
        return self._find(tile_id).shard

    def layers_of(self, tile_id: int) -> tuple[str, ...]:
        """Names of the layers that a tile has, without reading them."""
        return tuple(self._find(tile_id).layers_of(tile_id))

    def metadata(self, tile_id: int) -> dict[str, Any]:
        """The metadata document of a tile."""
        return self._find(tile_id).metadata(tile_id)

    def read(self, tile_id: int, names: Sequence[str] | None = None) -> Tile:
        """The tile with only the layers in `names` (None: all it has). Raises CorruptFile naming shard and tile."""
        return self._find(tile_id).read(tile_id, names)

    def statistics(self) -> dict[str, figures.BandStatistics | figures.ClassCounts]:
        """Statistics over valid pixels by modality: as stored with the dataset, else computed now (and stored)."""
        stored = figures.load_statistics(self.path, self.modalities)
        if stored is None:
            stored = figures.statistics_of(self, self.modalities)
            if os.access(self.path, os.W_OK):
                figures.save_statistics(self.path, stored)
        return stored

    def companion(self, name: str) -> Path:
        """A file beside the shards, such as captions.parquet; of a dataset on a server a copy, if it has one."""
        path = self.path / name
        if self.address is not None and not path.exists():
            fetch(f"{self.address.rstrip('/')}/{name}", path)
        return path

    def must_be_writable(self, what: str) -> None:
        """Raises DatasetError where `what` cannot be written into this dataset."""
        if self.address is not None:
            raise DatasetError(
                f"{what} cannot be written to {self.address}; copy the dataset to this machine first "
                "(hf download OWNER/NAME --repo-type dataset --local-dir DIR, or rsync), and give that folder."
            )
        if any(shard.suffix == PACKED for shard in self.shards):
            raise DatasetError(
                f"{what} cannot be written into {self.path}: it is packed. Give the dataset that it was packed from, "
                "and pack that again."
            )

    def _find(self, tile_id: int) -> Volume:
        if tile_id in self.damaged:
            raise CorruptFile(self.damaged[tile_id])
        if tile_id not in self._volumes:
            raise KeyError(f"No tile {tile_id} in {self.path}; it holds {len(self)} tiles (see `tile_ids`).")
        return self._volumes[tile_id]


def open_volume(shard: Shard, modalities: Mapping[str, Modality], ranges: Ranges) -> Volume:
    """A shard of either form, opened. Raises CorruptFile where it is damaged as a whole."""
    if shard.suffix == PACKED:
        return PackedVolume(shard, modalities, ranges)
    return TarVolume(shard, modalities, ranges)


def tiles_of(shard: Shard) -> list[int]:
    """The tiles of a shard, the damaged ones too. Raises CorruptFile where it is damaged as a whole."""
    if shard.suffix == PACKED:
        volume = PackedVolume(shard, {}, Ranges())
        return [*volume.tile_ids, *volume.damaged]
    return [m.tile_id for m in load_index(shard).members]


def damage_of(shard: Shard) -> str:
    """What is wrong with a shard as a file, its index included; empty where nothing is."""
    try:
        if shard.suffix == PACKED:
            return "; ".join(PackedVolume(shard, {}, Ranges()).damage())
        if isinstance(shard, RemoteFile):
            load_index(shard)  # its server keeps it; the tiles themselves will be read
        elif load_index(shard) != make_index(shard):
            return "its index does not fit it; delete the index, it will be made anew"
    except CorruptFile as error:
        return str(error)
    return ""


def checksum_of(shard: Shard) -> str:
    """SHA-256 of a shard's bytes; of one on a server what that says, empty where it says nothing."""
    return shard.sha256 if isinstance(shard, RemoteFile) else digest(shard)


def located(path: str | Path) -> tuple[Path, list[Shard]]:
    """(folder on this machine, shards) of a dataset's folder or address; the folder of one on a server is a cache that
    holds its manifest and statistics. Raises DatasetError where there are no shards."""
    address = address_of(path)
    if address is None:
        return Path(path), list(shards_of(Path(path)))
    folder, shards = remote_shards(address)
    return folder, list(shards)


def shards_of(path: Path) -> list[Path]:
    """The shards of a folder, by name. Raises DatasetError where there are none, or of two forms."""
    if not path.exists():
        raise DatasetError(f"{path} does not exist; give the folder that `geomeld build --out` wrote.")
    if not path.is_dir():
        raise DatasetError(f"{path} is a file; give the folder of a dataset.")
    shards, packed = sorted(path.glob("*.tar")), sorted(path.glob(f"*{PACKED}"))
    if shards and packed:
        raise DatasetError(f"{path} holds tars and packed shards; keep them in folders of their own.")
    if not shards and not packed:
        raise DatasetError(f"{path} holds no shards (*.tar): it is no dataset, or its build has not finished.")
    return shards or packed


def open_dataset(path: str | Path) -> Dataset:
    """Open a folder of shards, our own, packed, or the published ones: on this machine, or on a server by its address
    (hf://datasets/OWNER/NAME/FOLDER, https://HOST/FOLDER; single shards by name, `*` or `{00000..00012}`).

    Raises DatasetError where there is no dataset, CorruptFile where a shard is damaged.
    """
    return Dataset(path)


def write_dataset(path: str | Path, tiles: Iterable[Tile], *, source: str = "", shard_size: int = 64) -> Dataset:
    """Write tiles as a dataset: shards, indexes, manifest and statistics. The folder must hold no shards yet."""
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.glob("*.tar")):
        raise DatasetError(f"{folder} holds shards already; give an empty folder.")
    entries, batch, number = [], [], 0
    for tile in chain(tiles, (None,)):
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
    dataset = Dataset(path)
    dataset.must_be_writable("Metadata")
    by_shard: dict[Path, dict[int, Mapping[str, Any]]] = {}
    for tile_id, change in updates.items():
        if any(dataset.metadata(tile_id).get(k) != v for k, v in change.items()):
            by_shard.setdefault(dataset.path / dataset.shard_of(tile_id).name, {})[tile_id] = change
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
