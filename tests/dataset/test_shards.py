"""Tiles on disk: round trips, published variants, damage, statistics, and a modality that is one entry."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from geomeld.core.errors import CorruptFile, DatasetError
from geomeld.core.modality import Continuous, Modality, Resampling, Timing
from geomeld.core.tile import Tile
from geomeld.dataset import open_dataset, update_metadata
from geomeld.dataset.check import check
from geomeld.dataset.sample import assemble, decode, encode
from geomeld.modalities import MODALITIES
from geomeld.testing import fake_layer, fake_tile, tiny_dataset


def assert_same(a: Tile, b: Tile) -> None:
    assert (a.anchor, a.grid, set(a.layers)) == (b.anchor, b.grid, set(b.layers))
    for name, layer in a.layers.items():
        other = b.layers[name]
        np.testing.assert_array_equal(layer.valid, other.valid)
        np.testing.assert_array_equal(layer.values[layer.valid], other.values[other.valid])
        assert (layer.bands, layer.acquired, layer.product, layer.scenes) == (
            other.bands, other.acquired, other.product, other.scenes,
        )  # fmt: skip


def test_every_modality_round_trips_to_the_same_bytes() -> None:
    tile = fake_tile(7, without=())
    data = encode(tile)
    assert data == encode(tile)
    back = decode(data)
    assert_same(tile, back)
    assert encode(back) == data


def test_two_added_modalities_are_one_entry_each() -> None:
    """From a table entry to a file and back; heads and losses follow from the same entry (tests/models)."""
    enmap = Modality("enmap", "EnMAP", tuple(f"E{i}" for i in range(40)), Continuous("reflectance", (0.0, 1.0)), 10.0,
                     Resampling.BILINEAR, Timing.NEAREST, "float32", float("nan"), published=False)  # fmt: skip
    gedi = Modality("gedi", "GEDI height", ("rh98",), Continuous("m", (0.0, 60.0)), 10.0,
                    Resampling.NEAREST, Timing.STATIC, "int16", -1, published=False)  # fmt: skip
    table = {**MODALITIES, "enmap": enmap, "gedi": gedi}
    tile = fake_tile(9)
    layers = {**tile.layers, **{m.name: fake_layer(m, tile.grid, 9) for m in (enmap, gedi)}}
    tile = replace(tile, layers=layers)
    assert_same(tile, decode(encode(tile, table), modalities=table))


def published(change) -> Tile:
    """A tile whose file was written by others: `change` edits an open copy of ours."""
    buffer = io.BytesIO(encode(fake_tile(3)))
    with h5py.File(buffer, "r+") as file:
        change(file)
    return decode(buffer.getvalue())


def strip(file: h5py.File, **extra) -> None:
    """Reduce the metadata to the published fields."""
    facts = json.loads(file["metadata"][()])
    kept = {k: facts[k] for k in ("tile_id", "lat", "long", "acquisition_date", "file_type_naip")} | extra
    del file["metadata"]
    file["metadata"] = json.dumps(kept)


def test_published_metadata_as_text_and_without_a_grid() -> None:
    tile = published(lambda f: strip(f, captions=["A lake."]))
    assert tile.grid == fake_tile(3).grid
    assert tile.caption == "A lake."


def test_published_tiles_with_nine_bands_keep_names() -> None:
    def drop(file: h5py.File) -> None:
        values = file["sentinel2"][()]
        del file["sentinel2"]
        file["sentinel2"] = np.delete(values, [1, 2, 3], axis=0)
        strip(file)

    layer = published(drop).layers["sentinel2"]
    assert layer.bands == MODALITIES["sentinel2"].bands
    assert not layer.valid[1:4].any()
    np.testing.assert_array_equal(
        layer.values[7][layer.valid[7]], fake_tile(3).layers["sentinel2"].values[7][layer.valid[7]]
    )


def test_raw_dynamic_world_labels_are_shifted() -> None:
    def raw(file: h5py.File) -> None:
        values = file["dynamic_world"][()]
        file["dynamic_world"][...] = np.where(values > 0, values - 1, 0)
        strip(file, dynamic_world_encoding="raw")

    ours, theirs = fake_tile(3).layers["dynamic_world"], published(raw).layers["dynamic_world"]
    np.testing.assert_array_equal(theirs.values[ours.valid], ours.values[ours.valid])


def test_the_published_snippet_reads_our_shards(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 2)
    with tarfile.open(dataset.shards[0]) as shard:
        sample = {"h5": shard.extractfile(shard.next()).read()}
    with h5py.File(io.BytesIO(sample["h5"]), "r") as file:
        assert file["sentinel2"][:].shape == (12, 128, 128)
        assert json.loads(file["metadata"][()])["tile_id"] == 1


def test_arrays_are_read_where_the_index_says(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 5, shard_size=2)
    assert [t.tile_id for t in dataset] == dataset.tile_ids == [1, 2, 3, 4, 5]
    assert_same(dataset[4], fake_tile(4, lon=-120.0 + 7.3 * 3, lat=-30.0 + 4.1 * 3))
    assert set(dataset.read(2, ["aster"]).layers) == {"aster"}
    for index in (tmp_path / "d").glob("*.index.json"):
        index.write_text("{")
    assert_same(open_dataset(tmp_path / "d")[4], dataset[4])
    with pytest.raises(KeyError, match="99"):
        dataset[99]


def test_a_damaged_shard_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 4, shard_size=2)
    shard = dataset.shards[1]
    shard.write_bytes(shard.read_bytes()[:-100_000])
    with pytest.raises(CorruptFile, match=shard.name):
        open_dataset(tmp_path / "d")
    found = check(tmp_path / "d")
    assert any(shard.name in problem for problem in found)
    assert not any(dataset.shards[0].name in problem for problem in found)


@pytest.mark.parametrize("make", [lambda p: None, lambda p: p.mkdir(), lambda p: p.write_text("x")])
def test_what_is_no_dataset_is_refused(tmp_path: Path, make) -> None:
    make(tmp_path / "d")
    with pytest.raises(DatasetError, match="d"):
        open_dataset(tmp_path / "d")


def test_updating_metadata_changes_nothing_else(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 4, shard_size=2)
    before = {s.name: s.read_bytes() for s in dataset.shards}
    update_metadata(tmp_path / "d", {1: {"caption": "A lake."}})
    changed = open_dataset(tmp_path / "d")
    first = changed.shards[0].read_bytes()
    assert changed[1].caption == "A lake."
    assert changed[2].caption is None
    assert_same(changed[1], fake_tile(1, lon=-120.0, lat=-30.0))
    assert changed.shards[1].read_bytes() == before[changed.shards[1].name]
    assert check(tmp_path / "d") == []
    update_metadata(tmp_path / "d", {1: {"caption": "A sea."}})
    update_metadata(tmp_path / "d", {1: {"caption": "A lake."}})
    assert open_dataset(tmp_path / "d").shards[0].read_bytes() == first


def test_statistics_equal_numpy_over_all_valid_pixels(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 5, shard_size=2)
    found = dataset.statistics()["sentinel1"]
    for band in range(8):
        pixels = np.concatenate(
            [t.layers["sentinel1"].values[band][t.layers["sentinel1"].valid[band]] for t in dataset]
        )
        pixels = pixels.astype(np.float64)
        np.testing.assert_allclose(found.mean[band], pixels.mean(), rtol=1e-9)
        np.testing.assert_allclose(found.std[band], pixels.std(), rtol=1e-9)
        assert (found.min[band], found.max[band], found.count[band]) == (pixels.min(), pixels.max(), pixels.size)
    counts = dataset.statistics()["esa_worldcover"].counts
    codes = np.concatenate([t.layers["esa_worldcover"].values[t.layers["esa_worldcover"].valid] for t in dataset])
    assert counts == tuple(int((codes == c).sum()) for c in MODALITIES["esa_worldcover"].kind.codes)


def test_check_lists_every_violation(tmp_path: Path) -> None:
    from geomeld.dataset.check import tile_problems

    good = fake_tile(3)
    assert list(tile_problems(decode(encode(good)))) == []
    moved = replace(good, grid=replace(good.grid, left=good.grid.left + 5))
    bad = replace(moved, metadata={**good.metadata, "cloud_cover": 55.0})
    found = " ".join(tile_problems(decode(encode(bad))))
    assert "multiple of 20" in found
    assert "55" in found


def test_a_file_without_metadata_is_corrupt() -> None:
    with pytest.raises(CorruptFile):
        decode(b"not hdf5")
    with pytest.raises(CorruptFile, match="bands"):
        assemble({"sentinel2": np.zeros((5, 128, 128), np.float32)}, {"tile_id": 1, "lat": 1, "long": 1})
