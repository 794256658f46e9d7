"""GEO-Bench: bytes as published, bands by name, every known trap, bad input that is told apart, downloads that resume."""

import ast
import hashlib
import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from geomeld.cli import geobench as verb
from geomeld.core.errors import CorruptAsset, CorruptFile, DatasetError, UsageError
from geomeld.core.retry import Retry
from geomeld.evaluate.card import card_of
from geomeld.evaluate.geobench import SETS, Hub, TaskKind, fetch, open_set
from geomeld.evaluate.task import SIMULATED
from geomeld.modalities import MODALITIES
from geomeld.sources.simulated.truth import stratified_places
from geomeld.testing.geobench import Place, simulated_pixels, simulated_set, task_specs, write_sample, write_set
from geomeld.testing.hub import serve_hub

UTM35 = (
    'PROJCS["WGS 84 / UTM zone 35N",GEOGCS["WGS 84",DATUM["WGS_1984",SPHEROID["WGS 84",6378137,298.257223563,AUTHORITY["EPSG","7030"]],'
    'AUTHORITY["EPSG","6326"]],PRIMEM["Greenwich",0,AUTHORITY["EPSG","8901"]],UNIT["degree",0.0174532925199433,AUTHORITY["EPSG","9122"]],'
    'AUTHORITY["EPSG","4326"]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",27],'
    'PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["metre",1,AUTHORITY["EPSG","9001"]],'
    'AXIS["Easting",EAST],AXIS["Northing",NORTH],AUTHORITY["EPSG","32635"]]'
)
PLACE = Place((10.00570688714736, 0.0, 624602.2348443292, 0.0, -9.994088099999352, 4877286.033637), UTM35)
EUROSAT = "Industrial Buildings,Residential Buildings,Annual Crop,Permanent Crop,River,Sea and Lake,Herbaceous Vegetation,Highway,Pasture,Forest"
FOUR = ("m-bigearthnet", "m-so2sat", "m-cashew-plant", "m-SA-crop-type")


def images(name: str, n: int = 4) -> dict:
    """Samples whose band number k is k * 100 + sample everywhere: who reads a wrong band sees it."""
    record, made = SETS[name], []
    for i in range(n):
        kind = np.float32 if record.unit == 1e4 else np.int16
        factor = 1e-4 if record.unit == 1e4 else 1
        shape = (record.size, record.size)
        noise = np.indices(shape).sum(0) % 2
        bands = {key: ((noise + k * 100 + i) * factor).astype(kind) for k, key in enumerate(record.bands)}
        label = {
            TaskKind.MULTICLASS: i % record.classes,
            TaskKind.MULTILABEL: (np.arange(record.classes) % (i + 2) == 0).astype(np.int64),
            TaskKind.SEGMENTATION: np.full(shape, i % record.classes, np.int16),
        }[record.kind]
        made.append((bands, label))
    return {"train": made[:2], "valid": made[2:3], "test": made[3:]}


@pytest.fixture
def so2sat(tmp_path: Path) -> Path:
    return write_set(tmp_path, "m-so2sat", images("m-so2sat"))


def test_bytes_are_those_of_published_files(tmp_path):
    # SHA-256 of m-eurosat/id_1905.hdf5 with its pixels set to zero, of its attribute, and of the set's task_specs.pkl.
    bands = {key: np.zeros((64, 64), np.int16) for key in SETS["m-eurosat"].bands}
    path = tmp_path / "id_1905.hdf5"
    write_sample(path, bands, 1, PLACE)
    with h5py.File(path) as file:
        attribute = ast.literal_eval(file.attrs["pickle"])
    told = [
        hashlib.sha256(x).hexdigest()
        for x in (attribute, path.read_bytes(), task_specs(SETS["m-eurosat"], EUROSAT.split(",")))
    ]
    assert told == [
        "d6d5109d79da3ae389d072430f3776275c57bdd38ec481d004fc0b48b1fa3cc9",
        "4093ff520b4e34468415075a4623f66f924cb7216a71c3068f35068c25799273",
        "739502688693a3ba23f0f73744407eab79690560396bf5b91e46d75ba939f011",
    ]


