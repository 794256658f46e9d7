"""Tiles that cannot be read: left out of every part of an evaluation that needs them, said so, looked at again."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from geomeld.cli import main
from geomeld.core.errors import CorruptFile
from geomeld.dataset import Dataset
from geomeld.dataset.index import index_path, load_index
from geomeld.evaluate import robustness, tiles
from geomeld.evaluate.cross_sensor import cross_sensor
from geomeld.evaluate.disturbance import Disturbance
from geomeld.evaluate.on_tiles import run_on_tiles
from geomeld.evaluate.results import Results
from geomeld.evaluate.robustness import pictures_of
from geomeld.evaluate.tiles import Sides, features
from geomeld.loader import Split, read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig
from geomeld.models.weights import load_model, save_checkpoint
from geomeld.testing.datasets import tiny_dataset

SPLIT = Split(held_out=0.5, by="tile")
NONE = Disturbance("none", "nothing is done", {"at all": lambda picture, rng: picture})
INPUT, LABELS, RADAR = "sentinel2", "esa_worldcover", "sentinel1"


class Damaged(Dataset):
    """A dataset of which some layers of some tiles cannot be read."""

    def __init__(self, path: Path, faults: dict[int, str]) -> None:
        super().__init__(path)
        self.faults = faults

    def read(self, tile_id: int, names=None):
        layer = self.faults.get(tile_id)
        if layer and (names is None or layer in names):
            raise CorruptFile(f"Tile {tile_id}: {layer} is damaged.")
        return super().read(tile_id, names)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("tiles") / "ds", 16, shard_size=16).path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of random weights; it predicts radar, and its run held out every second tile."""
    folder = tmp_path_factory.mktemp("checkpoint")
    seen, radar = (LayerSpec.of(MODALITIES[n], (1000.0,) * k, (500.0,) * k) for n, k in ((INPUT, 12), (RADAR, 8)))
    text = TextConfig(vocab_size=300, width=32, depth=1, heads=2)
    config = ModelConfig(seen, (radar,), decoder_width=16, predictor_width=32, predictor_depth=1, text=text)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        save_checkpoint(GeoMeldFM(config), folder)
    split = {"by": SPLIT.by, "held_out": SPLIT.held_out, "seed": SPLIT.seed}
    (folder / "run.json").write_text(json.dumps({"config": {"split": split}}))
    return folder


@pytest.fixture(scope="module")
def held_out(path: Path) -> list[int]:
    return SPLIT.apply(Dataset(path))[1]


def test_features_tell_what_they_lack_from_the_cache_too_and_see_what_was_mended(
    checkpoint, path, tmp_path, monkeypatch
) -> None:
    model, asked = load_model(checkpoint), []

    def read(dataset, tile_ids, modalities, skipped):
        asked.extend(tile_ids)
        return read_tiles(dataset, tile_ids, modalities, skipped)

    monkeypatch.setattr(tiles, "read_tiles", read)
    ids = Dataset(path).tile_ids[:5]
    for faults in ({ids[1]: INPUT, ids[3]: INPUT}, {ids[1]: INPUT, ids[3]: INPUT}, {ids[1]: INPUT}, {ids[1]: INPUT}):
        dataset, skipped, asked[:] = Damaged(path, faults), {}, []
        kept = features(model, dataset, ids, 2, cache=tmp_path, key="a", skipped=skipped, progress=False)
        seen, reasons = list(asked), {t: f"Tile {t}: {INPUT} is damaged." for t in faults}
        fresh = features(model, dataset, ids, 2, progress=False)
        assert (skipped, kept.tile_ids) == (reasons, [t for t in ids if t not in faults])
        assert kept.tile_ids == fresh.tile_ids
        np.testing.assert_array_equal(kept.pooled, fresh.pooled)
    assert seen == [ids[1], ids[3]]  # what the first pass lacked; all else is found again


