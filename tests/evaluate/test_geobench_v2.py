"""GEO-Bench v2 is read from its tortilla files: bands by name, labels by name or place, and damage is told."""

import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geomeld.cli import geobench as verb
from geomeld.core.errors import CorruptAsset, CorruptFile, DatasetError, MissingAsset, UsageError
from geomeld.core.retry import Retry
from geomeld.evaluate.encoders import open_encoder
from geomeld.evaluate.geobench import Hub, fetch
from geomeld.evaluate.geobench_v2 import SETS_V2, open_set_v2, reader
from geomeld.evaluate.geobench_v2.tortilla import entries
from geomeld.evaluate.menu import geobench_tasks
from geomeld.evaluate.task import SIMULATED, TaskKind
from geomeld.testing.geobench_v2 import geotiff, simulated_set_v2, tortilla, write_set_v2
from geomeld.testing.hub import serve_hub

SIDE = 6


def samples(name: str) -> dict[str, list]:
    """Band number k of sample i is k * 100 + i and a chequerboard: who reads a wrong band or sample sees it."""
    record, made = SETS_V2[name], []
    board = np.indices((SIDE, SIDE)).sum(0) % 2
    for i in range(5):
        planes = np.stack([board + k * 100 + i for k in range(len(record.bands))])
        image = (planes * 1e-4).astype(np.float32) if record.unit == 1e4 else planes.astype(np.int16)
        label = {
            TaskKind.MULTICLASS: i,
            TaskKind.MULTILABEL: [record.class_names[j] for j in range(i % 3 + 1)],
            TaskKind.SEGMENTATION: np.where(board, i % 2, record.missing or 0).astype(np.int16),
        }[record.kind]
        made.append((image, label))
    return {"train": made[:3], "validation": made[3:4], "test": made[4:]}


@pytest.fixture
def benv2(tmp_path: Path) -> Path:
    return write_set_v2(tmp_path, "benv2", samples("benv2"))[0]


@pytest.mark.parametrize("name", list(SETS_V2))
def test_bands_come_by_name_and_labels_as_they_are(tmp_path, name):
    given = samples(name)
    opened = open_set_v2(write_set_v2(tmp_path, name, given)[0])
    record, flat = opened.record, [s for split in given.values() for s in split]
    assert opened.names == {
        "train": ("sample_0", "sample_1", "sample_2"),
        "valid": ("sample_3",),
        "test": ("sample_4",),
    }
    assert opened.size == SIDE
    for chosen in (opened, open_set_v2(tmp_path, record.bands[::-1])):
        for i, (image, label) in enumerate(flat):
            sample = chosen.sample(f"sample_{i}")
            expected = image.astype(np.float32) * np.float32(record.unit)
            order = [record.bands.index(band) for band in chosen.bands]
            np.testing.assert_array_equal(sample.values, expected[order])
            assert sample.valid.all()
            if record.kind is TaskKind.MULTILABEL:
                label = [int(c in label) for c in record.class_names]
            elif record.missing is not None:
                label = np.where(label == record.missing, len(record.class_names) - 1, label)
            np.testing.assert_array_equal(sample.label, label)
    train = np.stack([opened.sample(n).values for n in opened.names["train"]]).astype(float)
    own = opened.own_scale()
    np.testing.assert_allclose(own.mean, train.mean((0, 2, 3)), rtol=1e-5)
    np.testing.assert_allclose(own.std, train.std((0, 2, 3)), rtol=1e-3)


def test_a_band_of_radar_is_not_taken_for_b7(tmp_path):
    given = samples("so2sat")
    assert "B7" in open_set_v2(write_set_v2(tmp_path / "reflectance", "so2sat", given)[0]).bands
    given["train"][0][0][5, 0, 0] = -0.01  # as radar has, and reflectance has not
    folder = tmp_path / "radar"
    opened = open_set_v2(write_set_v2(folder, "so2sat", given)[0], ("B6", "B7", "B8"), fill="mask")
    sample = opened.sample("sample_0")
    assert sample.valid.tolist() == [True, False, True]
    assert not sample.values[1].any()
    assert np.isnan(opened.own_scale().mean).tolist() == [False, True, False]
    with pytest.raises(UsageError, match=r'so2sat has no band B7; it has B2, .*fill="mask"'):
        open_set_v2(folder, ("B6", "B7"))


