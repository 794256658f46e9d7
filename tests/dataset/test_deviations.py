"""`geomeld check` says in which variant a dataset is stored, and that nothing is wrong with it."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from geomeld.cli.check import main
from geomeld.dataset import open_dataset
from geomeld.dataset.export import export
from geomeld.dataset.variants import deviations
from geomeld.testing import fake_tile, tiny_dataset
from tests.dataset.test_variants import FACTS, as_hdf5, npy, put, stored

TILE = fake_tile(FACTS["tile_id"], lon=FACTS["long"], lat=FACTS["lat"], without=("naip", "surface_water"))


def shard_of(folder: Path, arrays: dict[str, np.ndarray], document: object, **how: object) -> Path:
    folder.mkdir()
    with tarfile.open(folder / "geomeld-00004.tar", "w") as shard:
        put(shard, f"{FACTS['tile_id']}.h5", as_hdf5(arrays, document, **how))
    return folder


def labels(values: list[int]) -> dict[str, np.ndarray]:
    """The arrays with land-cover labels of these values in turn."""
    plane = np.resize(np.array(values, np.uint8), (1, 128, 128))
    return stored(TILE) | {"dynamic_world": plane}


def test_what_is_built_here_deviates_in_nothing(tmp_path: Path) -> None:
    assert deviations(tiny_dataset(tmp_path, 2)) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raw", "by their values raw (0 is the first class)"),
        ("shifted", "by their values shifted by one (0 is no data)"),
        ("stated raw", "labels are raw (0 is the first class); read as label + 1"),
        ("nine bands", "sentinel2 has 9 bands, without B2 B3 B4; those are read as invalid"),
        ("another order", "B8A B8"),
        ("doubles", "aster is stored as float64, not float32; converted"),
        ("compressed", "chunked or compressed"),
        ("flat", "esa_worldcover is flat, without an axis of bands"),
        ("captions", "the caption is under `captions`"),
    ],
)
def test_each_variant_is_explained(name: str, said: str, tmp_path: Path) -> None:
    arrays, facts, how = stored(TILE), dict(FACTS), {}
    match name:
        case "raw":
            arrays = labels([0, 1, 8])
        case "shifted":
            arrays = labels([1, 2, 9])
        case "stated raw":
            arrays, facts = labels([0, 1, 8]), {**FACTS, "dynamic_world_encoding": "raw"}
        case "nine bands":
            arrays["sentinel2"] = np.delete(arrays["sentinel2"], [1, 2, 3], axis=0)
        case "another order":
            bands = ["B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8A", "B8", "B9", "B11", "B12"]
            facts = {**FACTS, "band_names": {"sentinel2": bands}}
        case "doubles":
            arrays["aster"] = arrays["aster"].astype(np.float64)
        case "compressed":
            how = {"compression": "gzip"}
        case "flat":
            arrays["esa_worldcover"] = arrays["esa_worldcover"][0]
        case "captions":
            facts = {**FACTS, "captions": ["Fields lie on flat land."]}
    notes = deviations(open_dataset(shard_of(tmp_path / "d", arrays, json.dumps(facts), **how)))
    assert any(said in note for note in notes), notes
    plain = deviations(open_dataset(shard_of(tmp_path / "plain", labels([1, 2, 9]), json.dumps(FACTS))))
    assert name == "shifted" or not any(said in note for note in plain)


def test_the_npy_form_is_named(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    with tarfile.open(tmp_path / "d" / "geomeld_0.tar", "w") as shard:
        for name, array in stored(TILE).items():
            put(shard, f"{FACTS['tile_id']}.{name}.npy", npy(array))
        put(shard, f"{FACTS['tile_id']}.metadata.json", json.dumps(FACTS).encode())
    assert any(".npy members" in note for note in deviations(open_dataset(tmp_path / "d")))


def test_published_shards_have_notes_and_no_violation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export(tiny_dataset(tmp_path / "own", 2), tmp_path / "published")
    assert main([str(tmp_path / "published")]) == 0
    said = capsys.readouterr().out
    assert "note: no manifest" in said
    assert "note: 2 of 2 tiles: metadata have the published fields alone" in said
    assert main([str(tmp_path / "published"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["violations"] == []


def test_a_dataset_of_this_project_without_its_manifest_is_not_taken_for_published(tmp_path: Path) -> None:
    dataset = tiny_dataset(tmp_path, 2)
    (tmp_path / "manifest.json").unlink()
    assert main([str(dataset.path)]) == 1
