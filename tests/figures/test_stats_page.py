"""The dataset report and the audit of leakage, held against plain counts and hand-made places."""

from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import Point, Polygon, box

from geomeld.build.leakage import SPLITS, audit
from geomeld.cli.stats import main
from geomeld.core.errors import UsageError
from geomeld.core.grid import Grid
from geomeld.dataset import Dataset, write_dataset
from geomeld.dataset.index import index_path
from geomeld.dataset.statistics import BandStatistics, merge, statistics_of
from geomeld.figures.maps import _season
from geomeld.figures.stats_page import _days, _facts, write_stats_page
from geomeld.modalities import MODALITIES
from geomeld.testing import fake_tile, tiny_dataset


def test_the_report_opens_with_every_section(tmp_path: Path) -> None:
    page = write_stats_page(tiny_dataset(tmp_path, 6, captions=True), tmp_path / "report.html").read_text()
    for title in ("Where", "When", MODALITIES["esa_worldcover"].title, "Layers", "Bands", "Tiles"):
        assert f">{title}<" in page, title
    assert "Left out" not in page
    assert page.count("<img ") >= 6 + 3 + 4  # the contact sheet, the panels, the maps and bars


def test_a_tile_of_nonsense_is_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path, 4)
    shard, tile_id = dataset.shards[0], dataset.tile_ids[1]
    data = shard.read_bytes()  # type: ignore[union-attr]
    date = b'"acquisition_date": "2020-06-15"'
    places = [i for i in range(len(data)) if data.startswith(date, i)]
    broken = data[: places[1]] + b'"acquisition_date": "the ides...' + data[places[1] + len(date) :]
    shard.write_bytes(broken.replace(b"ides...", b'ides..."'[:7]))  # type: ignore[union-attr]
    index_path(shard).unlink()  # type: ignore[arg-type]
    (tmp_path / "statistics.json").unlink()
    again = Dataset(tmp_path)
    facts, strange = _facts(again)
    assert set(strange) == {tile_id}
    assert len(facts) == 3
    page = write_stats_page(again, tmp_path / "report.html").read_text()
    assert "Left out" in page
    assert str(tile_id) in page


def test_statistics_of_parts_merge_to_those_of_the_whole(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path, 6)
    whole = statistics_of(dataset, MODALITIES)
    parts = [statistics_of(dataset, MODALITIES, ids) for ids in (dataset.tile_ids[:1], dataset.tile_ids[1:])]
    for name, expected in whole.items():
        merged = merge(parts[0][name], parts[1][name])
        if isinstance(expected, BandStatistics):
            pixels = np.concatenate([t.layers[name].values[0][t.layers[name].valid[0]] for t in dataset]).astype(float)
            np.testing.assert_allclose(
                (merged.mean[0], merged.std[0], merged.min[0], merged.max[0], merged.count[0]),  # type: ignore[union-attr]
                (pixels.mean(), pixels.std(), pixels.min(), pixels.max(), pixels.size), rtol=1e-9,
            )  # fmt: skip
        assert merged == expected or isinstance(expected, BandStatistics)


def test_days_and_seasons_by_hand(tmp_path: Path) -> None:
    tile = fake_tile(1)
    facts, _ = _facts(write_dataset(tmp_path, [tile]))
    assert set(_days(facts)) == {MODALITIES[n].title for n in ("sentinel1", "dynamic_world")}
    assert all(days == [0.0] for days in _days(facts).values())
    assert [_season(1, 50.0), _season(1, -50.0), _season(7, -30.0), _season(10, 40.0), _season(4, 2.0)] == [
        "winter", "summer", "winter", "autumn", "tropics",
    ]  # fmt: skip


LON, LAT = 9.0, 50.0
METRE = 1 / 111_195 / np.cos(np.radians(LAT))
"""Degrees of longitude."""


def test_tiles_near_footprints_leak_with_their_whole_group() -> None:
    east = np.array([0.0, 1000.0, 2000.0, 6000.0, 30_000.0])
    lon, lat = LON + east * METRE, np.full(5, LAT)
    zones = geopandas.GeoSeries([Point(LON - 1500 * METRE, LAT).buffer(1e-6)])  # 860 m west of the first tile's edge
    found = audit(range(11, 16), lon, lat, zones, buffer_m=1000.0, held_out=0.0)
    assert list(found.near) == [True, False, False, False, False]
    assert list(found.split) == ["leak", "leak", "leak", "train", "train"]
    assert len(set(found.overlap_group[:3])) == 1
    assert not audit(range(11, 16), lon, lat, zones, buffer_m=800.0, held_out=0.0).near.any()


def test_a_split_keeps_its_distance_and_groups_together() -> None:
    rng = np.random.default_rng(3)
    n = 400
    lon, lat = LON + rng.uniform(0, 0.9, n), LAT + rng.uniform(0, 0.6, n)
    nowhere = geopandas.GeoSeries([box(-100, 0, -99, 1)])
    found = audit(range(n), lon, lat, nowhere, buffer_m=2000.0, held_out=0.3, seed=1)
    again = audit(range(n), lon, lat, nowhere, buffer_m=2000.0, held_out=0.3, seed=1)
    assert (found.split == again.split).all()
    for group in np.unique(found.overlap_group):
        splits = set(found.split[found.overlap_group == group])
        assert "held-out" not in splits or splits == {"held-out"}
    squares = [Polygon([(g.left + a * 1280, g.top - b * 1280) for a, b in ((0, 0), (1, 0), (1, 1), (0, 1))])
               for g in (Grid.centred_on(x, y) for x, y in zip(lon, lat, strict=True))]  # fmt: skip
    held, train = (np.flatnonzero(found.split == s) for s in ("held-out", "train"))
    assert min(squares[i].distance(squares[j]) for i in held for j in train) >= 1999
    dropped = np.flatnonzero(found.split == "buffer")
    assert len(dropped)
    assert max(min(squares[i].distance(squares[j]) for i in held) for j in dropped) <= 2001
    assert 0.2 < len(held) / n < 0.4


def test_the_command_writes_the_audit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tiny_dataset(tmp_path / "d", 4)
    place = dataset.metadata(dataset.tile_ids[2])
    zones = tmp_path / "bench.geojson"
    square = Point(place["long"], place["lat"]).buffer(0.001)
    geopandas.GeoSeries([square], crs="EPSG:4326").to_file(zones, driver="GeoJSON")
    assert main([str(dataset.path), "--footprints", str(zones), "--out", str(tmp_path / "r" / "report.html")]) == 0
    assert "leakage: " in capsys.readouterr().out
    table = pd.read_parquet(tmp_path / "r" / "leakage.parquet")
    assert list(table.columns) == ["tile_id", "overlap_group", "near", "split"]
    assert list(table[table.near].tile_id) == [dataset.tile_ids[2]]
    assert set(table.split) <= set(SPLITS)
    assert "Leakage" in (tmp_path / "r" / "report.html").read_text()


@pytest.mark.parametrize("wrong", [{"buffer_m": -1.0}, {"held_out": 1.5}], ids=["buffer", "share"])
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        audit([1], np.array([LON]), np.array([LAT]), geopandas.GeoSeries([box(0, 0, 1, 1)]), **wrong)  # type: ignore[arg-type]
