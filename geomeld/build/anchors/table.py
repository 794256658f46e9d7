"""Anchors: places and dates from a table, or sampled, with identifiers that do not depend on their order."""

import csv
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
from shapely.geometry import Point

from geomeld.core.draw import below, draw_words
from geomeld.core.errors import AnchorError, GeoMeldError
from geomeld.core.grid import check_lonlat
from geomeld.core.tile import Anchor, tile_id_of
from geomeld.dataset.files import atomic

NAMES = {
    "lat": ("lat", "latitude", "y"),
    "lon": ("lon", "long", "longitude", "lng", "x"),
    "id": ("tile_id", "id", "key", "name"),
    "date": ("reference_date", "date", "datetime"),
    "source": ("source",),
    "source_key": ("source_key",),
    "biome": ("biome",),
}
"""Accepted column names, first match wins, letter case aside."""

SINCE, UNTIL = 1970, 2100
"""Years that a date can lie in: scenes are looked for between these."""


def reference_date(tile_id: int, seed: int = 0, years: tuple[int, int] = (2018, 2021)) -> dt.date:
    """The temporal anchor of a sampled place: a year and month uniformly at random, the 15th (paper 3.4), drawn from
    the tile's own identifier."""
    year, month = draw_words(seed, "anchor", tile_id)
    return dt.date(years[0] + below(year, years[1] - years[0] + 1), 1 + below(month, 12), 15)


def read_anchors(path: Path, *, seed: int = 0, years: tuple[int, int] = (2018, 2021)) -> list[Anchor]:
    """Anchors from a CSV file (columns lat, lon, and optionally id, date, source, biome) or a (Geo)Parquet file.

    Integer identifiers are kept, any other is hashed with the source's name; a row without a date gets a drawn one.
    Raises AnchorError for an empty file, a missing column, a bad coordinate or date (with its row), a doubled
    identifier.
    """
    if not path.exists():
        raise AnchorError(f"There is no anchors file {path}.")
    rows = _parquet_rows(path) if path.suffix.lower() in (".parquet", ".geoparquet") else _csv_rows(path)
    if not rows:
        raise AnchorError(f"{path} holds no anchors: it needs a header with lat and lon, and a row per place.")
    columns = _columns(path, rows[0])
    anchors = [
        _anchor({k: row.get(c) for k, c in columns.items()}, f"{path}, row {i + 2}", path.stem, seed, years)
        for i, row in enumerate(rows)
    ]
    return checked(anchors, str(path))


def checked(anchors: Sequence[Anchor], where: str) -> list[Anchor]:
    """The anchors, if no identifier occurs twice."""
    seen: dict[int, Anchor] = {}
    for anchor in anchors:
        other = seen.setdefault(anchor.tile_id, anchor)
        if other is not anchor:
            raise AnchorError(
                f"Tile id {anchor.tile_id} occurs twice in {where}: at {other.lat}, {other.lon} and at "
                f"{anchor.lat}, {anchor.lon}. Give every place an id of its own."
            )
    return list(anchors)


def _csv_rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise AnchorError(f"{path} is no readable CSV file: {error}.") from None


def _parquet_rows(path: Path) -> list[Mapping[str, Any]]:
    try:
        frame = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises many kinds
        raise AnchorError(f"{path} is no readable Parquet file: {error}.") from None
    if "geometry" in frame and not {"lat", "latitude", "y"} & {c.lower() for c in frame.columns}:
        points = geopandas.GeoSeries.from_wkb(frame["geometry"])
        frame = frame.assign(lon=points.x, lat=points.y)
    return frame.drop(columns="geometry", errors="ignore").to_dict("records")


def _columns(path: Path, row: Mapping[str, Any]) -> dict[str, str]:
    there = {str(c).strip().lower(): c for c in row if c is not None}
    found = {k: next((there[n] for n in names if n in there), None) for k, names in NAMES.items()}
    for need in ("lat", "lon"):
        if found[need] is None:
            raise AnchorError(f"{path} has no column {need!r}; its columns are {', '.join(map(str, there)) or 'none'}.")
    return {k: c for k, c in found.items() if c is not None}


def _anchor(row: Mapping[str, Any], where: str, stem: str, seed: int, years: tuple[int, int]) -> Anchor:
    try:
        lon, lat = float(row["lon"]), float(row["lat"])
    except (TypeError, ValueError):
        raise AnchorError(f"{where}: lat {row['lat']!r}, lon {row['lon']!r} are no numbers.") from None
    try:
        check_lonlat(lon, lat)
    except GeoMeldError as error:
        raise AnchorError(f"{where}: {error}") from None
    source = _text(row.get("source")) or stem
    key = _text(row.get("source_key")) or _text(row.get("id")) or f"{lat:.7f},{lon:.7f}"
    given = _text(row.get("id"))
    is_number = given.isdecimal() and len(given) < 20 and int(given) < 2**63
    tile_id = int(given) if is_number else tile_id_of(source, key)
    date = _date(row.get("date"), where) or reference_date(tile_id, seed, years)
    return Anchor(tile_id, lon, lat, date, source, key, _text(row.get("biome")))


def _text(value: Any) -> str:
    return "" if value is None or (isinstance(value, float) and np.isnan(value)) else str(value).strip()


def _date(value: Any, where: str) -> dt.date | None:
    text = _text(value)
    if not text:
        return None
    try:
        date = dt.date.fromisoformat(text[:10])
    except ValueError:
        raise AnchorError(f"{where}: date {text!r} is not in the form 2020-06-15.") from None
    if not SINCE <= date.year <= UNTIL:
        raise AnchorError(f"{where}: date {text!r} is outside the years {SINCE} to {UNTIL}.")
    return date


def sampled_anchors(
    places: Iterable[tuple[float, float, str]], source: str, *, seed: int = 0, years: tuple[int, int] = (2018, 2021)
) -> list[Anchor]:
    """Anchors of drawn places (longitude, latitude, biome name) with drawn dates."""
    anchors = []
    for lon, lat, biome in places:
        key = f"{lat:.6f},{lon:.6f}"
        tile_id = tile_id_of(source, key)
        anchors.append(Anchor(tile_id, lon, lat, reference_date(tile_id, seed, years), source, key, biome))
    return checked(anchors, source)


def write_anchors(path: Path, anchors: Sequence[Anchor]) -> None:
    """Write anchors as GeoParquet."""
    frame = geopandas.GeoDataFrame(
        {
            "tile_id": np.array([a.tile_id for a in anchors], np.int64),
            "lon": [a.lon for a in anchors],
            "lat": [a.lat for a in anchors],
            "reference_date": [a.reference_date.isoformat() for a in anchors],
            "source": [a.source for a in anchors],
            "source_key": [a.source_key for a in anchors],
            "biome": [a.biome for a in anchors],
        },
        geometry=[Point(a.lon, a.lat) for a in anchors],
        crs="EPSG:4326",
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file:
        frame.to_parquet(file)
