"""From anchors to shards: bad tables, the choice of scenes, equal bytes for any workers and after any kill."""

import datetime as dt
import fcntl
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from shapely.geometry import Polygon, box

from geomeld.build.anchors import read_anchors, sampled_anchors, write_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.plan import PlanRow, plan_tile, read_plan, write_plan
from geomeld.build.run import build
from geomeld.core.errors import AnchorError, ConfigError, CorruptFile, DatasetError, MissingProduct, UsageError
from geomeld.core.grid import Grid
from geomeld.core.tile import Anchor
from geomeld.dataset import open_dataset
from geomeld.dataset.check import check
from geomeld.modalities import MODALITIES
from geomeld.sources import Scene, open_source
from geomeld.testing import FakeSource

NOON = dt.time(12)


def csv(tmp_path: Path, text: str) -> Path:
    (tmp_path / "places.csv").write_text(text)
    return tmp_path / "places.csv"


def test_anchors_from_a_table(tmp_path: Path) -> None:
    anchors = read_anchors(csv(tmp_path, "id,Latitude,long,date\n17,10.5,20.5,2020-03-04\nab,-10,20,\n"))
    assert (anchors[0].tile_id, anchors[0].reference_date) == (17, dt.date(2020, 3, 4))
    assert anchors[1].tile_id > 2**32
    assert anchors[1].reference_date.day == 15
    write_anchors(tmp_path / "anchors.parquet", anchors)
    assert read_anchors(tmp_path / "anchors.parquet") == anchors


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no anchors"),
        ("lat,lon\n", "no anchors"),
        ("lat,name\n1,2\n", "'lon'"),
        ("lat,lon\n1,2\n95,3\n", "row 3"),
        ("lat,lon\nx,2\n", "row 2"),
        ("lat,lon,date\n1,2,soon\n", "soon"),
        ("id,lat,lon\n1,1,2\n1,2,3\n", "twice"),
        ("lat,lon,date\n1,2,0001-01-01\n", "row 2.*outside the years"),
        ("lat,lon,date\n1,2,9999-12-31\n", "row 2.*outside the years"),
    ],
)
def test_bad_tables_say_where(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(AnchorError, match=words):
        read_anchors(csv(tmp_path, text))


@dataclass(frozen=True)
class ListedSource(FakeSource):
    """Serves the scenes that it was given."""

    listed: tuple[Scene, ...] = ()

    def scenes(self, modality, grid, start, end):
        found = [s for s in self.listed if s.modality == modality.name and s.acquired and start <= s.acquired < end]
        return sorted(found, key=lambda s: (s.acquired, s.scene_id))


ANCHOR = Anchor(1, 9.84, 57.2, dt.date(2020, 6, 15))
WHOLE = Polygon(Grid.centred_on(9.84, 57.2).padded(3000).footprint())


def scene(
    name: str, date: str, *, modality: str = "sentinel2", cloud: float | None = 1.0, orbit=None, footprint=WHOLE
) -> Scene:
    when = dt.datetime.combine(dt.date.fromisoformat(date), NOON, dt.UTC)
    return Scene(name, modality, footprint, when, cloud, orbit)


def chosen(*scenes: Scene, config: BuildConfig = BuildConfig()):
    source = ListedSource(listed=scenes, serves=frozenset({"sentinel2", "sentinel1", "dynamic_world"}))
    return plan_tile(ANCHOR, source, config)


def test_the_nearest_clear_scene_that_contains_the_tile_is_chosen() -> None:
    row = chosen(
        scene("cloudy", "2020-06-15", cloud=10.0),
        scene("beside", "2020-06-16", footprint=box(9.0, 57.0, 9.84, 57.5)),
        scene("near", "2020-06-18", cloud=9.9),
        scene("far", "2020-06-25"),
    )
    assert row.scenes["sentinel2"][0].scene_id == "near"
    assert row.stage == "15 d"
    assert row.days["sentinel2"] == 3


@pytest.mark.parametrize("odd", ["²", "9" * 30, "9" * 5000, "-5", "1.5"])
def test_identifiers_that_only_look_like_numbers_are_hashed(tmp_path: Path, odd: str) -> None:
    (tmp_path / "places.csv").write_text(f"id,lat,lon\n{odd},1,2\n", encoding="utf-8")
    (anchor,) = read_anchors(tmp_path / "places.csv")
    assert 0 <= anchor.tile_id < 2**63
    assert anchor.source_key == odd


def test_a_table_that_cannot_take_its_place_leaves_nothing_beside_it(tmp_path: Path) -> None:
    anchors = read_anchors(csv(tmp_path, "lat,lon\n1,2\n"))
    (tmp_path / "taken").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(IsADirectoryError):
        write_anchors(tmp_path / "taken", anchors)
    with pytest.raises(IsADirectoryError):
        write_plan(tmp_path / "taken", [PlanRow(a) for a in anchors])
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "bad",
    [
        {"widening_days": (999_999_999_999,)},
        {"window_days": -1},
        {"clear_share": float("nan")},
        {"years": (0, 0)},
        {"years": (2021, 2018)},
        {"other_years": (3, 99_999)},
    ],
)
def test_settings_out_of_range_are_refused_by_name(bad: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        BuildConfig(**bad)


def test_a_cut_shard_is_named_and_built_again_once_it_is_deleted(tmp_path: Path) -> None:
    anchors = read_anchors(csv(tmp_path, "lat,lon\n1,2\n3,4\n"))
    out, config = tmp_path / "d", BuildConfig(shard_size=1)
    build(anchors, FakeSource(), out, config)
    shard = sorted(out.glob("*.tar"))[-1]
    whole = shard.read_bytes()
    shard.write_bytes(whole[:5000])
    with pytest.raises(CorruptFile, match=shard.name):
        build(anchors, FakeSource(), out, config)
    shard.unlink()
    build(anchors, FakeSource(), out, config)
    assert shard.read_bytes() == whole


def test_a_build_that_wrote_no_shard_leaves_its_folder_to_another(tmp_path: Path) -> None:
    anchors = read_anchors(csv(tmp_path, "lat,lon\n1,2\n"))

    class Lacking(FakeSource):
        def scenes(self, *_: object) -> list[Scene]:
            raise MissingProduct("the catalogue holds no Sentinel-2")

    with pytest.raises(MissingProduct):
        build(anchors, Lacking(), tmp_path / "d", BuildConfig(seed=1))
    build(anchors, FakeSource(), tmp_path / "d")
    assert check(tmp_path / "d") == []


@pytest.mark.parametrize("seed", ["²", "x", "-5", "9" * 26, "9" * 5000])
def test_seeds_of_a_source_are_whole_numbers_in_range(seed: str) -> None:
    with pytest.raises(UsageError, match="seed"):
        open_source(f"simulated:{seed}")


def test_windows_widen_and_other_years_follow() -> None:
    assert chosen(scene("a", "2020-07-10")).stage == "30 d"
    assert chosen(scene("a", "2020-07-28")).stage == "45 d"
    row = chosen(scene("a", "2018-06-10"), scene("b", "2021-06-20"))
    assert (row.scenes["sentinel2"][0].scene_id, row.stage) == ("b", "year 2021")
    assert "no scene" in chosen().reason
    assert "none under" in chosen(scene("a", "2020-06-15", cloud=50)).reason


def test_radar_and_labels_lie_around_the_chosen_scene() -> None:
    row = chosen(
        scene("s2", "2020-06-25"),
        scene("asc", "2020-07-08", modality="sentinel1", orbit="ascending"),
        scene("asc nearer to the anchor", "2020-06-15", modality="sentinel1", orbit="ascending"),
        scene("desc", "2020-06-26", modality="sentinel1", orbit="descending"),
        scene("desc late", "2020-07-11", modality="sentinel1", orbit="descending"),
        scene("dw 1", "2020-06-20", modality="dynamic_world"),
        scene("dw 2", "2020-06-25", modality="dynamic_world"),
        scene("dw late", "2020-07-15", modality="dynamic_world"),
    )
    assert [s.scene_id for s in row.scenes["sentinel1"]] == ["asc nearer to the anchor", "desc"]
    assert [s.scene_id for s in row.scenes["dynamic_world"]] == ["dw 2", "dw 1"]


def test_plan_round_trips(tmp_path: Path) -> None:
    rows = [chosen(scene("a", "2020-06-15")), chosen()]
    write_plan(tmp_path / "plan.parquet", rows)
    assert read_plan(tmp_path / "plan.parquet") == rows
    (tmp_path / "plan.parquet").write_text("x")
    with pytest.raises(DatasetError, match="no plan"):
        read_plan(tmp_path / "plan.parquet")


PLACES = [(10.0 + 3 * k, -20.0 + 7 * k, "") for k in range(7)]
CONFIG = BuildConfig(shard_size=2)


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.name: p.read_bytes()
        for p in sorted(folder.iterdir())
        if p.is_file() and p.name not in (".lock", "ledger.sqlite")
    }


