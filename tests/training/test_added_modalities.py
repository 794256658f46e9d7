"""A modality is one entry of the table: two more go from a source through files and statistics to heads and losses."""

import json
from pathlib import Path

import numpy as np
import pytest

from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig
from geomeld.build.run import build
from geomeld.dataset import open_dataset, update_metadata
from geomeld.dataset.check import check
from geomeld.loader import Augment, Split
from geomeld.modalities import MODALITIES
from geomeld.models.text import TextConfig
from geomeld.models.weights import load_model
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.loop import EXAMPLES, LOG, pretrain
from geomeld.testing import FakeSource
from geomeld.testing.modalities import ENMAP, GEDI

PLACES = [(-100.0 + 11 * i, 40.0 - 9 * i, "Tundra") for i in range(6)]


def test_two_more_modalities_from_a_source_to_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for modality in (ENMAP, GEDI):
        monkeypatch.setitem(MODALITIES, modality.name, modality)
    served = frozenset({"sentinel2", "esa_worldcover", "enmap", "gedi"})
    data = tmp_path / "data"
    build(sampled_anchors(PLACES, "fake"), FakeSource(serves=served), data, BuildConfig(shard_size=3))

    assert check(data) == []
    dataset = open_dataset(data)
    tile = dataset[dataset.tile_ids[0]]
    assert tile.layers["enmap"].values.shape == (40, 64, 64)
    assert tile.layers["gedi"].values.dtype == np.int16
    assert not tile.layers["gedi"].valid.all(), "the fake layers have gaps"
    statistics = dataset.statistics()
    assert len(statistics["enmap"].mean) == 40
    heights = np.concatenate([t.layers["gedi"].values[t.layers["gedi"].valid] for t in dataset])
    assert statistics["gedi"].mean[0] == pytest.approx(heights.mean(), rel=1e-6)

    update_metadata(data, {t: {"caption": f"Lake number {t % 7} near a forest"} for t in dataset.tile_ids})
    config = PretrainConfig(
        size="atto", targets=("sentinel2", "esa_worldcover", "enmap", "gedi"), epochs=2, batch_size=6,
        decoder_width=16, predictor_width=16, predictor_depth=1,
        text=TextConfig(vocab_size=300, width=32, depth=1, heads=2, max_length=16),
        split=Split(held_out=0.0, by="tile"), augment=Augment(crop=32), workers=0,
    )  # fmt: skip
    pretrain(config, open_dataset(data), tmp_path / "checkpoint")
    rows = [json.loads(line) for line in (tmp_path / "checkpoint" / LOG).read_text().splitlines()]
    for row in rows:  # the paper's sum of the four reconstructions: the new ones are in it
        terms = [row[f"mpmae/{name}"] for name in config.targets]
        assert min(terms) > 0
        assert len(set(terms)) == 4
    heads = load_model(tmp_path / "checkpoint").decoders
    assert heads["enmap"].head.out_features == 40 * 8 * 8, "patches of 160 m hold 8 x 8 pixels of 20 m"
    assert heads["gedi"].head.out_features == 16 * 16
    with np.load(tmp_path / "checkpoint" / EXAMPLES) as examples:
        assert examples["enmap/predicted"].shape[1:] == (40, 64, 64)
