"""Real files: Sentinel-2 pixels against a bare reader, files stored from the south, ranges over HTTP."""

import datetime as dt
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.ndimage import map_coordinates

from geomeld.build.anchors import read_anchors
from geomeld.core.grid import Grid
from geomeld.modalities import MODALITIES
from geomeld.sources.stac import StacSource
from geomeld.testing.http import serve

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "terramesh_stac"
EVER = dt.datetime(2015, 1, 1, tzinfo=dt.UTC), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)

pytestmark = pytest.mark.skipif(not REAL.exists(), reason="the shared TerraMesh catalogue is not here")


def grid_of(place: int) -> Grid:
    anchor = read_anchors(REAL / "anchors.csv")[place]
    return Grid.centred_on(anchor.lon, anchor.lat)


def read(catalogue: str, name: str, grid: Grid):
    source, modality = StacSource(catalogue), MODALITIES[name]
    scenes = source.scenes(modality, grid, *EVER)
    layer = source.read(modality, scenes, grid)
    assert layer is not None
    return layer, scenes


@pytest.mark.parametrize("place", range(3))
def test_sentinel2_is_what_a_bare_reader_interpolates(place):
    grid = grid_of(place)
    layer, (scene, *_) = read(str(REAL / "catalog.json"), "sentinel2", grid)
    centre = (np.arange(grid.size) + 0.5) * grid.gsd
    x, y = np.meshgrid(grid.left + centre, grid.top - centre)
    for band, seen in zip(layer.bands, layer.values, strict=True):
        name = f"B{int(band[1:]):02d}" if band[1:].isdigit() else band
        with rasterio.open(scene.properties["assets"][name]) as dataset:
            column, row = ~dataset.transform @ (x, y)
            stored = dataset.read(1).astype(np.float64)
        expected = map_coordinates(stored, [row - 0.5, column - 0.5], order=1) + scene.properties["offset"]
        np.testing.assert_allclose(seen, np.maximum(expected, 1), atol=1e-3, err_msg=band)


def test_a_file_stored_from_the_south_gives_the_same_tile(tmp_path):
    grid = grid_of(0)
    there, (scene,) = read(str(REAL / "catalog.json"), "aster", grid)
    path = Path(scene.properties["assets"]["data"])
    shutil.copytree(REAL, tmp_path / "real", copy_function=shutil.copyfile)
    turned = tmp_path / "real" / path.relative_to(REAL)
    turned.parent.chmod(0o755)
    with rasterio.open(path) as dataset:
        values, t, crs = dataset.read(), dataset.transform, dataset.crs
    profile = {"driver": "GTiff", "count": 1, "height": values.shape[1], "width": values.shape[2], "nodata": -9999.0}
    turned.unlink()
    upward = Affine(t.a, 0, t.c, 0, -t.e, t.f + t.e * values.shape[1])
    with rasterio.open(turned, "w", dtype=values.dtype, crs=crs, transform=upward, **profile) as dataset:
        dataset.write(values[:, ::-1])
    seen, _ = read(str(tmp_path / "real" / "catalog.json"), "aster", grid)
    np.testing.assert_array_equal(seen.valid, there.valid)
    np.testing.assert_allclose(seen.values, there.values, rtol=1e-6, atol=1e-5)


def test_files_behind_http_are_read_by_ranges():
    there, _ = read(str(REAL / "catalog.json"), "sentinel1", grid_of(0))
    with serve(REAL) as server:
        seen, _ = read(f"{server.url}/catalog.json", "sentinel1", grid_of(0))
        asked = [r for r in server.asked if r.path.endswith(".tif") and r.method == "GET"]
    np.testing.assert_array_equal(seen.values, there.values)
    assert {Path(r.path).name for r in asked} == {"vv.tif", "vh.tif"}
    assert all(r.range for r in asked)