@pytest.mark.parametrize("name", [*FOUR, "m-eurosat", "m-brick-kiln"])
def test_bands_come_by_name_and_labels_as_they_are(tmp_path, name):
    given = images(name)
    opened = open_set(write_set(tmp_path, name, given))
    record, flat = SETS[name], [s for split in given.values() for s in split]
    assert opened.names == {"train": ("id_0", "id_1"), "valid": ("id_2",), "test": ("id_3",)}
    # Backwards, so that no order of file or table can be right by chance.
    for chosen in (opened, open_set(opened.path, opened.bands[::-1])):
        key_of = {band: key for key, band in record.bands.items()}
        for i, (bands, label) in enumerate(flat):
            sample = chosen.sample(f"id_{i}")
            factor = record.unit or 1.0
            expected = np.stack([bands[key_of[band]].astype(np.float32) * np.float32(factor) for band in chosen.bands])
            np.testing.assert_array_equal(sample.values, expected)
            np.testing.assert_array_equal(sample.label, label)
            assert sample.valid.all()
            if record.kind is not TaskKind.SEGMENTATION:
                np.testing.assert_array_equal(opened.label_map()[f"id_{i}"], label)
    train = np.stack([s.values for s in opened.samples("train")])
    own = opened.own_scale()
    np.testing.assert_allclose(own.mean, train.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(own(train).std((0, 2, 3)), 1, rtol=1e-4)
    assert open_set(opened.path, partition="0.50x").names == {**opened.names, "train": ("id_0",)}


def test_wrong_names_on_disk_are_put_right():
    assert SETS["m-eurosat"].bands["12 - SWIR"] == "B8A"
    assert SETS["m-eurosat"].bands["08A - Vegetation Red Edge"] == "B9"
    assert SETS["m-brick-kiln"].bands["06 - Vegetation Red Edge"] == "B7"
    assert SETS["m-brick-kiln"].bands["09 - Water vapour"] == "B12"


def test_missing_bands_are_refused_masked_or_taken_from_neighbours(so2sat):
    with pytest.raises(UsageError, match=r"m-so2sat has no band B1, B9; it has .*fill=\"mask\".*fill=\"neighbour\""):
        open_set(so2sat, ("B1", "B2", "B9"))
    with pytest.raises(UsageError, match=r"no band B10; it has VH_real, .* at its end: random:atto:B4,B3,B2\)\.$"):
        open_set(so2sat, ("B10",), fill="mask")  # there is nothing to mask it beside
    masked = open_set(so2sat, ("B1", "B2", "B8A", "B9"), fill="mask")
    sample = masked.sample("id_0")
    assert sample.valid.tolist() == [False, True, True, False]
    assert not sample.values[~sample.valid].any()
    scaled = masked.own_scale()(sample.values, sample.valid)
    assert not scaled[~sample.valid].any()
    assert np.isfinite(scaled).all()
    near = open_set(so2sat, ("B1", "B2", "B8A", "B9"), fill="neighbour")
    sample = near.sample("id_0")
    np.testing.assert_array_equal(sample.values[[0, 3]], sample.values[[1, 2]])
    np.testing.assert_array_equal(near.own_scale().mean[[0, 3]], near.own_scale().mean[[1, 2]])
    with pytest.raises(UsageError, match="m-cashew-plant has no band B10"):
        open_set(write_set(so2sat.parents[1], "m-cashew-plant", images("m-cashew-plant")), ("B10",), fill="neighbour")


def test_statistics_of_so2sat_are_understood_in_either_unit(so2sat):
    before, path = open_set(so2sat).own_scale(), so2sat / "band_stats.json"
    stats = {b: {k: v * 1e4 for k, v in s.items()} for b, s in json.loads(path.read_text()).items()}
    path.write_text(json.dumps(stats))
    np.testing.assert_allclose(open_set(so2sat).own_scale().mean, before.mean, rtol=1e-6)


def test_statistics_of_pretraining_are_not_put_on_an_unknown_unit(tmp_path, so2sat):
    crops = open_set(write_set(tmp_path / "x", "m-SA-crop-type", images("m-SA-crop-type")), ("B4",))
    with pytest.raises(UsageError, match="no known unit"):
        crops.pretraining_scale((1000.0,), (500.0,))
    red = open_set(so2sat, ("B4",))
    values = red.sample("id_0").values
    np.testing.assert_allclose(red.pretraining_scale((1000.0,), (500.0,))(values), (values - 1000) / 500)


class Trap:
    def __reduce__(self):
        return os.mkdir, (str(Trap.where),)

    where: Path


def test_no_code_of_a_pickle_runs(so2sat, tmp_path):
    Trap.where = tmp_path / "taken"
    evil = pickle.dumps({"label": Trap()}, protocol=4)
    with h5py.File(so2sat / "id_0.hdf5", "a") as file:
        file.attrs["pickle"] = str(evil)
    opened = open_set(so2sat)
    with pytest.raises(CorruptFile, match=r"id_0.hdf5 is refused: it asks for posix.mkdir"):
        opened.sample("id_0")
    (so2sat / "task_specs.pkl").write_bytes(evil)
    with pytest.raises(CorruptFile, match=r"task_specs.pkl is refused: it asks for posix.mkdir"):
        open_set(so2sat)
    assert not Trap.where.exists()


def test_a_partition_has_one_name_and_what_is_listed_can_be_said(so2sat, capsys):
    verb.main(["show", str(so2sat), "--json"])
    listed = json.loads(capsys.readouterr().out)["partitions"]
    assert listed == ["0.50x", "default"]
    for name in listed:
        assert verb.main(["show", str(so2sat), "--partition", name]) == 0
    short, long = (open_set(so2sat, partition=name) for name in ("0.50x", "0.50x_train"))  # the package's own name
    assert len(short.names["train"]) == 1
    assert (short.partition, short.fingerprint()) == (long.partition, long.fingerprint())
    assert short.fingerprint() != open_set(so2sat).fingerprint()


def test_bad_input_is_told_apart(so2sat, tmp_path):
    with pytest.raises(UsageError, match=r"it holds sets; name one of them, e.g. .*m-so2sat"):
        open_set(tmp_path)
    (so2sat / "x").mkdir()
    with pytest.raises(UsageError, match="it lies inside a set"):
        open_set(so2sat / "x")
    with pytest.raises(UsageError, match="There is no folder"):
        open_set(tmp_path / "none")
    with pytest.raises(UsageError, match=r"no partition '0.03x'; it has 0.50x, default"):
        open_set(so2sat, partition="0.03x")
    older = shutil.copytree(so2sat, tmp_path / "classification_v0.9.1" / "m-so2sat")
    with pytest.raises(UsageError, match=r"is of classification_v0.9.1"):
        open_set(older)
    other = shutil.copytree(so2sat, tmp_path / "other" / "m-so2sat")
    (other / "task_specs.pkl").write_bytes(task_specs(SETS["m-eurosat"]))
    with pytest.raises(DatasetError, match="10 classes"):
        open_set(other)


def test_damage_is_told_with_file_and_remedy(so2sat):
    opened, whole = open_set(so2sat), (so2sat / "id_0.hdf5").read_bytes()
    (so2sat / "id_0.hdf5").write_bytes(whole[:5000])
    with pytest.raises(CorruptFile, match=r"id_0.hdf5 cannot be opened.*geomeld geobench fetch"):
        opened.sample("id_0")
    bands = images("m-so2sat")["train"][0][0]
    blue = next(key for key in bands if SETS["m-so2sat"].bands[key] == "B2")
    for gap in (np.nan, np.inf):
        write_sample(so2sat / "id_0.hdf5", bands | {blue: np.where(np.eye(32), np.float32(gap), bands[blue])}, 1, PLACE)
        with pytest.raises(CorruptFile, match=r"id_0.hdf5: 32 of 10,240 .* not numbers \(in B2\); .*geobench fetch"):
            opened.sample("id_0")
    write_sample(so2sat / "id_0.hdf5", images("m-so2sat")["train"][0][0], 17, PLACE)
    with pytest.raises(CorruptFile, match=r"id_0.hdf5 has labels 17..17, and m-so2sat has 0..16"):
        opened.sample("id_0")
    bands = dict(list(images("m-so2sat")["train"][0][0].items())[:-1])
    write_sample(so2sat / "id_0.hdf5", bands, 1, PLACE)
    with pytest.raises(CorruptFile, match="lacks band B12"):
        opened.sample("id_0")
    (so2sat / "id_0.hdf5").unlink()
    with pytest.raises(DatasetError, match=r"lacks 1 of the 4 samples of default_partition.json, id_0.hdf5 first"):
        open_set(so2sat)
    path = so2sat / "default_partition.json"
    path.write_text(path.read_text().replace("id_3", "id_1"))
    with pytest.raises(CorruptFile, match="names id_1 twice"):
        open_set(so2sat)


def archive(folder: Path, hub: Path) -> Path:
    path = hub / folder.parent.name / f"{folder.name}.zip"
    path.parent.mkdir(parents=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, f"../{folder.name}/{file.name}")  # what climbs out of a folder is put into it
    return path


def test_a_set_is_fetched_resumed_and_checked(so2sat, tmp_path, capsys):
    packed = archive(so2sat, tmp_path / "hub")
    out, href_name = tmp_path / "out", "m-so2sat.zip"
    with serve_hub(tmp_path / "hub", "recursix/geo-bench-1.0") as server:
        once = Hub(server.endpoint, retry=Retry(tries=1))
        data = packed.read_bytes()
        # What a killed download leaves: the beginning, and which version of the file it is of.
        (out / ".fetch").mkdir(parents=True)
        (out / ".fetch" / f".{href_name}.part").write_bytes(data[:1000])
        version = f'"{hashlib.sha256(data).hexdigest()}"'
        (out / ".fetch" / f".{href_name}.part.json").write_text(json.dumps({"version": version}))
        assert fetch("m-so2sat", out, once) == out / "classification_v1.0" / "m-so2sat"
        assert server.asked[-1][2] == "bytes=999-"
        for file in so2sat.iterdir():
            assert (out / "classification_v1.0" / "m-so2sat" / file.name).read_bytes() == file.read_bytes()
        asked = len(server.asked)
        assert verb.main(["fetch", "m-so2sat", "--out", str(out), "--hub", server.endpoint]) == 0
        assert len(server.asked) == asked
        assert verb.main(["show", str(out), "--json"]) == 0
        told = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert told[0]["splits"] == {"train": 2, "valid": 1, "test": 1}
        assert not told[0]["as_published"]
        # A beginning of other bytes ends in a file that the Hub does not list.
        shutil.rmtree(out)
        (out / ".fetch").mkdir(parents=True)
        (out / ".fetch" / f".{href_name}.part").write_bytes(bytes(1000))
        (out / ".fetch" / f".{href_name}.part.json").write_text(json.dumps({"version": version}))
        with pytest.raises(CorruptAsset, match="other bytes than the Hub lists"):
            fetch("m-so2sat", out, once)
        assert not (out / "classification_v1.0").exists()
        assert fetch("m-so2sat", out, once).is_dir()
        with pytest.raises(UsageError, match="no set 'm-none'"):
            fetch("m-none", out, once)


def test_labels_of_simulated_sets_are_what_their_class_is_called(tmp_path):
    """Trees where WorldCover has trees, whatever the classes of the set whose form it is."""
    cover = [c.name for c in MODALITIES["esa_worldcover"].kind.classes]
    for name, names in (("m-so2sat", cover), ("m-bigearthnet", cover), ("m-cashew-plant", ["no data", *cover])):
        opened = open_set(simulated_set(tmp_path, name, (1, 1, 1)))
        assert (opened.class_names, opened.classes) == (tuple(names), len(names))
        (lon, lat, _), *_ = stratified_places(0, 3)
        _, true = simulated_pixels(0, lon, lat, opened.size)
        label = opened.sample(opened.names["train"][0]).label
        if opened.kind is TaskKind.SEGMENTATION:
            assert (label == 1 + true).all()
        elif opened.kind is TaskKind.MULTILABEL:
            assert set(np.flatnonzero(label)) == {c for c in range(11) if (true == c).mean() >= 0.05}
        else:
            assert label == np.bincount(true.ravel()).argmax()
    real = open_set(write_set(tmp_path / "real", "m-so2sat", images("m-so2sat"), PLACE))
    assert (real.classes, real.class_names[10]) == (17, "Dense trees")


@pytest.mark.parametrize("name", FOUR)
def test_the_simulated_earth_fills_the_sets_of_the_paper(tmp_path, name):
    opened = open_set(simulated_set(tmp_path, name, (1, 1, 1)))
    samples = [next(opened.samples(split)) for split in opened.names]
    for sample in samples:
        nir, red = (sample.values[opened.bands.index(b)] for b in ("B8", "B4"))
        assert 0 < np.median(nir) < 10000
        assert (nir != red).any()
    assert len({s.values.tobytes() for s in samples}) == 3
    assert opened.traps[0] == SIMULATED
    as_many = replace(card_of(opened), published=card_of(opened).splits)  # by their number alone they would pass
    assert not card_of(opened).as_published
    assert as_many.as_published
