"""Imports: the places that other datasets are made of."""

import csv
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd

from geomeld.core.errors import AnchorError
from geomeld.core.unpickle import plain

PICKLES, RECORDS = (".pickle", ".pkl"), (".json",)

Place = tuple[str, float, float, str]
"""Key, longitude, latitude, biome."""


def read_mmearth(path: Path) -> pd.DataFrame:
    """Places of an MMEarth tile list: the JSON object of tiles by identifier (`..._tile_info.json`), or the GeoJSON of
    their squares. Columns source_key, lon, lat, biome.

    Raises AnchorError where it is neither, or a tile says not where it lies.
    """
    data = _json(path)
    if isinstance(data, Mapping) and data.get("type") == "FeatureCollection":
        features = data.get("features") or []
        found = [_of_feature(f, f"{path}, feature {i}") for i, f in enumerate(features)]
    elif isinstance(data, Mapping):
        found = [_of_tile(str(key), tile, f"{path}, tile {key}") for key, tile in data.items()]
    else:
        raise AnchorError(
            f"{path} is no tile list of MMEarth: it needs an object of tiles, or a FeatureCollection. "
            "Any other table of places goes through --file."
        )
    return _frame(found, path)


def read_skyscript(path: Path, metadata: Path | None = None) -> tuple[pd.DataFrame, int]:
    """(places, records left out) of SkyScript: a folder, ZIP or file of metadata records (`.pickle`, `.json`), or one
    of its CSV lists. A list has no coordinates of its own: its rows are looked up in `metadata` by file name, and those
    that are not there are left out.

    Raises AnchorError for a pickle that holds anything but plain values, and for a record without a box.
    """
    if path.suffix.lower() == ".csv":
        return _listed(path, metadata)
    found = [_of_record(key, record, where) for key, record, where in _records(path)]
    return _frame(found, path), 0


def _listed(path: Path, metadata: Path | None) -> tuple[pd.DataFrame, int]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise AnchorError(f"{path} is no readable CSV file: {error}.") from None
    if rows and {"box", "lat"} & set(rows[0]):
        return _frame([_of_record(_key(r, path), r, f"{path}, row {i + 2}") for i, r in enumerate(rows)], path), 0
    if rows and "filepath" not in rows[0]:
        raise AnchorError(f"{path} has no column 'filepath'; its columns are {', '.join(map(str, rows[0]))}.")
    if metadata is None:
        raise AnchorError(
            f"{path} lists file names without coordinates; give the metadata, too: --skyscript-meta PATH."
        )
    wanted = dict.fromkeys(_key(r, path) for r in rows)
    found = [_of_record(key, record, where) for key, record, where in _records(metadata) if key in wanted]
    return _frame(found, metadata), len(wanted) - len({f[0] for f in found})


def _key(row: Mapping[str, Any], path: Path) -> str:
    name = row.get("filepath") or row.get("id") or row.get("key")
    if not name:
        raise AnchorError(f"{path} has a row without a file name.")
    return PurePosixPath(str(name)).stem


def _records(path: Path) -> Iterator[tuple[str, Any, str]]:
    """(key, record, where it is) of every metadata file; nothing is unpacked onto the disk."""
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.suffix.lower() in (*PICKLES, *RECORDS)):
            yield from _parsed(file.stem, file.read_bytes(), file.suffix, str(file))
    elif path.suffix.lower() == ".zip":
        try:
            with zipfile.ZipFile(path) as archive:
                for name in sorted(archive.namelist()):
                    if name.lower().endswith((*PICKLES, *RECORDS)):
                        pure = PurePosixPath(name)
                        yield from _parsed(pure.stem, archive.read(name), pure.suffix, f"{path}, {name}")
        except (OSError, zipfile.BadZipFile, zipfile.LargeZipFile) as error:
            raise AnchorError(f"{path} is no readable ZIP file: {error}.") from None
    elif path.is_file() and path.suffix.lower() in (*PICKLES, *RECORDS):
        yield from _parsed(path.stem, path.read_bytes(), path.suffix, str(path))
    else:
        raise AnchorError(f"{path} is no folder, ZIP, .pickle or .json file of SkyScript's metadata.")