def test_one_and_two_workers_write_the_same_bytes(tmp_path: Path) -> None:
    anchors = sampled_anchors(PLACES, "test")
    manifest = build(anchors, FakeSource(), tmp_path / "one", CONFIG, workers=1)
    build(anchors, FakeSource(), tmp_path / "two", CONFIG, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert (manifest.tiles, len(manifest.shards)) == (7, 4)
    assert check(tmp_path / "one") == []
    assert not list((tmp_path / "one").glob("*partial*"))
    before = contents(tmp_path / "one")
    assert build(anchors, FakeSource(), tmp_path / "one", CONFIG) == manifest
    assert contents(tmp_path / "one") == before


def test_a_bad_tile_is_listed_and_the_others_are_built(tmp_path: Path) -> None:
    anchors = sampled_anchors(PLACES, "test")
    manifest = build(anchors, FakeSource(corrupt_south_of=-15, empty_north_of=20), tmp_path / "d", CONFIG)
    assert {f.stage for f in manifest.failures} == {"plan", "read"}
    assert "truncated" in next(f.reason for f in manifest.failures if f.stage == "read")
    assert manifest.tiles + len(manifest.failures) == len(anchors)
    assert len(open_dataset(tmp_path / "d")) == manifest.tiles


def test_nothing_is_left_where_nothing_could_be_built(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="None of the 7 tiles"):
        build(sampled_anchors(PLACES, "test"), FakeSource(empty_north_of=-90), tmp_path / "d", CONFIG)
    assert contents(tmp_path / "d") == {}


def test_a_folder_belongs_to_one_build_at_a_time(tmp_path: Path) -> None:
    anchors = sampled_anchors(PLACES[:2], "test")
    build(anchors, FakeSource(), tmp_path / "d", CONFIG)
    with pytest.raises(DatasetError, match="another build"):
        build(anchors, FakeSource(), tmp_path / "d", replace(CONFIG, seed=1))
    with (tmp_path / "d" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DatasetError, match="at work"):
            build(anchors, FakeSource(), tmp_path / "d", CONFIG)


SCRIPT = """
import sys
from pathlib import Path
from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.run import build
from geomeld.testing import FakeSource
places = [(10.0 + 3 * k, -20.0 + 7 * k, "") for k in range(7)]
if __name__ == "__main__":
    build(sampled_anchors(places, "test"), FakeSource(), Path(sys.argv[1]), BuildConfig(shard_size=2), workers=2)
"""


@pytest.mark.slow
def test_a_killed_build_ends_in_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    for kill_when in (1, 3):  # so many shards are finished
        out = tmp_path / f"d{kill_when}"
        process = subprocess.Popen(
            [sys.executable, str(script), str(out)], start_new_session=True, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 60
        while process.poll() is None and len(list(out.glob("*.tar"))) < kill_when and time.monotonic() < deadline:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        build(sampled_anchors(PLACES, "test"), FakeSource(), out, CONFIG)
    build(sampled_anchors(PLACES, "test"), FakeSource(), tmp_path / "whole", CONFIG)
    assert contents(tmp_path / "d1") == contents(tmp_path / "d3") == contents(tmp_path / "whole")


def test_the_fake_source_serves_the_table() -> None:
    assert FakeSource().modalities() == frozenset(MODALITIES) - {"naip"}
