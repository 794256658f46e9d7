"""Reading and aligning tiles from local COGs, beside odc.stac.load and bare WarpedVRT reads of the same windows."""

import datetime as dt
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import odc.stac
import pystac
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.enums import Resampling as Kernel
from rasterio.shutil import copy as to_cog
from rasterio.vrt import WarpedVRT

from geomeld.core.grid import Grid
from geomeld.modalities import MODALITIES
from geomeld.sources.asset import close_files
from geomeld.sources.lattice import place
from geomeld.sources.stac import StacSource

SEED, SIDE = 1, 3660
"""Random field, and 10 m pixels per side of a scene: a third of a granule of Sentinel-2."""
TILES = 24
ROUNDS = 5
EVER = dt.datetime(2015, 1, 1, tzinfo=dt.UTC), dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
NATIVE = dict(B01=60, B02=10, B03=10, B04=10, B05=20, B06=20, B07=20, B08=10, B8A=20, B09=60, B11=20, B12=20)  # noqa: C408
LEFT, TOP, EPSG = 600_000.0, 5_100_000.0, 32632


def scene(folder: Path) -> Path:
    """A catalogue of one Sentinel-2 scene as providers store it: a COG per band, native pixels, blocks of 512."""
    random = np.random.default_rng(SEED)
    item = pystac.Item("scene", None, None, dt.datetime(2020, 6, 1, tzinfo=dt.UTC), {"eo:cloud_cover": 1.0})
    item.properties |= {"s2:processing_baseline": "02.14", "proj:code": f"EPSG:{EPSG}"}
    corners = Grid(EPSG, LEFT, TOP, 10.0, SIDE).footprint()
    item.geometry = {"type": "Polygon", "coordinates": [[*corners, corners[0]]]}
    item.bbox = [float(v) for v in (*np.min(corners, axis=0), *np.max(corners, axis=0))]
    coarse = random.uniform(500, 3000, (62, 62))
    for band, pixel in NATIVE.items():
        side = SIDE * 10 // pixel
        smooth = np.kron(coarse, np.ones((-(-side // 62),) * 2))[:side, :side]
        values = (smooth + random.normal(0, 40, smooth.shape)).astype(np.uint16)
        profile = {"width": side, "height": side, "count": 1, "dtype": "uint16", "crs": f"EPSG:{EPSG}", "nodata": 0}
        profile["transform"] = Affine(pixel, 0, LEFT, 0, -pixel, TOP)
        with rasterio.open(folder / "plain.tif", "w", driver="GTiff", **profile) as dataset:
            dataset.write(values, 1)
        to_cog(folder / "plain.tif", folder / f"{band}.tif", driver="COG", compress="deflate", blocksize=512)
        item.add_asset(band, pystac.Asset(str(folder / f"{band}.tif"), media_type=pystac.MediaType.COG, roles=["data"]))
    period = pystac.TemporalExtent([[None, None]])
    extent = pystac.Extent(pystac.SpatialExtent([[-180, -90, 180, 90]]), period)
    root, collection = pystac.Catalog("root", "root"), pystac.Collection("sentinel-2-l2a", "scenes", extent)
    collection.add_item(item)
    root.add_child(collection)
    root.normalize_and_save(str(folder / "stac"), pystac.CatalogType.SELF_CONTAINED)
    return folder / "stac" / "catalog.json"


def grids(epsg: int) -> list[Grid]:
    """Tiles all over the scene, on its own grid or in the zone beside it."""
    random = np.random.default_rng(SEED + 1)
    found = []
    for x, y in random.uniform(0.1, 0.9, (TILES, 2)):
        here = Grid(EPSG, LEFT + round(x * SIDE) * 10 // 20 * 20, TOP - round(y * SIDE) * 10 // 20 * 20, 10.0, 128)
        east, north = Grid(epsg, 0, 0, 10.0, 128).project(*here.centre)
        found.append(Grid(epsg, round(float(east) / 20) * 20.0 - 640, round(float(north) / 20) * 20.0 + 640, 10.0, 128))
    return found


def ours(source: StacSource, found: list, kept: bool) -> Callable[[Grid], np.ndarray]:
    """StacSource.read: every band of a tile, from files opened for every tile or kept open."""
    modality = MODALITIES["sentinel2"]

    close_files()

    def read(grid: Grid) -> np.ndarray:
        layer = source.read(modality, found, grid)
        assert layer is not None
        if not kept:
            close_files()
        return layer.values

    return read


def bare(assets: dict[str, str], kept: bool) -> Callable[[Grid], np.ndarray]:
    """WarpedVRT reads of each file, opened for every tile or once."""
    open_files = {b: rasterio.open(a) for b, a in assets.items()} if kept else {}

    def read(grid: Grid) -> np.ndarray:
        out = np.empty((len(assets), *grid.shape), np.float32)
        settings = {"crs": f"EPSG:{grid.epsg}", "transform": Affine(*grid.transform), "resampling": Kernel.bilinear}
        for i, (band, href) in enumerate(assets.items()):
            dataset = open_files.get(band) or rasterio.open(href)
            with WarpedVRT(dataset, width=grid.size, height=grid.size, dtype="float32", **settings) as vrt:
                vrt.read(1, out=out[i])
            if not kept:
                dataset.close()
        return out

    return read


def odc_load(item: pystac.Item, bands: list[str]) -> Callable[[Grid], np.ndarray]:
    """odc.stac.load of the same bands on the same grid."""

    def read(grid: Grid) -> np.ndarray:
        box = GeoBox(grid.shape, Affine(*grid.transform), f"EPSG:{grid.epsg}")
        data = odc.stac.load([item], bands=bands, geobox=box, resampling="bilinear", dtype="uint16", nodata=0)
        return np.stack([data[b].values[0] for b in bands])

    return read


def floor_bytes(assets: dict[str, str], places: list[Grid]) -> tuple[float, float]:
    """(stored, decoded) bytes per tile of the blocks that its windows touch: nobody can read less."""
    stored = decoded = 0.0
    for href in assets.values():
        with rasterio.open(href) as dataset:
            for grid in places:
                found = place(dataset.transform, dataset.shape, dataset.crs, grid)
                assert found is not None
                high, wide = dataset.block_shapes[0]
                for row in range(
                    found.window.row_off // high, -(-(found.window.row_off + found.window.height) // high)
                ):
                    last = -(-(found.window.col_off + found.window.width) // wide)
                    for column in range(found.window.col_off // wide, last):
                        stored += dataset.block_size(1, row, column)
                        decoded += high * wide * 2
    return stored / len(places), decoded / len(places)


def main() -> None:
    """Print tiles per second of each, on the scene's own grid and in the zone beside it."""
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp())
    try:
        source = StacSource(str(scene(folder)))
        for epsg, title in ((EPSG, "the scene's own projection"), (EPSG + 1, "the zone beside it")):
            places = grids(epsg)
            found = source.scenes(MODALITIES["sentinel2"], places[0], *EVER)
            assets = {b: found[0].properties["assets"][b] for b in NATIVE}
            item = pystac.Item.from_file(str(folder / "stac/sentinel-2-l2a/scene/scene.json"))
            readers = {
                "geomeld": partial(ours, source, found, kept=True),
                "geomeld, files opened per tile": partial(ours, source, found, kept=False),
                "WarpedVRT, files kept open": partial(bare, assets, kept=True),
                "WarpedVRT, files opened per tile": partial(bare, assets, kept=False),
                "odc.stac.load": partial(odc_load, item, list(NATIVE)),
            }
            best = dict.fromkeys(readers, float("inf"))
            for _ in range(ROUNDS):
                for name, made in readers.items():
                    read = made()  # no file is open yet, and no block of one in memory
                    start = time.perf_counter()
                    for grid in places:
                        read(grid)
                    best[name] = min(best[name], (time.perf_counter() - start) / len(places))
            stored, decoded = floor_bytes(assets, places)
            print(
                f"{title}: 12 bands of {TILES} tiles; floor {stored / 1e6:.2f} MB stored, {decoded / 1e6:.2f} decoded"
            )
            for name, seconds in best.items():
                anew, again = (seconds / best[n] for n in ("geomeld, files opened per tile", "geomeld"))
                print(f"  {name:34} {1 / seconds:7.1f} tiles/s {anew:6.2f} x opened anew {again:6.2f} x kept open")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
