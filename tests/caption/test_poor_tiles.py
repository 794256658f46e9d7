"""Tiles that tell little, or wrongly: each ends in a caption with a stated status that claims nothing against what was
measured, or in a listed failure."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.run import build
from geomeld.caption import run
from geomeld.caption.config import CaptionConfig
from geomeld.caption.table import read_captions
from geomeld.core.tile import Tile
from geomeld.dataset import open_dataset, write_dataset
from geomeld.modalities import MODALITIES
from geomeld.sources.simulated import SimulatedSource
from geomeld.sources.simulated.landscape import BIOMES, stratified_places


def without(*names: str) -> Callable[[Tile], Tile]:
    return lambda tile: replace(tile, layers={n: v for n, v in tile.layers.items() if n not in names})


def cloudy(tile: Tile) -> Tile:
    """Optical products see nothing."""
    blind = {
        n: replace(v, valid=np.zeros_like(v.valid)) if n in ("sentinel2", "dynamic_world") else v
        for n, v in tile.layers.items()
    }
    return replace(tile, layers=blind)


def raw_labels(tile: Tile) -> Tile:
    """Dynamic World as Earth Engine gives it, 0..8, where 1..9 is expected: water has become no data, trees water."""
    layer = tile.layers["dynamic_world"]
    raw = np.where(layer.valid, layer.values.astype(int) - 1, 0).astype(layer.values.dtype)
    return replace(tile, layers={**tile.layers, "dynamic_world": replace(layer, values=raw, valid=raw > 0)})


def only_radar(tile: Tile) -> Tile:
    return without(*(n for n in MODALITIES if n != "sentinel1"))(tile)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> list[Tile]:
    places = [(lon, lat, BIOMES[b]) for lon, lat, b in stratified_places(5, 6)]
    out = tmp_path_factory.mktemp("earth") / "d"
    build(sampled_anchors(places, "simulated"), SimulatedSource(5), out, BuildConfig(naip=False, shard_size=8))
    return list(open_dataset(out))


POOR = {
    "cloudy": cloudy,
    "raw labels": raw_labels,
    "no land cover": without("esa_worldcover", "dynamic_world"),
    "no elevation": without("aster"),
    "no pictures": without("sentinel2", "sentinel1"),
    "radar alone": only_radar,
}


@pytest.mark.parametrize("poor", POOR)
def test_every_tile_has_a_status_or_a_reason(tiles: list[Tile], poor: str, tmp_path: Path) -> None:
    path = write_dataset(tmp_path / "d", [POOR[poor](t) for t in tiles], source="simulated").path
    summary = run.caption_dataset(path, CaptionConfig())
    records = read_captions(path)
    assert set(records) | set(summary.failures) == {t.tile_id for t in tiles}
    for record in records.values():
        assert record["status"] in ("verified", "repaired", "fallback", "failed")
        assert (record["status"] == "failed") == (record["text"] == "")
        assert not [v for v in record["verdicts"] if v["severity"] == "hard" and v["status"] == "contradicted"]
    assert all(reason for reason in summary.failures.values())
