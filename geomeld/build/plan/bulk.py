"""Planning in bulk: the scenes of millions of anchors from files of items, without a request per anchor."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry
from tqdm import tqdm

from geomeld.build.config import BuildConfig
from geomeld.build.plan import rules
from geomeld.build.plan.choice import (
    Places,
    References,
    Several,
    Windows,
    around,
    references,
    stage_of,
    touching,
    windows_of,
)
from geomeld.build.plan.each import Job, ask
from geomeld.build.plan.items import ItemIndex, Items, day_of, occupied, report
from geomeld.build.plan.row import ANCHOR, GROUP, SCHEMA, PlanRow, plan_writer, scene_columns
from geomeld.build.plan.scenes import item_columns
from geomeld.build.plan.store import SceneStore
from geomeld.build.plan.tile import drawn_date, together_cover
from geomeld.core.errors import SourceError
from geomeld.core.modality import Modality, Timing
from geomeld.core.tile import Anchor
from geomeld.modalities import MODALITIES
from geomeld.sources import Scene, Source
from geomeld.sources.profiles import PROFILES

AT_ONCE = 6_000_000
"""Items that are looked at in one go; more of them are taken region by region, so that memory is bounded."""

ORDER = [m for t in (Timing.ANCHOR, Timing.REFERENCE, Timing.NEAREST, Timing.MODE, Timing.STATIC)
         for m in MODALITIES.values() if m.timing is t]  # fmt: skip
"""Modalities in the order in which their scenes are listed."""

EVER = -(2**62), 2**62


@dataclass
class Chosen:
    """What is chosen so far: (row, modality, scene) by number, and days and stages."""

    rows: list[NDArray[np.int64]] = field(default_factory=list)
    kinds: list[NDArray[np.int64]] = field(default_factory=list)
    scenes: list[NDArray[np.int64]] = field(default_factory=list)
    days: list[tuple[NDArray[np.int64], int, NDArray[np.float64]]] = field(default_factory=list)
    stages: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, rows: NDArray[np.int64], kind: int, scenes: NDArray[np.int64]) -> None:
        """Scenes of one modality; those of one row in their order."""
        self.rows.append(rows)
        self.kinds.append(np.full(len(rows), kind, np.int64))
        self.scenes.append(scenes)


def plan_in_bulk(
    anchors: pa.Table,
    items: Items,
    out: Path,
    config: BuildConfig,
    *,
    source: Source | None = None,
    titles: dict[str, str] | None = None,
    workers: int = 1,
    keep: Path | None = None,
) -> list[str]:
    """Plan every anchor (columns of `row.ANCHOR`) and write the plan; returns what there is to say about the items.

    `source` is asked for anchors that the items have no reference scene for, and for modalities that no file holds.
    `titles`: names of products by modality. No pixel is read, so that `clear_share` is not held against scenes here.
    """
    job = _Bulk(anchors, items, config, source, titles or {}, workers, keep)
    with SceneStore(out) as store:
        job.choose(store)
        store.close()
        with plan_writer(out) as writer:
            for table in job.tables(store):
                writer.write_table(table)
    return job.remarks


class _Bulk:
    """One run of planning in bulk."""

    def __init__(
        self,
        anchors: pa.Table,
        items: Items,
        config: BuildConfig,
        source: Source | None,
        titles: dict[str, str],
        workers: int,
        keep: Path | None,
    ) -> None:
        self._anchors, self._items, self._config, self._source = anchors, items, config, source
        self._titles, self._workers, self._keep = titles, workers, keep
        self._lon, self._lat = (anchors[c].to_numpy() for c in ("lon", "lat"))
        self._dates = np.array(anchors["reference_date"].to_pylist(), "datetime64[D]")
        self._chosen = Chosen()
        there = items.modalities()
        offered = source.modalities() if source else frozenset()
        self._from_items = [m for m in ORDER if m.name in there]
        self._from_source = [m for m in ORDER if m.name not in there and m.name in offered]
        self.remarks: list[str] = []
        if not any(m.timing is Timing.REFERENCE for m in self._from_items):
            wanted = [c for m in ORDER if m.timing is Timing.REFERENCE for c in PROFILES[m.name].collections]
            raise SourceError(f"The items hold nothing that fixes a date; give files of {' or '.join(wanted)}.")

    def choose(self, store: SceneStore) -> None:
        """Choose the scenes of all anchors, region by region, and put them into the store."""
        regions = self._regions()
        for part in tqdm(regions, desc="plan", unit="region", disable=len(regions) < 2 or None):
            self._choose(part, store)

    def _regions(self) -> list[NDArray[np.int64]]:
        pieces = -(-self._items.rows // AT_ONCE)
        if pieces < 2:
            return [np.arange(len(self._anchors))]
        order = np.lexsort((np.floor(self._lat), np.floor(self._lon / 6)))
        return [part for part in np.array_split(order, pieces) if len(part)]

    def _choose(self, part: NDArray[np.int64], store: SceneStore) -> None:
        places = Places.at(self._lon[part], self._lat[part])
        for modality in self._of(Timing.ANCHOR, self._from_items) if self._config.naip else ():
            self._photographs(modality, part, places, store)
        asked = self._of(Timing.ANCHOR, self._from_source) if self._config.naip else []
        if asked:
            jobs = [Job(a, "photograph", None, tuple(m.name for m in asked)) for a in self._anchors_of(part)]
            for i, row in zip(part, self._ask(jobs, "photographs"), strict=True):
                self._keep_row(int(i), row, store)
                for photographs in row.scenes.values():
                    if photographs[0].acquired:
                        self._dates[i] = np.datetime64(photographs[0].acquired.date())
        times = np.full(len(part), -1, np.int64)
        for modality in self._of(Timing.REFERENCE, self._from_items):
            windows = windows_of(self._dates[part], self._config)
            reach = _span(windows.centre, windows.half)
            index = self._index(modality, part, reach)
            found = references(places, windows, index, self._config)
            self._references(modality, part, index, windows, found, store)
            times = np.where(found.item >= 0, index.time[found.item] if len(index) else -1, -1)
        half = self._config.window_days * rules.DAY_US
        known = times[times != -1]
        span = (int(known.min()) - half, int(known.max()) + half) if len(known) else (0, 0)
        for modality in self._of(Timing.NEAREST, self._from_items) + self._of(Timing.MODE, self._from_items):
            index = self._index(modality, part, span)
            self._several(modality, part, index, around(places, times, index, self._config), times, store)
        for modality in self._of(Timing.STATIC, self._from_items):
            index = self._index(modality, part, EVER)
            self._several(modality, part, index, around(places, times, index, self._config), times, store)
        if self._source is not None:
            self._ask_for_the_rest(part, times, store)

    def _index(self, modality: Modality, part: NDArray[np.int64], span: tuple[int, int]) -> ItemIndex:
        where = occupied(self._lon[part], self._lat[part])
        index, faults = self._items.index(modality.name, where, *span)
        self.remarks += report(faults, modality.name)
        return index

    def _photographs(self, modality: Modality, part: NDArray[np.int64], places: Places, store: SceneStore) -> None:
        """Of each tile the photographs of one date that together cover it; it becomes the reference date."""
        first, last = self._config.other_years
        span = tuple(int(np.datetime64(f"{y}-01-01", "us").astype(np.int64)) for y in (first, last + 1))
        index = self._index(modality, part, (span[0], span[1]))
        found = touching(places, index, (first, last))
        chosen, owners = [], []
        shapes = _shapes(self._items, index, np.unique(found.items))
        for k in np.flatnonzero(np.diff(found.starts)):
            mine = slice(found.starts[k], found.starts[k + 1])
            items, lie, days = found.items[mine], found.lie[mine], day_of(index.time[found.items[mine]])
            outline = shapely.Polygon(places.quads[k])
            whole = [
                int(day)
                for day in np.unique(days)
                if (lie[days == day] == rules.COVERS).any()
                or ((days == day).sum() > 1 and together_cover([shapes[int(i)] for i in items[days == day]], outline))
            ]
            if whole:
                dates = [dt.date(1970, 1, 1) + dt.timedelta(day) for day in whole]
                date = drawn_date(self._config, int(self._anchors["tile_id"][int(part[k])].as_py()), dates)
                self._dates[part[k]] = np.datetime64(date)
                mine_then = items[days == (date - dt.date(1970, 1, 1)).days]
                chosen.append(mine_then)
                owners.append(np.full(len(mine_then), part[k]))
        if chosen:
            self._store(modality, np.concatenate(owners), index, np.concatenate(chosen), store)

    def _references(
        self,
        modality: Modality,
        part: NDArray[np.int64],
        index: ItemIndex,
        windows: Windows,
        found: References,
        store: SceneStore,
    ) -> None:
        there = np.flatnonzero(found.item >= 0)
        self._store(modality, part[there], index, found.item[there], store)
        middle = self._dates[part[there]].astype(np.int64) * rules.DAY_US + rules.DAY_US // 2
        self._days(modality, part[there], index.time[found.item[there]] - middle)
        for k in there:
            self._chosen.stages[int(part[k])] = stage_of(windows, int(k), int(found.window[k]))
        for k in np.flatnonzero(found.item < 0):
            date = self._dates[part[k]].astype(dt.date)
            counts = int(found.met[k]), int(found.cloudy[k]), int(found.partial[k])
            self._chosen.reasons[int(part[k])] = rules.nothing_found(modality.name, self._config, date, *counts)

    def _several(
        self,
        modality: Modality,
        part: NDArray[np.int64],
        index: ItemIndex,
        found: Several,
        times: NDArray[np.int64],
        store: SceneStore,
    ) -> None:
        counts = np.diff(found.starts)
        self._store(modality, np.repeat(part, counts), index, found.items, store)
        if modality.timing is not Timing.STATIC:
            some = np.flatnonzero(counts)
            self._days(modality, part[some], index.time[found.items[found.starts[some]]] - times[some])

    def _days(self, modality: Modality, rows: NDArray[np.int64], away: NDArray[np.int64]) -> None:
        self._chosen.days.append((rows, ORDER.index(modality), away / rules.DAY_US))

    def _store(
        self, modality: Modality, rows: NDArray[np.int64], index: ItemIndex, items: NDArray[np.int64], store: SceneStore
    ) -> None:
        """Put items into the store, each once, and note which rows have them."""
        wanted = np.unique(items)
        numbers = np.full(len(index), -1, np.int64)
        title = self._titles.get(modality.name, "")
        for number, table in enumerate(self._items.tables):
            mine = wanted[index.table[wanted] == number]
            mine = mine[np.argsort(index.row[mine], kind="stable")]
            done = 0
            for batch in table.items(index.row[mine], modality.name) if len(mine) else ():
                at = store.append(item_columns(batch, modality, title, table))
                numbers[mine[done : done + len(batch)]] = np.arange(at.start, at.stop)
                done += len(batch)
        self._chosen.add(rows, ORDER.index(modality), numbers[items])

    def _ask_for_the_rest(self, part: NDArray[np.int64], times: NDArray[np.int64], store: SceneStore) -> None:
        gaps = part[times == -1]
        for i, row in zip(gaps, self._ask([Job(a) for a in self._anchors_of(gaps)], "gaps"), strict=True):
            if not row.reason:
                del self._chosen.reasons[int(i)]
                self._keep_row(int(i), row, store)
            elif not row.reason.startswith("no scene"):
                self._chosen.reasons[int(i)] += f"; {row.reason}"
        names = tuple(m.name for m in self._from_source if m.timing not in (Timing.ANCHOR, Timing.REFERENCE))
        if names:
            there = np.flatnonzero(times != -1)
            jobs = [
                Job(a, "around", _moment(times[k]), names)
                for k, a in zip(there, self._anchors_of(part[there]), strict=True)
            ]
            for i, row in zip(part[there], self._ask(jobs, "other layers"), strict=True):
                if row.reason:
                    self._chosen.reasons[int(i)] = row.reason
                self._keep_row(int(i), row, store)

    def _ask(self, jobs: Sequence[Job], title: str) -> Iterator[PlanRow]:
        assert self._source is not None
        return ask(jobs, self._source, self._config, workers=self._workers, keep=self._keep, title=title)

    def _keep_row(self, i: int, row: PlanRow, store: SceneStore) -> None:
        if row.stage:
            self._chosen.stages[i] = row.stage
        for name, scenes in row.scenes.items():
            at = store.append(map(scene_columns, scenes))
            self._chosen.add(np.full(len(at), i), ORDER.index(MODALITIES[name]), np.arange(at.start, at.stop))
        for name, days in row.days.items():
            self._chosen.days.append((np.array([i]), ORDER.index(MODALITIES[name]), np.array([days])))

    def _anchors_of(self, rows: NDArray[np.int64]) -> Iterator[Anchor]:
        for r in self._anchors.take(pa.array(rows)).to_pylist():
            yield anchor_of(r)

    @staticmethod
    def _of(timing: Timing, modalities: Iterable[Modality]) -> list[Modality]:
        return [m for m in modalities if m.timing is timing]

    def tables(self, store: SceneStore) -> Iterator[pa.Table]:
        """The plan, a row group at a time, in the order of the anchors."""
        n, c = len(self._anchors), self._chosen
        rows, kinds, scenes = (_joined(x) for x in (c.rows, c.kinds, c.scenes))
        # A place whose layers could not be asked for has no plan, whatever was found first.
        lost = np.zeros(n, bool)
        lost[list(c.reasons)] = True
        kept = np.flatnonzero(~lost[rows])
        order = kept[np.lexsort((kinds[kept], rows[kept]))]
        rows, scenes = rows[order], scenes[order]
        day_rows = _joined([r for r, _, _ in c.days])
        day_kinds = _joined([np.full(len(r), k, np.int64) for r, k, _ in c.days])
        day_values = np.concatenate([d for _, _, d in c.days]) if c.days else np.empty(0)
        kept = np.flatnonzero(~lost[day_rows])
        order = kept[np.lexsort((day_kinds[kept], day_rows[kept]))]
        day_rows, day_kinds, day_values = day_rows[order], day_kinds[order], day_values[order]
        names = pa.array([m.name for m in ORDER])
        for first in range(0, n, GROUP):
            last = min(first + GROUP, n)
            cuts = np.searchsorted(rows, np.arange(first, last + 1))
            listed = store.take(scenes[cuts[0] : cuts[-1]])
            day_cuts = np.searchsorted(day_rows, np.arange(first, last + 1))
            some = slice(day_cuts[0], day_cuts[-1])
            columns = [self._anchors[name].slice(first, last - first).combine_chunks() for name in ANCHOR]
            columns += [pa.array(["" if lost[i] else c.stages.get(i, "") for i in range(first, last)])]
            columns += [pa.array([c.reasons.get(i, "") for i in range(first, last)])]
            columns += [
                pa.MapArray.from_arrays(
                    pa.array((day_cuts - day_cuts[0]).astype(np.int32)),
                    names.take(pa.array(day_kinds[some])),
                    pa.array(day_values[some]),
                ),
                pa.ListArray.from_arrays(pa.array((cuts - cuts[0]).astype(np.int32)), listed),
            ]
            yield pa.table([x.cast(f.type) for x, f in zip(columns, SCHEMA, strict=True)], schema=SCHEMA)


def _shapes(items: Items, index: ItemIndex, wanted: NDArray[np.int64]) -> dict[int, BaseGeometry]:
    """Footprints of some items of an index, from its outlines."""
    o = index.outlines
    return {int(k): _shape(o.points, o.rings[o.parts[k] : o.parts[k + 1] + 1]) for k in wanted}


def _shape(points: NDArray[np.float64], rings: NDArray[np.int64]) -> BaseGeometry:
    # Holes and parts alike: what an odd number of rings surrounds is inside.
    whole: BaseGeometry = shapely.Polygon()
    for a, b in pairwise(rings):
        whole = whole.symmetric_difference(shapely.Polygon(points[a:b]))
    return whole


def _moment(time: int) -> Scene:
    """A reference scene of which only the time matters."""
    moment = rules.EPOCH + dt.timedelta(microseconds=int(time))
    return Scene("", "", shapely.Point(), moment)


def _span(centre: NDArray[np.int64], half: NDArray[np.int64]) -> tuple[int, int]:
    used = half >= 0
    return int((centre - half)[used].min()), int((centre + half)[used].max())


def _joined(parts: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def anchor_of(row: dict[str, Any]) -> Anchor:
    """An anchor from its columns."""
    return Anchor(**{**row, "reference_date": dt.date.fromisoformat(row["reference_date"])})