def test_parts_are_one_set(tmp_path, benv2):
    whole = open_set_v2(benv2)
    files = write_set_v2(tmp_path / "parts", "benv2", samples("benv2"), parts=2)
    opened = open_set_v2(files[1])
    assert sorted(n for split in opened.names.values() for n in split) == sorted(whole.entries)
    for name in whole.entries:
        np.testing.assert_array_equal(opened.sample(name).values, whole.sample(name).values)
    files[0].unlink()
    with pytest.raises(DatasetError, match="is one of 2 parts, and 1 are here"):
        open_set_v2(files[1])


def test_the_fingerprint_tells_labels_and_splits_apart(tmp_path, benv2):
    first = open_set_v2(benv2).fingerprint()
    assert first == open_set_v2(shutil.copytree(benv2.parent, tmp_path / "again")).fingerprint()
    other = samples("benv2")
    other["train"][0] = (other["train"][0][0], ["Marine waters"])
    assert first != open_set_v2(write_set_v2(tmp_path / "b", "benv2", other)[0]).fingerprint()


def test_pixels_that_are_no_numbers_and_splits_without_images_are_told_with_the_file(tmp_path):
    given = samples("burn_scars")
    given["test"][0][0][1, 2, 3] = np.nan
    opened = open_set_v2(write_set_v2(tmp_path, "burn_scars", given)[0])
    assert np.isfinite(opened.sample("sample_3").values).all()
    band = opened.record.bands[1]
    with pytest.raises(CorruptFile, match=rf"geobench_burn_scars.tortilla: the image of sample_4: 1 of .*in {band}\)"):
        opened.sample("sample_4")
    with pytest.raises(DatasetError, match=r"geobench_benv2.tortilla has no image for valid: .*fetch the file again"):
        open_set_v2(write_set_v2(tmp_path / "b", "benv2", samples("benv2") | {"validation": []})[0])


def test_what_is_no_set_or_damaged_is_told(tmp_path, benv2):
    with pytest.raises(UsageError, match="There is no file"):
        open_set_v2(tmp_path / "geobench_benv2.taco")
    with pytest.raises(UsageError, match="holds no set of GEO-Bench v2"):
        open_set_v2(shutil.copytree(tmp_path, tmp_path / "x", ignore=lambda *_: ["geobench_benv2.tortilla", "x"]))
    stranger = tmp_path / "geobench_pastis.tortilla"
    shutil.copy(benv2, stranger)
    with pytest.raises(UsageError, match=r"geobench_pastis.tortilla is no set that can be read; there are benv2"):
        open_set_v2(stranger)
    whole = benv2.read_bytes()
    for bytes_, error, why in (
        (whole[:-10], CorruptFile, "is cut off: its table should end"),
        (whole[:9], CorruptFile, "is cut off"),
        (b"PK" + whole[2:], DatasetError, "holds no tortilla at byte 0"),
        (whole[:-40] + bytes(40), CorruptFile, "no readable table"),
    ):
        benv2.write_bytes(bytes_)
        with pytest.raises(error, match=why):
            open_set_v2(benv2)
    inner = entries_of(whole, benv2)[0]
    benv2.write_bytes(whole[: inner.offset + 200] + bytes(inner.length - 200) + whole[inner.offset + inner.length :])
    with pytest.raises(CorruptFile, match="no readable table"):
        open_set_v2(benv2).sample("sample_0")


def entries_of(content: bytes, path: Path) -> list:
    path.write_bytes(content)
    return entries(path)


