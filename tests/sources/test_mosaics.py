"""Mosaics: names of files, real files against a bare reader, seams against the whole, places that are wrong."""

import datetime as dt
import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from scipy.ndimage import map_coordinates

from geomeld.cli.build import main as build
from geomeld.core.errors import ConfigError, CorruptAsset, MissingAsset, MissingProduct, SourceError, UsageError
from geomeld.core.grid import Grid
from geomeld.dataset.manifest import load_manifest
from geomeld.modalities import MODALITIES
from geomeld.sources import open_source
from geomeld.sources.complemented import Complemented
from geomeld.sources.mosaics import Mosaic
from geomeld.sources.openstreetmap import OpenStreetMap
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.stac import StacSource
from geomeld.sources.tiling import TILINGS, Square
from geomeld.sources.warp import Native, native_onto, slope_onto
from geomeld.testing.http import serve

REAL = Path(__file__).parents[2].parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.exists(), reason="the shared files are not here")
EVER = dt.datetime(2015, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def read(mosaic: Mosaic, grid: Grid):
    modality = MODALITIES[next(iter(mosaic.modalities()))]
    return mosaic.read(modality, mosaic.scenes(modality, grid, *EVER), grid)


@pytest.mark.parametrize(
    ("name", "lon", "lat", "names"),
    [
        ("worldcover-2020", -110.5, 40.0, ["ESA_WorldCover_10m_2020_v100_N39W111_Map.tif"]),
        ("worldcover-2021", 179.9, -16.5, ["ESA_WorldCover_10m_2021_v200_S18E177_Map.tif"]),
        (
            "canopy-height",
            23.0,
            49.0,
            ["ETH_GlobalCanopyHeight_10m_2020_N48E021_Map.tif", "ETH_GlobalCanopyHeight_10m_2020_N48E021_Map_SD.tif"],
        ),
        ("aster-gdem", 85.5, 41.5, ["ASTGTMV003_N41E085_dem.tif"]),
        ("aster-gdem", -0.5, -0.5, ["ASTGTMV003_S01W001_dem.tif"]),
        ("cop-dem-glo-30", 6.6, 0.2, ["Copernicus_DSM_COG_10_N00_00_E006_00_DEM.tif"]),
        (
            "jrc-occurrence",
            -55.7,
            -25.0,
            ["occurrence_60W_20Sv1_4_2021.tif", "occurrence-0000400000-0000480000.tif"],
        ),
        ("jrc-occurrence", 5.0, 5.0, ["occurrence_0E_10Nv1_4_2021.tif", "occurrence-0000280000-0000720000.tif"]),
        ("jrc-occurrence", 5.0, -5.0, ["occurrence_0E_0Nv1_4_2021.tif", "occurrence-0000320000-0000720000.tif"]),
    ],
)
def test_files_are_called_what_their_providers_call_them(name, lon, lat, names):
    tiling = TILINGS[name]
    (square,) = tiling.squares(Grid.centred_on(lon, lat))
    assert square == tiling.around(lon, lat)
    assert [n for band in tiling.files for n in tiling.names_of(square, band)] == names


def test_squares_of_tiles_at_corners_the_antimeridian_and_beyond_the_product():
    corners = TILINGS["worldcover-2020"].squares(Grid.centred_on(6.0001, 0.0001))
    assert corners == [Square(3, -3, 3), Square(6, -3, 3), Square(3, 0, 3), Square(6, 0, 3)]
    fiji = TILINGS["worldcover-2020"].squares(Grid.centred_on(179.9999, -16.5))
    assert fiji == [Square(177, -18, 3), Square(-180, -18, 3, 1)]
    assert [s.footprint.bounds[::2] for s in fiji] == [(177, 180), (180, 183)]
    assert TILINGS["jrc-occurrence"].squares(Grid.centred_on(15.0, 83.0)) == []


@real
@pytest.mark.parametrize(
    ("name", "folder", "at", "band"),
    [
        ("worldcover-2020", "sao_tome", (6.61, 0.23), "esa_label"),
        ("worldcover-2021", "sao_tome", (6.73, 0.34), "esa_label"),
        ("cop-dem-glo-30", "sao_tome", (6.61, 0.23), "elevation"),
        ("srtm", "srtm", (1.53, 42.51), "elevation"),
        ("srtm", "srtm", (7.43, 43.74), "elevation"),
        ("jrc-occurrence", "jrc_surface_water/Aggregated/LATEST/occurrence/tiles", (-55.734, -15.016), "occurrence"),
    ],
)
def test_real_files_are_what_a_bare_reader_reads(name, folder, at, band):
    grid, mosaic = Grid.centred_on(*at), Mosaic(name, str(REAL / folder))
    layer = read(mosaic, grid)
    (path,) = (p for n in TILINGS[name].names_of(TILINGS[name].around(*at), band) if (p := REAL / folder / n).exists())
    lon, lat = Transformer.from_crs(grid.epsg, 4326, always_xy=True).transform(*grid.pixel_centres())
    with rasterio.open(path) as dataset:
        column, row = ~dataset.transform @ (lon, lat)
        left, top = int(column.min()) - 2, int(row.min()) - 2
        stored = dataset.read(1, window=((top, int(row.max()) + 3), (left, int(column.max()) + 3)))
        column, row, nodata = column - left, row - top, dataset.nodata
    values, valid = layer.band(band)
    if MODALITIES[TILINGS[name].modality].resampling == "nearest":
        expected = stored[np.floor(row).astype(int), np.floor(column).astype(int)]
        np.testing.assert_array_equal(values[valid], expected[valid])
        np.testing.assert_array_equal(valid, expected != (255 if nodata is None else nodata))
    else:
        known = np.where(stored == nodata, np.nan, stored.astype(np.float64))
        expected = map_coordinates(known, [row - 0.5, column - 0.5], order=1)
        whole = ~np.isnan(expected)  # all four neighbours are there
        assert valid[whole].all()
        assert whole.mean() > 0.9
        np.testing.assert_allclose(values[whole], expected[whole], atol=0.02)
    assert layer.product == TILINGS[name].title
    assert layer.scenes == (path.name.partition(".")[0],)


def cut(folder: Path, whole: Native, name: str, band: str, squares: list[Square]) -> None:
    """A raster as the files of a product."""
    tiling = TILINGS[name]
    for square in squares:
        column, row = ~whole.transform @ (square.footprint.bounds[0], square.footprint.bounds[3])
        size = round(tiling.side / whole.transform.a)
        part = np.full((size, size), tiling.nodata, whole.values.dtype)
        source = whole.values[0, max(round(row), 0) : round(row) + size, max(round(column), 0) : round(column) + size]
        r, c = max(-round(row), 0), max(-round(column), 0)
        part[r : r + source.shape[0], c : c + source.shape[1]] = source
        transform = Affine(whole.transform.a, 0, square.west, 0, whole.transform.e, square.south + tiling.side)
        write(folder / tiling.names_of(square, band)[0], part, transform)


def write(path: Path, values: np.ndarray, transform: Affine, crs: str = "EPSG:4326") -> None:
    rows, columns = values.shape
    profile = {"driver": "GTiff", "height": rows, "width": columns, "count": 1, "dtype": values.dtype}
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, compress="deflate") as dataset:
        dataset.write(values, 1)


