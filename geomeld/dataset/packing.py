"""Packing: a dataset to packed shards, one for each of its own; a run that is killed goes on where it was."""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from geomeld.core.errors import CorruptFile, DatasetError
from geomeld.core.modality import Modality
from geomeld.core.pool import in_order
from geomeld.core.tile import Tile
from geomeld.dataset import manifest as manifests
from geomeld.dataset import statistics as figures
from geomeld.dataset.codes import EMPTY, ROW, encode_band
from geomeld.dataset.dataset import Dataset, checksum_of, open_volume
from geomeld.dataset.files import alone, atomic, remove_partials, write_atomically
from geomeld.dataset.index import Shard, load_index
from geomeld.dataset.manifest import Failure, Manifest, ShardEntry
from geomeld.dataset.packed import ALIGN, ENTRY, MAGIC, PACKED, TAIL, PackedVolume, aligned
from geomeld.dataset.remote import RemoteFile
from geomeld.dataset.volume import Ranges, Volume
from geomeld.modalities import MODALITIES

UNFINISHED = ".packing.json"
"""What is being packed; there only while that lasts."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What packing has done."""

    shards: int
    tiles: int
    bytes_before: int
    bytes_after: int
    damaged: Mapping[int, str]
    """Tiles that could not be read and were left out, with the reason."""


def pack(dataset: Dataset, out: Path, *, workers: int = 1, strict: bool = False) -> Packed:
    """Pack a dataset into the folder `out`; every tile then reads as it does from the dataset, bit by bit.

    A shard that is there already and was made from the same bytes is kept. Raises DatasetError where `out` holds
    anything else, and where `dataset` is packed itself; CorruptFile for a damaged tile if `strict`.
    """
    if any(shard.suffix == PACKED for shard in dataset.shards):
        raise DatasetError(f"{dataset.path} is packed already; give the dataset that it was packed from.")
    identity = {"layers": _layers(dataset.modalities), "shards": [_identity(s) for s in dataset.shards]}
    _may_be_written(out, identity)
    with alone(out):
        if not (out / manifests.NAME).exists():
            write_atomically(out / UNFINISHED, json.dumps(identity).encode())
            remove_partials(out)
        jobs = [
            (s, out / f"{Path(s.name).stem}{PACKED}", i)
            for s, i in zip(dataset.shards, identity["shards"], strict=True)
        ]
        work = partial(_pack_shard, modalities=dataset.modalities, strict=strict)
        rows = in_order(work, jobs, min(workers, len(jobs)), preload=(__name__,))
        damaged: dict[int, str] = {}
        for found in tqdm(rows, desc="pack", total=len(jobs), unit="shard", dynamic_ncols=True):
            damaged |= found
        _finish(dataset, out, identity, [path for _, path, _ in jobs], damaged)
    sizes = [s.size if isinstance(s, RemoteFile) else s.stat().st_size for s in dataset.shards]
    packed = [path.stat().st_size for _, path, _ in jobs]
    return Packed(len(jobs), len(dataset) - len(damaged), sum(sizes), sum(packed), {**dataset.damaged, **damaged})


def _identity(shard: Shard) -> dict[str, Any]:
    version = shard.cached.name if isinstance(shard, RemoteFile) else load_index(shard).sha256
    return {"name": shard.name, "version": version}


def _layers(modalities: Mapping[str, Modality]) -> list[dict[str, Any]]:
    # Coarse pixels first: what most readers want lies together at the start of a record.
    order = sorted(modalities.values(), key=lambda m: -m.gsd)
    return [{"name": m.name, "bands": list(m.bands), "dtype": np.dtype(m.dtype).str} for m in order]


def _may_be_written(out: Path, identity: dict[str, Any]) -> None:
    """Raises DatasetError where the folder holds something else."""
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file; give a folder for the packed dataset.")
    out.mkdir(parents=True, exist_ok=True)
    note, made = out / UNFINISHED, out / manifests.NAME
    there: Any = None
    if note.exists():
        there = json.loads(note.read_text())
    elif made.exists():
        there = manifests.load_manifest(out).config.get("packed")
    elif any(out.glob("*.tar")) or any(out.glob(f"*{PACKED}")):
        raise DatasetError(f"{out} holds shards already; give another folder.")
    if there not in (None, identity) or (made.exists() and there is None):
        raise DatasetError(
            f"{out} holds another dataset, or the same packed before it was changed; delete it or give another folder."
        )


