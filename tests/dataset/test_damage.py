"""Damage of every kind, metadata put back, statistics in any order."""

import io
import json
import tarfile
from functools import reduce
from itertools import permutations
from pathlib import Path

import h5py
import numpy as np
import pytest

from geomeld.core.errors import CorruptFile
from geomeld.dataset import open_dataset, update_metadata
from geomeld.dataset.check import check
from geomeld.dataset.index import index_path, make_index
from geomeld.dataset.statistics import layer_statistics, merge
from geomeld.modalities import MODALITIES
from geomeld.testing import fake_tile, tiny_dataset


def test_metadata_that_is_put_back_gives_the_first_bytes(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 2)
    before = {p.name: p.read_bytes() for p in (tmp_path / "d").iterdir()}
    update_metadata(dataset.path, {1: {"terrain_class": "Ridge é"}})
    assert open_dataset(dataset.path)[1].metadata["terrain_class"] == "Ridge é"
    update_metadata(dataset.path, {1: {"terrain_class": dataset.metadata(1)["terrain_class"]}})
    update_metadata(dataset.path, {1: {"terrain_class": "Flat"}})
    assert {p.name: p.read_bytes() for p in (tmp_path / "d").iterdir()} == before


def test_a_shard_cut_anywhere_is_named(tmp_path: Path) -> None:
    shard = tiny_dataset(tmp_path / "d", 2).shards[0]
    whole = shard.read_bytes()
    member = make_index(shard).members[1]
    ends = [0, 1, 511, 512, 1024, 5000, member.offset - 512, member.offset, member.offset + 700, len(whole) // 2]
    # Up to where only the padding of the archive is gone.
    for end in [*ends, member.offset + member.size - 1]:
        shard.write_bytes(whole[:end])
        with pytest.raises(CorruptFile, match=shard.name):
            make_index(shard)
    shard.write_bytes(bytes(512))
    with pytest.raises(CorruptFile, match=shard.name):
        make_index(shard)


def test_a_damaged_index_is_made_anew(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 2)
    path = index_path(dataset.shards[0])
    whole = path.read_bytes()
    good = json.loads(whole)
    odd = [
        b"", b"{", b"null", b"[]", b"3", b"\xff\xfe\x00", whole[: len(whole) // 2],
        json.dumps({**good, "members": [{**m, "arrays": []} for m in good["members"]]}).encode(),
        json.dumps({**good, "members": [{**m, "offset": -5} for m in good["members"]]}).encode(),
        json.dumps({**good, "members": [{**m, "offset": "x"} for m in good["members"]]}).encode(),
        json.dumps({**good, "members": None}).encode(),
    ]  # fmt: skip
    for data in odd:
        path.write_bytes(data)
        assert open_dataset(dataset.path)[2].tile_id == 2, data[:60]
        assert path.read_bytes() == whole, data[:60]
    path.unlink()
    assert open_dataset(dataset.path).tile_ids == [1, 2]


def test_statistics_merge_in_any_order() -> None:
    tiles = [fake_tile(k) for k in range(3)]
    for name in ("sentinel2", "aster", "dynamic_world"):
        parts = [layer_statistics(MODALITIES[name], t.layers[name]) for t in tiles]
        results = [reduce(merge, order, None) for order in permutations(parts)]
        for other in results[1:]:
            for field in results[0].__slots__:
                np.testing.assert_allclose(getattr(other, field), getattr(results[0], field), rtol=1e-9)


def test_check_finds_a_wrong_sum_and_a_foreign_index(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 4, shard_size=2)
    manifest = dataset.path / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace(dataset.manifest.shards[1].sha256, "0" * 64))
    found = check(dataset.path)
    assert len(found) == 1
    assert dataset.shards[1].name in found[0]
    assert "sha256" in found[0]
    manifest.write_text(text)
    data = bytearray(dataset.shards[0].read_bytes())
    data[len(data) // 3] ^= 255  # one bit of a pixel
    dataset.shards[0].write_bytes(data)
    assert any(dataset.shards[0].name in f for f in check(dataset.path))


PUBLISHED = {"tile_id": 2, "lat": 10.0, "long": 20.0, "acquisition_date": "2020-06-15"}


@pytest.mark.parametrize(
    ("pixels", "amiss"),
    [
        (np.ones((12, 128, 128), np.float32), {"lat": None}),
        (np.ones((12, 128, 128), np.float32), {"lat": "north"}),
        (np.ones((12, 128, 128), np.float32), {"lat": 95.0}),
        (np.ones((12, 128, 128), np.float32), {"acquisition_date": "soon"}),
        (np.ones((12, 128, 128), np.float32), {"layers": 3}),
        (np.ones((12, 128, 128), np.float32), {"grid": {"epsg": 1}}),
        (np.ones(5, np.float32), {}),
        ("no pixels", {}),
    ],
)
def test_a_sample_of_which_no_tile_can_be_made_is_named(tmp_path, pixels, amiss) -> None:
    sample = io.BytesIO()
    with h5py.File(sample, "w") as file:
        file["sentinel2"], file["metadata"] = pixels, json.dumps(PUBLISHED | amiss)
    with tarfile.open(tmp_path / "odd.tar", "w") as shard:
        entry = tarfile.TarInfo("2.h5")
        entry.size = len(sample.getvalue())
        sample.seek(0)
        shard.addfile(entry, sample)
    dataset = open_dataset(tmp_path)
    with pytest.raises(CorruptFile, match=r"[Tt]ile 2 in .*odd\.tar"):
        dataset[2]
    assert any("tile 2" in problem.lower() for problem in check(tmp_path))
