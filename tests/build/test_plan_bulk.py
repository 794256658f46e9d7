"""Planning in bulk chooses what planning tile by tile chooses, on real items and on the simulated Earth's."""

import datetime as dt
import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pystac
import pytest
import shapely
from shapely.geometry import Polygon

from geomeld.build.config import BuildConfig
from geomeld.build.plan import Plan, PlanRow, plan_tile, read_plan
from geomeld.build.plan.bulk import plan_in_bulk
from geomeld.build.plan.items import Items
from geomeld.build.plan.outline import Outlines, lies
from geomeld.build.plan.row import ANCHOR, GROUP
from geomeld.build.plan.tables import write_items
from geomeld.core.errors import SourceError, UsageError
from geomeld.core.grid import Grid
from geomeld.core.modality import Timing
from geomeld.core.tile import Anchor
from geomeld.modalities import MODALITIES
from geomeld.sources import Scene
from geomeld.sources.profiles import PROFILES
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.stac import scene_of
from geomeld.testing.items import columns_of, item_json
from geomeld.testing.sources import FakeSource

DATA = Path(__file__).parents[3] / "shared" / "data" / "stac_items"
needs_items = pytest.mark.skipif(not DATA.exists(), reason="the real items are not here")
DAY = dt.timedelta(days=1)


@dataclass(frozen=True)
class Listed(FakeSource):
    """A source of given scenes, found by comparing each with the tile."""

    listed: tuple[Scene, ...] = ()
    name: str = "listed"

    def modalities(self) -> frozenset[str]:
        return frozenset(s.modality for s in self.listed)

    def scenes(self, modality, grid, start, end):
        outline = Polygon(grid.footprint())
        found = [
            s for s in self.listed if s.modality == modality.name and (s.acquired is None or start <= s.acquired < end)
        ]
        found = [s for s in found if turned(s.footprint, outline).intersects(outline)]
        return sorted(found, key=lambda s: (s.acquired or start, s.scene_id))


def turned(shape, outline):
    return shapely.affinity.translate(shape, 360 * round((outline.centroid.x - shape.centroid.x) / 360))


def bulk(anchors, files, tmp_path: Path, config: BuildConfig, **given) -> list[PlanRow]:
    out = tmp_path / "plan.parquet"
    plan_in_bulk(columns_of(anchors, ANCHOR), Items([str(f) for f in files]), out, config, **given)
    assert [p.name for p in out.parent.iterdir() if "partial" in p.name] == []
    return read_plan(out)


def facts(row: PlanRow):
    return (
        row.anchor.tile_id,
        {n: [s.scene_id for s in found] for n, found in row.scenes.items()},
        {n: round(d, 9) for n, d in row.days.items()},
        row.stage,
        row.reason,
    )


def real_scenes() -> list[Scene]:
    import pyarrow.parquet as pq

    found = []
    table = pq.read_table(DATA / "1000-sentinel-2-l2a-items.parquet")
    for row in table.to_pylist():
        properties = {k: row[k] for k in ("eo:cloud_cover", "proj:epsg", "s2:processing_baseline", "sat:orbit_state")}
        item = pystac.Item(
            row["id"], shapely.geometry.mapping(shapely.from_wkb(row["geometry"])), None, row["datetime"], properties,
            collection=row["collection"],
        )  # fmt: skip
        for name, asset in row["assets"].items():
            if asset:
                item.assets[name] = pystac.Asset(asset["href"])
        found.append(item)
    found += [pystac.Item.from_dict(json.loads(x)) for x in (DATA / "1000-naip-items.ndjson").read_text().splitlines()]
    for name in ("sentinel-1-rtc-pc", "cop-dem-glo-30-pc"):
        found += [pystac.Item.from_dict(d) for d in json.loads((DATA / f"{name}.json").read_text())]
    return [scene for item in found if (scene := as_scene(item))]


def as_scene(item: pystac.Item) -> Scene | None:
    for name, profile in PROFILES.items():
        if item.collection_id in profile.collections:
            dated = MODALITIES[name].timing is not Timing.STATIC
            outline = shapely.geometry.shape(item.geometry)
            return scene_of(item, profile, dated, f"{profile.title} ({item.collection_id})", outline)
    return None


