"""ItemTable: one file of STAC items, asked by DuckDB for the few columns that a choice or a scene needs."""

import datetime as dt
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from numpy.typing import NDArray

from geomeld.core.errors import MissingExtra, SourceError, TransientError, UsageError
from geomeld.sources.profiles import PROFILES

KEPT = ("eo:", "s2:processing", "sat:", "proj:code", "proj:epsg", "sar:", "earthsearch:", "raster:")
"""Beginnings of the properties that are read of the chosen items."""

PARTS = ("href", "raster:bands", "bands", "offset", "scale", "raster:offset", "raster:scale")
"""Fields of an asset that are read."""

BATCH = 10_000
"""Chosen items that are held as Python objects at a time."""


def connected(href: str = "") -> Any:
    """A DuckDB connection, with the web behind it for an http(s) address. Raises MissingExtra without DuckDB."""
    try:
        import duckdb
    except ImportError:
        raise MissingExtra(
            "Planning from items files needs DuckDB; install it with: pip install 'geomeld[plan]'"
        ) from None
    connection = duckdb.connect()
    connection.execute("SET preserve_insertion_order = true; SET TimeZone = 'UTC'")
    if href.startswith(("http://", "https://")):
        # DuckDB's own reader of addresses is an extension that it would download.
        connection.register_filesystem(_web())
    return connection


@cache
def _web() -> Any:
    from fsspec.implementations.http import HTTPFileSystem

    class Web(HTTPFileSystem):
        """Files behind addresses, as DuckDB asks for them."""

        def modified(self, path: str) -> dt.datetime:
            """A file is the same as long as it is read."""
            return dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

    return Web()


@dataclass
class ItemTable:
    """A file of items."""

    href: str
    """Parquet, on disk or on the web."""
    shown: str
    """What the user called it."""
    types: Mapping[str, str] = field(default_factory=dict)
    """DuckDB types of its columns."""
    collections: Mapping[str, tuple[str, ...] | None] = field(default_factory=dict)
    """Collections in the file by the modality that they serve; None where the user said which it is."""
    rows: int = 0

    def read(
        self, collections: Sequence[str] | None, near: NDArray[np.int64], span: tuple[int, int] | None
    ) -> pa.Table:
        """The items of collections in occupied cells (`near`: their sums, see `items`), acquired in a span of
        microseconds since 1970, both ends included: row, id, time, cloud, orbit, code, baseline, mode, geometry."""
        time = self._time()
        tests = [f"epoch_us({time}) BETWEEN {span[0]} AND {span[1]} OR {time} IS NULL"] if span else []
        tests += [f"collection IN ({', '.join(map(_quoted, collections))})"] if collections else []
        where = " WHERE " + " AND ".join(f"({t})" for t in tests) if tests else ""
        box = [f"bbox.{k}" for k in ("xmin", "ymin", "xmax", "ymax")] if self._has_box else []
        rows = self._ask(f"SELECT {', '.join(['file_row_number AS row', *box])} FROM {self._from}{where} ORDER BY row")
        if box:
            rows = rows.filter(pa.array(_meets(near, *(rows[k].to_numpy() for k in ("xmin", "ymin", "xmax", "ymax")))))
        wanted = {
            "row": "row",
            "id": self._column("id", "VARCHAR"),
            "time": f"epoch_us({time})",
            "cloud": self._column("eo:cloud_cover", "DOUBLE"),
            "orbit": self._column("sat:orbit_state", "VARCHAR"),
            "code": f"coalesce({self._column('proj:code', 'VARCHAR')}, {self._column('proj:epsg', 'VARCHAR')})",
            "baseline": self._column("s2:processing_baseline", "VARCHAR"),
            "mode": self._column("sar:instrument_mode", "VARCHAR"),
            "geometry": self._geometry,
        }
        select = ", ".join(f"{what} AS {name}" for name, what in wanted.items())
        return self._ask(
            f"SELECT {select} FROM {self._from} JOIN chosen USING (row) ORDER BY row", rows.select(["row"])
        )

    def items(self, rows: NDArray[np.int64], modality: str) -> Iterator[list[dict[str, Any]]]:
        """Batches of items, as STAC has them but for links, with the assets that serve a modality; rows ascend."""
        profile = PROFILES[modality]
        names = [*dict.fromkeys(n for given in profile.assets.values() for n in given), *profile.classification]
        columns = [c for c in self.types if c.startswith(KEPT) or c in ("datetime", "start_datetime", "end_datetime")]
        fields = self._asset_fields()
        assets = {n: [f for f in PARTS if f in fields[n]] for n in names if n in fields}
        packed = ", ".join(
            f"{_named(n)} := struct_pack({', '.join(f'{_named(f)} := assets.{_named(n)}.{_named(f)}' for f in parts)})"
            for n, parts in assets.items()
        )
        select = ["row", "id", self._column("collection", "VARCHAR") + " AS collection", *map(_named, columns)]
        select += [f"{self._geometry} AS geometry", f"struct_pack({packed}) AS assets" if packed else "NULL AS assets"]
        chosen = pa.table({"row": np.asarray(rows, np.int64)})
        found = self._ask(f"SELECT {', '.join(select)} FROM {self._from} JOIN chosen USING (row) ORDER BY row", chosen)
        for batch in found.to_batches(max_chunksize=BATCH):
            yield [_item(row, columns) for row in batch.to_pylist()]

    def absolute(self, href: str) -> str:
        """The address of an asset; a relative one is meant from the items file."""
        if "://" in href or href.startswith("/") or "://" in self.shown:
            return urljoin(self.shown, href) if "://" in self.shown else href
        return str((Path(self.shown).absolute().parent / href).resolve())

    @property
    def _from(self) -> str:
        return f"(SELECT *, file_row_number AS row FROM read_parquet({_quoted(self.href)}, file_row_number=true))"

    @cached_property
    def _has_box(self) -> bool:
        return self.types.get("bbox", "").startswith("STRUCT") and "xmin" in self.types["bbox"]

    @property
    def _geometry(self) -> str:
        return "ST_AsWKB(geometry)" if self.types["geometry"].startswith("GEOMETRY") else "geometry"

    def _time(self) -> str:
        """The time of an item: its datetime, else the start of its period, else the end."""
        found = [self._column(c, "TIMESTAMPTZ") for c in ("datetime", "start_datetime", "end_datetime")]
        return f"coalesce({', '.join(found)})"

    def _column(self, name: str, kind: str) -> str:
        return f"TRY_CAST({_named(name)} AS {kind})" if name in self.types else f"CAST(NULL AS {kind})"

    def _asset_fields(self) -> dict[str, list[str]]:
        kind = pq.read_schema(_opened(self.href)).field("assets").type if "assets" in self.types else None
        if not isinstance(kind, pa.StructType):
            return {}
        return {asset.name: [f.name for f in asset.type] for asset in kind if isinstance(asset.type, pa.StructType)}

    def _ask(self, query: str, chosen: pa.Table | None = None) -> pa.Table:
        return asked(self.href, self.shown, query, chosen)