@pytest.mark.parametrize("lon", [9.0001, 179.9999], ids=["corner", "antimeridian"])
@pytest.mark.parametrize(
    ("name", "band", "dtype"),
    [("worldcover-2020", "esa_label", np.uint8), ("aster-gdem", "elevation", np.int16)],
)
def test_a_tile_over_four_files_is_that_of_the_whole_raster(tmp_path, name, band, dtype, lon):
    grid, tiling = Grid.centred_on(lon, -3.0001), TILINGS[name]
    per_degree = 600 if dtype == np.uint8 else 1200
    step, edge = 1 / per_degree, round(lon)
    shape = (1, 80, 80)
    values = np.random.default_rng(3).integers(1, 100, shape).astype(dtype)
    values[0, 30:45, 38:41] = tiling.nodata  # a void over the seam
    transform = Affine(step, 0, edge - 40 * step, 0, -step, -3 + 40 * step)
    whole = Native(values, transform, 4326, tiling.nodata)
    squares = tiling.squares(grid)
    assert len(squares) == 4
    cut(tmp_path, whole, name, band, squares)
    layer = read(Mosaic(name, str(tmp_path)), grid)
    modality = MODALITIES[tiling.modality]
    seen, valid = native_onto(whole, grid, modality.resampling)
    np.testing.assert_array_equal(layer.valid[0], valid[0])
    np.testing.assert_allclose(layer.values[0][valid[0]], seen[0][valid[0]], atol=1e-4)
    assert 0.5 < valid.mean() < 1
    if tiling.derived:
        slope, sloping = slope_onto(whole, grid, modality.resampling)
        np.testing.assert_array_equal(layer.valid[1], sloping[0])
        np.testing.assert_allclose(layer.values[1][sloping[0]], slope[0][sloping[0]], atol=1e-3)
    # Over the sea there is no file: its part is missing, the rest is as it was.
    (tmp_path / tiling.names_of(squares[0], band)[0]).unlink()
    less = read(Mosaic(name, str(tmp_path)), grid)
    assert len(less.scenes) == 3
    assert 0 < less.valid[0].sum() < layer.valid[0].sum()
    assert not (less.valid[0] & ~layer.valid[0]).any()


