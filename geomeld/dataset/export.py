"""Export: a dataset in the published form alone, so that programs written for the published files read it."""

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from geomeld.core.errors import DatasetError
from geomeld.core.modality import Modality, Timing
from geomeld.core.tile import Layer
from geomeld.dataset.dataset import Dataset
from geomeld.dataset.files import atomic, remove_partials, write_atomically
from geomeld.dataset.sample import LIBRARY, SHIFTED, put_metadata
from geomeld.dataset.shard import ShardWriter, shard_name
from geomeld.modalities import MODALITIES

MARK = ".export.json"
"""Says which dataset the folder is an export of."""
TABLES = {True: "naip_metadata.parquet", False: "non_naip_metadata.parquet"}
"""By whether tiles have a photograph; in the folder `data`."""
FIELDS = ("tile_id", "lat", "long", "acquisition_date", "water_analysis", "osm_tags", "terrain_class", "caption")
"""Metadata of the published files that are taken over as they are; `caption` is where it is looked for first."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written."""

    tiles: int
    with_photograph: int
    shards: tuple[str, ...]


def export(dataset: Dataset, out: Path, *, shard_size: int = 64) -> Exported:
    """Write shards and the two tables of metadata in the published form; goes on where it stopped.

    Tiles with a 1 m photograph go to `*_n.tar` and leave out the bands that the photograph shows (nine of Sentinel-2
    are left). Arrays and metadata that the published files do not have are left out; the caption is kept, and so is
    `dynamic_world_encoding`, without which its labels could be read in two ways.

    Raises DatasetError where `out` holds anything but an earlier part of this very export.
    """
    if shard_size < 1:
        raise DatasetError(f"shard_size is {shard_size}; a shard holds at least one tile.")
    _claim(dataset, out, shard_size)
    shards: list[str] = []
    sides = {photographed: [t for t in dataset.tile_ids if _has_photograph(dataset, t) == photographed]
             for photographed in (False, True)}  # fmt: skip
    with tqdm(total=len(dataset), desc="export", unit="tile", dynamic_ncols=True) as bar:
        for photographed, tile_ids in sides.items():
            for number, part in enumerate(_parts(tile_ids, shard_size)):
                shard = out / shard_name(number, photographed)
                if not shard.exists():  # what has its final name is whole
                    _write_shard(dataset, shard, part)
                shards.append(shard.name)
                bar.update(len(part))
            if tile_ids:
                _write_table(out / "data" / TABLES[photographed], [_row(dataset, t) for t in tile_ids])
    return Exported(len(dataset), len(sides[True]), tuple(shards))


def published_metadata(metadata: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The metadata document of a published sample that has the layers `names`."""
    kept = [n for n in names if MODALITIES[n].published]
    photographed = any(MODALITIES[n].timing is Timing.ANCHOR for n in kept)
    stored = metadata.get("band_names", {})
    bands = {n: _bands(MODALITIES[n], stored.get(n, MODALITIES[n].bands), photographed) for n in kept}
    return {
        **{field: metadata[field] for field in FIELDS if field in metadata},
        "band_names": {n: list(b) for n, b in bands.items()},
        "file_type_naip": photographed,
        "dynamic_world_encoding": SHIFTED,
    }


def published_sample(layers: Mapping[str, Layer], metadata: Mapping[str, Any]) -> bytes:
    """A tile as the HDF5 file that the published shards hold. The same tile gives the same bytes."""
    document, buffer = published_metadata(metadata, tuple(layers)), io.BytesIO()
    with h5py.File(buffer, "w", libver=LIBRARY, track_order=False) as file:
        for name, bands in document["band_names"].items():
            layer = layers[name]
            where = [layer.bands.index(b) for b in bands]
            stored = MODALITIES[name].with_no_data(layer.values[where], layer.valid[where])
            file.create_dataset(name, data=stored, track_times=False)
        put_metadata(file, document)
    return buffer.getvalue()


def _bands(modality: Modality, bands: Sequence[str], photographed: bool) -> tuple[str, ...]:
    """Those that are stored: of the reference sensor not the natural-colour ones, where a photograph shows them."""
    leave_out = modality.composite if photographed and modality.timing is Timing.REFERENCE else ()
    return tuple(b for b in bands if b not in leave_out)


def _has_photograph(dataset: Dataset, tile_id: int) -> bool:
    return any(MODALITIES[n].timing is Timing.ANCHOR for n in dataset.layers_of(tile_id))


def _parts(tile_ids: Sequence[int], size: int) -> Iterator[list[int]]:
    left = iter(tile_ids)
    while part := list(islice(left, size)):
        yield part


def _write_shard(dataset: Dataset, shard: Path, tile_ids: Sequence[int]) -> None:
    writer = ShardWriter(shard)
    try:
        for tile_id in tile_ids:
            tile = dataset[tile_id]
            writer.add(tile_id, published_sample(tile.layers, dataset.metadata(tile_id)))
    except BaseException:
        writer.abandon()
        raise
    writer.finish()


def _row(dataset: Dataset, tile_id: int) -> dict[str, Any]:
    """A row of the tables: the metadata with the name of the member. Tags are lists or null, for a column has one
    type."""
    document = published_metadata(dataset.metadata(tile_id), dataset.layers_of(tile_id))
    tags = {k: [v] if isinstance(v, str) else v for k, v in (document.get("osm_tags") or {}).items()}
    return {**document, "osm_tags": tags or None, "source_file": f"{tile_id}.h5"}


def _write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with atomic(path) as file:
        pq.write_table(pa.Table.from_pylist(list(rows)), file)


def _claim(dataset: Dataset, out: Path, shard_size: int) -> None:
    """Take the folder for this export, or find that it is another's."""
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file; give a folder for the export.")
    if out.exists() and dataset.address is None and out.resolve() == dataset.path.resolve():
        raise DatasetError(f"{out} is the dataset itself; give another folder for the export.")
    listing = [(t, dataset.metadata(t)) for t in dataset.tile_ids]
    digest = blake2b(json.dumps([shard_size, listing], sort_keys=True).encode(), digest_size=16).hexdigest()
    mark = out / MARK
    if mark.exists():
        if mark.read_text() != digest:
            raise DatasetError(f"{out} holds an export of another dataset, or in other shards; give another folder.")
    elif out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out} is not empty; give another folder for the export.")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(mark, digest.encode())
    remove_partials(out)
