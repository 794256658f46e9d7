"""Packed shards: bit for bit what the dataset reads, made whole or not at all, never mixed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geomeld.core.errors import CorruptFile, DatasetError
from geomeld.core.tile import Layer, Tile
from geomeld.dataset import Dataset, open_dataset, update_metadata, write_dataset
from geomeld.dataset.check import check
from geomeld.dataset.codes import BYTES, EMPTY, RAW, WORDS, encode_band
from geomeld.dataset.packing import UNFINISHED, pack
from geomeld.modalities import MODALITIES
from geomeld.testing import fake_tile, tiny_dataset


def assert_bits_equal(a: Dataset, b: Dataset) -> None:
    assert a.tile_ids == b.tile_ids
    for tile_id in a.tile_ids:
        one, other = a[tile_id], b[tile_id]
        assert (one.anchor, one.grid, one.metadata) == (other.anchor, other.grid, other.metadata)
        assert a.metadata(tile_id) == b.metadata(tile_id)
        assert a.layers_of(tile_id) == b.layers_of(tile_id)
        assert list(one.layers) == list(other.layers)
        for name, layer in one.layers.items():
            there = other.layers[name]
            assert layer.values.dtype == there.values.dtype
            assert layer.values.tobytes() == there.values.tobytes(), name
            assert layer.valid.tobytes() == there.valid.tobytes(), name
            assert (layer.bands, layer.acquired, layer.product, layer.scenes) == (
                there.bands, there.acquired, there.product, there.scenes,
            )  # fmt: skip


def as_published(tile: Tile) -> Tile:
    """The tile with what the sensors really give: whole numbers, sixteenths of them, bands that are not there."""
    layers = dict(tile.layers)
    reflectance = np.round(layers["sentinel2"].values * 16) / 16
    reflectance[:4] = np.round(reflectance[:4])
    layers["sentinel2"] = replace(layers["sentinel2"], values=reflectance.astype(np.float32))
    seen = layers["sentinel1"].valid & (np.arange(8) % 4 < 2)[:, None, None]
    layers["sentinel1"] = replace(layers["sentinel1"], valid=seen)
    nowhere = np.zeros_like(layers["canopy_height"].valid)
    layers["canopy_height"] = replace(layers["canopy_height"], valid=nowhere)
    return replace(tile, layers=layers)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    tiles = [as_published(fake_tile(i + 1)) for i in range(5)]
    return write_dataset(tmp_path_factory.mktemp("packed") / "d", tiles, shard_size=2)


def test_every_tile_reads_bit_for_bit_as_before(dataset: Dataset, tmp_path: Path) -> None:
    done = pack(dataset, tmp_path / "p")
    packed = open_dataset(tmp_path / "p")
    assert_bits_equal(dataset, packed)
    assert set(packed.read(3, ["aster", "sentinel1"]).layers) == {"aster", "sentinel1"}
    assert repr(packed.statistics()) == repr(dataset.statistics())
    assert check(tmp_path / "p") == [problem.replace(".tar", ".packed") for problem in check(dataset.path)]
    assert done.bytes_after < 0.6 * done.bytes_before
    assert (done.tiles, done.shards, done.damaged) == (5, 3, {})
    with pytest.raises(KeyError, match="99"):
        packed[99]


def test_a_photograph_takes_a_byte_a_pixel_and_is_read_only_when_asked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = Layer(
        rng.integers(1, 255, (3, 1280, 1280)).astype(np.uint16), rng.random((3, 1280, 1280)) > 0.01, ("R", "G", "B")
    )
    tile = fake_tile(1)
    dataset = write_dataset(tmp_path / "d", [replace(tile, layers={**tile.layers, "naip": pixels})])
    done = pack(dataset, tmp_path / "p")
    assert done.bytes_before - done.bytes_after > 0.49 * pixels.values.nbytes
    packed = open_dataset(tmp_path / "p")
    assert_bits_equal(dataset, packed)
    assert set(packed.read(1, ["naip", "aster"]).layers) == {"naip", "aster"}


def test_the_same_bytes_from_any_number_of_processes_and_again(dataset: Dataset, tmp_path: Path) -> None:
    pack(dataset, tmp_path / "a")
    pack(dataset, tmp_path / "b", workers=2)
    files = {p.name: p.read_bytes() for p in (tmp_path / "a").glob("*.*")}
    assert files == {p.name: p.read_bytes() for p in (tmp_path / "b").glob("*.*")}
    times = {p: p.stat().st_mtime_ns for p in (tmp_path / "a").glob("*.packed")}
    pack(dataset, tmp_path / "a")
    assert times == {p: p.stat().st_mtime_ns for p in times}, "what is there is kept"


def test_a_killed_run_goes_on_and_ends_in_the_same_bytes(dataset: Dataset, tmp_path: Path) -> None:
    pack(dataset, tmp_path / "whole")
    whole = {p.name: p.read_bytes() for p in (tmp_path / "whole").glob("*.*")}
    code = (
        "import os, signal, sys; from pathlib import Path; from geomeld.dataset import open_dataset, packing\n"
        "real, left = packing.record, [int(sys.argv[3])]\n"
        "def record(*args):\n"
        "    left[0] -= 1\n"
        "    if left[0] < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(*args)\n"
        "packing.record = record\n"
        "packing.pack(open_dataset(sys.argv[1]), Path(sys.argv[2]))\n"
    )
    out = tmp_path / "p"
    for tiles in (1, 2):
        run = subprocess.run(
            [sys.executable, "-c", code, str(dataset.path), str(out), str(tiles)], capture_output=True, check=False
        )
        assert run.returncode == -signal.SIGKILL, run.stderr.decode()
    assert len(list(out.glob("*.packed"))) == 1, "the first shard was finished, the second one cut off"
    assert (out / UNFINISHED).exists()
    pack(dataset, out)
    assert {p.name: p.read_bytes() for p in out.glob("*.*")} == whole


def test_nothing_is_mixed(dataset: Dataset, tmp_path: Path) -> None:
    out = tmp_path / "p"
    pack(dataset, out)
    other = tiny_dataset(tmp_path / "other", 2)
    for folder, said in ((out, "another dataset"), (other.path, "another dataset|shards already")):
        with pytest.raises(DatasetError, match=said):
            pack(other, folder)
    with pytest.raises(DatasetError, match="packed already"):
        pack(open_dataset(out), tmp_path / "twice")
    with pytest.raises(DatasetError, match="is packed"):
        update_metadata(out, {1: {"caption": "A lake."}})
    shutil.copy(other.shards[0], out)
    with pytest.raises(DatasetError, match="tars and packed shards"):
        open_dataset(out)
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match="is a file"):
        pack(other, tmp_path / "file")
    update_metadata(other.path, {1: {"caption": "A lake."}})
    pack(open_dataset(other.path), tmp_path / "q")
    update_metadata(other.path, {1: {"caption": "A sea."}})
    with pytest.raises(DatasetError, match="before it was changed"):
        pack(open_dataset(other.path), tmp_path / "q")


def test_damage_is_found(dataset: Dataset, tmp_path: Path) -> None:
    pack(dataset, tmp_path / "p")
    shard = open_dataset(tmp_path / "p").shards[0]
    whole = shard.read_bytes()
    for end in (0, 7, 100, len(whole) // 2, len(whole) - 1):
        shard.write_bytes(whole[:end])
        with pytest.raises(CorruptFile, match=shard.name):
            open_dataset(tmp_path / "p")
    for place, said in (
        (-60, "index of"),
        (84, "Tile 1 in .* is damaged"),
        (20, "manifest"),
        (len(whole) // 4, "checksum"),
    ):
        data = bytearray(whole)
        data[place] ^= 255
        shard.write_bytes(data)
        assert any(re.search(said, problem) for problem in check(tmp_path / "p")), said
    data = bytearray(whole)
    data[84] ^= 255  # in the metadata of the first tile
    shard.write_bytes(data)
    with pytest.raises(CorruptFile, match="Tile 1 in"):
        open_dataset(tmp_path / "p")[1]
    assert open_dataset(tmp_path / "p")[2].tile_id == 2


def test_damaged_tiles_are_left_out_unless_asked(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path / "d", 3)
    shard = dataset.shards[0]
    data = bytearray(shard.read_bytes())
    at = data.find(b'"lat"')
    data[at : at + 5] = b'"lax"'
    shard.write_bytes(data)
    with pytest.raises(CorruptFile, match="Tile 1"):
        pack(open_dataset(dataset.path), tmp_path / "strict", strict=True)
    done = pack(open_dataset(dataset.path), tmp_path / "p")
    assert (done.tiles, set(done.damaged)) == (2, {1})
    packed = open_dataset(tmp_path / "p")
    assert packed.tile_ids == [2, 3]
    assert [f.tile_id for f in packed.manifest.failures] == [1]


numbers = st.floats(-1e4, 1e4, width=32)


@given(
    st.lists(numbers, min_size=4, max_size=4)
    | st.lists(st.integers(-3000, 70000).map(float), min_size=4, max_size=4)
    | st.lists(st.integers(0, 70000).map(lambda n: float(np.float32(n / 100))), min_size=4, max_size=4)
    | st.lists(st.integers(-70000, 70000).map(lambda n: n / 16), min_size=4, max_size=4),
    st.lists(st.booleans(), min_size=4, max_size=4),
)
def test_any_band_comes_back(values: list[float], valid: list[bool]) -> None:
    """By the formula in plain Python, against the encoder."""
    band, mask = np.array(values, np.float32).reshape(2, 2), np.array(valid).reshape(2, 2)
    code, hole, step, base, stored = encode_band(band, mask)
    for value, ok, number in zip(values, valid, stored.ravel().tolist() or [None] * 4, strict=True):
        if code == EMPTY:
            assert not ok
        elif code == RAW:
            assert ok == (number == number)
            assert not ok or np.float32(number).tobytes() == np.float32(value).tobytes()
        else:
            assert ok == (number != hole)
            assert not ok or np.float32(base + step * number).tobytes() == np.float32(value).tobytes()


@pytest.mark.parametrize(
    ("values", "valid", "code", "hole"),
    [
        ([0, 255, 3, 4], [1, 1, 1, 1], BYTES, -1),
        ([0, 255, 3, 4], [1, 1, 0, 1], WORDS, 256),
        ([7, 7, 7, 7], [1, 0, 1, 1], BYTES, 1),
        ([0, 65535, 1, 2], [1, 1, 1, 1], WORDS, -1),
        ([0, 65535, 1, 2], [1, 1, 0, 1], RAW, -1),
        ([-0.0, 1, 2, 3], [1, 1, 1, 1], RAW, -1),
        ([0.01, 0.02, 5.5, 1], [1, 1, 1, 1], WORDS, -1),
        ([1, 2, 3, 4], [0, 0, 0, 0], EMPTY, -1),
    ],
)
def test_how_a_band_is_stored(values: list[float], valid: list[int], code: int, hole: int) -> None:
    found = encode_band(np.array([values], np.float32), np.array([valid], bool))
    assert found[:2] == (code, hole)


def test_layers_of_every_dtype(tmp_path: Path) -> None:
    """Modalities that somebody adds: signed integers, doubles, every byte in use and a hole beside them."""
    import geomeld.dataset.packing as packing

    rng = np.random.default_rng(0)
    bands = {
        "i2": rng.integers(-500, 500, (1, 8, 8)),
        "u1": np.arange(256).reshape(1, 16, 16),
        "u2": rng.integers(0, 65536, (2, 8, 8)),
        "f8": rng.standard_normal((1, 8, 8)),
        "i4": rng.integers(10**9, 10**9 + 60000, (1, 8, 8)),
    }
    table, layers = {}, {}
    for dtype, values in bands.items():
        names = tuple(f"{dtype}{i}" for i in range(len(values)))
        table[dtype] = replace(MODALITIES["aster"], name=dtype, bands=names, dtype=dtype, no_data=-1)
        valid = rng.random(values.shape) > 0.1
        layers[dtype] = Layer(np.where(valid, values, 0).astype(dtype), valid, names)
    tile = replace(fake_tile(1), layers=layers)
    path = tmp_path / "x.packed"

    class One:
        """A volume of one tile."""

        tile_ids = (1,)
        metadata = staticmethod(lambda tile_id: json.loads(json.dumps(tile.metadata)))
        read = staticmethod(lambda tile_id, names: tile)

    with path.open("wb") as file:
        assert packing._write(file, One(), {}, table, True) == {}  # type: ignore[arg-type]
    back = packing.PackedVolume(path, table, packing.Ranges()).read(1, None)
    for dtype, layer in layers.items():
        assert back.layers[dtype].values.dtype == layer.values.dtype
        assert back.layers[dtype].values.tobytes() == layer.values.tobytes(), dtype
        assert back.layers[dtype].valid.tobytes() == layer.valid.tobytes(), dtype


def test_the_command_line(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    from geomeld.cli.pack import main

    assert main([str(dataset.path), "--out", str(tmp_path / "p"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tiles"] == 5
    assert main([str(dataset.path), "--out", str(tmp_path / "p")]) == 0
    assert "5 tiles in 3 shards" in capsys.readouterr().out
    with pytest.raises(DatasetError, match="does not exist"):
        main([str(tmp_path / "nothing"), "--out", str(tmp_path / "q")])
    assert os.listdir(tmp_path) == ["p"]
