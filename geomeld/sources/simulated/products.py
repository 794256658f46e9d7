"""PRODUCTS: everything that the simulated providers publish, and `render`, which makes any window of any file."""

from affine import Affine

from geomeld.modalities import SENTINEL2_BANDS
from geomeld.sources.simulated import aerial, elevation, labels, optical, radar
from geomeld.sources.simulated.raster import Product, Raster, Window
from geomeld.sources.source import Scene
from geomeld.sources.warp import Native


def _reflectance(pixel: float, bands: tuple[str, ...]) -> Raster:
    assets = tuple(f"B{int(b[1:]):02d}" if b[1:].isdigit() else b for b in bands)
    return Raster(assets, bands, pixel, "uint16", 0)


PRODUCTS: dict[str, Product] = {
    p.modality: p
    for p in (
        Product(
            modality="sentinel2",
            collection="sentinel-2-l2a",
            title="simulated Sentinel-2 L2A",
            rasters=(
                _reflectance(10.0, ("B2", "B3", "B4", "B8")),
                _reflectance(20.0, ("B5", "B6", "B7", "B8A", "B11", "B12")),
                _reflectance(60.0, ("B1", "B9")),
                Raster(("SCL",), ("SCL",), 20.0, "uint8", 0),
            ),
            render=optical.render,
        ),
        Product(
            modality="sentinel1",
            collection="sentinel-1-rtc",
            title="simulated Sentinel-1 RTC gamma0, linear power to dB",
            rasters=(
                Raster(("vv", "vh"), ("VV", "VH"), 10.0, "float32", -32768.0),
                Raster(("hh", "hv"), ("HH", "HV"), 10.0, "float32", -32768.0),
            ),
            render=radar.render,
        ),
        Product(
            modality="naip",
            collection="naip",
            title="simulated NAIP orthophoto",
            rasters=(Raster(("image",) * 3, ("R", "G", "B"), 1.0, "uint8", 0),),
            render=aerial.render,
        ),
        Product(
            modality="aster",
            collection="aster-gdem",
            title="simulated ASTER GDEM v3",
            rasters=(Raster(("elevation",), ("elevation",), 1 / 3600, "int16", -9999),),
            render=elevation.render_elevation,
            degrees=1.0,
            overlap=6,
            derived={"slope": "elevation"},
        ),
        Product(
            modality="canopy_height",
            collection="eth-canopy-height",
            title="simulated ETH canopy height 2020",
            rasters=(Raster(("height", "stddev"), ("height", "stddev"), 1 / 12000, "uint8", 255),),
            render=elevation.render_canopy,
            degrees=3.0,
        ),
        Product(
            modality="esa_worldcover",
            collection="esa-worldcover",
            title="simulated ESA WorldCover 2020 v100",
            rasters=(Raster(("map",), ("esa_label",), 1 / 12000, "uint8", 0),),
            render=labels.render_worldcover,
            degrees=3.0,
        ),
        Product(
            modality="dynamic_world",
            collection="dynamic-world",
            title="simulated Dynamic World, labels 1 to 9",
            rasters=(Raster(("label",), ("dw_label",), 10.0, "uint8", 0),),
            render=labels.render_dynamic_world,
        ),
        Product(
            modality="surface_water",
            collection="jrc-gsw",
            title="simulated JRC surface water occurrence",
            rasters=(Raster(("occurrence",), ("occurrence",), 1 / 4000, "uint8", 255),),
            render=labels.render_occurrence,
            degrees=10.0,
        ),
    )
}
"""Every product by modality. Sentinel-2 stores reflectance x 10000 minus `scene.properties["offset"]` (0, or -1000 from
processing baseline 04.00 on: value = stored + offset)."""

assert {b for r in PRODUCTS["sentinel2"].rasters for b in r.bands} >= set(SENTINEL2_BANDS)


def render(seed: int, modality: str, scene: Scene, raster: Raster, window: Window) -> Native:
    """The pixels of a window of one raster of a scene, exactly as its provider stores them.

    The result is (bands, rows, columns) of `raster.dtype` on the raster's own grid, with the affine transform of the
    window. The same pixel has the same value in every window that holds it.
    """
    left, top, pixel = scene.properties["left"], scene.properties["top"], raster.pixel
    values = PRODUCTS[modality].render(seed, scene, raster, window)
    per_degree = round(1 / pixel) if pixel < 1 else None
    # Degrees are divided, not multiplied: a window's corner is then the same float as in any other window.
    x = left + (window.column / per_degree if per_degree else window.column * pixel)
    y = top - (window.row / per_degree if per_degree else window.row * pixel)
    return Native(values, Affine(pixel, 0.0, x, 0.0, -pixel, y), int(scene.properties["epsg"]), raster.nodata)
