"""The picture that a model is shown: north up, a fixed stretch, the finest natural colour there is, the same bytes."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geomeld.caption.images import MISSING, picture_of
from geomeld.core.tile import Layer, Tile
from geomeld.testing import fake_tile

SIDE = 224


def pixels(tile: Tile, side: int = SIDE) -> np.ndarray:
    picture = picture_of(tile, side)
    assert picture is not None
    return np.asarray(Image.open(io.BytesIO(picture.data)))


def only(name: str, layer: Layer) -> Tile:
    return replace(fake_tile(1), layers={name: layer})


def optical(values: np.ndarray, bands: tuple[str, ...] = ("B4", "B3", "B2"), valid: np.ndarray | None = None) -> Layer:
    stacked = np.broadcast_to(values.astype(np.float32), (len(bands), *values.shape)).copy()
    there = np.ones(stacked.shape, bool) if valid is None else np.broadcast_to(valid, stacked.shape).copy()
    return Layer(stacked, there, bands)


def test_north_is_up_and_west_is_left() -> None:
    values = np.zeros((128, 128))
    values[:64, :64] = 3000
    shown = pixels(only("sentinel2", optical(values)))
    assert shown.shape == (SIDE, SIDE, 3)
    corners = [shown[10, 10, 0], shown[10, -10, 0], shown[-10, 10, 0], shown[-10, -10, 0]]
    assert corners == [255, 0, 0, 0]


def test_colours_are_red_green_blue() -> None:
    layer = optical(np.zeros((128, 128)), ("B2", "B3", "B4"))
    layer.values[2] = 3000
    assert pixels(only("sentinel2", layer))[5, 5].tolist() == [255, 0, 0]


def test_the_stretch_is_fixed() -> None:
    """0..0.30 reflectance with gamma 1/1.4, whatever else is on the tile: dark water stays dark, snow white."""
    for value in (0, 300, 1500, 2999, 9000):
        values = np.full((128, 128), value, float)
        values[:40] = 8000
        expected = round(255 * min(value / 3000, 1) ** (1 / 1.4))
        assert pixels(only("sentinel2", optical(values)))[-1, 0, 0] == expected


def test_missing_pixels_are_grey_and_half_a_tile_is_wanted() -> None:
    valid = np.ones((128, 128), bool)
    valid[:60] = False
    shown = pixels(only("sentinel2", optical(np.zeros((128, 128)), valid=valid)))
    assert shown[0, 0].tolist() == [MISSING] * 3
    assert shown[-1, 0].tolist() == [0, 0, 0]
    valid[:70] = False
    assert picture_of(only("sentinel2", optical(np.zeros((128, 128)), valid=valid))) is None


def test_the_finest_natural_colour_is_shown() -> None:
    photograph = optical(np.full((1280, 1280), 255.0), ("R", "G", "B"))
    coarse = optical(np.zeros((128, 128)))
    both = replace(fake_tile(1), layers={"sentinel2": coarse, "naip": photograph})
    picture = picture_of(both, SIDE)
    assert picture is not None
    assert (picture.modality, picture.mime) == ("naip", "image/jpeg")
    assert pixels(both).min() >= 254
    nine_bands = optical(np.zeros((128, 128)), ("B1", "B5", "B8"))
    assert picture_of(replace(both, layers={"sentinel2": nine_bands})) is None
    gone = Layer(photograph.values, np.zeros_like(photograph.valid), photograph.bands)
    instead = picture_of(replace(both, layers={"sentinel2": coarse, "naip": gone}), SIDE)
    assert instead is not None
    assert (instead.modality, instead.mime) == ("sentinel2", "image/png")
    assert picture_of(replace(both, layers={})) is None


def test_the_same_tile_gives_the_same_bytes() -> None:
    first, second, other = (picture_of(fake_tile(i), SIDE) for i in (1, 1, 2))
    assert first is not None
    assert second is not None
    assert other is not None
    assert first == second
    assert first.digest != other.digest
    assert first.url.startswith(f"data:{first.mime};base64,")


def test_a_real_photograph(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "shared" / "data" / "naip"
    files = sorted(folder.rglob("*.tif")) if folder.exists() else []
    if not files:
        pytest.skip("no NAIP files in ../shared/data/naip")
    import rasterio

    with rasterio.open(files[0]) as file:
        window = rasterio.windows.Window(0, 0, *(min(file.height, file.width, 1280),) * 2)
        values = file.read((1, 2, 3), window=window)
    shown = pixels(only("naip", Layer(values.astype(np.uint16), np.ones(values.shape, bool), ("R", "G", "B"))), 64)
    plain = np.stack([np.asarray(Image.fromarray(b).resize((64, 64), Image.Resampling.BOX)) for b in values], -1)
    agreement = np.corrcoef(shown.reshape(-1).astype(float), plain.reshape(-1).astype(float))[0, 1]
    assert agreement > 0.95
