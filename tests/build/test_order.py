"""The order of a build: neighbours together, whatever the order of the places, and no place twice."""

import datetime as dt
import random
from pathlib import Path

import numpy as np
import pytest

from geomeld.build.config import BuildConfig
from geomeld.build.order import hilbert, spatial_order
from geomeld.build.plan import Plan, plan_tile, write_plan
from geomeld.build.run import build
from geomeld.core.errors import AnchorError
from geomeld.core.grid import utm_epsg
from geomeld.core.tile import Anchor
from geomeld.testing import FakeSource

DAY = dt.date(2020, 6, 15)


def places(count: int) -> list[Anchor]:
    rng = random.Random(1)
    return [Anchor(rng.getrandbits(62), rng.uniform(-180, 180), rng.uniform(-80, 83.9), DAY) for _ in range(count)]


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_the_curve_meets_every_cell_once_in_single_steps(bits: int) -> None:
    x, y = (a.ravel() for a in np.meshgrid(np.arange(1 << bits), np.arange(1 << bits)))
    along = np.argsort(hilbert(x, y, bits))
    assert sorted(hilbert(x, y, bits)) == list(range(4**bits))
    assert (np.abs(np.diff(x[along])) + np.abs(np.diff(y[along])) == 1).all()


def test_the_order_depends_on_the_places_alone() -> None:
    anchors = places(300)
    order, ids = spatial_order(anchors)
    assert [anchors[i].tile_id for i in order] == ids.tolist()
    shuffled = random.Random(2).sample(anchors, len(anchors))
    assert spatial_order(shuffled)[1].tolist() == ids.tolist()
    zones = [utm_epsg(anchors[i].lon, anchors[i].lat) for i in order]
    assert zones == sorted(zones)


def test_neighbours_are_near_in_the_order() -> None:
    rng = np.random.default_rng(3)
    anchors = [
        Anchor(k, lon, lat, DAY) for k, (lon, lat) in enumerate(rng.uniform((6.1, 40.1), (11.9, 45.9), (900, 2)))
    ]
    order, _ = spatial_order(anchors)

    def steps(sequence: list[Anchor]) -> float:
        at = np.array([(a.lon, a.lat) for a in sequence])
        return float(np.hypot(*np.diff(at, axis=0).T).mean())

    assert steps([anchors[i] for i in order]) < 0.1 * steps(anchors)


@pytest.mark.parametrize("lon", [-180.0, 180.0, 179.999999, 0.0])
@pytest.mark.parametrize("lat", [-80.0, 84.0, 0.0])
def test_the_edges_of_the_map_have_their_place(lon: float, lat: float) -> None:
    assert spatial_order([Anchor(1, lon, lat, DAY)])[1].tolist() == [1]


def test_a_doubled_or_polar_place_is_refused() -> None:
    with pytest.raises(AnchorError, match="Tile 7 is there 2 times"):
        spatial_order([Anchor(7, 1.0, 2.0, DAY), Anchor(8, 3.0, 4.0, DAY), Anchor(7, 5.0, 6.0, DAY)])
    with pytest.raises(AnchorError, match="outside UTM"):
        spatial_order([Anchor(7, 1.0, 85.0, DAY)])


def test_a_build_from_a_plan_file_of_several_groups_equals_one_from_its_rows(tmp_path: Path, monkeypatch) -> None:
    source, config = FakeSource(serves=frozenset({"sentinel2", "dynamic_world"})), BuildConfig(shard_size=2)
    anchors = [a for a in places(12) if abs(a.lat) < 70][:7]
    rows = [plan_tile(a, source, config) for a in anchors]
    monkeypatch.setattr("geomeld.build.plan.row.GROUP", 3)
    monkeypatch.setattr("geomeld.build.rounds.FETCHED", 4)
    write_plan(tmp_path / "plan.parquet", rows)
    one = build(Plan(tmp_path / "plan.parquet"), source, tmp_path / "file", config)
    other = build(rows, source, tmp_path / "rows", config)
    direct = build(anchors, source, tmp_path / "anchors", config)
    assert one == other
    assert one.shards == direct.shards
