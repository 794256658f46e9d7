"""The exported catalogue is what its formats demand: STAC with the extensions it names, cloud-optimised GeoTIFFs."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pystac
import pystac_client
import pytest
import rasterio
from pystac_client.warnings import FallbackToPystac, NoConformsTo
from shapely.geometry import shape

from geomeld.sources.item import footprint_of
from geomeld.sources.profiles import PROFILES, offset_of

pytestmark = pytest.mark.slow

REQUIRED = {
    "projection": {"proj:code", "proj:shape", "proj:transform"},
    "raster": {"raster:scale", "raster:offset"},
    "eo": {"eo:cloud_cover"},
    "sat": {"sat:orbit_state"},
    "sar": {"sar:instrument_mode", "sar:frequency_band", "sar:polarizations", "sar:product_type"},
}
"""Fields that an item with an extension has here, in its properties or its assets; it has no others with the prefix."""


@pytest.fixture(scope="module")
def root(piece) -> pystac.Catalog:
    return pystac.Catalog.from_file(str(piece / "catalog.json"))


def fields(item: pystac.Item) -> set[str]:
    return set(item.properties).union(*(a.extra_fields for a in item.assets.values()))


def test_items_say_where_and_when(root):
    for item in root.get_items(recursive=True):
        outline = footprint_of(item)
        west, south, east, north = outline.bounds
        assert outline.is_valid
        assert -180 <= west < east <= 180
        assert -90 <= south < north <= 90
        assert all(p.exterior.is_ccw for p in getattr(outline, "geoms", [outline]))
        crosses = outline.geom_type == "MultiPolygon"
        assert item.bbox is not None
        assert (item.bbox[0] > item.bbox[2]) == crosses
        assert (item.bbox[2] - item.bbox[0]) % 360 < 0.1
        start, end = item.common_metadata.start_datetime, item.common_metadata.end_datetime
        assert item.datetime or (start and end and start < end)
        collection = item.get_collection()
        assert collection is not None
        period = collection.extent.temporal.intervals[0]
        assert period[0] <= (item.datetime or start) <= period[1]
        box = shape({"type": "Polygon", "coordinates": [_ring(*collection.extent.spatial.bboxes[0])]})
        assert box.buffer(1e-9).contains(outline)
    assert any(len(i.geometry["coordinates"]) == 2 for i in root.get_items(recursive=True) if i.geometry)


def _ring(west: float, south: float, east: float, north: float) -> list[list[float]]:
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def test_items_name_the_extensions_that_they_use(root):
    used = set()
    for item in root.get_items(recursive=True):
        found = {re.fullmatch(r".*/([a-z]+)/v[\d.]+/schema.json", url)[1] for url in item.stac_extensions}
        for name, wanted in REQUIRED.items():
            prefix = "proj:" if name == "projection" else f"{name}:"
            own = {f for f in fields(item) if f.startswith(prefix)}
            assert own == (wanted if name in found else set()), item.id
        used |= found
    assert used == set(REQUIRED)


def test_assets_describe_their_files(root):
    for item in root.get_items(recursive=True):
        for name, asset in item.assets.items():
            said = asset.extra_fields
            assert asset.media_type == pystac.MediaType.COG
            with rasterio.open(asset.get_absolute_href()) as dataset:
                assert f"EPSG:{dataset.crs.to_epsg()}" == item.properties["proj:code"]
                assert tuple(said["proj:shape"]) == dataset.shape
                np.testing.assert_allclose(said["proj:transform"], list(dataset.transform)[:6], rtol=1e-12)
                assert (said["data_type"], said["nodata"]) == (dataset.dtypes[0], dataset.nodata)
                assert len(said["bands"]) == dataset.count, name
                assert dataset.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
                assert dataset.profile["tiled"]
                assert dataset.block_shapes[0] == (256, 256)
                # The smallest overview fits a block, so that a look at the whole costs one request.
                smallest = max(dataset.shape) / max(dataset.overviews(1), default=1)
                assert smallest <= 256


def test_the_stated_offset_is_that_of_the_baseline(root):
    offsets = set()
    for item in root.get_child("sentinel-2-l2a").get_items():
        assets = [names[0] for names in PROFILES["sentinel2"].assets.values()]
        by_baseline, _ = offset_of(item, assets)
        del item.properties["s2:processing_baseline"]
        stated, reason = offset_of(item, assets)
        assert stated == by_baseline
        assert "assets state" in reason
        offsets.add(stated)
    assert 0 in offsets


def test_other_readers_open_it(piece, root):
    with pytest.warns(NoConformsTo):
        client = pystac_client.Client.open(str(piece / "catalog.json"))
    with pytest.warns(FallbackToPystac):
        ids = {i.id for i in client.get_items(recursive=True)}
    assert ids == {i.id for i in root.get_items(recursive=True)}
    assert len(ids) > 100


@pytest.mark.skipif(importlib.util.find_spec("jsonschema") is None, reason="jsonschema is not installed")
def test_the_core_schemas_hold(root):
    for thing in (root, *root.get_children(), *root.get_items(recursive=True)):
        thing.stac_extensions = []  # their schemas are on the web
        assert thing.validate()


def test_nothing_else_lies_in_the_folder(piece, root):
    listed = {Path(a.get_absolute_href()) for i in root.get_items(recursive=True) for a in i.assets.values()}
    assert listed == set(piece.rglob("*.tif"))
    kept = {p.name for p in piece.iterdir() if p.is_file()}
    assert kept == {"catalog.json", "map.osm.pbf", "anchors.parquet", ".piece.json"}
