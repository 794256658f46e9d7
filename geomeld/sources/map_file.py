"""MapFile: a map as a GeoParquet file, made once per region from an extract, for anything that knows the format."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from geomeld.core.errors import CorruptAsset
from geomeld.dataset.files import atomic
from geomeld.dataset.map_table import LICENCE
from geomeld.sources.map_rows import EDGES, About, MapRows, RowsBuilder

ROWS = 65_536
"""Features per row group; neighbours lie together, so that a reader can pass over most groups."""

ABOUT = b"geomeld_map"

UNREADABLE = (OSError, ValueError, KeyError, AttributeError, TypeError, pa.ArrowException, shapely.errors.ShapelyError)


def save(path: Path, rows: MapRows) -> None:
    """Write a map: feature_id, tags (JSON), geometry (WKB, degrees) and bbox, with its box, snapshot and licence."""
    bbox = pa.StructArray.from_arrays([rows.batch.column(e) for e in EDGES], ["xmin", "ymin", "xmax", "ymax"])
    words = pa.array([json.dumps(dict(tags), sort_keys=True, ensure_ascii=False) for tags in rows.tags], pa.string())
    columns = {
        "feature_id": rows.batch.column("feature_id"),
        "tags": words.take(rows.batch.column("tags")),
        "geometry": rows.batch.column("shape").cast(pa.binary()),
        "bbox": bbox,
    }
    about = {"box": rows.about.box, "snapshot": rows.about.snapshot, "skipped": rows.about.skipped}
    notes = {b"geo": json.dumps(_geo()), ABOUT: json.dumps({**about, "licence": LICENCE})}
    table = pa.table(columns).replace_schema_metadata(notes)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        pq.write_table(table, file, row_group_size=ROWS, compression="zstd")


def load(href: str, data: bytes) -> MapRows:
    """The map in the bytes of a file that `save`, or anybody else, wrote with feature_id, tags and geometry.

    Raises CorruptAsset for another kind of file.
    """
    builder = RowsBuilder()
    try:
        table = pq.read_table(io.BytesIO(data), columns=["feature_id", "tags", "geometry"])
        words = table["tags"].combine_chunks().dictionary_encode()
        numbers = [builder.number_of(_tags(text)) for text in words.dictionary.to_pylist()]
        tags = np.array(numbers, dtype=np.int32)[words.indices.to_numpy(zero_copy_only=False)] if numbers else []
        shapes = shapely.from_wkb(table["geometry"].to_numpy())
        if len(shapes):
            builder.add(table["feature_id"].cast(pa.string()).to_pylist(), list(tags), shapes)
        known = json.loads((table.schema.metadata or {}).get(ABOUT, b"{}"))
        box = known.get("box")
        return builder.rows(About(tuple(box) if box else None, known.get("snapshot", ""), known.get("skipped", 0)))
    except (
        OSError,
        ValueError,
        KeyError,
        AttributeError,
        TypeError,
        pa.ArrowException,
        shapely.errors.ShapelyError,
    ) as e:
        raise CorruptAsset(
            f"The map extract {href} cannot be read: {e}. It is a GeoParquet file with the columns feature_id, "
            "tags (JSON) and geometry (degrees)."
        ) from e


def _tags(text: str) -> dict[str, str]:
    return {str(key): str(value) for key, value in json.loads(text).items()}


def _geo() -> dict[str, Any]:
    covering = {edge: ["bbox", edge] for edge in ("xmin", "ymin", "xmax", "ymax")}
    column = {"encoding": "WKB", "geometry_types": [], "covering": {"bbox": covering}}
    return {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": column}}
