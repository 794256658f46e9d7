"""STAC items without pixels: of given scenes, and many of a few, moved through space and time."""

import datetime as dt
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely.geometry import mapping
from shapely.geometry.base import BaseGeometry

from geomeld.sources import Scene
from geomeld.sources.profiles import PROFILES


def item_json(scene: Scene) -> dict[str, Any]:
    """A scene as the JSON of an item, with the first asset of each band."""
    profile = PROFILES[scene.modality]
    properties: dict[str, Any] = {
        "datetime": scene.acquired.isoformat() if scene.acquired else "2020-06-01T00:00:00Z",
        "eo:cloud_cover": scene.cloud_cover,
        "sat:orbit_state": scene.orbit,
        "proj:code": f"EPSG:{scene.epsg}" if scene.epsg else None,
        "s2:processing_baseline": scene.properties.get("baseline"),
    }
    names = [names[0] for names in profile.assets.values()]
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": scene.scene_id,
        "collection": profile.collections[0],
        "geometry": mapping(on_globe(scene.footprint)),
        "properties": {k: v for k, v in properties.items() if v is not None},
        "links": [],
        "assets": {n: {"href": f"https://example.org/{scene.scene_id}/{n}.tif"} for n in dict.fromkeys(names)},
    }


def on_globe(footprint: BaseGeometry) -> BaseGeometry:
    """A footprint between 180 west and 180 east, cut at the antimeridian as STAC wants it."""
    parts = [
        shapely.affinity.translate(footprint, turn).intersection(shapely.box(-180, -90, 180, 90))
        for turn in (-360.0, 0.0, 360.0)
    ]
    return shapely.union_all([part for part in parts if part.area > 0])


def write_many(
    sample: Path, out: Path, n: int, *, first: dt.date, days: int, seed: int = 0, rows: int = 50_000
) -> None:
    """Write `n` items in the form of the items of a GeoParquet file: each takes an item's columns and assets, a place
    that is a whole number of degrees of longitude away, and a time in `days` from `first`; sorted by time."""
    table = pq.read_table(sample)
    rng = np.random.default_rng(seed)
    time = np.sort(rng.integers(0, days * 86_400, n)) * 1_000_000 + int(np.datetime64(first, "us").astype(np.int64))
    with pq.ParquetWriter(out, table.schema, compression="zstd") as writer:
        for start in range(0, n, rows):
            at = np.arange(start, min(start + rows, n))
            part = table.take(pa.array(rng.integers(0, len(table), len(at))))
            writer.write_table(_moved(part, rng.integers(0, 60, len(at)) * 6 - 70.0, time[at], at))


def _moved(part: pa.Table, east: np.ndarray, time: np.ndarray, number: np.ndarray) -> pa.Table:
    shapes = shapely.from_wkb(part["geometry"].combine_chunks().to_numpy(zero_copy_only=False))
    coordinates, owner = shapely.get_coordinates(shapes, return_index=True)
    west = shapely.bounds(shapes)[:, 0]
    east = np.where(west + east > 170, east - 360, east)
    moved = shapely.set_coordinates(shapes, coordinates + np.stack([east[owner], np.zeros(len(owner))], 1))
    box = dict(zip(("xmin", "ymin", "xmax", "ymax"), shapely.bounds(moved).T, strict=True))
    new: dict[str, Any] = {
        "id": pa.array([f"{i}_{k}" for i, k in zip(part["id"].to_pylist(), number, strict=True)]),
        "geometry": pa.array(shapely.to_wkb(moved)),
        "datetime": pa.array(time, pa.timestamp("us", "UTC")),
        "bbox": pa.StructArray.from_arrays([pa.array(v) for v in box.values()], list(box)),
    }
    for name, values in new.items():
        k = part.schema.get_field_index(name)
        if k >= 0:
            part = part.set_column(k, part.schema.field(k), values.cast(part.schema.field(k).type))
    return part


def columns_of(anchors: Iterable[Any], names: Sequence[str]) -> pa.Table:
    """Anchors as a table of columns."""
    from geomeld.core.config import to_json

    return pa.Table.from_pylist([to_json(a) for a in anchors]).select(list(names))