@real
def test_files_on_the_web_are_read_by_ranges_and_the_sea_has_none():
    here, sea = Grid.centred_on(6.61, 0.23), Grid.centred_on(2.0, -2.0)
    with serve(REAL / "sao_tome") as server:
        mosaic = Mosaic("worldcover-2020", server.url)
        seen = read(mosaic, here)
        assert read(mosaic, sea) is None
        asked = [r for r in server.asked if r.method == "GET" and "N00E006" in r.path]
        assert asked
        assert all(r.range for r in asked)
        with pytest.raises(MissingProduct, match="is not where ETH canopy height 2020 is"):
            Mosaic("canopy-height", server.url).modalities()
    at_home = read(Mosaic("worldcover-2020", str(REAL / "sao_tome")), here)
    np.testing.assert_array_equal(seen.values, at_home.values)
    assert read(Mosaic("worldcover-2020", str(REAL / "sao_tome")), sea) is None


FLAT = np.full((30, 30), 10, np.uint8)
NAME = "ESA_WorldCover_10m_2020_v100_N00E006_Map.tif"


def place(
    tmp_path: Path, values: np.ndarray = FLAT, transform: Affine = Affine(0.1, 0, 6, 0, -0.1, 3), **given
) -> Mosaic:
    write(tmp_path / NAME, values, transform, **given)
    return Mosaic("worldcover-2020", str(tmp_path))


def test_a_file_stored_from_the_south_is_turned(tmp_path):
    rows = np.repeat(np.arange(1, 31, dtype=np.uint8)[:, None], 30, axis=1)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    grid = Grid.centred_on(6.61, 0.2)
    upright = read(place(tmp_path / "a", rows), grid)
    turned = read(place(tmp_path / "b", rows[::-1], Affine(0.1, 0, 6, 0, 0.1, 0)), grid)
    assert len(np.unique(upright.values)) == 2
    np.testing.assert_array_equal(turned.values, upright.values)


def test_a_misnamed_file_is_found_out(tmp_path):
    mosaic = place(tmp_path, transform=Affine(0.1, 0, 9, 0, -0.1, 3))
    with pytest.raises(CorruptAsset, match=r"lies between 9\.0000, 0\.0000 .* its name says 6, 0 to 9, 3"):
        read(mosaic, Grid.centred_on(6.61, 0.2))


def test_a_file_in_another_projection_is_refused(tmp_path):
    mosaic = place(tmp_path, transform=Affine(10, 0, 234000, 0, -10, 22000), crs="EPSG:32632")
    with pytest.raises(CorruptAsset, match=r"lies in EPSG:32632, not in longitudes and latitudes"):
        read(mosaic, Grid.centred_on(6.61, 0.2))


def test_a_partial_download_is_named(tmp_path):
    mosaic = place(
        tmp_path,
        np.random.default_rng(1).integers(1, 99, (3000, 3000)).astype(np.uint8),
        Affine(0.001, 0, 6, 0, -0.001, 3),
    )
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorruptAsset, match=rf"N00E006.*{NAME}.*Fetch the file again"):
        read(mosaic, Grid.centred_on(6.61, 0.2))


def test_a_file_that_went_after_the_plan_is_missing_not_the_sea(tmp_path):
    mosaic, grid, modality = place(tmp_path), Grid.centred_on(6.61, 0.2), MODALITIES["esa_worldcover"]
    scenes = mosaic.scenes(modality, grid, *EVER)
    (tmp_path / NAME).unlink()
    with pytest.raises(MissingAsset, match=NAME):
        mosaic.read(modality, scenes, grid)


