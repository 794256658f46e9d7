"""Columns: anchors as a table of millions of rows, in and out of GeoParquet."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from geomeld.build.anchors.table import SINCE, UNTIL, read_anchors
from geomeld.build.squares import inside_utm
from geomeld.core.config import to_json
from geomeld.core.errors import AnchorError
from geomeld.dataset.files import atomic

NAMES = ("tile_id", "lon", "lat", "reference_date", "source", "source_key", "biome")
"""What an anchor is made of."""

TYPES = (pa.int64(), pa.float64(), pa.float64(), pa.string(), pa.string(), pa.string(), pa.string())

PROVENANCE = b"geomeld"
"""Key of the file's metadata under which its making is described, as JSON."""


def read_columns(path: Path, *, seed: int = 0, years: tuple[int, int] = (2018, 2021)) -> pa.Table:
    """The columns NAMES of an anchors file: quickly where `geomeld anchors` wrote it, else by way of `read_anchors`.

    Raises AnchorError.
    """
    schema = _schema(path)
    if schema is None or [schema.field(n).type if n in schema.names else None for n in NAMES] != list(TYPES):
        rows = [to_json(a) for a in read_anchors(path, seed=seed, years=years)]
        return pa.Table.from_pylist(rows, schema=pa.schema(list(zip(NAMES, TYPES, strict=True))))
    table = pq.read_table(path, columns=list(NAMES))
    if not len(table):
        raise AnchorError(f"{path} holds no anchors.")
    _hold_to_rules(table, path)
    return table


def _schema(path: Path) -> pa.Schema | None:
    if not path.exists():
        raise AnchorError(f"There is no anchors file {path}.")
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException):
        return None


def _hold_to_rules(table: pa.Table, path: Path) -> None:
    if any(table[n].null_count for n in NAMES):
        raise AnchorError(f"{path} has empty cells; every anchor needs {', '.join(NAMES)}.")
    lon, lat = table["lon"].to_numpy(), table["lat"].to_numpy()
    bad = np.flatnonzero(~inside_utm(lon, lat))
    if len(bad):
        raise AnchorError(f"{path}, row {bad[0] + 1}: {lat[bad[0]]}, {lon[bad[0]]} is not on the globe or outside UTM.")
    ids = table["tile_id"].to_numpy()
    if len(np.unique(ids)) < len(ids):
        seen, counts = np.unique(ids, return_counts=True)
        raise AnchorError(f"Tile id {seen[counts > 1][0]} occurs twice in {path}. Give every place an id of its own.")
    try:
        years = (
            np.array(table["reference_date"].to_pylist(), "datetime64[D]").astype("datetime64[Y]").astype(int) + 1970
        )
    except ValueError as error:
        raise AnchorError(f"{path}: {error}; dates are in the form 2020-06-15.") from None
    if years.min() < SINCE or years.max() > UNTIL:
        raise AnchorError(f"{path} has dates outside the years {SINCE} to {UNTIL}.")


def write_columns(path: Path, frame: pd.DataFrame, provenance: dict[str, Any]) -> None:
    """Write anchors as GeoParquet: NAMES, and whatever other columns there are, with how they were made."""
    points = shapely.to_wkb(shapely.points(frame["lon"].to_numpy(), frame["lat"].to_numpy()))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for name, kind in zip(NAMES, TYPES, strict=True):
        k = table.schema.get_field_index(name)
        table = table.set_column(k, name, table[name].cast(kind))
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": ["Point"]}},
    }
    table = table.append_column("geometry", pa.array(points, pa.binary()))
    table = table.replace_schema_metadata(
        {b"geo": json.dumps(geo).encode(), PROVENANCE: json.dumps(provenance).encode()}
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        pq.write_table(table, file, compression="zstd", row_group_size=100_000)


def provenance_of(path: Path) -> dict[str, Any]:
    """How an anchors file was made; empty where it does not say."""
    return dict(json.loads((pq.read_schema(path).metadata or {}).get(PROVENANCE, b"{}")))
