"""Alignment of real files against GDAL's own warp, its program gdalwarp and odc-stac; what no file may be."""

import datetime as dt
import math
import subprocess
from pathlib import Path

import numpy as np
import pystac
import pytest
import rasterio
from affine import Affine
from pyproj import Transformer
from rasterio.crs import CRS
from rasterio.enums import Resampling as Kernel
from rasterio.warp import reproject
from scipy.ndimage import maximum_filter, minimum_filter

from geomeld.core.errors import CorruptAsset
from geomeld.core.grid import EARTH_RADIUS_M, Grid, utm_epsg
from geomeld.core.modality import Resampling
from geomeld.modalities import MODALITIES
from geomeld.sources.lattice import place
from geomeld.sources.stac import StacSource
from geomeld.sources.warp import onto, part_of, slope_onto
from geomeld.testing.service import program

DATA = Path(__file__).parents[2].parent / "shared" / "data"
GRANULE = "major_tom/0U/0U_199R/S2A_MSIL2A_20220706T085611_N0400_R007_T33NZA_20220706T153419"
PATCH = "bigearthnet/S2A_MSIL2A_20170617T113321_36_85/S2A_MSIL2A_20170617T113321_36_85"
RADAR = "bigearthnet_s1/S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39/S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39"
PAIR = "ssl4eo_s12_pair"
PASS = "S1A_IW_GRDH_1SDV_20200607T010800_20200607T010825_032904_03CFBA_D457"
WATER = "jrc_surface_water/Aggregated/LATEST"
PLACE = "terramesh_stac/{}/{}_282D_485L_3_3/{}.tif"

FILES = {
    # name: (file, kernel, no-data, pixels per side of a tile)
    "10 m": (f"{GRANULE}/B04.tif", "bilinear", 0, 128),
    "20 m": (f"{GRANULE}/B11.tif", "bilinear", 0, 128),
    "60 m": (f"{GRANULE}/B01.tif", "bilinear", 0, 128),
    "cloud mask": (f"{GRANULE}/cloud_mask.tif", "nearest", None, 128),
    "patch 10 m": (f"{PATCH}_B03.tif", "bilinear", 0, 64),
    "patch 20 m": (f"{PATCH}_B8A.tif", "bilinear", 0, 64),
    "patch 60 m": (f"{PATCH}_B09.tif", "bilinear", 0, 64),
    "radar in dB": (f"{RADAR}_VV.tif", "bilinear", None, 64),
    "radar in power": (PLACE.format("sentinel-1-rtc", "S1", "vv"), "bilinear", -32768, 128),
    "shifted grid": (PLACE.format("sentinel-2-l2a", "S2", "B08"), "bilinear", 0, 128),
    "elevation in UTM": (PLACE.format("cop-dem-glo-30", "DEM", "data"), "bilinear", -9999, 128),
    "elevation in degrees": ("sao_tome/Copernicus_DSM_COG_10_N00_00_E006_00_DEM.tif", "bilinear", None, 128),
    "voids": ("srtm/N42E001.hgt.zip", "bilinear", -32768, 128),
    "land cover 2020": ("sao_tome/ESA_WorldCover_10m_2020_v100_N00E006_Map.tif", "nearest", 0, 128),
    "land cover 2021": ("sao_tome/ESA_WorldCover_10m_2021_v200_N00E006_Map.tif", "nearest", 0, 128),
    "pair, 10 m in degrees": (f"{PAIR}/s2a/0000200/20200604T054639_20200604T054831_T43RCP/B8.tif", "bilinear", 0, 128),
    "pair, 60 m in degrees": (f"{PAIR}/s2a/0000200/20200604T054639_20200604T054831_T43RCP/B9.tif", "bilinear", 0, 128),
    "pair, radar in degrees": (f"{PAIR}/s1/0000200/{PASS}/VH.tif", "bilinear", None, 128),
    "surface water": (f"{WATER}/occurrence/tiles/occurrence-0000360000-0000480000.tif", "nearest", 255, 128),
    "photograph, average": ("naip/m_3211605_ne_11_060_20200415.tif", "average", None, 96),
}
EVER = dt.datetime(2015, 1, 1, tzinfo=dt.UTC), dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
SAO_TOME = (6.6, 0.25)
"""Where the 3-degree files of the island hold land."""

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the shared real data are not here")


def grid_in(dataset: rasterio.DatasetReader, size: int, zone: int = 0) -> Grid:
    """A tile in the middle of a file, in its UTM zone or one beside it."""
    middle = dataset.transform @ (dataset.width / 2 + 0.5, dataset.height / 2 + 0.5)
    lon, lat = Transformer.from_crs(dataset.crs, 4326, always_xy=True).transform(*middle)
    if dataset.width == 36000 or "N00_00_E006" in dataset.name:
        lon, lat = SAO_TOME
    epsg = utm_epsg(lon, lat) + zone
    east, north = Transformer.from_crs(4326, epsg, always_xy=True).transform(lon, lat)
    gsd = 1.0 if dataset.res[0] < 1 and dataset.crs.is_projected else 10.0
    half = size * gsd / 2
    return Grid(epsg, round((east - half) / 20) * 20.0, round((north + half) / 20) * 20.0, gsd, size)


