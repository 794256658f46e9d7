"""PlanRow: what one tile will be built from, and how plans lie in a file, row group by row group."""

import datetime as dt
import json
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from geomeld.core.config import to_json
from geomeld.core.errors import DatasetError
from geomeld.core.tile import Anchor
from geomeld.dataset.files import atomic
from geomeld.sources import Scene

GROUP = 5000
"""Rows of a row group."""

HELD = 16
"""Row groups that a reader of single rows holds: places that are near in a plan are near on the ground, too."""


@dataclass(frozen=True, slots=True)
class PlanRow:
    """What one tile will be built from."""

    anchor: Anchor
    scenes: Mapping[str, tuple[Scene, ...]] = field(default_factory=dict)
    """Chosen scenes by modality; the first one wins where several are valid."""
    days: Mapping[str, float] = field(default_factory=dict)
    """By modality: signed days from the scene to what it was chosen by (the reference date, or the reference scene)."""
    stage: str = ""
    """Which window the reference scene was found in: "15 d", "30 d", "45 d" or "year 2019"."""
    reason: str = ""
    """Why no tile can be built; empty where one can. What precedes the parenthesis is the same for all such tiles."""


SCENE = pa.struct(
    {
        "modality": pa.string(),
        "scene_id": pa.string(),
        "acquired": pa.timestamp("us", "UTC"),
        "cloud_cover": pa.float64(),
        "orbit": pa.string(),
        "epsg": pa.int32(),
        "product": pa.string(),
        "footprint": pa.binary(),
        "properties": pa.string(),
    }
)
"""A scene in a file: its footprint as WKB in degrees, its properties as JSON."""

SCHEMA = pa.schema(
    {
        "tile_id": pa.int64(),
        "lon": pa.float64(),
        "lat": pa.float64(),
        "reference_date": pa.string(),
        "source": pa.string(),
        "source_key": pa.string(),
        "biome": pa.string(),
        "stage": pa.string(),
        "reason": pa.string(),
        "days": pa.map_(pa.string(), pa.float64()),
        "scenes": pa.list_(SCENE),
    }
)
"""Columns of plan.parquet."""

ANCHOR = SCHEMA.names[:7]
"""The columns that an anchor is made of, in its own order but for the names."""


def row_json(row: PlanRow) -> dict[str, Any]:
    """A row of a plan as plain values; `days` and `scenes` are JSON texts."""
    return {
        **to_json(row.anchor),
        "stage": row.stage,
        "reason": row.reason,
        "days": json.dumps(dict(row.days), sort_keys=True),
        "scenes": json.dumps({n: [scene_json(s) for s in v] for n, v in row.scenes.items()}),
    }


def scene_json(scene: Scene) -> dict[str, Any]:
    """A scene as JSON."""
    return {
        "scene_id": scene.scene_id,
        "modality": scene.modality,
        "footprint": scene.footprint.wkt,
        "acquired": scene.acquired.isoformat() if scene.acquired else None,
        "cloud_cover": scene.cloud_cover,
        "orbit": scene.orbit,
        "epsg": scene.epsg,
        "product": scene.product,
        "properties": dict(scene.properties),
    }


def scene_columns(scene: Scene) -> dict[str, Any]:
    """A scene as the values of SCENE."""
    return {
        "modality": scene.modality,
        "scene_id": scene.scene_id,
        "acquired": scene.acquired,
        "cloud_cover": scene.cloud_cover,
        "orbit": scene.orbit,
        "epsg": scene.epsg,
        "product": scene.product,
        "footprint": scene.footprint.wkb,
        "properties": json.dumps(dict(scene.properties)),
    }


def row_columns(row: PlanRow) -> dict[str, Any]:
    """A row as the values of SCHEMA."""
    return {
        **to_json(row.anchor),
        "stage": row.stage,
        "reason": row.reason,
        "days": list(row.days.items()),
        "scenes": [scene_columns(s) for found in row.scenes.values() for s in found],
    }