@pytest.mark.parametrize(
    ("image", "label", "split", "why"),
    [
        (np.zeros((12, 6, 6), np.int16), ["Sea"], "train", r"labelled \['Sea'\], which is no class of benv2"),
        (np.zeros((12, 5, 6), np.int16), ["Pastures"], "train", r"image of sample_1 is \(12, 5, 6\), not \(12, 6, 6\)"),
        (np.zeros((11, 6, 6), np.int16), ["Pastures"], "train", r"image of sample_1 is \(11, 6, 6\)"),
        (np.zeros((12, 6, 6), np.int16), ["Pastures"], "dev", r"sample_1 is in no split \(dev\)"),
    ],
)
def test_a_wrong_sample_is_told(tmp_path, image, label, split, why):
    good = samples("benv2")["train"][0]
    given = {"train": [good], split if split != "train" else "test": [(image, label)], "validation": [good]}
    (path,) = write_set_v2(tmp_path, "benv2", given)
    with pytest.raises(DatasetError, match=why):
        open_set_v2(path).sample("sample_1")


def test_statistics_are_computed_once_for_all_encoders(tmp_path, benv2, monkeypatch):
    real, images = reader._raster, []
    monkeypatch.setattr(reader, "_raster", lambda entry: images.append(entry) or real(entry))
    (open_task,) = geobench_tasks(benv2, cache=tmp_path / "kept").values()
    first = open_task(open_encoder("random:atto")).own_scale()
    assert images
    images.clear()
    again = open_task(open_encoder("random:atto", ("B4", "B10", "B2"))).own_scale()
    assert not images
    fresh = open_set_v2(benv2, ("B4", "B10", "B2"), fill="mask").own_scale()
    for scale in (again, fresh):
        np.testing.assert_array_equal(scale.mean, [first.mean[3], np.nan, first.mean[1]])
        np.testing.assert_array_equal(scale.std, [first.std[3], np.nan, first.std[1]])
    images.clear()
    write_set_v2(tmp_path, "benv2", samples("benv2") | {"train": samples("benv2")["test"]})
    assert open_task(open_encoder("random:atto")).own_scale().mean[0] == 4.5
    assert images


def test_a_partition_of_a_set_that_has_none_is_refused(benv2):
    (open_task,) = geobench_tasks(benv2, "0.10x").values()
    with pytest.raises(UsageError, match=r"benv2 is of GEO-Bench v2, which has no partitions; leave --partition out"):
        open_task(open_encoder("random:atto"))


def test_a_sample_named_twice_would_leak(tmp_path):
    inner = tortilla([(geotiff(np.zeros((12, 6, 6), np.int16)), {"tortilla:id": "s2"})])
    rows = [(inner, {"tortilla:id": "a", "tortilla:data_split": split}) for split in ("train", "test")]
    (tmp_path / "geobench_benv2.tortilla").write_bytes(tortilla(rows))
    with pytest.raises(CorruptFile, match="names a twice"):
        open_set_v2(tmp_path)


def test_the_simulated_earth_fills_a_set_that_the_menu_finds(tmp_path):
    path = simulated_set_v2(tmp_path / "cloudsen12", "cloudsen12", (1, 1, 1))
    opened = open_set_v2(path)
    for folder in (tmp_path, path.parent, path):
        menu = geobench_tasks(folder)
        assert list(menu) == ["cloudsen12"]
        task = menu["cloudsen12"](open_encoder("random:atto", ("B4", "B8", "B10")))
        np.testing.assert_array_equal(task.sample("sample_0").values[:2], opened.sample("sample_0").values[[3, 7]])
        assert task.sample("sample_0").valid.tolist() == [True, True, False]
    nir, red = (opened.sample("sample_0").values[opened.bands.index(b)] for b in ("B8", "B4"))
    assert 0 < np.median(nir) < 10000
    assert (nir != red).any()