def _parsed(key: str, data: bytes, suffix: str, where: str) -> Iterator[tuple[str, Any, str]]:
    if suffix.lower() in PICKLES:
        record = plain(data, where, AnchorError)
    else:
        try:
            record = json.loads(data)
        except ValueError as error:
            raise AnchorError(f"{where} is no JSON: {error}.") from None
    if isinstance(record, Mapping) and "box" not in record and record:  # many records in one file
        yield from ((PurePosixPath(str(k)).stem, v, f"{where}, {k}") for k, v in record.items())
    else:
        yield key, record, where


def _of_record(key: str, record: Any, where: str) -> Place:
    """The middle of a record's box: the image, not the object that it was made for."""
    if isinstance(record, Mapping) and record.get("lat") not in (None, "") and record.get("lon") not in (None, ""):
        return key, _number(record["lon"], where), _number(record["lat"], where), ""
    box = record.get("box") if isinstance(record, Mapping) else None
    if isinstance(box, str):
        box = re.findall(r"-?\d+(?:\.\d+)?(?:[eE]-?\d+)?", box)
    try:
        west, south, east, north = (_number(v, where) for v in box)  # type: ignore[union-attr]
    except (TypeError, ValueError):
        raise AnchorError(f"{where} has no box of four numbers (west, south, east, north); it has {box!r}.") from None
    return key, *_middle(west, south, east, north, where), ""


def _middle(west: float, south: float, east: float, north: float, where: str) -> tuple[float, float]:
    if not (-90 <= south <= north <= 90):
        raise AnchorError(f"{where}: the box {west, south, east, north} is not west, south, east, north in degrees.")
    east = east + 360 if east < west else east  # across the antimeridian
    return ((west + east) / 2 + 180) % 360 - 180, (south + north) / 2


def _of_tile(key: str, tile: Any, where: str) -> Place:
    try:
        lon, lat = _number(tile["lon"], where), _number(tile["lat"], where)
        return key, lon, lat, _text(tile.get("biome"))
    except (TypeError, KeyError):
        raise AnchorError(f"{where} has no lat and lon; give a tile list of MMEarth.") from None


def _of_feature(feature: Any, where: str) -> Place:
    try:
        facts = feature.get("properties") or {}
        corners = np.array(list(_positions(feature["geometry"]["coordinates"])), np.float64)
        west, south = corners.min(0)
        east, north = corners.max(0)
    except (TypeError, KeyError, AttributeError, ValueError):
        raise AnchorError(f"{where} has no geometry with coordinates.") from None
    if east - west > 180:  # a square that is cut at the antimeridian
        lons = np.where(corners[:, 0] < 0, corners[:, 0] + 360, corners[:, 0])
        west, east = lons.min(), lons.max()
    key = _text(facts.get("tile_id")) or _text(feature.get("id"))
    if not key:
        raise AnchorError(f"{where} has no tile_id.")
    return key, *_middle(west, south, east, north, where), _text(facts.get("biome"))


def _positions(nested: Any) -> Iterator[tuple[float, float]]:
    if len(nested) >= 2 and all(isinstance(v, int | float) for v in nested[:2]):
        yield float(nested[0]), float(nested[1])
        return
    for part in nested:
        yield from _positions(part)


def _number(value: Any, where: str) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise AnchorError(f"{where}: {value!r} is no number.") from None


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AnchorError(
            f"{path} is no readable JSON file ({error}); a plain table of places goes through --file."
        ) from None


def _frame(found: list[Place], path: Path) -> pd.DataFrame:
    if not found:
        raise AnchorError(f"{path} holds no places.")
    return pd.DataFrame(found, columns=["source_key", "lon", "lat", "biome"])
