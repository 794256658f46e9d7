"""A real STAC API on PostgreSQL, files behind nginx: search, pages, patience, and a build equal to the one from disk."""

import datetime as dt
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import shapely
from shapely.geometry import Polygon, box, mapping

from geomeld.cli.build import main as build
from geomeld.core.errors import TransientError
from geomeld.core.grid import Grid
from geomeld.core.retry import Retry
from geomeld.dataset import open_dataset
from geomeld.modalities import MODALITIES
from geomeld.sources import catalogue
from geomeld.sources.catalogue import items, open_catalogue
from geomeld.sources.stac import StacSource
from geomeld.testing.nginx import Nginx, nginx
from geomeld.testing.service import lacking
from geomeld.testing.stac_api import StacApi, lacking_for_api, stac_api

DATA = Path(__file__).parents[2].parent / "shared" / "data"
PLACES = DATA / "terramesh_stac"
WHY_NOT = "the shared real data are not here" if not DATA.exists() else lacking_for_api() or lacking("nginx")

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here")]


def collections() -> dict[str, dict]:
    """The TerraMesh collections, and a plain one for every other collection that there are items of."""
    found = {p.parent.name: json.loads(p.read_text()) for p in PLACES.glob("*/collection.json")}
    return {name: c | {"links": []} for name, c in found.items()}


def terramesh(files: str) -> list[dict]:
    """The items of the TerraMesh places, their files at an address."""
    found = []
    for path in sorted(PLACES.glob("*/*/*.json")):
        item = json.loads(path.read_text()) | {"links": []}
        for asset in item["assets"].values():
            asset["href"] = f"{files}/{path.parent.relative_to(PLACES)}/{asset['href'].removeprefix('./')}"
        found.append(item)
    return found


@cache
def real_items() -> list[dict]:
    """Real items from all over the world: every tenth of 1,000 of Sentinel-2 and of NAIP, a few of others."""
    listed = [json.loads(line) for line in (DATA / "stac_items/1000-naip-items.ndjson").read_text().splitlines()[::10]]
    for name in ("sentinel-1-rtc", "cop-dem-glo-30", "naip", "sentinel-2-l2a"):
        read = json.loads((DATA / f"stac_items/{name}-pc.json").read_text())
        listed += read["features"] if isinstance(read, dict) else read
    for row in pq.read_table(DATA / "stac_items/1000-sentinel-2-l2a-items.parquet").to_pylist()[::10]:
        top = {k: row.pop(k) for k in ("type", "stac_version", "stac_extensions", "id", "links", "collection")}
        shape, around, assets = shapely.from_wkb(row.pop("geometry")), row.pop("bbox"), row.pop("assets")
        row |= {"datetime": row["datetime"].isoformat().replace("+00:00", "Z")}
        files = {k: {"href": a["href"]} for k, a in assets.items() if a is not None}
        listed.append(
            top | {"geometry": mapping(shape), "bbox": list(around.values()), "assets": files, "properties": row}
        )
    return list({(i["collection"], i["id"]): i | {"links": []} for i in listed}.values())


@pytest.fixture(scope="module")
def api() -> Iterator[StacApi]:
    """A STAC API with all real items, and nginx before it."""
    with stac_api() as running:
        found, everything = collections(), real_items()
        extent = next(iter(found.values()))["extent"]
        for name in {i["collection"] for i in everything} - set(found):
            about = {"type": "Collection", "stac_version": "1.0.0", "id": name, "description": name, "license": "other"}
            found[name] = about | {"links": [], "extent": extent}
        running.load(found.values(), everything)
        yield running


@pytest.fixture(scope="module")
def web(api) -> Iterator[Nginx]:
    """The API and the files of the TerraMesh places behind one web server; the items name it."""
    with nginx(PLACES, api=api.url) as server:
        api.load(items=terramesh(server.files))
        yield server


@pytest.fixture(autouse=True)
def anew() -> None:
    """Nothing that an earlier test was told is remembered."""
    for kept in (catalogue.open_catalogue, catalogue._searched):
        kept.cache_clear()


