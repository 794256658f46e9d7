"""The table of profiles against the documents and items of a public catalogue."""

import json
import warnings
from pathlib import Path

import pyarrow.parquet as pq
import pystac
import pytest
import shapely
from shapely.geometry import Polygon, mapping

from geomeld.modalities import MODALITIES
from geomeld.sources.item import usable
from geomeld.sources.profiles import PROFILES, bands_of
from geomeld.sources.stac import scene_of

DATA = Path(__file__).parents[2].parent / "shared" / "data"

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the shared real data are not here")


def listed(name: str) -> list[dict]:
    read = json.loads((DATA / "stac_items" / name).read_text())
    return read["features"] if isinstance(read, dict) else read


def optical() -> list[dict]:
    """A third of the 1,000 items of Sentinel-2, as JSON."""
    found = []
    for row in pq.read_table(DATA / "stac_items/1000-sentinel-2-l2a-items.parquet").to_pylist()[::3]:
        top = {k: row.pop(k) for k in ("type", "stac_version", "stac_extensions", "id", "links", "collection")}
        shape, files = shapely.from_wkb(row.pop("geometry")), row.pop("assets")
        around = list(row.pop("bbox").values())
        row |= {"datetime": row["datetime"].isoformat()}
        assets = {k: a | {"roles": a.get("roles") or []} for k, a in files.items() if a is not None}
        assets = {k: {n: v for n, v in a.items() if v is not None} for k, a in assets.items()}
        found.append(top | {"geometry": mapping(shape), "bbox": around, "assets": assets, "properties": row})
    return found


ITEMS = {
    "sentinel2": optical,
    "naip": lambda: [json.loads(t) for t in (DATA / "stac_items/1000-naip-items.ndjson").read_text().splitlines()],
    "sentinel1": lambda: listed("sentinel-1-rtc-pc.json"),
    "aster": lambda: listed("cop-dem-glo-30-pc.json"),
}


@pytest.mark.parametrize("modality", sorted(ITEMS))
def test_every_real_item_becomes_a_scene_with_its_files(modality):
    profile = PROFILES[modality]
    for found in ITEMS[modality]():
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            item = pystac.Item.from_dict(usable(found), preserve_dict=False)
        outline = Polygon(shapely.geometry.shape(found["geometry"]).envelope.exterior)
        scene = scene_of(item, profile, modality != "aster", "title", outline)
        assert scene.properties["collection"] in profile.collections
        bands = bands_of(profile, MODALITIES[modality], {"sentinel1": "_asc"}.get(modality, ""))
        has = [b for b in bands if any(n in scene.properties["assets"] for n in profile.assets[b])]
        assert has == list(bands) or (modality == "sentinel1" and 1 <= len(has) <= 2), item.id
        assert scene.footprint.intersects(outline)
        if modality == "sentinel2":
            late = item.properties["s2:processing_baseline"] >= "04.00"
            assert scene.properties["offset"] == (-1000 if late else 0)
            assert 0 <= scene.cloud_cover <= 100
        if modality == "sentinel1":
            assert scene.orbit in ("ascending", "descending")


DOCUMENTS = {
    "sentinel2": "sentinel-2",
    "sentinel1": "sentinel-1-rtc",
    "naip": "naip",
    "esa_worldcover": "esa-worldcover",
}


@pytest.mark.parametrize("modality", sorted(DOCUMENTS))
def test_collections_of_a_public_catalogue_name_the_files(modality):
    profile = PROFILES[modality]
    found = json.loads((DATA / "stac_collections" / f"{DOCUMENTS[modality]}.json").read_text())
    assert found["id"] in profile.collections
    for band, names in profile.assets.items():
        assert any(n in found["item_assets"] for n in names), band
    for names in profile.assets.values():
        about = next(found["item_assets"][n] for n in names if n in found["item_assets"])
        stated = [b["nodata"] for b in about.get("raster:bands", []) if "nodata" in b]
        assert all(float(value) == profile.nodata for value in stated)