def test_what_is_left_out_is_said_at_the_end_and_on_the_page_with_its_remedy(
    checkpoint, path, held_out, tmp_path, capsys
) -> None:
    dataset = tiny_dataset(tmp_path / "ds", 16, shard_size=16)
    (shard,) = dataset.shards
    first, second = ([m for m in load_index(shard).members if m.tile_id == t] for t in held_out[:2])
    data = bytearray(shard.read_bytes())
    data[first[0].offset : first[0].offset + 300] = bytes(300)  # no HDF5 file any more: the index leaves it out
    shard.write_bytes(data)
    index_path(shard).unlink()
    load_index(shard)
    at = second[0].arrays["metadata"].offset
    data[at : at + 5] = b"#####"  # met only when the tile is read
    shard.write_bytes(data)
    with pytest.raises(SystemExit) as done:
        main(["evaluate", str(checkpoint), "--data", str(dataset.path), "--out", str(tmp_path / "out")])
    (*_, last) = capsys.readouterr().err.splitlines()
    n = len(held_out)
    assert done.value.code in (0, None)
    assert f"2 of {n} held-out tiles cannot be read" in last
    assert f"first: The metadata of tile {held_out[1]} in" in last
    assert f"geomeld check {dataset.path}" in last
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert page.count(f"2 of {n} held-out tiles cannot be read") > 1  # beside the numbers, and at the end
    assert {s.n for s in Results(tmp_path / "out").scores() if s.protocol == "embedding health"} == {n - 2}
    (row,) = (each for each in Results(tmp_path / "out").left_out() if each.partly)
    assert not row.broken


def test_every_part_leaves_out_what_it_cannot_read_and_robustness_is_done_again_for_mended_tiles(
    checkpoint, path, held_out, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(robustness, "DISTURBANCES", (NONE,))
    faults, results = {held_out[0]: INPUT, held_out[1]: LABELS, held_out[2]: RADAR}, Results(tmp_path)

    def evaluated(faults: dict[int, str]) -> tuple[dict[str, int], str]:
        left_out = run_on_tiles(checkpoint, Damaged(path, faults), results, robustness=True)
        said = [row.why for row in left_out if row.partly]
        (kind,) = results.tile_sets().values()
        return {s.protocol.split(" among")[0]: s.n for s in results.scores()}, f"{kind} {' '.join(said)}"

    n = len(held_out)
    for _ in range(2):  # the second time, robustness is not computed again
        numbers, said = evaluated(faults)
        assert numbers["embedding health"] == n - 1
        assert numbers["linear probe"] == numbers["robustness, linear probe"] == n - 2
        assert numbers["retrieval"] == n - 2  # radar by optical images
        assert said.count(f"3 of {n} held-out tiles cannot be read") == 2
        assert f"Tile {held_out[0]}: {INPUT} is damaged." in said
        monkeypatch.setattr(robustness.Eye, "features", None)
    monkeypatch.undo()
    monkeypatch.setattr(robustness, "DISTURBANCES", (NONE,))
    numbers, said = evaluated({})
    assert (set(numbers.values()), "cannot be read" in said) == ({n}, False)


def test_without_a_place_for_reasons_pictures_and_radar_raise(checkpoint, path) -> None:
    dataset = Damaged(path, {2: INPUT})
    with pytest.raises(CorruptFile, match="Tile 2"):
        pictures_of(dataset, [1, 2], MODALITIES[INPUT])
    with pytest.raises(CorruptFile, match="Tile 2"):
        cross_sensor(load_model(checkpoint), dataset, [1, 2], MODALITIES[RADAR])


def test_by_cells_nobody_knows_on_which_side_a_tile_lies_that_cannot_be_read() -> None:
    none = Sides(*[None] * 7, asked=([1, 2, 3], [4, 5]), skipped={9: "nine", 2: "two", 5: "five"})
    assert none.unread() == [
        "1 of 2 held-out tiles", "1 of 3 training tiles", "1 tile that may or may not be held out",
    ]  # fmt: skip
    assert none.first_unread() == "five"
