"""MapTable: the map tags of a dataset as a table of their own beside the shards, under the licence of the map."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from geomeld.core.pool import Engine, in_order
from geomeld.dataset.files import atomic
from geomeld.dataset.index import load_index
from geomeld.dataset.sample import decode
from geomeld.modalities import MODALITIES

NAME = "map_features.parquet"

UNKNOWN = "unknown"
"""Map of tiles that do not say what theirs comes from."""

LICENCE = (
    "Map data (c) OpenStreetMap contributors, under the Open Database License (ODbL) 1.0: "
    "https://www.openstreetmap.org/copyright. A database made from it is to be offered under the same licence."
)
"""What has to be said wherever map data go."""

WHOLE = "tile"
"""Level of the row with all tags of a tile in the published flat form."""

SCHEMA = pa.schema(
    [
        ("tile_id", pa.int64()),
        ("level", pa.string()),
        ("phrase", pa.string()),
        ("tags", pa.string()),
        ("count", pa.int32()),
        ("length_m", pa.float64()),
        ("area_fraction", pa.float64()),
        ("distance_m", pa.float64()),
        ("sector", pa.string()),
        ("map", pa.string()),
    ]
)
"""A row per group of features of a tile: at its centre ("center"), around it ("surrounding"), what it lies in ("area");
`tags` are JSON, `map` is what they come from and when that was."""

LICENSED = SCHEMA.with_metadata({"licence": LICENCE})
"""The schema as it is stored; how many tiles there are of each map is in the file's own metadata, "maps"."""


def write_map_table(folder: Path, workers: int = 1, engine: Engine = "processes") -> int:
    """Write the table of a dataset from the metadata of its tiles, shard by shard; returns the number of rows. The same
    shards give the same bytes. A dataset without a map has no table."""
    shards = sorted(folder.resolve().glob("*.tar"))
    maps: Counter[str] = Counter()
    rows = 0
    with atomic(folder / NAME) as file, pq.ParquetWriter(file, LICENSED, compression="zstd") as writer:
        for found, seen in in_order(_of_shard, shards, min(workers, len(shards)), preload=(__name__,), engine=engine):
            writer.write_batch(found)
            maps.update(seen)
            rows += found.num_rows
        writer.add_key_value_metadata({"maps": json.dumps(dict(sorted(maps.items())))})
    if not maps:
        (folder / NAME).unlink()
    return rows


def _of_shard(shard: Path) -> tuple[pa.RecordBatch, Counter[str]]:
    """The rows of a shard's tiles, and how many tiles there are of each map."""
    rows: list[dict[str, Any]] = []
    maps: Counter[str] = Counter()
    with shard.open("rb") as file:
        for member in load_index(shard).members:
            file.seek(member.offset)
            known = decode(file.read(member.size), (), MODALITIES).metadata
            if known.get("map_features") is None:
                continue
            source = known.get("map_product") or UNKNOWN
            maps[source] += 1
            rows += [{"tile_id": member.tile_id, "map": source, **row} for row in _rows(known)]
    return pa.RecordBatch.from_pylist(rows, LICENSED), maps


def _rows(known: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"level": WHOLE, "tags": _text(known.get("osm_tags") or {})}
    for group in known["map_features"]:
        facts = {name: group.get(name) for name in SCHEMA.names if name in group}
        yield {**facts, "tags": _text(group["tags"])}


def _text(tags: Mapping[str, Any]) -> str:
    return json.dumps(tags, sort_keys=True, ensure_ascii=False)
