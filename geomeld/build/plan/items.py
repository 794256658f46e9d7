"""Items: STAC items in GeoParquet files, local or on the web, as columns in memory, by modality and by place."""

import glob
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import shapely
from numpy.typing import NDArray

from geomeld.build.plan.outline import Outlines
from geomeld.build.plan.rules import DAY_US, ORBITS
from geomeld.build.plan.tables import ItemTable, open_tables
from geomeld.build.plan.tile import MODE, baseline_number
from geomeld.core.errors import SourceError, UsageError
from geomeld.core.modality import Modality, Timing
from geomeld.modalities import MODALITIES
from geomeld.sources.profiles import PROFILES, Profile

REACH = 0.02
"""Degrees of latitude, and of longitude at the equator, that no tile reaches beyond its centre."""

COLUMNS, ROWS = 360, 180
"""Cells of one degree, in which items are looked up."""


@dataclass(frozen=True, slots=True)
class ItemIndex:
    """The items of one modality, in the order of their identifiers."""

    modality: Modality
    table: NDArray[np.int64]
    """Number of the table that each is a row of."""
    row: NDArray[np.int64]
    time: NDArray[np.int64]
    """Microseconds since 1970; 0 for products without a date."""
    cloud: NDArray[np.float64]
    """Percent; 0 where unknown."""
    orbit: NDArray[np.int64]
    epsg: NDArray[np.int64]
    """0 where unknown."""
    baseline: NDArray[np.int64]
    outlines: Outlines
    starts: NDArray[np.int64]
    """Where the items of each cell begin in `members`."""
    members: NDArray[np.int64]
    """Items by cell, each cell's by time and then by identifier."""

    def __len__(self) -> int:
        return len(self.row)


def cells_of(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.int64]:
    """The cell of each coordinate."""
    return np.floor(lat + 90.0).astype(np.int64) * COLUMNS + np.floor(lon + 180.0).astype(np.int64) % COLUMNS


