"""Anchors: imports, quotas, distances, exclusion, dates; and that overlapping tiles give way exactly."""

import datetime as dt
import io
import json
import math
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pytest
import shapely
from shapely.geometry import box

from geomeld.build.anchors import read_anchors
from geomeld.build.anchors.columns import provenance_of, read_columns
from geomeld.build.anchors.continents import OUTLINES, coarse_continents
from geomeld.build.anchors.exclusion import too_near
from geomeld.build.anchors.imports import read_mmearth, read_skyscript
from geomeld.build.anchors.make import make_anchors
from geomeld.build.anchors.overlap import thin
from geomeld.build.anchors.regions import PolygonRegions
from geomeld.build.anchors.sample import even_quotas, sample, strata_of
from geomeld.build.order import spatial_order
from geomeld.build.recipe import Recipe
from geomeld.build.squares import on_sphere, squares_of
from geomeld.cli import main
from geomeld.core.errors import AnchorError, UsageError
from geomeld.core.grid import EARTH_RADIUS_M, Grid
from geomeld.core.tile import Anchor

PLACES = Path(__file__).parents[3] / "shared" / "data" / "places"
needs_places = pytest.mark.skipif(not PLACES.exists(), reason="the real places are not here")
CORNERS = {
    "inside a zone": ((10.0, 10.1), (50.0, 50.1)),
    "between zones": ((5.95, 6.05), (45.0, 45.1)),
    "corner of zone 32": ((2.9, 3.1), (55.95, 56.05)),
    "Svalbard": ((20.7, 21.3), (71.95, 72.05)),
    "equator": ((-0.05, 0.05), (-0.05, 0.05)),
    "antimeridian": ((179.9, 180.1), (66.0, 66.1)),
    "far north": ((-180.0, 180.0), (83.97, 84.0)),
}


def great_circle(lon, lat, i, j) -> float:
    a, b = on_sphere(lon[[i, j]], lat[[i, j]])
    return 2 * EARTH_RADIUS_M * math.asin(np.linalg.norm(a - b) / 2)


@pytest.mark.parametrize("where", CORNERS)
def test_tiles_give_way_as_in_plain_loops(where: str) -> None:
    (west, east), (south, north) = CORNERS[where]
    rng = np.random.default_rng(3)
    n = 250
    lon, lat = (rng.uniform(west, east, n) + 180) % 360 - 180, rng.uniform(south, north, n)
    lon[10], lat[10] = lon[11], lat[11]
    grids = [Grid.centred_on(*p) for p in zip(lon, lat, strict=True)]
    squares = squares_of(lon, lat)
    assert [tuple(g)[:3] for g in grids] == [
        (e, x, y) for e, x, y in zip(squares.epsg, squares.left, squares.top, strict=True)
    ]
    assert np.allclose(squares.outlines(20.0), [g.padded(20.0).footprint() for g in grids], atol=1e-12)
    source, lenient = rng.integers(0, 3, n).astype(np.int16), np.array([True, False, True])
    order = np.argsort(source + rng.random(n))
    kept: list[int] = []
    groups: list[set[int]] = []
    for i in order:
        friends, gives_way = set(), False
        for j in kept:
            if grids[i].epsg == grids[j].epsg:
                meets = grids[i].overlaps(grids[j])
                metres = math.hypot(grids[i].left - grids[j].left, grids[i].top - grids[j].top)
            else:
                metres = great_circle(lon, lat, i, j)
                meets = metres < 1810
            if meets and source[i] == source[j] and lenient[source[i]] and metres >= 100:
                friends.add(j)
            elif meets:
                gives_way = True
        if not gives_way:
            kept.append(i)
            touched = [g for g in groups if g & friends]
            groups = [g for g in groups if not g & friends] + [{i, *set().union(*touched)}]
    found = thin(lon, lat, order, source, lenient)
    assert set(np.flatnonzero(found.stays)) == set(kept)
    assert {frozenset(np.flatnonzero(found.stays & (found.group == g))) for g in found.group[found.stays]} == {
        frozenset(g) for g in groups
    }
    assert all(found.stays[found.blocked_by[~found.stays]])