@contextmanager
def plan_writer(path: Path) -> Iterator[pq.ParquetWriter]:
    """A writer of plans; the file appears when the block ends. Every table that is written is a row group."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as file, pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        yield writer


def write_plan(path: Path, rows: Iterable[PlanRow]) -> None:
    """Write a plan, a row per anchor; rows are taken as they come and not kept."""
    waiting = iter(rows)
    with plan_writer(path) as writer:
        while group := list(islice(waiting, GROUP)):
            writer.write_table(pa.Table.from_pylist([row_columns(r) for r in group], schema=SCHEMA))


class Plan(Sequence[PlanRow]):
    """The rows of a plan file, read a row group at a time."""

    def __init__(self, path: Path) -> None:
        """Raises DatasetError where the file is no plan."""
        self.path = path
        with _readable(path):
            self._file = pq.ParquetFile(path)
            if self._file.schema_arrow.names != SCHEMA.names:
                raise ValueError(f"its columns are {', '.join(self._file.schema_arrow.names)}")
        sizes = [self._file.metadata.row_group(k).num_rows for k in range(self._file.num_row_groups)]
        self._starts = [0]
        for size in sizes:
            self._starts.append(self._starts[-1] + size)
        self._held: OrderedDict[int, pa.Table] = OrderedDict()

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, i: Any) -> Any:
        if isinstance(i, slice):
            return [self[k] for k in range(*i.indices(len(self)))]
        i = i + len(self) if i < 0 else i
        if not 0 <= i < len(self):
            raise IndexError(f"{self.path} has {len(self)} rows; there is no row {i}.")
        group = next(k for k in range(len(self._starts) - 1) if i < self._starts[k + 1])
        return _rows(self._group(group).slice(i - self._starts[group], 1), self.path)[0]

    def __iter__(self) -> Iterator[PlanRow]:
        for group in range(len(self._starts) - 1):
            yield from _rows(self._group(group), self.path)

    def at(self, rows: Sequence[int]) -> list[PlanRow]:
        """Rows at any positions, in the order that is asked for; every row group is read once at most."""
        by_group: dict[int, list[int]] = {}
        for i in rows:
            by_group.setdefault(bisect_right(self._starts, i) - 1, []).append(i)
        found: dict[int, PlanRow] = {}
        for group, wanted in by_group.items():
            with _readable(self.path):
                part = self._file.read_row_group(group).take([i - self._starts[group] for i in wanted])
                found.update(zip(wanted, (_row(r) for r in part.to_pylist()), strict=True))
        return [found[i] for i in rows]

    def __reduce__(self) -> tuple[type["Plan"], tuple[Path]]:
        return Plan, (self.path,)

    def _group(self, group: int) -> pa.Table:
        if group not in self._held:
            with _readable(self.path):
                self._held[group] = self._file.read_row_group(group)
            if len(self._held) > HELD:
                self._held.popitem(last=False)
        self._held.move_to_end(group)
        return self._held[group]


def read_plan(path: Path) -> list[PlanRow]:
    """All rows of a plan. Raises DatasetError where the file is no plan."""
    return list(Plan(path))


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DatasetError(f"There is no plan {path}; write it with `geomeld plan --out`.") from None
    except (OSError, pa.ArrowException, shapely.errors.ShapelyError, KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{path} is no plan that `geomeld plan` of this version wrote: {error}. Plan again."
        ) from None


def _rows(table: pa.Table, path: Path) -> list[PlanRow]:
    with _readable(path):
        return [_row(r) for r in table.to_pylist()]


def _row(r: Mapping[str, Any]) -> PlanRow:
    date = dt.date.fromisoformat(r["reference_date"])
    anchor = Anchor(r["tile_id"], r["lon"], r["lat"], date, r["source"], r["source_key"], r["biome"])
    scenes: dict[str, tuple[Scene, ...]] = {}
    for given in r["scenes"]:
        scene = _scene(given)
        scenes[scene.modality] = (*scenes.get(scene.modality, ()), scene)
    return PlanRow(anchor, scenes, dict(r["days"]), r["stage"], r["reason"])


def _scene(given: Mapping[str, Any]) -> Scene:
    acquired = given["acquired"].replace(tzinfo=dt.UTC) if given["acquired"] else None
    outline, facts = shapely.from_wkb(given["footprint"]), json.loads(given["properties"])
    return Scene(**{**given, "acquired": acquired, "footprint": outline, "properties": facts})