def by_gdal(dataset: rasterio.DatasetReader, grid: Grid, kernel: str, nodata: float | None) -> np.ndarray:
    """GDAL's warp of the whole file with exact coordinates and an unstretched kernel; NaN where there is nothing."""
    out = np.full((dataset.count, *grid.shape), np.nan, np.float64)
    reproject(
        rasterio.band(dataset, list(dataset.indexes)),
        out,
        src_nodata=nodata,
        dst_transform=Affine(*grid.transform),
        dst_crs=f"EPSG:{grid.epsg}",
        dst_nodata=np.nan,
        resampling=Kernel[kernel],
        tolerance=0.0,
        **({} if kernel == "average" else {"XSCALE": 1, "YSCALE": 1}),
    )
    return out


@pytest.mark.parametrize("zone", [0, 1], ids=["own zone", "zone beside"])
@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file_is_aligned_as_gdal_does(name, zone):
    """GDAL sums in another order and rounds coordinates to a billionth: bilinear agrees to 1e-5 of the local range.
    Average agrees where both grids are parallel; where they are turned against each other GDAL takes the pixels of a
    smaller box, and digital numbers of the photograph differ by 0.2 on the average and by 2 at most."""
    file, kernel, nodata, size = FILES[name]
    resampling = Resampling(kernel)
    with rasterio.open(DATA / file) as dataset:
        grid = grid_in(dataset, size, zone)
        values, valid = onto(dataset, list(dataset.indexes), grid, resampling, nodata)
        expected = by_gdal(dataset, grid, kernel, nodata)
    assert valid.mean() > 0.9
    if kernel == "average":
        both = valid & ~np.isnan(expected)
        assert both.mean() > 0.9
        off = np.abs(values - expected)[both]
        assert off.max() < (3 if zone else 1e-4)
        assert off.mean() < 0.3
        return
    np.testing.assert_array_equal(valid, ~np.isnan(expected))
    if kernel == "nearest":
        np.testing.assert_array_equal(values[valid], expected[valid])
        return
    filled = np.where(valid, expected, np.nanmean(expected))
    spread = maximum_filter(filled, (1, 5, 5)) - minimum_filter(filled, (1, 5, 5))
    assert (np.abs(values - expected)[valid] <= (1e-5 * spread + 1e-6 * np.abs(expected))[valid] + 1e-6).all()


@pytest.mark.skipif(program("gdalwarp") is None, reason="gdalwarp not installed: `make services` as root brings it")
@pytest.mark.parametrize("name", ["20 m", "60 m", "elevation in degrees", "land cover 2020"])
def test_the_program_gdalwarp_agrees(name, tmp_path):
    """Another build of GDAL (3.6 where this was written): single precision and its own rounding of coordinates."""
    file, kernel, nodata, size = FILES[name]
    with rasterio.open(DATA / file) as dataset:
        grid = grid_in(dataset, size, zone=1)
        values, valid = onto(dataset, [1], grid, Resampling(kernel), nodata)
    left, bottom, right, top = grid.bounds
    missing = [] if nodata is None else ["-srcnodata", str(nodata)]
    command = ["gdalwarp", "-q", "-r", kernel.replace("nearest", "near"), "-et", "0", "-ot", "Float32", *missing]
    command += ["-dstnodata", "-32768", "-t_srs", f"EPSG:{grid.epsg}", "-tr", str(grid.gsd), str(grid.gsd)]
    command += ["-te", *(str(v) for v in (left, bottom, right, top)), "-wo", "XSCALE=1", "-wo", "YSCALE=1"]
    subprocess.run([*command, str(DATA / file), str(tmp_path / "out.tif")], check=True, timeout=60)
    with rasterio.open(tmp_path / "out.tif") as out:
        expected = out.read()
    np.testing.assert_array_equal(valid, expected != -32768)
    np.testing.assert_allclose(values[valid], expected[valid], rtol=1e-5, atol=0.02)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")  # odc-geo's own
@pytest.mark.parametrize("zone", [0, 1], ids=["own zone", "zone beside"])
@pytest.mark.parametrize(
    ("collection", "band"), [("sentinel-2-l2a", "B08"), ("sentinel-1-rtc", "vv"), ("cop-dem-glo-30", "data")]
)
def test_odc_stac_agrees(collection, band, zone):
    """In the file's own projection to the bits of single precision. Between projections odc-stac guesses coordinates to
    an eighth of a pixel, so it may be off by that much of the difference between neighbours; we are not."""
    import odc.stac
    from odc.geo.geobox import GeoBox

    folder = next(p for p in sorted((DATA / "terramesh_stac" / collection).iterdir()) if p.is_dir())
    item = pystac.Item.from_file(str(folder / f"{folder.name}.json"))
    with rasterio.open(folder / f"{band}.tif") as dataset:
        grid = grid_in(dataset, 128, zone)
        (values,), (valid,) = onto(dataset, [1], grid, Resampling.BILINEAR)
    box = GeoBox(grid.shape, Affine(*grid.transform), f"EPSG:{grid.epsg}")
    seen = odc.stac.load([item], bands=[band], geobox=box, resampling="bilinear", dtype="float32")[band].values[0]
    assert valid.mean() > 0.99
    spread = maximum_filter(values, 5) - minimum_filter(values, 5)
    off = np.abs(values - seen)[valid]
    assert (off <= (np.abs(values) * 1e-6 + spread * (0.125 if zone else 1e-6))[valid]).all()