def asked(href: str, shown: str, query: str, chosen: pa.Table | None = None) -> pa.Table:
    """The answer to a query over a file. Raises SourceError and TransientError."""
    with connected(href) as connection:
        if chosen is not None:
            connection.register("chosen", chosen)
        try:
            return connection.sql(query).to_arrow_table()
        except MemoryError:
            raise
        except Exception as error:  # DuckDB raises kinds of its own, and those of the web
            told = str(error).partition("\n")[0]
            if href.startswith(("http://", "https://")) and not isinstance(error, FileNotFoundError):
                raise TransientError(f"The items file {shown} did not come: {told}. Try again later.") from None
            raise SourceError(f"{shown} is no items file that can be read: {told}.") from None


def open_tables(files: Sequence[tuple[str | None, str]]) -> list[ItemTable]:
    """Tables of files, each with the modality that the user said it is of. Raises UsageError and SourceError."""
    return [_opened_table(modality, shown) for modality, shown in files]


def _opened_table(modality: str | None, shown: str) -> ItemTable:
    href = _as_parquet(shown)
    described = asked(href, shown, f"DESCRIBE SELECT * FROM read_parquet({_quoted(href)})")
    types = dict(zip(described["column_name"].to_pylist(), described["column_type"].to_pylist(), strict=True))
    missing = [c for c in ("id", "geometry", "assets") if c not in types]
    if missing:
        raise SourceError(
            f"{shown} is no file of STAC items: it has no column {', '.join(missing)}, but {', '.join(types)}."
        )
    rows = asked(href, shown, f"SELECT count(*) AS n FROM read_parquet({_quoted(href)})")["n"][0].as_py()
    if not rows:
        return ItemTable(href, shown, types)
    if not types["geometry"].startswith(("GEOMETRY", "BLOB")):
        raise SourceError(f"{shown}: its geometry is {types['geometry']}; write it as WKB, as GeoParquet has it.")
    if "GEOMETRY(" in types["geometry"] and not any(k in types["geometry"] for k in ("CRS84", "4326")):
        raise SourceError(
            f"{shown}: its footprints are in {types['geometry']}; STAC has longitude and latitude (CRS84)."
        )
    if modality is not None:
        return ItemTable(href, shown, types, {modality: None}, rows)
    there: list[str] = []
    if "collection" in types:
        found = asked(href, shown, f"SELECT DISTINCT collection AS c FROM read_parquet({_quoted(href)}) ORDER BY c")
        there = [str(c) for c in found["c"].to_pylist() if c is not None]
    serving = {n: tuple(c for c in p.collections if c in there) for n, p in PROFILES.items()}
    collections = {n: served for n, served in serving.items() if served}
    if not collections:
        raise UsageError(
            f"{shown} holds items of {', '.join(there) or 'no named collection'}, which serve no modality; say which "
            f"one it is, for example --items 'sentinel2={shown}'."
        )
    return ItemTable(href, shown, types, collections, rows)