def test_places_that_hold_something_else(tmp_path, monkeypatch):
    with pytest.raises(SourceError, match="nowhere is no folder"):
        Mosaic("worldcover-2020", str(tmp_path / "nowhere")).modalities()
    with pytest.raises(
        MissingProduct, match=r"holds no file of .*look like ESA_WorldCover_10m_2020.* It holds nothing"
    ):
        Mosaic("worldcover-2020", str(tmp_path)).modalities()
    place(tmp_path)
    with pytest.raises(MissingProduct, match=r"2021 v200: their names .* It holds ESA_WorldCover_10m_2020_v100"):
        Mosaic("worldcover-2021", str(tmp_path)).modalities()
    with pytest.raises(UsageError, match=r"no product 'worldcover'; there are aster-gdem, canopy-height"):
        Mosaic("worldcover", str(tmp_path))
    with pytest.raises(UsageError, match="no public address here"):
        Mosaic("srtm", "public")
    monkeypatch.delenv("EARTHDATA_TOKEN", raising=False)
    with pytest.raises(ConfigError, match=r"bearer token from https://urs.earthdata.* variable EARTHDATA_TOKEN"):
        Mosaic("aster-gdem", "public").modalities()


def test_half_of_a_pair_is_missing_not_the_sea(tmp_path):
    tiling, grid = TILINGS["canopy-height"], Grid.centred_on(6.61, 0.2)
    write(tmp_path / tiling.names_of(Square(6, 0, 3), "height")[0], FLAT, Affine(0.1, 0, 6, 0, -0.1, 3))
    with pytest.raises(
        MissingAsset, match=r"N00E006_Map_SD\.tif is not in .*, but .*N00E006_Map\.tif is; fetch it too"
    ):
        read(Mosaic("canopy-height", str(tmp_path)), grid)


def test_words_become_sources(tmp_path):
    assert open_source("stac:a,b/catalog.json") == StacSource("a,b/catalog.json")
    assert open_source("simulated:4,worldcover-2020=public,aster-gdem=/a,b,osm=m.osm.pbf") == Complemented(
        SimulatedSource(4),
        (Mosaic("worldcover-2020", "public"), Mosaic("aster-gdem", "/a,b")),
        OpenStreetMap("m.osm.pbf"),
    )
    for spec, told in {
        "simulated,canopy=x": "no product 'canopy'",
        "simulated,osm=": "names no place",
        "simulated,osm=a,osm=b": "names 2 maps",
        "simulated,srtm=a,aster-gdem=b": "srtm and aster-gdem serve the same layer",
        "nonsense,osm=a": "Unknown source 'nonsense'",
    }.items():
        with pytest.raises(UsageError, match=told):
            open_source(spec)


def test_mosaics_complement_a_source_and_the_manifest_says_so(tmp_path, capsys):
    tiling = TILINGS["worldcover-2020"]
    for west, south in product((9, 12), (45, 42)):
        square = Square(west, south, 3)
        values = np.full((300, 300), 60, np.uint8)
        write(tmp_path / tiling.names_of(square, "esa_label")[0], values, Affine(0.01, 0, west, 0, -0.01, south + 3))
    (tmp_path / "places.csv").write_text("id,lat,lon,date\n1,46.05,11.35,2019-07-15\n")
    words = ["--anchors", str(tmp_path / "places.csv"), "--out", str(tmp_path / "d"), "--no-naip", "--workers", "1"]
    assert not build([*words, "--source", f"simulated:5,worldcover-2020={tmp_path}", "--json"])
    manifest = load_manifest(tmp_path / "d")
    assert manifest.source == "simulated+worldcover-2020"
    assert manifest.products["esa_worldcover"] == {"ESA WorldCover 2020 v100": 1}
    assert all(
        "simulated" in p.lower() for n, found in manifest.products.items() if n != "esa_worldcover" for p in found
    )
    assert manifest.config["source"]["mosaics"] == [{"product": "worldcover-2020", "place": str(tmp_path)}]
    assert json.loads(capsys.readouterr().out)["source"] == manifest.source
    from geomeld.dataset import Dataset

    tile = Dataset(tmp_path / "d")[1]
    assert set(np.unique(tile.layers["esa_worldcover"].values)) == {60}