def test_radar_is_interpolated_as_power_and_masked_before_it():
    source = StacSource(str(DATA / "terramesh_stac" / "catalog.json"))
    with rasterio.open(DATA / PLACE.format("sentinel-1-rtc", "S1", "vv")) as dataset:
        grid = grid_in(dataset, 128)
        scenes = source.scenes(MODALITIES["sentinel1"], grid, *EVER)
        power = by_gdal(dataset, grid, "bilinear", -32768)[0]
    layer = source.read(MODALITIES["sentinel1"], scenes, grid)
    values, valid = layer.band("VV_desc")
    np.testing.assert_array_equal(valid, ~np.isnan(power))
    np.testing.assert_allclose(values[valid], 10 * np.log10(power[valid]), atol=1e-4)


def test_slope_is_taken_on_the_native_grid_and_then_aligned():
    """Of the real GLO-30 heights of an island: 4 neighbours in metres by a loop, then GDAL's warp of the slopes."""
    with rasterio.open(DATA / "sao_tome/Copernicus_DSM_COG_10_N00_00_E006_00_DEM.tif") as dataset:
        grid = grid_in(dataset, 128)
        native = part_of(dataset, 1, grid, None)
    seen, valid = slope_onto(native, grid, Resampling.BILINEAR)
    z, metres = native.values[0].astype(float), math.radians(1) * EARTH_RADIUS_M
    slope = np.full(z.shape, np.nan, np.float32)
    for row in range(1, z.shape[0] - 1):
        latitude = native.transform.f + (row + 0.5) * native.transform.e
        dx, dy = native.transform.a * metres * math.cos(math.radians(latitude)), -native.transform.e * metres
        for column in range(1, z.shape[1] - 1):
            east = (z[row, column + 1] - z[row, column - 1]) / (2 * dx)
            north = (z[row - 1, column] - z[row + 1, column]) / (2 * dy)
            slope[row, column] = math.degrees(math.atan(math.hypot(east, north)))
    expected = np.full(grid.shape, np.nan)
    reproject(
        slope,
        expected,
        src_transform=native.transform,
        src_crs="EPSG:4326",
        src_nodata=np.nan,
        dst_transform=Affine(*grid.transform),
        dst_crs=f"EPSG:{grid.epsg}",
        dst_nodata=np.nan,
        resampling=Kernel.bilinear,
        tolerance=0.0,
        XSCALE=1,
        YSCALE=1,
    )
    assert valid.all()
    assert 1 < np.median(seen) < 45
    np.testing.assert_allclose(seen[0], expected, atol=1e-3)


@pytest.mark.parametrize("wanted", ["EPSG:4326", "EPSG:32601", "EPSG:32660", "EPSG:3413", "EPSG:26910"])
@pytest.mark.parametrize("lonlat", [(179.9999, 51.3), (-179.9999, -16.5), (15.0, 79.9), (-122.0, 0.001)])
def test_places_are_those_of_pyproj(lonlat, wanted):
    """Polynomials through 8 x 8 points against every pixel, across the antimeridian too: to a millionth of a pixel."""
    grid, crs = Grid.centred_on(*lonlat), CRS.from_string(wanted)
    x, y = (
        np.asarray(v) for v in Transformer.from_crs(grid.epsg, wanted, always_xy=True).transform(*grid.pixel_centres())
    )
    if crs.is_geographic:
        x = np.where(x < x.max() - 180, x + 360, x)
    pixel = 1 / 3600 if crs.is_geographic else 10.0
    corner = math.floor(x.min() / pixel) * pixel - 90 * pixel, math.ceil(y.max() / pixel) * pixel + 90 * pixel
    transform = Affine(pixel, 0, corner[0], 0, -pixel, corner[1])
    found = place(transform, (600, 600), crs, grid)
    column, row = ~transform @ (x, y)
    if found is None:  # too far from the projection's zone for its file to hold the tile
        assert column.max() - column.min() > 400 or not np.isfinite(column).all()
        return
    scale = 1e-6 * max(1.0, np.ptp(column) / 128)
    np.testing.assert_allclose(found.columns + found.window.col_off, column, atol=scale)
    np.testing.assert_allclose(found.rows + found.window.row_off, row, atol=scale)


def test_pixels_of_a_wrong_size_are_refused_before_they_are_read():
    grid = Grid.centred_on(11.35, 46.05)
    transform = Affine(1e-3, 0, grid.left - 10, 0, -1e-3, grid.top + 10)
    with pytest.raises(CorruptAsset, match=r"would need 12\d+ x 12\d+ of its pixels; it states a wrong size"):
        place(transform, (2_000_000, 2_000_000), CRS.from_epsg(grid.epsg), grid)
