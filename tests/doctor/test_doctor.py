"""Faults put into simulated tiles and real images are found, explained and mended; sound ones are left alone."""

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from geomeld.build.config import BuildConfig
from geomeld.build.plan import plan_tile
from geomeld.build.tile import build_tile
from geomeld.cli.doctor import main
from geomeld.core.errors import DatasetError, SourceError, UsageError
from geomeld.core.tile import Anchor, Layer, Tile
from geomeld.dataset import Dataset, write_dataset
from geomeld.doctor.cure import cure_dataset, cure_file
from geomeld.doctor.image import OPTICAL, Image, read_image
from geomeld.doctor.run import examine, examine_dataset, examine_file, images_of
from geomeld.sources.simulated import SimulatedSource

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the shared real data are not here")
PLACES = ((9.84, 57.23), (-63.1, -9.4), (31.2, 1.7))


@cache
def tiles() -> tuple[Tile, ...]:
    """Whole tiles of the simulated Earth, noise and all."""
    source, config = SimulatedSource(5), BuildConfig(naip=False)
    rows = [plan_tile(Anchor(k + 1, lon, lat, dt.date(2020, 6, 15)), source, config)
            for k, (lon, lat) in enumerate(PLACES)]  # fmt: skip
    return tuple(build_tile(row, source) for row in rows)


def with_layer(tile: Tile, name: str, change: Callable[[Layer], Layer]) -> Tile:
    return replace(tile, layers={**tile.layers, name: change(tile.layers[name])})


def exchanged(a: int, b: int) -> Callable[[Layer], Layer]:
    def change(layer: Layer) -> Layer:
        places = list(range(len(layer.bands)))
        places[a], places[b] = b, a
        return replace(layer, values=layer.values[places], valid=layer.valid[places])

    return change


def changed(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Layer], Layer]:
    return lambda x: replace(x, values=np.where(x.valid, change(x.values), x.values).astype(x.values.dtype))


FAULTS = {
    "offset of +1000": ("sentinel2", changed(lambda v: v + 1000)),
    "reflectance between 0 and 1": ("sentinel2", changed(lambda v: v / 10_000)),
    "B8 and B8A swapped": ("sentinel2", exchanged(7, 8)),
    "linear power": ("sentinel1", changed(lambda v: 10 ** (v / 10))),
    "VV and VH swapped asc": ("sentinel1", exchanged(0, 1)),
}


def symptoms(tile: Tile) -> set[str]:
    return {f.symptom for _, image in images_of(tile, "") for f in examine(image) if f.sure}


def test_sound_tiles_have_no_finding() -> None:
    assert [symptoms(t) for t in tiles()] == [set()] * len(PLACES)


@pytest.mark.parametrize("symptom", FAULTS)
def test_a_fault_is_found_and_mended(symptom: str, tmp_path: Path) -> None:
    name, fault = FAULTS[symptom]
    sound = [t for t in tiles() if name in t.layers and t.layers[name].valid[:2].all()]
    assert sound
    broken = write_dataset(tmp_path / "broken", [with_layer(t, name, fault) for t in sound])
    found = {f.symptom for r in examine_dataset(broken) for f in r.faults}
    assert found == {symptom}
    assert cure_dataset(broken, tmp_path / "mended") == {symptom: len(sound)}
    mended = Dataset(tmp_path / "mended")
    assert list(examine_dataset(mended)) == []
    for tile in sound:
        was, now = tile.layers[name], mended[tile.tile_id].layers[name]
        assert (was.valid == now.valid).all()
        np.testing.assert_allclose(now.values[now.valid], np.maximum(was.values[was.valid], -60), rtol=1e-3, atol=1e-3)
        assert "corrected" in now.product


def test_two_faults_at_once_hide_neither() -> None:
    both = with_layer(tiles()[0], "sentinel2", changed(lambda v: (v + 1000) / 10_000))
    assert symptoms(both) == {"offset of +1000", "reflectance between 0 and 1"}


def a_file(path: Path, values: np.ndarray, nodata: float | None = None, height: float = -10.0) -> Path:
    top = 5_000_000.0 if height < 0 else 5_000_000.0 - 10 * values.shape[1]
    with rasterio.open(
        path, "w", driver="GTiff", width=values.shape[2], height=values.shape[1], count=len(values),
        dtype=values.dtype.name, nodata=nodata, crs="EPSG:32633", transform=Affine(10.0, 0.0, 500_000.0, 0.0, height, top),
    ) as file:  # fmt: skip
        file.write(values)
    return path