@needs_items
@pytest.mark.slow
def test_bulk_and_tile_by_tile_choose_the_same_of_real_items(tmp_path: Path) -> None:
    source = Listed(listed=tuple(real_scenes()))
    files = [
        DATA / f
        for f in (
            "1000-sentinel-2-l2a-items.parquet",
            "1000-naip-items.ndjson",
            "sentinel-1-rtc-pc.json",
            "cop-dem-glo-30-pc.json",
        )
    ]
    rng = np.random.default_rng(0)
    places = [(rng.uniform(-109.9, -101.2), rng.uniform(36.0, 41.6)) for _ in range(60)]
    # Around the corners of photographs, where several of them make one tile, and around every radar scene.
    for scene in [s for s in source.listed if s.modality == "naip"][::40] + [
        s for s in source.listed if s.modality in ("sentinel1", "aster")
    ]:
        places.append(scene.footprint.exterior.coords[int(rng.integers(4))])
        places.append(scene.footprint.centroid.coords[0])
    places = [(lon, lat) for lon, lat in places if -79 < lat < 83]
    anchors = [
        Anchor(i, float(lon), float(lat), dt.date(2024, 5, 20) + DAY * int(rng.integers(0, 150)), "test", str(i))
        for i, (lon, lat) in enumerate(places)
    ]
    config = BuildConfig(other_years=(2019, 2024))
    rows = bulk(anchors, files, tmp_path, config)
    slow = [plan_tile(a, source, config) for a in anchors]
    assert [facts(r) for r in rows] == [facts(r) for r in slow]
    assert len({r.stage for r in rows}) >= 4
    for fast, one in zip(rows, slow, strict=True):
        assert {n: [replace(s, footprint=None) for s in v] for n, v in fast.scenes.items()} == {
            n: [replace(s, footprint=None) for s in v] for n, v in one.scenes.items()
        }
    # Photographs alone: the reference scenes of 2024 are far from theirs in Alabama.
    photographs = [Listed.scenes(source, MODALITIES["naip"], Grid.centred_on(a.lon, a.lat), *ever()) for a in anchors]
    assert sum(len(p) > 1 for p in photographs) >= 5


def ever():
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.datetime(2100, 1, 1, tzinfo=dt.UTC)


def simulated_items(tmp_path: Path, anchors, source: SimulatedSource, years: tuple[int, int]) -> list[Path]:
    first, last = dt.datetime(years[0], 1, 1, tzinfo=dt.UTC), dt.datetime(years[1] + 1, 1, 1, tzinfo=dt.UTC)
    files = []
    for name in sorted(source.modalities()):
        if name == "canopy_height":  # a modality that no file holds: the source is asked
            continue
        found = {}
        for a in anchors:
            for s in source.scenes(MODALITIES[name], Grid.centred_on(a.lon, a.lat), first, last):
                found[s.scene_id] = s
        if found:
            files.append(tmp_path / f"{name}.parquet")
            write_items(files[-1], [item_json(s) for s in found.values()])
    return files


@pytest.mark.slow
def test_bulk_and_tile_by_tile_choose_the_same_on_the_simulated_earth(tmp_path: Path) -> None:
    source, config = SimulatedSource(3), BuildConfig(clear_share=0.0, other_years=(2019, 2020), max_cloud=4.0)
    places = [
        (9.0, 48.0), (-100.0, 40.01), (-100.07, 40.0), (179.999, 66.0), (-179.999, 66.0), (179.995, -17.0), (5.0, 83.9),
        (20.0, -79.9), (5.999, 45.0), (6.001, 0.0), (-60.0, -3.0), (100.0, 65.0),
    ]  # fmt: skip
    anchors = [Anchor(i, *p, dt.date(2019, 12, 27), "test", str(i)) for i, p in enumerate(places)]
    anchors += [replace(a, tile_id=100 + a.tile_id, reference_date=dt.date(2020, 2, 29)) for a in anchors]
    files = simulated_items(tmp_path, anchors, source, (2018, 2021))
    rows = bulk(anchors, files, tmp_path, config, source=source)
    assert [facts(r) for r in rows] == [facts(plan_tile(a, source, config)) for a in anchors]
    assert any("naip" in r.scenes for r in rows)
    assert all("canopy_height" in r.scenes for r in rows if not r.reason)
    assert sum(not r.reason for r in rows) > len(rows) / 2