def layer(path: Path, shapes: dict, field: str = "BIOME_NAME", crs="EPSG:4326") -> Path:
    geopandas.GeoDataFrame({field: list(shapes)}, geometry=list(shapes.values()), crs=crs).to_file(path)
    return path


BIOMES = {
    "Forest": box(-20, 0, 20, 10),
    "Desert": box(-20, 10, 20, 30),
    "Islet": box(10.0, -1.02, 10.02, -1.0),
    "N/A": box(0, 40, 1, 41),
}


def test_drawn_places_meet_their_quotas_lie_in_their_strata_and_keep_their_distance() -> None:
    biomes = PolygonRegions({n: s for n, s in BIOMES.items() if n != "N/A"})
    continents = PolygonRegions({"West": box(-30, -10, 0, 40), "East": box(0, -10, 30, 40)})
    strata = strata_of(biomes, continents, ("West", "East"))
    assert {("Forest", "West"), ("Forest", "East"), ("Desert", "West"), ("Desert", "East")} <= set(strata)
    quotas = dict.fromkeys(strata, 150) | {("Islet", ""): 30, ("Desert", "Nowhere"): 2}
    found = sample(quotas, biomes, continents, seed=4)
    for (biome, continent), n in quotas.items():
        mine = found.places[(found.places.biome == biome) & (found.places.continent == continent)]
        assert len(mine) == found.got[biome, continent]
        for p in mine.itertuples():
            assert BIOMES[biome].covers(shapely.Point(p.lon, p.lat))
            assert not continent or (p.lon < 0) == (continent == "West")
        if biome != "Islet" and continent != "Nowhere":
            assert len(mine) == n
    # 2.2 km square: four places at most in its corners.
    assert 1 <= found.short["Islet", ""][0] <= 4
    assert found.short["Desert", "Nowhere"] == (0, 2)
    lon, lat = found.places.lon.to_numpy(), found.places.lat.to_numpy()
    apart = [great_circle(lon, lat, i, j) for i in range(0, len(lon), 37) for j in range(len(lon)) if i != j]
    assert min(apart) >= 1860
    assert thin(lon, lat, np.arange(len(lon)), np.zeros(len(lon), np.int16), np.array([False])).stays.all()
    again = sample(quotas, biomes, continents, seed=4)
    pd.testing.assert_frame_equal(again.places, found.places)
    fewer = sample({s: n // 2 for s, n in quotas.items()}, biomes, continents, seed=4)
    first = found.places[(found.places.biome == "Forest") & (found.places.continent == "West")].lon.to_numpy()
    assert (fewer.places.lon.to_numpy()[:75] == first[:75]).all()
    # Uniform on the sphere: in a band of 20 degrees, the middle of the sines, not of the degrees, halves the places.
    many = sample({("Desert", ""): 4000}, biomes, continents, seed=1).places.lat
    middle = math.degrees(math.asin((math.sin(math.radians(10)) + math.sin(math.radians(30))) / 2))
    assert abs((many < middle).mean() - 0.5) < 4 * 0.5 / math.sqrt(4000)


def test_quotas_are_even_over_continents_and_their_biomes() -> None:
    quotas = even_quotas(101, [("a", "A"), ("b", "A"), ("c", "A"), ("a", "B")])
    assert sum(quotas.values()) == 101
    assert quotas["a", "B"] == 50
    assert sorted(quotas[b, "A"] for b in "abc") == [17, 17, 17]


@needs_places
def test_coarse_continents_agree_with_countries() -> None:
    countries = geopandas.read_file(PLACES / "natural_earth" / "ne_110m_admin_0_countries.json")
    coarse, rng = coarse_continents(), np.random.default_rng(0)
    right, total = 0, 0
    for country in countries.itertuples():
        if country.CONTINENT not in OUTLINES or country.ADMIN == "Russia":
            continue
        west, south, east, north = country.geometry.bounds
        points = rng.uniform((west, south), (east, north), (300, 2))
        points = points[shapely.contains_xy(country.geometry, *points.T)]
        right += (np.array([*coarse.names, ""])[coarse.at(*points.T)] == country.CONTINENT).sum()
        total += len(points)
    assert total > 10_000
    assert right / total > 0.98


MMEARTH = {"11": {"lat": 5.0, "lon": 6.0, "biome": "Forest", "CRS": "EPSG:32632"}, "12": {"lat": 5.1, "lon": 6.0}}


def squared(lon: float, lat: float) -> dict:
    return shapely.geometry.mapping(box(lon - 0.006, lat - 0.006, lon + 0.006, lat + 0.006))


def test_tile_lists_of_mmearth(tmp_path: Path) -> None:
    (tmp_path / "tile_info.json").write_text(json.dumps(MMEARTH))
    features = [
        {"type": "Feature", "geometry": squared(6.0, 5.0), "properties": {"tile_id": "11", "biome": "Forest"}},
        {"type": "Feature", "id": 12, "properties": None, "geometry": {"type": "MultiPolygon", "coordinates": [
            [[(179.99, 5), (180, 5), (180, 5.02), (179.99, 5.02), (179.99, 5)]], [[(-180, 5), (-179.99, 5), (-179.99, 5.02), (-180, 5)]]]}},
    ]  # fmt: skip
    (tmp_path / "tiles.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    one, two = read_mmearth(tmp_path / "tile_info.json"), read_mmearth(tmp_path / "tiles.geojson")
    assert one.to_numpy().tolist() == [["11", 6.0, 5.0, "Forest"], ["12", 6.0, 5.1, ""]]
    assert two.to_numpy()[0].tolist() == pytest.approx(["11", 6.0, 5.0, "Forest"])
    assert abs(two.lon[1]) == pytest.approx(180.0)
    for bad, words in (("[1]", "no tile list"), ('{"1": {"lat": 3}}', "tile 1"), ("{}", "no places"), ("x", "JSON")):
        (tmp_path / "bad.json").write_text(bad)
        with pytest.raises(AnchorError, match=words):
            read_mmearth(tmp_path / "bad.json")


RECORD = {
    "box": (10.0, 20.0, 10.02, 20.01),
    "time": (2019, 5, 6, 7, 8),
    "center_tags": {"a": "b"},
    "surrounding_tags": [{}],
}


def test_records_of_skyscript(tmp_path: Path) -> None:
    numbers = {**RECORD, "box": tuple(np.float64(v) for v in RECORD["box"]), "more": OrderedDict(a=1)}
    with zipfile.ZipFile(tmp_path / "meta2.zip", "w") as archive:
        archive.writestr("meta2/a1_CH_19.pickle", pickle.dumps(RECORD))
        archive.writestr("meta2/a2_US_20.pickle", pickle.dumps(numbers))
        archive.writestr("../../a3_US_20.json", json.dumps(RECORD | {"box": [179.99, 0, -179.99, 0.02]}))
    places, missing = read_skyscript(tmp_path / "meta2.zip")
    assert dict(zip(places.source_key, places.lon, strict=True)) == pytest.approx(
        {"a1_CH_19": 10.01, "a2_US_20": 10.01, "a3_US_20": -180.0}
    )
    assert not missing
    assert not (tmp_path.parent.parent / "a3_US_20.json").exists()
    (tmp_path / "list.csv").write_text("filepath,title\nimages2/a1_CH_19.jpg,x\nimages2/a9_CH_19.jpg,y\n")
    places, missing = read_skyscript(tmp_path / "list.csv", tmp_path / "meta2.zip")
    assert (list(places.source_key), missing) == (["a1_CH_19"], 1)
    with pytest.raises(AnchorError, match="skyscript-meta"):
        read_skyscript(tmp_path / "list.csv")
    (tmp_path / "boxes.csv").write_text('filepath,box\nimages2/a1.jpg,"(10.0, 20.0, 10.02, 20.01)"\n')
    assert read_skyscript(tmp_path / "boxes.csv")[0].lat.tolist() == pytest.approx([20.005])
    for bad, words in (
        ({"box": (1, 2, 3)}, "four numbers"),
        ({"box": (0, 50, 1, 40)}, "west, south"),
        ([1], "four numbers"),
    ):
        (tmp_path / "bad.pickle").write_bytes(pickle.dumps(bad))
        with pytest.raises(AnchorError, match=words):
            read_skyscript(tmp_path / "bad.pickle")


class Ran:
    """Writes a file when it is unpickled."""

    def __init__(self, how: str, path: Path) -> None:
        self.how, self.path = how, path

    def __reduce__(self):
        script = f"open({str(self.path)!r}, 'w')"
        return {"eval": (eval, (script,)), "exec": (exec, (script,)), "open": (io.open, (str(self.path), "w"))}[
            self.how
        ]


@pytest.mark.parametrize("how", ["eval", "exec", "open"])
def test_nothing_in_a_pickle_runs(tmp_path: Path, how: str) -> None:
    (tmp_path / "a.pickle").write_bytes(pickle.dumps({"box": (0, 0, 1, 1), "time": Ran(how, tmp_path / "ran")}))
    with pytest.raises(AnchorError, match="nothing of it was run"):
        read_skyscript(tmp_path / "a.pickle")
    assert not (tmp_path / "ran").exists()
    (tmp_path / "a.pickle").write_bytes(b"\x80\x04broken")
    with pytest.raises(AnchorError, match="refused"):
        read_skyscript(tmp_path / "a.pickle")


def far_east(lon: float, lat: float, metres: float) -> float:
    return lon + math.degrees(metres / EARTH_RADIUS_M / math.cos(math.radians(lat)))


def test_origins_give_way_in_their_order(tmp_path: Path) -> None:
    tiles = {"1": (6.0, 5.0), "2": (far_east(6.0, 5.0, 500), 5.0), "3": (far_east(6.0, 5.0, 40), 5.0)}
    (tmp_path / "m.json").write_text(json.dumps({k: {"lon": x, "lat": y} for k, (x, y) in tiles.items()}))
    sky = {
        "x": (far_east(6.0, 5.0, 1700), 5.0),
        "y": (far_east(6.0, 5.0, 9000), 5.0),
        "z": (far_east(6.0, 5.0, 9600), 5.0),
        "pole": (0.0, 86.0),
    }
    boxes = {k: {"box": box(x - 0.001, y - 0.001, x + 0.001, y + 0.001).bounds} for k, (x, y) in sky.items()}
    (tmp_path / "s.json").write_text(json.dumps(boxes))
    recipe = Recipe(mmearth=(tmp_path / "m.json",), skyscript=(tmp_path / "s.json",))
    made = make_anchors(recipe)
    kept = set(made.anchors.source_key)
    assert {"x", "pole"}.isdisjoint(kept)
    assert len(kept & {"1", "3"}) == 1
    assert "2" in kept
    assert len(kept & {"y", "z"}) == 1
    reasons = dict(zip(made.dropped.source_key, made.dropped.reason, strict=True))
    assert reasons["pole"] == "outside UTM"
    assert "before it" in reasons["x"]
    assert "100 m" in reasons[({"1", "3"} - kept).pop()]
    mm = made.anchors[made.anchors.source == "mmearth"]
    assert len(mm) == 2
    assert mm.overlap_group.nunique() == 1
    assert mm.overlap_group.iloc[0] == mm.tile_id.min()
    strict = make_anchors(Recipe(mmearth=(tmp_path / "m.json",), skyscript=(tmp_path / "s.json",), overlap="strict"))
    assert (strict.anchors.source == "mmearth").sum() == 1
    assert strict.anchors.overlap_group.is_unique


def test_dates_belong_to_their_origin(tmp_path: Path) -> None:
    tiles = {str(k): {"lon": 0.05 * (k % 50), "lat": 0.05 * (k // 50)} for k in range(1500)}
    (tmp_path / "m.json").write_text(json.dumps(tiles))
    dates = make_anchors(Recipe(mmearth=(tmp_path / "m.json",), sample=28)).anchors.set_index("source").reference_date
    months = {d[:7] for d in dates["mmearth"]}
    assert (min(months), max(months), len(months)) == ("2017-01", "2022-12", 72)
    assert set(dates.str[8:]) == {"15"}
    assert {d[:4] for d in dates["custom"]} <= {"2018", "2019", "2020", "2021"}
    later = make_anchors(Recipe(mmearth=(tmp_path / "m.json",), earliest="2018-12")).anchors.reference_date.str[:7]
    assert (later.min(), later.max(), later.nunique()) == ("2018-12", "2022-12", 49)
    for bad in ({"earliest": "2020-13"}, {"earliest": "2022-01", "latest": "2021-01"}, {"sample": 0}, {"mmearth": ()}):
        with pytest.raises(UsageError):
            make_anchors(Recipe(**({"mmearth": (tmp_path / "m.json",)} | bad)))


def test_tiles_near_places_of_evaluation_are_left_out() -> None:
    rng = np.random.default_rng(0)
    for lon0, lat0 in ((6.0, 45.0), (179.99, 66.0), (20.0, 78.0), (0.0, 0.0)):
        lon = (lon0 + rng.uniform(-0.2, 0.2, 300) / math.cos(math.radians(lat0)) + 180) % 360 - 180
        lat = lat0 + rng.uniform(-0.15, 0.15, 300)
        zone = box(*(min(lon0, 179.9) + d for d in (-0.02,)), lat0 - 0.01, min(lon0, 179.9) + 0.02, lat0 + 0.01)
        near = too_near(lon, lat, geopandas.GeoSeries([zone], crs=4326), 5000)
        for i in range(len(lon)):  # plainly: the nearest of many points of the tile and of the zone
            grid = Grid.centred_on(lon[i], lat[i])
            corners = zone.segmentize(0.001).exterior.coords
            x, y = grid.project(*np.array(corners).T)
            west, south, east, north = grid.bounds
            metres = np.hypot(
                np.maximum(0, np.maximum(west - x, x - east)), np.maximum(0, np.maximum(south - y, y - north))
            ).min()
            assert near[i] == (metres < 5000) or abs(metres - 5000) < 3, (metres, near[i])
        assert 0 < near.sum() < len(near)


def test_drawn_places_keep_out_of_exclusion_zones_and_still_meet_quotas(tmp_path: Path) -> None:
    biomes = layer(tmp_path / "b.geojson", {"Forest": box(0, 0, 2, 2)})
    zones = layer(tmp_path / "z.geojson", {"a": box(0, 0, 1, 2)}, "name")
    recipe = Recipe(sample=40, biomes=biomes, exclude=zones)
    made = make_anchors(recipe)
    assert len(made.anchors) == 40
    assert made.anchors.lon.min() > 1.04
    assert set(made.anchors.continent) == {"Africa"}
    with pytest.raises(AnchorError, match="No place is left"):
        make_anchors(
            Recipe(sample=4, biomes=biomes, exclude=layer(tmp_path / "y.geojson", {"a": box(-1, -1, 3, 3)}, "name"))
        )


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: layer(p, BIOMES, "sort"), "no field"),
        (lambda p: layer(p, {"a": shapely.Point(1, 1)}), "no polygons"),
        (lambda p: layer(p, {"N/A": box(0, 0, 1, 1)}), "names nothing"),
        (lambda p: p.write_text("{}"), "no polygon file"),
        (
            lambda p: p.write_text(
                json.dumps(
                    {
                        "type": "FeatureCollection",
                        "features": [
                            {
                                "type": "Feature",
                                "properties": {"BIOME_NAME": "a"},
                                "geometry": shapely.geometry.mapping(box(5e5, 5e6, 6e5, 6e6)),
                            }
                        ],
                    }
                )
            ),
            "not in degrees",
        ),
    ],
    ids=["field", "points", "nameless", "broken", "metres"],
)
def test_layers_that_cannot_be_used_say_why(tmp_path: Path, make, words: str) -> None:
    make(tmp_path / "layer.geojson")
    with pytest.raises(AnchorError, match=words):
        make_anchors(Recipe(sample=5, biomes=tmp_path / "layer.geojson"))


def test_layers_in_another_projection_and_with_crossed_rings_are_read(tmp_path: Path) -> None:
    crossed = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2), (0, 0)])
    frame = geopandas.GeoDataFrame({"biome": ["a"]}, geometry=[crossed], crs=4326).to_crs(3857)
    frame.to_file(tmp_path / "b.gpkg")
    made = make_anchors(Recipe(sample=20, biomes=tmp_path / "b.gpkg"))
    valid = shapely.make_valid(crossed).buffer(1e-6)
    assert all(valid.covers(shapely.Point(p)) for p in made.anchors[["lon", "lat"]].to_numpy())
    assert len(made.anchors) == 20


