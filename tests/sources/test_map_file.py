"""Maps per region: GeoParquet and back, many tiles at once, snapshots, and the table of tags beside a dataset."""

import json
from pathlib import Path

import geopandas
import numpy as np
import pyarrow.parquet as pq
import pytest
from shapely.geometry import Polygon

from geomeld.cli.build import main as build
from geomeld.cli.osm import main as osm
from geomeld.core.errors import CorruptAsset, UsageError
from geomeld.core.grid import Grid
from geomeld.dataset import Dataset
from geomeld.dataset.map_table import LICENCE, NAME
from geomeld.sources.openstreetmap import OpenStreetMap, rows_of

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "openstreetmap"
pytestmark = pytest.mark.skipif(not REAL.exists(), reason="the shared OpenStreetMap extracts are not here")

MONACO = str(REAL / "monaco.osm.pbf")
PLACES = [(7.4258, 43.7370), (7.4270, 43.7380), (7.5, 43.8), (179.999, 5.0)]


@pytest.fixture(scope="module")
def region(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("region") / "monaco.parquet"
    assert not osm([MONACO, "--out", str(path)])
    return path


def test_a_region_is_the_extract_it_came_from(region):
    before, after = OpenStreetMap(MONACO), OpenStreetMap(str(region))
    assert rows_of(str(region)).about == rows_of(MONACO).about
    assert after.product == before.product
    assert "snapshot 20" in after.product
    for at in PLACES:
        assert after.features(Grid.centred_on(*at)) == before.features(Grid.centred_on(*at))
    frame = geopandas.read_parquet(region)
    assert len(frame) == rows_of(MONACO).batch.num_rows
    assert frame.crs == "OGC:CRS84"
    assert json.loads(pq.read_schema(region).metadata[b"geomeld_map"])["licence"] == LICENCE


def test_many_tiles_at_once_are_the_tiles_one_by_one(region):
    known, grids = OpenStreetMap(str(region)), [Grid.centred_on(*at) for at in PLACES]
    assert known.join(grids) == [known.features(grid) for grid in grids]
    assert [f is None for f in known.join(grids)] == [False, False, True, True]


def test_features_of_an_outline_are_those_a_plain_loop_finds():
    rows = rows_of(MONACO)
    every = [rows._feature(i, shape, 0.0) for i, shape in enumerate(rows._shapes(np.arange(rows.batch.num_rows)))]
    for west, south, side in [(7.41, 43.72, 0.004), (7.42, 43.735, 0.0005), (7.3, 43.6, 1.0), (8.0, 43.0, 0.1)]:
        outline = Polygon([(west, south), (west + side, south), (west + side, south + side), (west, south + side)])
        expected = sorted(f.feature_id for f in every if f.geometry.intersects(outline))
        assert sorted(f.feature_id for f in rows.around(outline)) == expected
        assert [f.feature_id for f in rows.join([outline])[0]] == expected


def test_words_that_are_wrong(tmp_path):
    with pytest.raises(UsageError, match=r"let its name end in \.parquet"):
        osm([MONACO, "--out", str(tmp_path / "a.gpkg")])
    geopandas.GeoDataFrame({"name": ["a"]}, geometry=[Polygon([(0, 0), (1, 0), (1, 1)])]).to_parquet(
        tmp_path / "b.parquet"
    )
    with pytest.raises(CorruptAsset, match=r"b\.parquet cannot be read"):
        rows_of(str(tmp_path / "b.parquet"))


def test_a_build_writes_the_tags_as_a_table_of_their_own(region, tmp_path):
    (tmp_path / "places.csv").write_text("id,lat,lon,date\n1,43.7370,7.4258,2019-07-15\n2,43.8,7.5,2019-07-15\n")
    words = ["--anchors", str(tmp_path / "places.csv"), "--out", str(tmp_path / "d"), "--no-naip", "--workers", "1"]
    assert not build([*words, "--source", f"simulated:5,osm={region}"])
    dataset, table = Dataset(tmp_path / "d"), pq.read_table(tmp_path / "d" / NAME)
    assert table.schema.metadata[b"licence"].decode() == LICENCE
    product = OpenStreetMap(str(region)).product
    assert json.loads(pq.read_metadata(tmp_path / "d" / NAME).metadata[b"maps"]) == {product: 1}
    rows = table.to_pylist()
    assert {r["tile_id"] for r in rows} == {1}  # the other place is not on the map
    assert {r["map"] for r in rows} == {product}
    known = dataset.metadata(1)
    assert known["map_product"] == product
    assert json.loads(rows[0]["tags"]) == known["osm_tags"]
    assert [r["level"] for r in rows] == ["tile", *(f["level"] for f in known["map_features"])]
    assert rows[1]["level"] == "center"
    assert [(r["phrase"], r["count"], json.loads(r["tags"])) for r in rows[1:]] == [
        (f["phrase"], f["count"], f["tags"]) for f in known["map_features"]
    ]
    assert dataset.metadata(2)["map_features"] is None