def _finish(
    dataset: Dataset, out: Path, identity: dict[str, Any], paths: Sequence[Path], damaged: dict[int, str]
) -> None:
    shards = []
    for path in paths:
        tiles = len(PackedVolume(path, {}, Ranges()).tile_ids)
        shards.append(ShardEntry(path.name, tiles, path.stat().st_size, checksum_of(path)))
    try:
        source = dataset.manifest.source
    except DatasetError:
        source = "published"
    failures = tuple(Failure(t, "read", reason) for t, reason in {**dataset.damaged, **damaged}.items())
    figures.save_statistics(out, dataset.statistics())
    manifests.save_manifest(
        out, Manifest(source=source, config={"packed": identity}, shards=tuple(shards), failures=failures)
    )
    (out / UNFINISHED).unlink(missing_ok=True)


def _pack_shard(
    job: tuple[Shard, Path, dict[str, Any]], *, modalities: Mapping[str, Modality] = MODALITIES, strict: bool = False
) -> dict[int, str]:
    """Pack one shard; the tiles that were left out, with the reason."""
    shard, path, identity = job
    if path.exists():
        try:
            header = PackedVolume(path, modalities, Ranges()).header
            if header["source"] == identity:
                return {int(t): reason for t, reason in header["damaged"].items()}
        except CorruptFile:
            pass  # made anew
    volume = open_volume(shard, modalities, Ranges())
    with atomic(path) as file:
        return _write(file, volume, identity, modalities, strict)


def _write(
    file: BinaryIO, volume: Volume, identity: dict[str, Any], modalities: Mapping[str, Modality], strict: bool
) -> dict[int, str]:
    layers = _layers(modalities)
    damaged: dict[int, str] = {}
    entries = []
    place = file.write(MAGIC)
    for tile_id in volume.tile_ids:
        try:
            head, document, rows, body = record(volume.metadata(tile_id), volume.read(tile_id, None), layers)
        except CorruptFile as error:
            if strict:
                raise
            damaged[tile_id] = str(error)
            continue
        place += file.write(bytes(aligned(place) - place))
        data = head + body
        entries.append(
            (
                tile_id,
                place,
                len(data),
                document,
                rows,
                zlib.crc32(head[: document + rows * ROW.itemsize]),
                zlib.crc32(data),
            )
        )
        place += file.write(data)
    header = {"layers": layers, "source": identity, "damaged": {str(t): r for t, r in damaged.items()}}
    contents = json.dumps(header, ensure_ascii=False).encode()
    end = contents + np.array(entries, ENTRY).tobytes()
    file.write(end + TAIL.pack(place, len(contents), len(entries), zlib.crc32(end), MAGIC))
    return damaged


def record(
    metadata: Mapping[str, Any], tile: Tile, layers: Sequence[Mapping[str, Any]]
) -> tuple[bytes, int, int, bytes]:
    """(head, length of the metadata in it, number of rows in it, bands) of a tile."""
    document = json.dumps(metadata, ensure_ascii=False).encode()
    document += b" " * (-len(document) % 8)
    found: list[tuple] = []
    stored: list[NDArray] = []
    for number, facts in enumerate(layers):
        layer = tile.layers.get(facts["name"])
        for band in range(len(facts["bands"]) if layer is not None else 0):
            code, hole, step, base, pixels = encode_band(layer.values[band], layer.valid[band])  # type: ignore[union-attr]
            found.append((number, band, code, 0, *layer.values.shape[1:], hole, 0, step, base))  # type: ignore[union-attr]
            stored.append(pixels if code != EMPTY else pixels[:0])
    rows = np.array(found, ROW)
    head_size = aligned(len(document) + rows.nbytes)
    offset, body = head_size, []
    for row, pixels in zip(rows, stored, strict=True):
        row["offset"] = offset
        body.append(pixels.tobytes() + bytes(-pixels.nbytes % ALIGN))
        offset += len(body[-1])
    head = document + rows.tobytes()
    return head.ljust(head_size, b"\0"), len(document), len(rows), b"".join(body)
