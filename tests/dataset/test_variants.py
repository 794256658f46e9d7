"""The published variants: one tile in every form that is known, and it reads the same from each of them."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from geomeld.core.errors import CorruptFile, DatasetError
from geomeld.core.tile import Tile
from geomeld.dataset import open_dataset, update_metadata
from geomeld.dataset.check import check
from geomeld.dataset.index import index_path, load_index, make_index
from geomeld.dataset.sample import decode, encode, metadata_of
from geomeld.loader import Loader
from geomeld.modalities import MODALITIES
from geomeld.models.spec import LayerSpec
from geomeld.testing import fake_tile, tiny_dataset

TILE = fake_tile(11622631, lon=-84.879064, lat=29.662093, without=("naip", "surface_water"))
FACTS = {"tile_id": 11622631, "lat": 29.662093, "long": -84.879064, "acquisition_date": "2022-01-23"}


def stored(tile: Tile) -> dict[str, np.ndarray]:
    """The arrays of a tile as they lie in a file."""
    return {n: MODALITIES[n].with_no_data(x.values, x.valid) for n, x in tile.layers.items()}


def put(shard: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    shard.addfile(info, io.BytesIO(data))


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def as_hdf5(arrays: dict[str, np.ndarray], document: object, **how: object) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **{k: array.shape if v == "whole" else v for k, v in how.items()})
        file["metadata"] = document
    return buffer.getvalue()


def one_hdf5(folder: Path, arrays: dict[str, np.ndarray], document: object, **how: object) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "geomeld_0.tar", "w") as shard:
        put(shard, f"{FACTS['tile_id']}.h5", as_hdf5(arrays, document, **how))
    return folder


def one_npy(folder: Path, arrays: dict[str, np.ndarray], document: dict) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "geomeld-00004.tar", "w") as shard:
        for name, array in arrays.items():
            put(shard, f"./part/{FACTS['tile_id']}.{name}.npy", npy(array))
        put(shard, f"./part/{FACTS['tile_id']}.metadata.json", json.dumps(document).encode())
        put(shard, "README.md", b"no tile")
    return folder


TEXT = json.dumps(FACTS)
FORMS = {
    "bytes": lambda f, a: one_hdf5(f, a, np.bytes_(TEXT)),
    "str": lambda f, a: one_hdf5(f, a, TEXT),
    "array of str": lambda f, a: one_hdf5(f, a, np.array([TEXT], dtype=h5py.string_dtype())),
    "chunked": lambda f, a: one_hdf5(f, a, TEXT, chunks=(1, 128, 128)),
    "one chunk": lambda f, a: one_hdf5(f, a, TEXT, chunks="whole"),
    "compressed": lambda f, a: one_hdf5(f, a, np.bytes_(TEXT), compression="gzip", shuffle=True),
    "big-endian": lambda f, a: one_hdf5(f, {n: x.astype(x.dtype.newbyteorder(">")) for n, x in a.items()}, TEXT),
    "npy": lambda f, a: one_npy(f, a, FACTS),
    "npy, columns first": lambda f, a: one_npy(f, {n: np.asfortranarray(x) for n, x in a.items()}, FACTS),
    "npy, flat labels": lambda f, a: one_npy(f, {n: x[0] if len(x) == 1 else x for n, x in a.items()}, FACTS),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_tile_reads_the_same_from_every_form(tmp_path: Path, form: str) -> None:
    dataset = open_dataset(FORMS[form](tmp_path / "d", stored(TILE)))
    tile = dataset[FACTS["tile_id"]]
    assert set(tile.layers) == set(TILE.layers)
    for name, layer in tile.layers.items():
        ours = TILE.layers[name]
        np.testing.assert_array_equal(layer.valid, ours.valid)
        np.testing.assert_array_equal(layer.values[layer.valid], ours.values[ours.valid])
        assert layer.values.dtype == MODALITIES[name].dtype
        assert layer.values.flags.c_contiguous
    assert dataset.metadata(tile.tile_id) == FACTS
    assert set(dataset.read(tile.tile_id, ["aster"]).layers) == {"aster"}
    member = load_index(dataset.shards[0]).members[0]
    assert (member.arrays["aster"].offset is None) is (form in ("chunked", "compressed"))
    if form in ("bytes", "str"):
        assert member.arrays["metadata"].offset is not None, "metadata that lie in the file whole are read in place"
    assert load_index(dataset.shards[0]) == make_index(dataset.shards[0])


@pytest.mark.parametrize("form", ["str", "compressed", "npy", "npy, columns first"])
def test_metadata_of_every_form_can_be_updated(tmp_path: Path, form: str) -> None:
    path = FORMS[form](tmp_path / "d", stored(TILE))
    before = open_dataset(path)[FACTS["tile_id"]]
    update_metadata(path, {FACTS["tile_id"]: {"caption": "A lake."}})
    after = open_dataset(path)[FACTS["tile_id"]]
    assert after.caption == "A lake."
    for name, layer in before.layers.items():
        np.testing.assert_array_equal(after.layers[name].values, layer.values)
        np.testing.assert_array_equal(after.layers[name].valid, layer.valid)
    shard = open_dataset(path).shards[0]
    assert load_index(shard) == make_index(shard)


def test_nine_bands_of_a_tile_with_a_photograph_find_their_names(tmp_path: Path) -> None:
    arrays = stored(TILE)
    arrays["sentinel2"] = np.delete(arrays["sentinel2"], [1, 2, 3], axis=0)
    for form in ("str", "npy"):
        layer = open_dataset(FORMS[form](tmp_path / form, arrays))[FACTS["tile_id"]].layers["sentinel2"]
        assert not layer.valid[1:4].any()
        np.testing.assert_array_equal(layer.valid[4:], TILE.layers["sentinel2"].valid[4:])


@pytest.mark.parametrize("said", [None, "raw", "shifted"])
def test_raw_and_shifted_labels(tmp_path: Path, said: str | None) -> None:
    raw = np.resize(np.arange(9, dtype=np.uint8).repeat(300), (1, 128, 128))
    document = FACTS | ({} if said is None else {"dynamic_world_encoding": said})
    for name, labels in (("raw", raw), ("shifted", raw + 1)):
        path = one_npy(tmp_path / name, stored(TILE) | {"dynamic_world": labels}, document)
        layer = open_dataset(path)[FACTS["tile_id"]].layers["dynamic_world"]
        if said in (None, name):
            np.testing.assert_array_equal(layer.values, raw + 1)
            assert layer.valid.all()


def test_shards_with_photographs_lie_beside_the_others(tmp_path: Path) -> None:
    photographed = replace(fake_tile(5, without=()), metadata={})
    for name, tile in (("geomeld-00004.tar", fake_tile(4)), ("geomeld-00004_n.tar", photographed)):
        with tarfile.open(tmp_path / name, "w") as shard:
            put(shard, f"{tile.tile_id}.h5", encode(tile))
    dataset = open_dataset(tmp_path)
    assert dataset.tile_ids == [4, 5]
    assert [dataset[t].layers.get("naip") is None for t in dataset.tile_ids] == [True, False]
    assert dataset[5].layers["naip"].values.shape == (3, 1280, 1280)


def test_damaged_members_are_left_out_counted_and_reported(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 6, shard_size=6)
    shard = dataset.shards[0]
    members = load_index(shard).members
    data = bytearray(shard.read_bytes())
    data[members[1].offset : members[1].offset + 300] = bytes(300)  # no HDF5 file any more
    at = members[3].arrays["metadata"].offset
    data[at : at + 5] = b"#####"  # no JSON
    shard.write_bytes(data)
    index_path(shard).unlink()
    left = open_dataset(tmp_path / "d")
    assert left.tile_ids == [1, 3, 5, 6]
    assert set(left.damaged) == {2, 4}
    for tile_id in (2, 4):
        with pytest.raises(CorruptFile, match=f"Tile {tile_id} in"):
            left[tile_id]
        assert any(f"Tile {tile_id} in" in problem for problem in check(tmp_path / "d"))
    # Damage that comes after the index was made is met when the tile is read.
    data = bytearray(shard.read_bytes())
    at = members[4].arrays["metadata"].offset
    data[at : at + 5] = b"#####"
    shard.write_bytes(data)
    table = [MODALITIES["aster"]]
    loader = Loader(left, left.tile_ids, table, {"aster": LayerSpec.of(table[0])}, 4, workers=0)
    assert len(loader.batch(0)) == 3
    assert set(loader.skipped) == {2, 4, 5}, "what the dataset left out counts as skipped"
    with pytest.raises(CorruptFile, match="tile 5"):
        replace(loader, strict=True, skipped={}).batch(0)
    update_metadata(tmp_path / "d", {1: {"caption": "A lake."}, 3: {"caption": "A sea."}})
    again = open_dataset(tmp_path / "d")
    assert (set(again.damaged), again[3].caption) == ({2, 4}, "A sea.")
    with pytest.raises(CorruptFile, match="tile 5"):
        again[5]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("7.sentinel2.npy", npy(np.array([{"a": 1}], dtype=object)), "pickled"),
        ("7.sentinel2.npy", npy(np.ones((12, 128, 128), np.float32))[:-7], "bytes for"),
        ("7.sentinel2.npy", b"no array", "cannot be read"),
        ("7.metadata.json", b"{", "make no tile"),
        ("7.metadata.json", b"[1]", "make no tile"),
    ],
)
def test_a_damaged_npy_tile_is_named(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    files = {
        "7.sentinel2.npy": npy(stored(TILE)["sentinel2"]),
        "7.metadata.json": json.dumps(FACTS | {"tile_id": 7}).encode(),
    }
    with tarfile.open(tmp_path / "geomeld_0.tar", "w") as shard:
        for key, content in (files | {name: data}).items():
            put(shard, key, content)
        put(shard, "8.h5", encode(fake_tile(8)))
    dataset = open_dataset(tmp_path)
    assert dataset.tile_ids == [8]
    with pytest.raises(CorruptFile, match=f"Tile 7 in .*{said}"):
        dataset[7]
    update_metadata(tmp_path, {8: {"caption": "A lake."}})
    assert open_dataset(tmp_path).damaged.keys() == {7}


def test_links_and_paths_in_a_tar_lead_nowhere(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "geomeld_0.tar", "w") as shard:
        for kind, name, target in ((tarfile.SYMTYPE, "1.h5", "/etc/passwd"), (tarfile.LNKTYPE, "2.h5", "../../x")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            shard.addfile(info)
        put(shard, "../../3.h5", encode(fake_tile(3)))
    assert open_dataset(tmp_path).tile_ids == [3]


def test_a_tile_twice_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "geomeld_0.tar", "w") as shard:
        put(shard, "3.h5", encode(fake_tile(3)))
        put(shard, "3.h5", encode(fake_tile(3)))
    with pytest.raises(DatasetError, match="twice"):
        open_dataset(tmp_path)


def test_metadata_written_here_are_those_read_back() -> None:
    tile = fake_tile(3)
    assert metadata_of(decode(encode(tile))) == metadata_of(tile)
