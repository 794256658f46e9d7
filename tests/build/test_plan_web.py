"""Plans from items files on the web, and gaps that a real STAC API fills."""

import json
import os
import warnings
from pathlib import Path

import pytest

from geomeld.build.anchors.columns import read_columns
from geomeld.build.config import BuildConfig
from geomeld.build.plan import plan_tile, read_plan
from geomeld.build.plan.bulk import anchor_of
from geomeld.build.plan.run import plan_with_items, plan_with_source
from geomeld.build.plan.tables import write_items
from geomeld.core.errors import SourceError, TransientError
from geomeld.sources.stac import StacSource
from geomeld.testing.http import serve
from geomeld.testing.stac_api import lacking_for_api, stac_api

DATA = Path(__file__).parents[3] / "shared" / "data"
PLACES = DATA / "terramesh_stac"
needs_places = pytest.mark.skipif(not PLACES.exists(), reason="the shared real data are not here")
CONFIG = BuildConfig(clear_share=0.0)


def real_items(*collections: str) -> list[dict]:
    """The items of the TerraMesh places, their files at made-up addresses."""
    found = []
    for path in sorted(p for c in collections or ("*",) for p in PLACES.glob(f"{c}/*/*.json")):
        item = json.loads(path.read_text()) | {"links": []}
        for asset in item["assets"].values():
            asset["href"] = f"https://example.org/{path.parent.name}/{asset['href'].removeprefix('./')}"
        found.append(item)
    return found


def facts(rows) -> list:
    return [({n: [s.scene_id for s in f] for n, f in r.scenes.items()}, r.days, r.stage, r.reason) for r in rows]


@needs_places
def test_items_on_the_web_are_planned_from_and_faults_are_named(tmp_path: Path) -> None:
    write_items(tmp_path / "items.parquet", real_items())
    anchors, out, keep = read_columns(PLACES / "anchors.csv"), tmp_path / "plan.parquet", tmp_path / "keep"
    plan_with_items(anchors, [str(tmp_path / "items.parquet")], out, CONFIG, None, 1, keep)
    rows = read_plan(out)
    assert all(not r.reason and {"sentinel2", "sentinel1", "aster"} <= set(r.scenes) for r in rows)
    with serve(tmp_path) as server:
        where = [f"{server.url}/items.parquet"]
        plan_with_items(anchors, where, tmp_path / "web.parquet", CONFIG, None, 1, keep)
        assert read_plan(tmp_path / "web.parquet") == rows
        assert any(r.range for r in server.asked)
        before = out.read_bytes()
        with pytest.raises(SourceError, match=r"none\.parquet"):
            plan_with_items(anchors, [f"{server.url}/none.parquet"], out, CONFIG, None, 1, keep)
        server.status["*.parquet"] = 503
        with pytest.raises(TransientError, match=r"items\.parquet"):
            plan_with_items(anchors, where, out, CONFIG, None, 1, keep)
    assert out.read_bytes() == before
    assert not [p for p in os.listdir(tmp_path) if p.startswith(".")]


@needs_places
@pytest.mark.slow
@pytest.mark.skipif(bool(lacking_for_api()), reason=lacking_for_api() or "all is here")
def test_a_real_api_fills_the_gaps_of_the_items(tmp_path: Path) -> None:
    anchors, keep = read_columns(PLACES / "anchors.csv"), tmp_path / "keep"
    collections = [json.loads(p.read_text()) | {"links": []} for p in PLACES.glob("*/collection.json")]
    # Files: Sentinel-2 of the first place alone; everything else comes from the API.
    files = [i for i in real_items("sentinel-2-l2a") if i["geometry"]["coordinates"][0][0][1] > 0]
    assert 0 < len(files) < len(real_items("sentinel-2-l2a"))
    write_items(tmp_path / "items.parquet", files)
    with stac_api() as api, warnings.catch_warnings():
        api.load(collections, real_items())
        source = StacSource(f"{api.url}/")
        plan_with_items(anchors, [str(tmp_path / "items.parquet")], tmp_path / "plan.parquet", CONFIG, source, 1, keep)
        plan_with_source(anchors, source, tmp_path / "alone.parquet", CONFIG, 1, keep)
        each = [plan_tile(anchor_of(a), source, CONFIG) for a in anchors.to_pylist()]
    assert facts(read_plan(tmp_path / "plan.parquet")) == facts(each) == facts(read_plan(tmp_path / "alone.parquet"))
    assert all(not r.reason for r in each)
    assert not keep.exists()