@pytest.mark.slow
def test_the_source_fills_the_gaps_of_the_items(tmp_path: Path) -> None:
    source, config = SimulatedSource(3), BuildConfig(clear_share=0.0, other_years=(2020, 2020))
    anchors = [Anchor(i, lon, 48.0, dt.date(2020, 6, 1), "test", str(i)) for i, lon in enumerate((9.0, 30.0))]
    files = simulated_items(tmp_path, anchors[:1], source, (2020, 2020))
    alone = bulk(anchors, files, tmp_path, config)
    assert [bool(r.reason) for r in alone] == [False, True]
    keep = tmp_path / "kept"
    rows = bulk(anchors, files, tmp_path, config, source=source, keep=keep)
    assert [facts(r) for r in rows] == [facts(plan_tile(a, source, config)) for a in anchors]
    assert list(keep.iterdir())
    # What was asked for is not asked for again: a source that fails is not noticed.
    assert [facts(r) for r in bulk(anchors, files, tmp_path, config, source=SimulatedSource(3), keep=keep)] == [
        facts(r) for r in rows
    ]


def item(
    name: str,
    when: str,
    *,
    cloud: float = 1.0,
    where: Polygon | None = None,
    epsg: int = 32632,
    baseline="03.00",
    modality="sentinel2",
    orbit=None,
    mode=None,
) -> dict:
    moment = dt.datetime.fromisoformat(when).replace(tzinfo=dt.UTC)
    made = item_json(
        Scene(name, modality, where or WHOLE, moment, cloud, orbit, epsg, properties={"baseline": baseline})
    )
    return made | {"properties": made["properties"] | ({"sar:instrument_mode": mode} if mode else {})}


ONE = Anchor(1, 9.84, 57.2, dt.date(2020, 6, 15), "test", "1")
WHOLE = Polygon(Grid.centred_on(9.84, 57.2).padded(3000).footprint())


def chosen(tmp_path: Path, *items: dict, config: BuildConfig = BuildConfig()) -> PlanRow:
    write_items(tmp_path / "items.parquet", list(items))
    (row,) = bulk([ONE], [tmp_path / "items.parquet"], tmp_path, config)
    return row


def test_ties_go_to_the_own_zone_then_the_newest_processing_then_the_least_cloud(tmp_path: Path) -> None:
    noon = "2020-06-16T10:30:00"
    a, b, c, d = (
        item("a", noon, epsg=32633, baseline="05.00", cloud=0.0),
        item("b", noon, baseline="02.14", cloud=0.0),
        item("c", noon, baseline="04.00", cloud=3.0),
        item("d", noon, baseline="04.00", cloud=2.0),
    )
    assert chosen(tmp_path, a, b, c, d).scenes["sentinel2"][0].scene_id == "d"
    assert chosen(tmp_path, b, c, d, a | {"id": "z"}).scenes["sentinel2"][0].scene_id == "d"
    assert chosen(tmp_path, a, b, c).scenes["sentinel2"][0].scene_id == "c"
    assert chosen(tmp_path, a, b).scenes["sentinel2"][0].scene_id == "b"
    assert chosen(tmp_path, a, b, item("e", "2020-06-15T12:00:01", cloud=9.9)).scenes["sentinel2"][0].scene_id == "e"


def test_radar_in_other_modes_is_left_out_and_slices_of_a_pass_stay_together(tmp_path: Path) -> None:
    west, _, east, _ = WHOLE.bounds
    half = WHOLE.intersection(shapely.box(west, 50, 9.84, 60)), WHOLE.intersection(shapely.box(9.84, 50, east, 60))
    row = chosen(
        tmp_path,
        item("s2", "2020-06-16T10:30:00"),
        item("wide", "2020-06-16T05:00:00", modality="sentinel1", orbit="descending", mode="EW"),
        item("first", "2020-06-20T05:00:00", modality="sentinel1", orbit="descending", mode="IW", where=half[0]),
        item("second", "2020-06-20T05:00:25", modality="sentinel1", orbit="descending", mode="IW", where=half[1]),
        item("third", "2020-06-22T05:00:25", modality="sentinel1", orbit="descending", mode="IW", where=half[1]),
        item("late", "2020-07-01T10:30:00", modality="sentinel1", orbit="ascending", mode="IW"),
        item("last moment", "2020-07-01T10:29:59", modality="sentinel1", orbit="ascending", mode="IW"),
    )
    assert [s.scene_id for s in row.scenes["sentinel1"]] == ["last moment", "first", "second"]


def test_the_reason_counts_what_was_met(tmp_path: Path) -> None:
    part = WHOLE.intersection(shapely.box(9.0, 50, 9.84, 60))
    row = chosen(
        tmp_path,
        item("cloudy", "2020-06-16T10:30:00", cloud=10.0),
        item("cloudy too", "2020-07-20T10:30:00", cloud=80.0),
        item("part", "2020-06-17T10:30:00", where=part),
        item("elsewhere", "2020-06-17T10:30:00", where=shapely.affinity.translate(WHOLE, 5)),
    )
    assert row.scenes == {}
    assert "(3 within reach: 2 too cloudy, 1 only in part, 0 hidden)" in row.reason