def _as_parquet(href: str) -> str:
    """The file itself, or what newline-delimited JSON becomes."""
    if not href.lower().endswith((".ndjson", ".jsonl", ".json", ".geojson")):
        return href
    _TEMPORARY.append(tempfile.TemporaryDirectory(prefix="geomeld-items-"))
    out = Path(_TEMPORARY[-1].name) / "items.parquet"
    write_items(out, _json_items(Path(href)))
    return str(out)


_TEMPORARY: list[tempfile.TemporaryDirectory] = []
"""Folders of this process, removed when it ends."""


def _json_items(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
        try:
            whole = json.loads(text)
        except ValueError:
            whole = [json.loads(line) for line in text.splitlines() if line.strip()]
        items = whole.get("features", [whole]) if isinstance(whole, dict) else whole
        if not all(isinstance(i, dict) and i.get("type") == "Feature" for i in items):
            raise ValueError("not every object is a Feature")
        return items
    except (OSError, ValueError) as error:
        raise SourceError(f"{path} holds no STAC items: {error}.") from None


def write_items(path: Path, items: Sequence[Mapping[str, Any]]) -> None:
    """Write STAC items as GeoParquet: properties as columns, footprints as WKB, boxes as four numbers."""
    rows = [_flat(item) for item in items]
    keys = list(dict.fromkeys(k for row in rows for k in row)) or ["id", "geometry", "assets"]
    table = pa.table({k: _array([row.get(k) for row in rows]) for k in keys})
    geo = {
        "version": "1.1.0",
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "geometry_types": []}},
    }
    pq.write_table(table.replace_schema_metadata({"geo": json.dumps(geo)}), path, compression="zstd")


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):  # one field, several types
        return pa.array([None if v is None else json.dumps(v) for v in values])


def _flat(item: Mapping[str, Any]) -> dict[str, Any]:
    row = {k: item[k] for k in ("type", "stac_version", "id", "collection") if k in item}
    row |= dict(item.get("properties") or {})
    row["assets"] = item.get("assets") or None
    try:
        shape = shapely.geometry.shape(item["geometry"])
        row["geometry"] = shape.wkb
        row["bbox"] = dict(zip(("xmin", "ymin", "xmax", "ymax"), shape.bounds, strict=True))
    except (KeyError, TypeError, ValueError, AttributeError, shapely.errors.ShapelyError):
        row["geometry"] = row["bbox"] = None
    return row


def _item(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    assets = {n: {k: v for k, v in a.items() if v is not None} for n, a in (row["assets"] or {}).items() if a}
    return {
        "id": row["id"],
        "collection": row["collection"],
        "geometry": row["geometry"],
        "properties": {c: row[c] for c in columns if row[c] is not None},
        "assets": {n: a for n, a in assets.items() if a.get("href")},
    }


def _meets(near: NDArray[np.int64], west: NDArray, south: NDArray, east: NDArray, north: NDArray) -> NDArray[np.bool_]:
    """Which boxes (degrees) meet an occupied cell; boxes that are not stated, or absurd, do."""
    known = (np.abs(west) <= 540) & (np.abs(east) <= 540) & (np.abs(south) <= 91) & (np.abs(north) <= 91)
    east = np.where(east < west, east + 360.0, east)  # across the antimeridian
    x0, x1 = (np.clip(np.floor(np.where(known, v, 0.0)).astype(np.int64) + 540, 0, 1079) for v in (west, east))
    y0, y1 = (np.clip(np.floor(np.where(known, v, 0.0)).astype(np.int64) + 90, 0, 179) for v in (south, north))
    sums = near[y1 + 1, x1 + 1] - near[y0, x1 + 1] - near[y1 + 1, x0] + near[y0, x0]
    return ~known | (sums > 0)


def _opened(href: str) -> Any:
    if href.startswith(("http://", "https://")):
        import fsspec

        return fsspec.open(href).open()
    return href


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _named(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'