def test_an_image_that_was_blown_up_is_read_as_it_was_taken(tmp_path):
    small = samples("treesatai")
    at = np.arange(304) * SIDE // 304
    large = {split: [(image[:, at][:, :, at], label) for image, label in made] for split, made in small.items()}
    here, there = (open_set_v2(write_set_v2(tmp_path / n, "treesatai", s)[0]) for n, s in (("a", small), ("b", large)))
    assert there.size == here.size == SIDE
    for name in here.entries:
        np.testing.assert_array_equal(there.sample(name).values, here.sample(name).values)
    torn = large["train"][0][0].copy()
    torn[0, 5, 5] += 1  # no longer six by six pixels
    opened = open_set_v2(write_set_v2(tmp_path / "c", "treesatai", large | {"test": [(torn, ["Abies"])]})[0])
    with pytest.raises(CorruptFile, match=r"sample_4 is \(12, 304, 304\), not \(12, 6, 6\)"):
        opened.sample("sample_4")


def test_bands_behind_those_of_the_set_are_left_out(tmp_path):
    given = samples("cloudsen12")
    more = {s: [(np.concatenate([i, i[:2] * 0]), label) for i, label in made] for s, made in given.items()}
    opened = open_set_v2(write_set_v2(tmp_path, "cloudsen12", more)[0])
    np.testing.assert_array_equal(opened.sample("sample_1").values, given["train"][1][0])
    too_many = {s: [(np.concatenate([i, i[:3]]), label) for i, label in made] for s, made in given.items()}
    with pytest.raises(CorruptFile, match=r"\(15, 6, 6\), not \(12, 6, 6\)"):
        open_set_v2(write_set_v2(tmp_path, "cloudsen12", too_many)[0]).sample("sample_0")


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("name", ["treesatai", "cloudsen12"])
def test_the_simulated_sets_are_laid_out_as_the_published_ones(tmp_path, name):
    path = simulated_set_v2(tmp_path, name, (1, 1, 1))
    opened = open_set_v2(path)
    with rasterio.open(io.BytesIO(entries(path)[0].inside()[opened.record.image].read())) as image:
        assert (image.count, image.width) == {"treesatai": (12, 304), "cloudsen12": (14, 32)}[name]
    assert opened.size == {"treesatai": 6, "cloudsen12": 32}[name]
    assert opened.traps[0] == SIMULATED
    assert opened.record.splits is None


def test_a_set_is_fetched_checked_and_shown(tmp_path, capsys):
    given = samples("cloudsen12")
    file = write_set_v2(tmp_path / "hub", "cloudsen12", given)[0]
    out, path = tmp_path / "out", tmp_path / "out" / "cloudsen12" / file.name
    with serve_hub(tmp_path / "hub", "aialliance/cloudsen12") as server:
        (out / ".fetch").mkdir(parents=True)
        (out / ".fetch" / f".{file.name}.part").write_bytes(bytes(1000))  # of other bytes
        version = f'"{hashlib.sha256(file.read_bytes()).hexdigest()}"'
        (out / ".fetch" / f".{file.name}.part.json").write_text(json.dumps({"version": version}))
        with pytest.raises(CorruptAsset, match="other bytes than the Hub lists"):
            fetch("cloudsen12", out, Hub(server.endpoint, retry=Retry(tries=1)))
        assert not path.exists()
        assert verb.main(["fetch", "cloudsen12", "--out", str(out), "--hub", server.endpoint]) == 0
        assert path.read_bytes() == file.read_bytes()
        asked = len(server.asked)
        assert fetch("cloudsen12", out, Hub(server.endpoint)) == path
        assert len(server.asked) == asked
        with pytest.raises(MissingAsset, match=r"aialliance/benv2/tree/main"):
            fetch("benv2", out, Hub(server.endpoint, retry=Retry(tries=1)))
    assert list(geobench_tasks(out)) == ["cloudsen12"]
    capsys.readouterr()
    for shown, pick in ((out, 0), (path, None)):
        assert verb.main(["show", str(shown), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        told = told if pick is None else told[pick]
        assert told["splits"] == {"train": 3, "valid": 1, "test": 1}
        assert not told["as_published"]
        assert told["first"]["B1"] == pytest.approx(given["train"][0][0][0].mean())
    assert verb.main(["show", str(out)]) == 0
    assert "three scenes are said" in capsys.readouterr().out