def test_a_build_from_the_api_is_the_build_from_disk(web, tmp_path):
    words = ["--anchors", str(PLACES / "anchors.csv"), "--workers", "2", "--out"]
    assert build([*words, str(tmp_path / "api"), "--source", f"stac:{web.url}/"]) == 0
    assert build([*words, str(tmp_path / "disk"), "--source", f"stac:{PLACES}/catalog.json"]) == 0
    seen, there = open_dataset(tmp_path / "api"), open_dataset(tmp_path / "disk")
    assert seen.manifest.tiles == 3
    shards = sorted(p.name for p in (tmp_path / "disk").glob("*.tar"))
    assert shards == sorted(p.name for p in (tmp_path / "api").glob("*.tar"))
    for name in shards:
        assert (tmp_path / "api" / name).read_bytes() == (tmp_path / "disk" / name).read_bytes()
    assert seen.manifest.products == there.manifest.products
    read = [(r, code) for r, code, _ in web.asked() if r.path.endswith(".tif") and r.method == "GET"]
    assert read
    assert all(r.range and code == 206 for r, code in read)


def truth(collection: str, outline: Polygon, start: dt.datetime, end: dt.datetime) -> set[str]:
    """Items that a search must find, by looking at each."""

    def moment(item: dict) -> dt.datetime:
        given = item["properties"]
        return dt.datetime.fromisoformat(given.get("datetime") or given["start_datetime"])

    return {
        i["id"]
        for i in [*real_items(), *terramesh("")]
        if i["collection"] == collection
        and start <= moment(i) < end
        and shapely.geometry.shape(i["geometry"]).intersects(outline)
    }


WORLD = box(-180, -90, 180, 90)
YEARS = dt.datetime(2010, 1, 1, tzinfo=dt.UTC), dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize("collection", ["naip", "sentinel-2-l2a"])
def test_pages_of_a_search_hold_every_item_once(web, monkeypatch, collection):
    monkeypatch.setattr(catalogue, "PAGE", 20)
    expected = truth(collection, WORLD, *YEARS)
    before = len(web.asked())
    seen = [i.id for i in items(f"{web.url}/", collection, WORLD, *YEARS)]
    assert len(seen) == len(set(seen))
    assert set(seen) == expected
    searches = [r for r, _, _ in web.asked()[before:] if r.path.startswith("search")]
    assert len(searches) >= len(expected) / 20 > 3


def test_time_and_place_narrow_a_search(web):
    first = terramesh("")[-1]
    taken = dt.datetime.fromisoformat(first["properties"]["datetime"])
    outline = shapely.geometry.shape(first["geometry"]).centroid.buffer(0.001)
    second = dt.timedelta(seconds=1)
    for start, end in ((taken, taken + second), (taken - second, taken), (taken + second, taken + 2 * second)):
        seen = {i.id for i in items(f"{web.url}/", first["collection"], outline, start, end)}
        assert seen == truth(first["collection"], outline, start, end)
    assert first["id"] in {i.id for i in items(f"{web.url}/", first["collection"], outline, taken, taken + second)}


def test_both_sides_of_the_antimeridian_are_searched(api, web):
    grid = Grid.centred_on(179.999, -16.5)
    assert max(x for x, _ in grid.footprint()) > 180
    example = next(i for i in terramesh(web.files) if i["collection"] == "sentinel-2-l2a")
    sides = {"west": box(179.5, -17, 180, -16), "east": box(-180, -17, -179.5, -16)}
    api.load(items=[example | {"id": n, "geometry": mapping(s), "bbox": list(s.bounds)} for n, s in sides.items()])
    found = StacSource(f"{web.url}/").scenes(MODALITIES["sentinel2"], grid, *YEARS)
    assert {s.scene_id for s in found} == set(sides)
    assert all(s.footprint.intersects(Polygon(grid.footprint())) for s in found)


def test_an_api_that_asks_for_patience_gets_it(api, monkeypatch):
    with nginx(PLACES, api=api.url, per_second=2) as server:
        monkeypatch.setattr(catalogue, "PAGE", 50)
        seen = items(f"{server.url}/", "naip", WORLD, *YEARS)
        assert len(seen) == len(truth("naip", WORLD, *YEARS))
        codes = [code for _, code, _ in server.asked()]
        assert 429 in codes
        catalogue._searched.cache_clear()
        monkeypatch.setattr(catalogue, "PATIENCE", Retry(tries=1))
        catalogue.open_catalogue.cache_clear()
        with pytest.raises(TransientError, match="answered 429") as caught:
            _opened_again_and_again(f"{server.url}/")
    assert caught.value.retry_after == 1.0


def _opened_again_and_again(url: str) -> None:
    for _ in range(9):
        catalogue.open_catalogue.cache_clear()
        open_catalogue(url)
