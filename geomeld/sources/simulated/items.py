"""Items: what a STAC catalogue says about exported files."""

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import shapely
from pystac.stac_io import DefaultStacIO
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, Polygon, mapping, shape
from shapely.geometry.polygon import orient

from geomeld.dataset.files import write_atomically
from geomeld.sources.simulated.products import PRODUCTS
from geomeld.sources.simulated.raster import METRES_PER_DEGREE, Raster, projected
from geomeld.sources.source import Scene
from geomeld.sources.warp import Native

EXTENSIONS = {
    "proj": "projection/v2.0.0",
    "raster": "raster/v2.0.0",
    "eo": "eo/v2.0.0",
    "sat": "sat/v1.0.0",
    "sar": "sar/v1.0.0",
}
"""Extension of STAC by the prefix of its fields."""

GLOBE = shapely.box(-180.0, -90.0, 180.0, 90.0)

REFLECTANCE = 0.0001
"""Reflectance per stored step."""

STATIC_PERIOD = dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(2020, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
"""Stated for products without a date: STAC demands a datetime or a period."""


class _Writer(DefaultStacIO):
    """Files appear under their name when they are complete."""

    def write_text_to_href(self, href: str, txt: str) -> None:
        write_atomically(Path(href), txt.encode())


def item_of(scene: Scene, name: str, files: Sequence[tuple[Raster, Native]]) -> pystac.Item:
    """The item of the files that hold one window of a scene, an asset for each; rasters come with their pixels."""
    native = files[0][1]
    outline = _outline(native)
    whole = MultiPolygon(outline) if len(outline) > 1 else outline[0]
    start, end = (None, None) if scene.acquired else STATIC_PERIOD
    item = pystac.Item(
        id=name,
        geometry=mapping(whole),
        # Across the antimeridian the western edge is the greater number (RFC 7946).
        bbox=[outline[0].bounds[0], whole.bounds[1], outline[-1].bounds[2], whole.bounds[3]],
        datetime=scene.acquired,
        start_datetime=start,
        end_datetime=end,
        properties={"proj:code": f"EPSG:{native.epsg}", **_facts(scene, [r for r, _ in files])},
    )
    for raster, pixels in files:
        for asset in dict.fromkeys(raster.assets):
            item.add_asset(asset, _asset(scene, raster, pixels, asset))
    used = {key.partition(":")[0] for fields in _fields(item) for key in fields if ":" in key}
    item.stac_extensions = [
        f"https://stac-extensions.github.io/{path}/schema.json" for prefix, path in EXTENSIONS.items() if prefix in used
    ]
    return item


def _fields(item: pystac.Item) -> list[Mapping[str, Any]]:
    return [item.properties, *(asset.extra_fields for asset in item.assets.values())]


def _facts(scene: Scene, rasters: Sequence[Raster]) -> dict[str, Any]:
    given = scene.properties
    facts: dict[str, Any] = {}
    if scene.cloud_cover is not None:
        facts["eo:cloud_cover"] = scene.cloud_cover
    if "baseline" in given:
        facts["s2:processing_baseline"] = given["baseline"]
    if scene.orbit is not None:
        facts["sat:orbit_state"] = scene.orbit
        facts |= {"sar:instrument_mode": "IW", "sar:frequency_band": "C", "sar:product_type": "RTC"}
        facts["sar:polarizations"] = [band for raster in rasters for band in raster.bands]
    return facts


def _asset(scene: Scene, raster: Raster, native: Native, name: str) -> pystac.Asset:
    bands = [band for band, asset in zip(raster.bands, raster.assets, strict=True) if asset == name]
    metres = raster.pixel * METRES_PER_DEGREE if native.epsg == 4326 else raster.pixel
    fields: dict[str, Any] = {
        "bands": [{"name": band} for band in bands],
        "data_type": raster.dtype,
        "nodata": raster.nodata,
        "gsd": round(metres, 2),
        "proj:shape": list(native.values.shape[1:]),
        "proj:transform": list(native.transform)[:6],
    }
    if "offset" in scene.properties and raster.dtype == "uint16":
        fields |= {"raster:scale": REFLECTANCE, "raster:offset": scene.properties["offset"] * REFLECTANCE}
    return pystac.Asset(f"./{name}.tif", media_type=pystac.MediaType.COG, roles=["data"], extra_fields=fields)


def _outline(native: Native) -> list[Polygon]:
    """Corners of the pixels in longitude and latitude, anticlockwise; in two, west first, across the antimeridian."""
    rows, columns = native.values.shape[1:]
    corners = [native.transform @ c for c in ((0, rows), (columns, rows), (columns, 0), (0, 0))]
    x, y = np.array(corners, dtype=np.float64).T
    lon, lat = projected(x, y, native.epsg, 4326) if native.epsg != 4326 else (x, y)
    lon = lon + 360.0 * np.round((lon[0] - lon) / 360.0)
    lon = lon - 360.0 * np.round(lon.mean() / 360.0)
    whole = Polygon(np.column_stack([lon, lat]))
    if lon.min() >= -180.0 and lon.max() <= 180.0:
        return [whole]
    parts = (translate(whole, turn).intersection(GLOBE) for turn in (360.0, 0.0, -360.0))
    return [orient(part) for part in parts if isinstance(part, Polygon) and not part.is_empty]


def write_catalogue(items: Mapping[str, Sequence[pystac.Item]], out: Path, seed: int, map_file: str) -> None:
    """Write every item, a collection per modality that has any, and catalog.json, which comes last."""
    catalogue = pystac.Catalog("simulated-earth", f"A piece of the simulated Earth of seed {seed}")
    catalogue.add_link(pystac.Link("map", f"./{map_file}", media_type="application/vnd.openstreetmap.data+pbf"))
    for modality, found in items.items():
        if found:
            catalogue.add_child(_collection(modality, found))
    catalogue.normalize_hrefs(str(out.resolve()))
    catalogue.make_all_asset_hrefs_relative()
    catalogue.catalog_type = pystac.CatalogType.SELF_CONTAINED
    for child in catalogue.get_children():
        child.save(pystac.CatalogType.SELF_CONTAINED, stac_io=_Writer())
    catalogue.save_object(include_self_link=False, stac_io=_Writer())


def _collection(modality: str, found: Sequence[pystac.Item]) -> pystac.Collection:
    product = PRODUCTS[modality]
    bounds = shapely.union_all([shape(i.geometry or {}) for i in found]).bounds
    times = [t for i in found for t in ([i.datetime] if i.datetime else STATIC_PERIOD)]
    extent = pystac.Extent(pystac.SpatialExtent([list(bounds)]), pystac.TemporalExtent([[min(times), max(times)]]))
    collection = pystac.Collection(product.collection, product.title, extent, title=product.title, license="other")
    collection.add_items(found)
    return collection