@needs_places
@pytest.mark.slow
def test_the_command_on_real_places(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    countries = str(PLACES / "natural_earth" / "ne_110m_admin_0_countries.json")
    quotas = tmp_path / "quotas.csv"
    quotas.write_text("biome,continent,count\nMicronesia,Africa,3\nEastern Africa,Africa,20\n")
    out = tmp_path / "anchors.parquet"
    words = ["anchors", "--file", str(PLACES / "worldstrat_aois.csv"), "--global-south", "90", "--quotas", str(quotas), "--biomes", countries,
             "--biome-field", "SUBREGION", "--continents", countries, "--out", str(out)]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "Micronesia in Africa: 0 of 3" in said
    columns, anchors = read_columns(out), read_anchors(out)
    assert [a.tile_id for a in anchors] == columns["tile_id"].to_pylist()
    frame = geopandas.read_parquet(out)
    assert frame.crs.is_geographic
    assert {"continent", "overlap_group"} <= set(frame.columns)
    drawn = frame[frame.source == "custom"]
    assert (drawn.biome == "Eastern Africa").sum() >= 20
    assert set(drawn.continent) == {"Africa", "South America", "Asia"}
    assert drawn.continent.value_counts()["Asia"] == 30
    story = provenance_of(out)
    assert story["short"] == [["Micronesia", "Africa", 0, 3]]
    assert str(PLACES / "worldstrat_aois.csv") in story["files"]
    page = out.with_suffix(".html").read_text()
    assert "Eastern Africa" in page
    assert "Micronesia" in page
    before = out.read_bytes()
    with pytest.raises(SystemExit):
        main(words)
    assert out.read_bytes() == before


def test_columns_are_held_to_the_rules_of_anchors(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("id,lat,lon,date\n1,5,6,2020-01-02\n2,5.1,6,\n")
    table = read_columns(tmp_path / "p.csv")
    assert table["tile_id"].to_pylist() == [1, 2]
    assert dt.date.fromisoformat(table["reference_date"][1].as_py()).day == 15
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name, value, words in (
        ("lat", 99.0, "UTM"),
        ("tile_id", 1, "twice"),
        ("reference_date", "soon", "form"),
        ("reference_date", "1200-01-01", "years"),
        ("source", None, "empty"),
    ):
        rows = table.to_pylist()
        rows[1][name] = value
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), tmp_path / "bad.parquet")
        with pytest.raises(AnchorError, match=words):
            read_columns(tmp_path / "bad.parquet")


def test_anchors_lie_in_the_order_in_which_they_are_built(tmp_path: Path) -> None:
    made = make_anchors(Recipe(sample=300))
    anchors = [Anchor(r.tile_id, r.lon, r.lat, dt.date(2020, 1, 1)) for r in made.anchors.itertuples()]
    order, ids = spatial_order(anchors)
    assert order.tolist() == list(range(len(anchors)))
    assert ids.tolist() == made.anchors.tile_id.tolist()