def test_a_north_down_file_with_a_collar_is_turned_and_marked(tmp_path: Path) -> None:
    layer = tiles()[0].layers["sentinel2"]
    right = np.where(layer.valid, layer.values, 1).astype(np.uint16)
    right[:, :, :5] = 0
    wrong = a_file(tmp_path / "wrong.tif", right[:, ::-1], height=10.0)
    assert {f.symptom for f in examine_file(wrong).faults} == {"north-down raster", "no-data not marked"}
    cure_file(wrong, tmp_path / "mended.tif")
    assert examine_file(tmp_path / "mended.tif").findings == ()
    with rasterio.open(tmp_path / "mended.tif") as mended, rasterio.open(wrong) as original:
        assert (mended.read() == right).all()
        assert mended.dtypes[0] == "uint16"
        assert mended.nodata == 0
        assert mended.bounds == pytest.approx((500_000, 5_000_000 - 1280, 501_280, 5_000_000))
        assert mended.descriptions == OPTICAL
        assert original.bounds.bottom > original.bounds.top


def test_what_cannot_be_told_is_left_open_and_is_no_fault() -> None:
    bright = np.full((12, 64, 64), 3000.0, np.float32) + np.arange(64, dtype=np.float32) * 20
    image = Image("sand", bright, np.ones(bright.shape, bool), OPTICAL, True, "optical")
    found = [f for f in examine(image) if "offset" in f.symptom]
    assert [(f.symptom, f.sure) for f in found] == [("offset cannot be told", False)]


def test_the_command_explains_and_offers_the_fix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = tiles()[0].layers["sentinel2"]
    file = a_file(tmp_path / "scene.tif", np.where(layer.valid, layer.values + 1000, 0).astype(np.uint16), nodata=0)
    assert main([str(file)]) == 1
    said = capsys.readouterr().out
    assert "offset of +1000" in said
    assert f"geomeld doctor {file} --fix OUT" in said
    assert main([str(file), "--fix", str(tmp_path / "good.tif")]) == 0
    capsys.readouterr()
    assert main([str(tmp_path / "good.tif"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["findings"] == []


def test_bad_input_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "notes.tif"
    text.write_text("no raster")
    with pytest.raises(SourceError, match=r"notes\.tif is no raster"):
        examine_file(text)
    sound = a_file(tmp_path / "sound.tif", tiles()[0].layers["sentinel2"].values)
    with pytest.raises(UsageError, match="no fault that a corrected copy would mend"):
        cure_file(sound, tmp_path / "out.tif")
    assert not (tmp_path / "out.tif").exists()
    broken = a_file(tmp_path / "broken.tif", tiles()[0].layers["sentinel2"].values + 1000)
    before = broken.read_bytes()
    with pytest.raises(UsageError, match="the file itself"):
        cure_file(broken, broken)
    assert broken.read_bytes() == before
    dataset = write_dataset(tmp_path / "dataset", tiles())
    with pytest.raises(UsageError, match="no fault"):
        cure_dataset(dataset, tmp_path / "none")
    with pytest.raises(DatasetError, match="not empty"):
        cure_dataset(dataset, tmp_path)


@needs_data
def test_real_chips_and_what_is_known_of_them() -> None:
    """Chips whose darkest band is at 0.09 to 0.13 in every continent carry the offset; with it taken off, or put on the
    others, the verdict changes with it."""
    images = [replace(read_image(p), stated=True) for p in sorted((DATA / "sentinel2_chips").glob("*.tif"))]
    said = [verdict(i) for i in images]
    assert (said.count("with"), said.count("without"), said.count("open")) == (7, 8, 1)
    for image, had in zip(images, said, strict=True):
        if had != "open":
            by = 1000.0 if had == "without" else -1000.0
            other = replace(image, values=np.maximum(image.values + np.float32(by), 1))
            assert verdict(other) == ("with" if had == "without" else "without"), image.where
        swapped = [0, 1, 2, 3, 4, 5, 6, 8, 7, 9, 10, 11]
        assert "B8 and B8A swapped" in {f.symptom for f in examine(replace(image, values=image.values[swapped]))}
        assert "B8 and B8A swapped" not in {f.symptom for f in examine(image)}


def verdict(image: Image) -> str:
    found = {f.symptom for f in examine(image)}
    return "with" if "offset of +1000" in found else "open" if "offset cannot be told" in found else "without"


@needs_data
def test_real_radar_in_decibels_and_in_linear_power() -> None:
    (vv,) = sorted((DATA / "terramesh_stac" / "sentinel-1-rtc").rglob("vv.tif"))[:1] or (None,)
    assert vv is not None
    linear = replace(read_image(vv), bands=("VV",), sensor="radar")
    assert [(f.symptom, f.sure) for f in examine(linear)] == [("linear power", False)]  # files may be linear
    (decibels,) = sorted((DATA / "bigearthnet_s1").rglob("*_VV.tif"))[:1]
    assert not examine(replace(read_image(decibels), bands=("VV",), sensor="radar"))