def broken(**changes) -> dict:
    fine = item("fine", "2020-06-16T10:30:00")
    properties = fine["properties"] | changes.pop("properties", {})
    return fine | {"id": "broken", "properties": properties} | changes


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (broken(geometry=None), "polygon"),
        (broken(geometry={"type": "Point", "coordinates": [9.84, 57.2]}), "polygon"),
        (broken(geometry={"type": "Polygon", "coordinates": []}), "polygon"),
        (broken(geometry=shapely.geometry.mapping(shapely.box(5e5, 6e6, 6e5, 6.1e6))), "globe"),
        (broken(properties={"datetime": None}), "time"),
        (broken(id=None), "identifier"),
    ],
    ids=["none", "point", "empty", "metres", "undated", "nameless"],
)
def test_malformed_items_are_left_out_and_counted(tmp_path: Path, bad: dict, words: str) -> None:
    write_items(tmp_path / "i.parquet", [bad, item("good", "2020-06-20T10:30:00")])
    out = tmp_path / "plan.parquet"
    said = plan_in_bulk(columns_of([ONE], ANCHOR), Items([str(tmp_path / "i.parquet")]), out, BuildConfig())
    assert len(said) == 1
    assert words in said[0]
    assert read_plan(out)[0].scenes["sentinel2"][0].scene_id == "good"


def test_files_that_hold_no_items_are_refused_by_name(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(UsageError, match="no file"):
        Items([str(tmp_path / "none*.parquet")])
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(SourceError, match=r"text\.parquet"):
        Items([str(tmp_path / "text.parquet")])
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "table.parquet")
    with pytest.raises(SourceError, match="geometry"):
        Items([str(tmp_path / "table.parquet")])
    write_items(tmp_path / "other.parquet", [item("a", "2020-06-16T10:30:00") | {"collection": "landsat"}])
    with pytest.raises(UsageError, match="landsat"):
        Items([str(tmp_path / "other.parquet")])
    assert Items([f"sentinel2={tmp_path}/other.parquet"]).modalities() == {"sentinel2"}
    with pytest.raises(UsageError, match="no modality"):
        Items([f"sentinel9={tmp_path}/other.parquet"])
    (tmp_path / "empty.parquet").write_bytes((tmp_path / "table.parquet").read_bytes())
    write_items(tmp_path / "empty.parquet", [])
    with pytest.raises(SourceError, match="fixes a date"):
        bulk([ONE], [tmp_path / "empty.parquet"], tmp_path, BuildConfig())


def test_a_plan_is_read_a_group_at_a_time(tmp_path: Path) -> None:
    write_items(tmp_path / "i.parquet", [item("good", "2020-06-20T10:30:00")])
    anchors = [replace(ONE, tile_id=i, source_key=str(i)) for i in range(GROUP + 7)]
    rows = bulk(anchors, [tmp_path / "i.parquet"], tmp_path, BuildConfig())
    plan = Plan(tmp_path / "plan.parquet")
    assert len(plan) == GROUP + 7
    assert plan[-1] == rows[-1]
    assert [r.anchor for r in plan] == anchors
    assert plan[GROUP - 1 : GROUP + 1] == rows[GROUP - 1 : GROUP + 1]
    with pytest.raises(IndexError, match="no row"):
        plan[GROUP + 7]


@pytest.mark.slow
def test_outlines_lie_to_tiles_as_geos_says() -> None:
    rng = np.random.default_rng(0)
    seen = [0, 0, 0]
    for _ in range(3000):
        shape = star(rng)
        if rng.random() < 0.3:
            shape = shape.difference(shapely.affinity.scale(star(rng), 0.3, 0.3))
        if rng.random() < 0.2:
            shape = shapely.union_all([shape, shapely.affinity.translate(star(rng), 2, 0)])
        if rng.random() < 0.1:  # corners that fall on sides
            shape = shapely.box(*np.round(rng.uniform(-2, 0, 2)), *np.round(rng.uniform(1, 2, 2)))
        if shape.geom_type not in ("Polygon", "MultiPolygon") or shape.is_empty:
            continue
        quad = np.array([[0, 0], [1, 0], [1, 1], [0, 1.0]]) * rng.choice([1.0, rng.uniform(0.05, 1)])
        quad += np.round(rng.integers(-2, 2, 2)) if rng.random() < 0.2 else rng.uniform(-1, 1, 2)
        o = Outlines.of(np.array([shape], object))
        got = lies(o.points, o.rings, o.parts, o.boxes, 0, quad + np.array([360.0, 0.0]), 360.0)
        tile = Polygon(quad)
        assert got == (2 if shape.covers(tile) else 1 if shape.intersects(tile) else 0), (shape.wkt, quad)
        seen[got] += 1
    assert min(seen) > 100


