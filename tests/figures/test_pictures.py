"""Pictures follow the modality's kind and never show an invalid pixel's value."""

import numpy as np
import pytest

from geomeld.core.tile import Layer
from geomeld.figures.maps import density_map, land_cover_bars, month_bars
from geomeld.figures.page import Page
from geomeld.figures.panels import tile_panel
from geomeld.figures.pictures import MISSING_COLOUR, picture
from geomeld.modalities import MODALITIES
from geomeld.testing import fake_layer, fake_tile


@pytest.mark.parametrize("name", [n for n in MODALITIES if n != "naip"])
def test_picture_is_rgb_and_blind_to_invalid_pixels(name: str) -> None:
    modality = MODALITIES[name]
    layer = fake_layer(modality, fake_tile().grid, 3)
    shown = picture(modality, layer)
    assert shown.shape == (128, 128, 3)
    assert shown.min() >= 0
    assert shown.max() <= 1
    poisoned = np.where(layer.valid, layer.values, layer.values.max() if modality.is_categorical else 1e6)
    other = picture(modality, Layer(poisoned.astype(layer.values.dtype), layer.valid, layer.bands))
    np.testing.assert_array_equal(shown, other)


def test_class_colours_are_the_products_own() -> None:
    modality = MODALITIES["esa_worldcover"]
    values = np.full((1, 4, 4), 80, np.uint8)
    valid = np.ones(values.shape, bool)
    valid[0, 0, 0] = False
    shown = picture(modality, Layer(values, valid, modality.bands))
    np.testing.assert_allclose(shown[1, 1], [0, 0x64 / 255, 0xC8 / 255])
    np.testing.assert_allclose(shown[0, 0], MISSING_COLOUR)


def test_stretch_is_fixed_so_that_dark_tiles_stay_dark() -> None:
    modality = MODALITIES["sentinel2"]
    water = np.full((12, 4, 4), 150.0, np.float32)
    shown = picture(modality, Layer(water, np.ones(water.shape, bool), modality.bands))
    assert shown.max() < 0.2


def test_panel_says_what_is_missing() -> None:
    figure = tile_panel(fake_tile(without=("naip", "dynamic_world")))
    titles = [axis.get_title() for axis in figure.axes]
    assert any("NAIP" in t and "not available" in t for t in titles)
    assert any("Dynamic World" in t and "not available" in t for t in titles)
    assert any("Sentinel-2" in t and "2020-06-15" in t for t in titles)


def test_maps_and_bars_draw() -> None:
    assert density_map([10.2, 10.8, -179.9], [50.1, 50.9, -79.0]).axes
    kind = MODALITIES["esa_worldcover"].kind
    assert land_cover_bars(kind, {"pixels": [9.0] * 11, "top-1": [8.0] * 11}).axes
    axis = month_bars([1, 1, 12]).axes[0]
    assert [bar.get_height() for bar in axis.patches] == [2] + [0] * 10 + [1]


def test_page_is_one_offline_file_that_escapes_data(tmp_path) -> None:
    page = Page("Report", "lead")
    page.section("One")
    page.text("<script>alert(1)</script>")
    page.table(("a", "b"), [("<b>", 1.23456), ("x", 3)])
    page.figure(month_bars([5]), "<i>")
    html = page.write(tmp_path / "report.html").read_text()
    assert "<script" not in html
    assert "<b>" not in html
    assert "http" not in html
    assert "1.235" in html
    assert "data:image/png;base64," in html
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_a_page_that_cannot_be_written_leaves_nothing_beside_the_old_one(tmp_path, monkeypatch) -> None:
    page = Page("Title", "Lead")
    page.write(tmp_path / "report.html")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        page.write(tmp_path / "report.html")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
