"""Table: captions.parquet, a row per tile with its caption, the caption's record and the signals behind it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from geomeld.core.errors import DatasetError

NAME = "captions.parquet"
SCHEMA = pa.schema(
    [("tile_id", pa.int64()), ("caption", pa.string()), ("status", pa.string()), ("record", pa.string()),
     ("signals", pa.string())]
)  # fmt: skip
"""caption: the sentence, empty where nothing could be said; record, signals: core `Caption` and `Signals` as JSON."""


@dataclass(frozen=True, slots=True)
class Row:
    """One tile's outcome."""

    tile_id: int
    signals: dict[str, Any] | None
    record: dict[str, Any] | None
    error: str | None


def table_writer(file: BinaryIO) -> pq.ParquetWriter:
    """A table to append row groups to."""
    return pq.ParquetWriter(file, SCHEMA)


def append_rows(table: pq.ParquetWriter, rows: Sequence[Row]) -> None:
    """Add one row group of the rows that have a record."""
    told = [(r.tile_id, r.record, r.signals) for r in rows if r.record is not None]
    ids = np.array([tile_id for tile_id, _, _ in told], np.int64)
    columns = [
        pa.Array.from_buffers(pa.int64(), len(told), [None, pa.py_buffer(ids)]),
        _strings([record["text"] for _, record, _ in told]),
        _strings([record["status"] for _, record, _ in told]),
        _strings([json.dumps(record, sort_keys=True) for _, record, _ in told]),
        _strings([json.dumps(signals, sort_keys=True) for _, _, signals in told]),
    ]
    table.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))


def _strings(values: Sequence[str]) -> pa.Array:
    # `pa.array` would first import pandas, half a second long, to ask it whether a list is one of its own.
    builder = pa.lib.StringBuilder()
    builder.append_values(values)
    return builder.finish()


def read_captions(path: Path) -> dict[int, dict[str, Any]]:
    """Caption records of a dataset by tile id. Raises DatasetError where it has none."""
    with _opened(path) as file:
        table = file.read(columns=["tile_id", "record"])
    ids, records = (table.column(name).to_pylist() for name in ("tile_id", "record"))
    return {tile_id: json.loads(record) for tile_id, record in zip(ids, records, strict=True)}


def read_caption(path: Path, tile_id: int) -> dict[str, Any] | None:
    """The caption record of one tile, None where the table has none of it. Raises DatasetError without a table."""
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            ids = file.read_row_group(group, columns=["tile_id"]).column("tile_id").to_pylist()
            if tile_id in ids:
                records = file.read_row_group(group, columns=["record"]).column("record")
                return json.loads(records[ids.index(tile_id)].as_py())
    return None


def _opened(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path / NAME)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} has no readable {NAME}; run `geomeld caption {path}` first ({error}).") from None