def star(rng) -> Polygon:
    while True:
        n = rng.integers(3, 20)
        angle, radius = np.sort(rng.uniform(0, 2 * math.pi, n)), rng.uniform(0.2, 1, n)
        shape = Polygon(np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]))
        if shape.is_valid:
            return shape


def plainly(anchor: Anchor, scenes: list[Scene], config: BuildConfig):
    """The choice of Sentinel-2 and Sentinel-1 in plain loops over the paper's rules."""
    grid = Grid.centred_on(anchor.lon, anchor.lat)
    tile, grown = Polygon(grid.footprint()), Polygon(grid.padded(20).footprint())
    noon = dt.datetime.combine(anchor.reference_date, dt.time(12), dt.UTC)
    tries = [(noon, half) for half in config.widening_days]
    for away in range(1, 10):
        tries += [
            (noon.replace(year=y, day=min(noon.day, 28)), config.widening_days[0])
            for y in (noon.year - away, noon.year + away)
            if config.other_years[0] <= y <= config.other_years[1]
        ]
    best = None
    for centre, half in tries:
        for s in scenes:
            if s.modality != "sentinel2" or not centre - half * DAY <= s.acquired < centre + half * DAY:
                continue
            if s.cloud_cover >= 10 or not s.footprint.covers(grown):
                continue
            key = (abs(s.acquired - centre), s.epsg != grid.epsg, -float(s.properties["baseline"]), s.cloud_cover)
            if best is None or key < best[0]:
                best = key, s
        if best:
            break
    if best is None:
        return None
    middle, radar = best[1].acquired, []
    for orbit in ("ascending", "descending"):
        mine = [s for s in scenes if s.orbit == orbit and middle - 15 * DAY <= s.acquired < middle + 15 * DAY]
        mine = [s for s in mine if s.footprint.intersects(tile)]
        mine.sort(key=lambda s: (not s.footprint.covers(grown), abs(s.acquired - middle), s.scene_id))
        radar += [s.scene_id for s in mine if abs(s.acquired - mine[0].acquired) < DAY / 24]
    return best[1].scene_id, radar


@pytest.mark.parametrize("seed", range(3))
def test_the_choice_is_that_of_plain_loops(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    west, south, east, north = WHOLE.bounds
    wide = shapely.box(west - 0.1, south - 0.1, east + 0.1, north + 0.1)
    scenes = []
    for k in range(260):
        radar = k % 3 == 0
        when = dt.datetime(2017, 1, 1, 10, tzinfo=dt.UTC) + dt.timedelta(
            days=int(rng.integers(0, 2190)) // 5 * 5, seconds=int(rng.integers(3)) * 25
        )
        part = wide if rng.random() < 0.6 else wide.intersection(shapely.box(west - 1, 50, rng.uniform(west, east), 60))
        scenes.append(
            Scene(
                f"s{k:03}",
                "sentinel1" if radar else "sentinel2",
                part,
                when,
                None if radar else float(rng.integers(0, 30)),
                str(rng.choice(["ascending", "descending"])) if radar else None,
                int(rng.choice([32632, 32633])),
                properties={"baseline": str(rng.choice(["02.14", "03.00", "04.00"]))},
            )
        )
    anchors = [
        replace(ONE, tile_id=k, reference_date=dt.date(2017, 1, 1) + DAY * int(rng.integers(0, 2190)))
        for k in range(80)
    ]
    write_items(tmp_path / "i.parquet", [item_json(s) for s in scenes])
    rows = bulk(anchors, [tmp_path / "i.parquet"], tmp_path, BuildConfig())
    wanted = [plainly(a, scenes, BuildConfig()) for a in anchors]
    got = [
        None if r.reason else (r.scenes["sentinel2"][0].scene_id, [s.scene_id for s in r.scenes.get("sentinel1", ())])
        for r in rows
    ]
    assert got == wanted
    assert len({r.stage for r in rows}) >= 3