def occupied(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which cells hold any of the coordinates, (180, 360)."""
    there = np.zeros(ROWS * COLUMNS, bool)
    there[cells_of(lon, lat)] = True
    return there.reshape(ROWS, COLUMNS)


class Items:
    """Files of items that scenes are chosen from."""

    def __init__(self, specs: Sequence[str]) -> None:
        """`specs`: paths, globs or http(s) addresses of GeoParquet or newline-delimited JSON, each perhaps after
        "MODALITY=" or "COLLECTION=", for files that do not say which collection they are of.

        Raises UsageError where a file is not there or of no known collection, SourceError where it is no items file.
        """
        files = [(_modality_of(spec), href) for spec in specs for href in _files(_href(spec))]
        self.tables: list[ItemTable] = open_tables(files)

    def modalities(self) -> frozenset[str]:
        """Names of the modalities that the files hold items of."""
        return frozenset(name for table in self.tables for name in table.collections)

    @property
    def rows(self) -> int:
        """Items in all files."""
        return sum(table.rows for table in self.tables)

    def index(self, name: str, where: NDArray[np.bool_], first: int, last: int) -> tuple[ItemIndex, Counter[str]]:
        """(the items of a modality that may touch occupied cells, acquired from `first` to `last` (microseconds since
        1970), what was wrong with those that cannot be used)."""
        modality, profile = MODALITIES[name], PROFILES[name]
        dated = modality.timing is not Timing.STATIC
        span = (first, last) if dated else _year_of(profile)
        parts, faults = [], Counter[str]()
        for number, table in enumerate(self.tables):
            if name in table.collections:
                found = table.read(table.collections[name], _near_cells(where), span)
                parts.append(found.append_column("table", pa.array(np.full(len(found), number, np.int64))))
        columns = _sorted(pa.concat_tables(parts))
        shapes = shapely.from_wkb(columns["geometry"].to_numpy(zero_copy_only=False), on_invalid="ignore")
        usable = _usable(columns, shapes, dated, faults)
        columns, shapes = columns.filter(pa.array(usable)), shapes[usable]
        return _indexed(modality, columns, Outlines.of(shapes), dated), faults


def _indexed(modality: Modality, columns: pa.Table, outlines: Outlines, dated: bool) -> ItemIndex:
    n = len(columns)
    time = _numbers(columns["time"], np.int64) if dated else np.zeros(n, np.int64)
    starts, members = _by_cell(outlines.boxes, time)
    orbits = columns["orbit"].to_pylist()
    baselines = pc.dictionary_encode(columns["baseline"].combine_chunks())
    numbers = np.array([baseline_number(b) for b in baselines.dictionary.to_pylist()] + [0], np.int64)
    return ItemIndex(
        modality=modality,
        table=_numbers(columns["table"], np.int64),
        row=_numbers(columns["row"], np.int64),
        time=time,
        cloud=np.nan_to_num(_numbers(columns["cloud"], np.float64)),
        orbit=np.array([ORBITS.get(o, 0) for o in orbits], np.int64),
        epsg=_codes(columns["code"]),
        baseline=numbers[_numbers(baselines.indices, np.int64, -1)],
        outlines=outlines,
        starts=starts,
        members=members,
    )


def _numbers(column: Any, dtype: type, missing: float = 0) -> NDArray:
    return pc.fill_null(column, missing).to_numpy().astype(dtype)


def _codes(column: Any) -> NDArray[np.int64]:
    found = pc.dictionary_encode(column.combine_chunks())
    codes = [_code(text) for text in found.dictionary.to_pylist()] + [0]
    return np.array(codes, np.int64)[_numbers(found.indices, np.int64, -1)]


def _code(text: str | None) -> int:
    number = str(text or "").rpartition(":")[2].removesuffix(".0")
    return int(number) if number.isdigit() else 0


def _sorted(columns: pa.Table) -> pa.Table:
    """In the order of identifiers, the first of each where files repeat one."""
    columns = columns.take(
        pc.sort_indices(columns, [("id", "ascending"), ("table", "ascending"), ("row", "ascending")])
    )
    if len(columns) < 2:
        return columns
    ids = columns["id"].combine_chunks()
    again = pc.equal(ids[1:], ids[:-1]).to_numpy(zero_copy_only=False)
    return columns.filter(pa.array(np.concatenate([[True], ~np.equal(again, True)])))


def _usable(columns: pa.Table, shapes: NDArray[np.object_], dated: bool, faults: Counter[str]) -> NDArray[np.bool_]:
    """Which items can be used; `faults` counts the others by what is wrong."""
    bounds = shapely.bounds(shapes)
    areal = np.isin(shapely.get_type_id(shapes), (3, 6)) & ~shapely.is_empty(shapes)
    on_globe = np.isfinite(bounds).all(1) & (np.abs(bounds[:, 1::2]) <= 90.001).all(1)
    on_globe &= (np.abs(bounds[:, ::2]) <= 540.0).all(1)
    named = columns["id"].is_valid().to_numpy(zero_copy_only=False)
    timed = columns["time"].is_valid().to_numpy(zero_copy_only=False) | (not dated)
    other_mode = ~pc.fill_null(pc.equal(columns["mode"], MODE), True).to_numpy(zero_copy_only=False)
    kept = np.ones(len(columns), bool)
    for fault, fine in (
        ("without an identifier", named),
        ("without a footprint that is a polygon", areal),
        ("with a footprint that is not on the globe", on_globe),
        ("without a time", timed),
    ):
        faults[fault] += int((kept & ~fine).sum())
        kept &= fine
    return kept & ~other_mode


def _by_cell(boxes: NDArray[np.float64], time: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(starts, members) of every cell whose tiles may meet a box."""
    wide = REACH / np.cos(np.radians(np.minimum(np.maximum(np.abs(boxes[:, 1]), np.abs(boxes[:, 3])) + REACH, 84.1)))
    west, east = np.floor(boxes[:, 0] - wide + 180), np.floor(boxes[:, 2] + wide + 180)
    south, north = np.floor(boxes[:, 1] - REACH + 90), np.floor(boxes[:, 3] + REACH + 90)
    south, north = np.clip(south, 0, ROWS - 1), np.clip(north, 0, ROWS - 1)
    columns = np.minimum(east - west + 1, COLUMNS).astype(np.int64)
    counts = columns * (north - south + 1).astype(np.int64)
    item = np.repeat(np.arange(len(boxes)), counts)
    step = np.arange(len(item)) - np.repeat(np.cumsum(counts) - counts, counts)
    x = (west[item].astype(np.int64) + step % columns[item]) % COLUMNS
    cell = (south[item].astype(np.int64) + step // columns[item]) * COLUMNS + x
    order = np.lexsort((item, time[item], cell))
    starts = np.searchsorted(cell[order], np.arange(ROWS * COLUMNS + 1))
    return starts.astype(np.int64), item[order]


def _near_cells(where: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Sums of occupied cells over every rectangle that begins at the south-west corner of the map, which is laid out
    three times around the globe, grown by a cell (more towards the poles)."""
    grown = where.copy()
    for row in np.flatnonzero(where.any(1)):
        steepest = min(max(abs(int(row) - 90), abs(int(row) - 89)), 85)
        reach = math.ceil(REACH / math.cos(math.radians(steepest)))
        line = where[row]
        for step in range(-reach, reach + 1):
            for beside in (-1, 0, 1):
                if 0 <= row + beside < ROWS:
                    grown[row + beside] |= np.roll(line, step)
    return np.pad(np.tile(grown, 3).cumsum(0).cumsum(1), ((1, 0), (1, 0)))


def _year_of(profile: Profile) -> tuple[int, int] | None:
    if profile.year is None:
        return None
    first, last = (np.datetime64(f"{profile.year + k}", "us").astype(np.int64) for k in (0, 1))
    return int(first), int(last) - 1


def _modality_of(spec: str) -> str | None:
    name, equals, _ = spec.partition("=")
    if not equals or "/" in name or "." in name:
        return None
    for modality, profile in PROFILES.items():
        if name == modality or name in profile.collections:
            return modality
    known = sorted({*PROFILES, *(c for p in PROFILES.values() for c in p.collections)})
    raise UsageError(f"Items {spec!r}: {name!r} is no modality and no known collection; there are {', '.join(known)}.")


def _href(spec: str) -> str:
    return spec.partition("=")[2] if _modality_of(spec) else spec


def _files(href: str) -> Iterator[str]:
    if href.startswith(("http://", "https://")):
        yield href
        return
    found = sorted(glob.glob(href, recursive=True))
    if not found:
        raise UsageError(
            f"There is no file {href}; give GeoParquet files of STAC items, for example 'items/*.parquet'."
        )
    yield from found


def report(faults: Counter[str], name: str) -> list[str]:
    """What to tell of items that cannot be used."""
    return [f"{count} items of {name} {fault} are left out" for fault, count in faults.items() if count]


def day_of(time: NDArray[np.int64]) -> NDArray[np.int64]:
    """Days since 1970 of times in microseconds."""
    return time // DAY_US


def nothing(what: str) -> SourceError:
    """The error of a choice that finds no items at all."""
    return SourceError(f"{what} holds no items that scenes could be chosen from; check the files.")
