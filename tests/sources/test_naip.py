"""NAIP: averages against gdalwarp on real photographs, and mosaics of one date against the whole."""

import datetime as dt
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import rasterio
from shapely.geometry import Polygon

from geomeld.build.config import BuildConfig
from geomeld.build.plan import plan_tile
from geomeld.core.grid import Grid
from geomeld.core.modality import Timing
from geomeld.core.tile import Anchor
from geomeld.modalities import MODALITIES
from geomeld.sources.combine import combined
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.source import Scene
from geomeld.sources.warp import onto

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "naip"
NAIP = MODALITIES["naip"]
FINE = ["m_3211605_ne_11_060_20200415.tif", "m_4208701_ne_16_060_20200902.tif"]


def inside(path: Path) -> Grid:
    """A 1 m grid well within a photograph, in the WGS84 zone of its NAD83 zone."""
    with rasterio.open(path) as dataset:
        west, south, east, north = dataset.bounds
        epsg = 32600 + dataset.crs.to_epsg() % 100
    side = int(min(east - west, north - south)) - 6
    return Grid(epsg, round(west) + 3.0, round(north) - 3.0, 1.0, side)


@pytest.mark.skipif(not REAL.exists() or not shutil.which("gdalwarp"), reason="no shared photographs, or no gdalwarp")
@pytest.mark.parametrize("name", FINE)
def test_a_photograph_of_60_cm_is_averaged_as_gdalwarp_does(tmp_path, name):
    path, grid = REAL / name, inside(REAL / name)
    with rasterio.open(path) as dataset:
        values, valid = onto(dataset, [1, 2, 3], grid, NAIP.resampling, 0)
        near, _ = onto(dataset, [1, 2, 3], grid, MODALITIES["sentinel2"].resampling, 0)
    west, south, east, north = grid.bounds
    extent = [str(v) for v in (west, south, east, north)]
    size = ["-ts", str(grid.size), str(grid.size), "-ot", "Float32"]
    command = ["gdalwarp", "-q", "-r", "average", "-et", "0", "-t_srs", f"EPSG:{grid.epsg}", "-te", *extent, *size]
    subprocess.run([*command, str(path), str(tmp_path / "a.tif")], check=True)
    with rasterio.open(tmp_path / "a.tif") as dataset:
        expected = dataset.read([1, 2, 3])
    assert valid.all()
    off = np.abs(values - expected)
    # GDAL weighs a cut source pixel by the share of its footprint in whole destination pixels; both are averages.
    assert off.mean() < 0.5
    assert np.quantile(off, 0.99) < 4
    assert off.mean() < 0.3 * np.abs(near - expected).mean(), "an interpolation is no average"


def scene(name: str, west: float, east: float, grid: Grid, day: int = 1) -> Scene:
    left, _, _, top = grid.bounds
    corners = ((west, 1300), (east, 1300), (east, -20), (west, -20))
    outline = Polygon([Grid(grid.epsg, left + x, top - y, 1.0, 1).centre for x, y in corners])
    return Scene(name, "naip", outline, dt.datetime(2020, 7, day, 12, tzinfo=dt.UTC), product="naip")


def test_quads_of_one_date_make_one_photograph():
    grid = Grid.centred_on(-93.1, 41.7, 1.0)
    whole = np.random.default_rng(0).integers(1, 255, (3, 1280, 1280)).astype(np.float32)
    quads = {"a": slice(0, 800), "b": slice(700, 1280)}

    def view(of: Scene):
        valid = np.zeros(whole.shape, dtype=bool)
        valid[:, :, quads[of.scene_id]] = True
        return np.where(valid, whole, 0), valid

    scenes = [scene("a", 0, 800, grid), scene("b", 700, 1280, grid)]
    layer = combined(NAIP, scenes, grid, view)
    assert layer.valid.all()
    np.testing.assert_array_equal(layer.values, whole)
    assert layer.values.dtype == np.uint16
    assert layer.scenes == ("a", "b")
    assert not combined(NAIP, scenes[:1], grid, view).valid.all()


class Photographs(SimulatedSource):
    """The simulated Earth with other photographs."""

    __slots__ = ()

    def scenes(self, modality, grid, start, end):
        if modality.timing is not Timing.ANCHOR:
            return super().scenes(modality, grid, start, end)
        return [
            scene("west", -100, 800, grid, 1),
            scene("west-2", -100, 900, grid, 2),
            scene("east-2", 850, 1400, grid, 2),
            scene("east-3", 700, 1400, grid, 3),
        ]


def test_only_dates_that_cover_the_whole_tile_are_taken():
    anchor = Anchor(2, -93.10, 41.70, dt.date(2021, 6, 15))
    row = plan_tile(anchor, Photographs(5), BuildConfig(clear_share=0))
    assert {s.scene_id for s in row.scenes["naip"]} == {"west-2", "east-2"}
    assert abs((row.scenes["sentinel2"][0].acquired.date() - dt.date(2020, 7, 2)).days) <= 45
