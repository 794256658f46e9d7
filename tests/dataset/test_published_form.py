"""Exported datasets are read by the programs that were written for the published files, and hold nothing else."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from geomeld.cli.export import main
from geomeld.core.errors import DatasetError
from geomeld.dataset import Dataset, write_dataset
from geomeld.dataset.export import MARK, export
from geomeld.testing import fake_tile

PUBLISHED = {
    "sentinel2": ((12, 128, 128), "float32"), "sentinel1": ((8, 128, 128), "float32"),
    "aster": ((2, 128, 128), "float32"), "canopy_height": ((2, 128, 128), "float32"),
    "esa_worldcover": ((1, 128, 128), "uint8"), "dynamic_world": ((1, 128, 128), "uint8"),
}  # fmt: skip
"""Shapes and types of the published samples without a photograph, as their dataset card has them."""
WITH_PHOTOGRAPH = PUBLISHED | {"naip": ((3, 1280, 1280), "uint16"), "sentinel2": ((9, 128, 128), "float32")}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Five tiles, two of them with a photograph, one with a caption and tags."""
    tiles = [fake_tile(k, without=() if k in (2, 4) else ("naip",)) for k in range(1, 6)]
    tiles[0].metadata["caption"] = "Fields lie on flat land."  # type: ignore[index]
    tiles[0].metadata["osm_tags"] = {"highway": ["service", "residential"], "natural": "water"}  # type: ignore[index]
    return write_dataset(tmp_path_factory.mktemp("export") / "dataset", tiles)


@pytest.fixture(scope="module")
def out(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "published"
    done = export(dataset, folder, shard_size=2)
    assert (done.tiles, done.with_photograph) == (5, 2)
    assert done.shards == ("geomeld-00000.tar", "geomeld-00001.tar", "geomeld-00000_n.tar")
    return folder


READER = """
import io, json, sys
import h5py, webdataset
for sample in webdataset.WebDataset(sys.argv[1:], shardshuffle=False):
    with h5py.File(io.BytesIO(sample["h5"]), "r") as file:
        arrays = {name: [list(x.shape), x.dtype.name] for name, x in file.items() if name != "metadata"}
        print(json.dumps([sample["__key__"], arrays, json.loads(file["metadata"][()])]))
"""
"""A program that knows the published files and nothing of this project."""


def test_a_webdataset_pipeline_reads_the_shards(dataset: Dataset, out: Path) -> None:
    shards = [str(p) for p in sorted(out.glob("*.tar"))]
    run = subprocess.run([sys.executable, "-c", READER, *shards], capture_output=True, text=True, check=True)
    samples = [json.loads(line) for line in run.stdout.splitlines()]
    assert sorted(int(key) for key, _, _ in samples) == dataset.tile_ids
    for key, arrays, metadata in samples:
        photographed = int(key) in (2, 4)
        wanted = WITH_PHOTOGRAPH if photographed else PUBLISHED
        assert arrays == {name: [list(shape), dtype] for name, (shape, dtype) in wanted.items()}
        assert (metadata["tile_id"], metadata["file_type_naip"]) == (int(key), photographed)
        assert len(metadata["band_names"]["sentinel2"]) == arrays["sentinel2"][0][0]


def test_nothing_but_published_fields_is_left(out: Path) -> None:
    known = {"tile_id", "lat", "long", "acquisition_date", "water_analysis", "band_names", "file_type_naip",
             "osm_tags", "terrain_class", "caption", "dynamic_world_encoding"}  # fmt: skip
    for shard in out.glob("*.tar"):
        with tarfile.open(shard) as tar:
            for member in tar:
                assert member.name.endswith(".h5")
                with h5py.File(io.BytesIO(tar.extractfile(member).read())) as file:  # type: ignore[union-attr]
                    assert set(json.loads(file["metadata"][()])) <= known


def test_pixels_are_those_of_the_dataset(dataset: Dataset, out: Path) -> None:
    again = Dataset(out)
    assert sorted(again.tile_ids) == dataset.tile_ids
    for tile_id in dataset.tile_ids:
        before, after = dataset[tile_id], again[tile_id]
        for name, layer in after.layers.items():
            for band in layer.bands:
                values, valid = layer.band(band)
                was, known = before.layers[name].band(band)
                if name == "sentinel2" and tile_id in (2, 4) and band in ("B2", "B3", "B4"):
                    assert not valid.any()
                    continue
                assert (valid == known).all()
                assert (values[valid] == was[valid]).all()


def test_tables_hold_a_row_per_tile(dataset: Dataset, out: Path) -> None:
    without = pd.read_parquet(out / "data" / "non_naip_metadata.parquet")
    assert list(without.source_file) == ["1.h5", "3.h5", "5.h5"]
    assert list(pd.read_parquet(out / "data" / "naip_metadata.parquet").tile_id) == [2, 4]
    tags = without.osm_tags[0]
    assert (list(tags["highway"]), list(tags["natural"])) == (["service", "residential"], ["water"])
    assert without.caption[0] == "Fields lie on flat land."
    assert without.osm_tags[1] is None


def test_an_interrupted_export_ends_in_the_same_bytes(dataset: Dataset, out: Path, tmp_path: Path) -> None:
    def contents(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    export(dataset, tmp_path / "again", shard_size=2)
    (tmp_path / "again" / "geomeld-00001.tar").unlink()
    (tmp_path / "again" / "data" / "naip_metadata.parquet").unlink()
    (tmp_path / "again" / "geomeld-00001.tar.77.partial").write_bytes(b"half")
    export(dataset, tmp_path / "again", shard_size=2)
    assert contents(tmp_path / "again") == contents(out)


def test_other_folders_are_left_alone(dataset: Dataset, out: Path, tmp_path: Path) -> None:
    other = write_dataset(tmp_path / "other", [fake_tile(9)])
    with pytest.raises(DatasetError, match="export of another dataset"):
        export(other, out)
    with pytest.raises(DatasetError, match="not empty"):
        export(other, dataset.path)
    with pytest.raises(DatasetError, match="the dataset itself"):
        export(other, other.path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="is a file"):
        export(other, tmp_path / "file")
    assert (out / MARK).exists()


def test_the_command_says_what_it_wrote(dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(dataset.path), "--out", str(tmp_path / "x"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["with_photograph"] == 2
    assert np.isin(["geomeld-00000.tar", "geomeld-00000_n.tar"], [p.name for p in (tmp_path / "x").iterdir()]).all()
