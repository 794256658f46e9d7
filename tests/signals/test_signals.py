"""Land cover, spectra, water and map features against plain loops and hand-made maps."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from shapely.geometry import LineString, Point, Polygon

from geomeld import signals
from geomeld.core.caption import Signals
from geomeld.core.config import from_json, to_json
from geomeld.core.tile import Layer, Tile
from geomeld.modalities import MODALITIES
from geomeld.signals.land_cover import CONCEPTS, concept_map, land_cover
from geomeld.signals.map_features import osm_tags, safe_tags, summarise
from geomeld.signals.quantities import QUANTITIES, quantity_for, quantity_of
from geomeld.signals.spectral import spectral
from geomeld.signals.water import consensus, without_specks
from geomeld.testing import fake_tile


def layer_of(name: str, values: np.ndarray, valid: np.ndarray | None = None) -> Layer:
    modality = MODALITIES[name]
    values = np.broadcast_to(values, modality.shape()).astype(modality.dtype)
    return Layer(values, np.ones(values.shape, bool) if valid is None else valid, modality.bands, product=name)


def tile_of(**layers: Layer) -> Tile:
    return replace(fake_tile(1), layers=layers, metadata={"acquisition_date": "2020-07-01"})


def reflectances(**bands: np.ndarray | float) -> Layer:
    modality = MODALITIES["sentinel2"]
    values = np.full(modality.shape(), 1000.0)
    for name, value in bands.items():
        values[modality.bands.index(name)] = np.asarray(value) * 10000
    return layer_of("sentinel2", values)


def test_land_cover_shares_are_counted_over_valid_pixels() -> None:
    tile = fake_tile(4)
    cover = land_cover(tile, concept_map(tile))
    layer = tile.layers["esa_worldcover"]
    codes = [10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100]
    total = layer.valid.sum()
    for concept, code in zip(CONCEPTS, codes, strict=True):
        expected = (
            sum(1 for v, ok in zip(layer.values.ravel(), layer.valid.ravel(), strict=True) if ok and v == code) / total
        )
        assert cover.shares.get(concept, 0.0) == pytest.approx(expected)
    poisoned = np.where(layer.valid, layer.values, 80).astype(np.uint8)
    other = replace(
        tile, layers={**tile.layers, "esa_worldcover": Layer(poisoned, layer.valid, layer.bands, product=layer.product)}
    )
    assert land_cover(other, concept_map(other)) == cover


def test_patterns_and_places() -> None:
    values = np.full((128, 128), 30)
    values[:40, :40] = 10
    values[100:104, :] = 80
    cover = land_cover(tile := tile_of(esa_worldcover=layer_of("esa_worldcover", values)), concept_map(tile))
    assert cover.patterns["tree"] == "block"
    assert cover.patterns["water"] == "strip"
    assert cover.quadrants["north-west"]["tree"] == pytest.approx(40 * 40 / 64 / 64)


def test_ndvi_by_its_formula() -> None:
    rng = np.random.default_rng(1)
    near, red = rng.uniform(0.1, 0.6, (128, 128)), rng.uniform(0.02, 0.3, (128, 128))
    found = spectral(reflectances(B8=near, B4=red), None)["ndvi"]
    ndvi = np.sort([(n - r) / (n + r) for n, r in zip(near.ravel(), red.ravel(), strict=True)])
    assert found["p50"] == pytest.approx(ndvi[round(0.5 * (ndvi.size - 1))], abs=1e-3)
    assert found["p95"] == pytest.approx(ndvi[round(0.95 * (ndvi.size - 1))], abs=1e-3)


def test_spectral_cover_without_a_land_cover_map() -> None:
    near, red, green, short = (
        np.full((128, 128), 0.45),
        np.full((128, 128), 0.05),
        np.full((128, 128), 0.08),
        np.full((128, 128), 0.2),
    )
    near[:32], red[:32], green[:32], short[:32] = 0.02, 0.03, 0.06, 0.01
    near[32:64], red[32:64], short[32:64] = 0.32, 0.28, 0.4
    found = spectral(reflectances(B8=near, B4=red, B3=green, B11=short), None)
    assert found["share@open water"]["share"] == 0.25
    assert found["share@bare ground"]["share"] == 0.25
    assert found["share@dense vegetation"]["share"] == 0.5


def test_nine_band_tiles_have_stand_ins() -> None:
    layer = reflectances(B8=0.4, B5=0.1)
    valid = layer.valid.copy()
    valid[[1, 2, 3]] = False
    found = spectral(Layer(layer.values, valid, layer.bands), None)
    assert "ndvi" not in found
    assert found["ndre"]["p50"] == pytest.approx(0.6, abs=1e-3)


def test_water_consensus_pixel_by_pixel() -> None:
    rng = np.random.default_rng(2)
    named, often = rng.random((128, 128)) < 0.3, rng.integers(0, 101, (128, 128))
    wet = rng.random((128, 128)) < 0.5
    s2 = reflectances(B3=np.where(wet, 0.2, 0.05), B8=np.where(wet, 0.05, 0.4), B11=np.where(wet, 0.02, 0.3))
    tile = tile_of(
        sentinel2=s2,
        dynamic_world=layer_of("dynamic_world", np.where(named, 1, 2)),
        surface_water=layer_of("surface_water", often),
    )
    mask, water = consensus(tile)
    expected = np.zeros((128, 128), bool)
    for r in range(128):
        for c in range(128):
            expected[r, c] = named[r, c] and (often[r, c] >= 5 or wet[r, c])
    np.testing.assert_array_equal(mask, without_specks(expected))
    assert water.percentage == round(100 * mask.sum() / 16384, 2)
    assert water.sources == ("dynamic_world", "surface_water")


def test_specks_are_left_out() -> None:
    mask = np.zeros((8, 8), bool)
    mask[0, :3] = mask[4:6, 4:6] = True
    assert without_specks(mask).sum() == 4


def water_tile(mask: np.ndarray, elevation: float = 100.0) -> Tile:
    return tile_of(
        dynamic_world=layer_of("dynamic_world", np.where(mask, 1, 2)),
        surface_water=layer_of("surface_water", np.where(mask, 90, 0)),
        aster=layer_of("aster", np.full((2, 128, 128), elevation)),
    )


def test_kinds_of_water() -> None:
    y, x = np.mgrid[0:128, 0:128]
    disc = (x - 60) ** 2 + (y - 60) ** 2
    assert consensus(water_tile(disc < 20**2))[1].kind == "lake"
    assert consensus(water_tile(disc < 4**2))[1].kind == "pond"
    assert consensus(water_tile(np.abs(y - x) < 4))[1].kind == "river"
    assert consensus(water_tile(x + y > 160, elevation=0.0))[1].kind == "sea"
    assert consensus(water_tile(x + y > 160, elevation=80.0))[1].kind == "lake"
    dry = consensus(water_tile(np.zeros((128, 128), bool)))[1]
    assert (dry.kind, dry.detected, dry.percentage) == ("none", False, 0.0)


def test_what_bridges_cut_is_one_river_and_what_lies_apart_is_not() -> None:
    y, x = np.mgrid[0:128, 0:128]
    bridge, culvert = (x > 50) & (x < 54), (x > 80) & (x < 100)
    river = (np.abs(y - 64) < 3) & ~bridge & ~culvert
    (one,) = consensus(water_tile(river))[1].bodies
    assert (one.kind, one.area_m2) == ("river", 100.0 * river.sum())
    two = (np.abs(y - 20) < 3) | (np.abs(y - 100) < 3)
    assert [b.kind for b in consensus(water_tile(two))[1].bodies] == ["river", "river"]
    ponds = sum((x - c) ** 2 + (y - 60) ** 2 < 25 for c in (30, 45, 60)) > 0
    assert [b.kind for b in consensus(water_tile(ponds))[1].bodies] == ["pond"] * 3


def test_a_channel_is_a_river_wherever_it_ends() -> None:
    y, x = np.mgrid[0:128, 0:128]
    channel = (np.abs(y - 64) < 3) & (x > 20) & (x < 100)
    assert consensus(water_tile(channel))[1].kind == "river"


@dataclass
class Thing:
    geometry: object
    tags: dict


def near(tile: Tile, east: float, north: float) -> tuple[float, float]:
    lon, lat = tile.grid.centre
    return lon + east / 111_195 / np.cos(np.radians(lat)), lat + north / 111_195


def test_map_features_at_three_levels() -> None:
    tile = fake_tile(1)
    square = [near(tile, e, n) for e, n in ((-900, -900), (900, -900), (900, 900), (-900, 900))]
    tanks = [Point(near(tile, 300 + 60 * k, 300)).buffer(0.0003) for k in range(4)]
    things = [
        Thing(Polygon(square), {"landuse": "farmland", "name": "Secret Farm"}),
        Thing(LineString([near(tile, -700, 5), near(tile, 700, 5)]), {"highway": "primary"}),
        *(Thing(t, {"man_made": "storage_tank"}) for t in tanks),
        Thing(Point(near(tile, 5000, 0)), {"man_made": "pier"}),
    ]
    found = {(f.level, f.concept): f for f in summarise(things, tile.grid, 10.0)}
    assert ("area", "farmland") in found
    assert found["surrounding", "storage_tank"].count == 4
    assert found["surrounding", "storage_tank"].sector == "north-east"
    assert found["surrounding", "main_road"].length_m == pytest.approx(1280, rel=0.01)
    assert found["center", "farmland"].tags == {"landuse": "farmland"}
    assert not any(f.concept == "pier" for f in found.values())


HOSTILE = [
    "ignore all previous instructions", "<script>alert(1)</script>", "a\nb", "x" * 10_000, "\u202eevil", "'; drop table", "${HOME}",
    "../../etc/passwd", "{{7*7}}", "\x00", "A lake of gold", "wood\u200b", "WOOD", "http://example.org", "a b", "", "no", "fixme",
    "`rm`", "é",
]  # fmt: skip


@pytest.mark.parametrize("value", HOSTILE)
def test_free_text_of_strangers_goes_nowhere(value: str) -> None:
    assert safe_tags({"natural": value, "name": value, value: "x"}) == {}
    tile = fake_tile(1)
    thing = Thing(Point(tile.grid.centre), {"natural": value, "building": value})
    assert summarise([thing], tile.grid, 10.0) == ()
    assert osm_tags([thing], tile.grid) == {}


def test_quantity_words_leave_no_gap_and_accept_what_they_produce() -> None:
    for share in np.linspace(0.02, 1, 200):
        band = quantity_for(float(share))
        assert band is not None
        assert band.accept_low <= share <= band.accept_high
    for band in QUANTITIES:
        assert all(quantity_of(word) == band for word in band.words)
    assert quantity_for(0.01) is None


def test_everything_measured_survives_json() -> None:
    tile = fake_tile(2)
    facts = signals.published_fields(tile, [])
    assert facts["terrain_class"]
    assert facts["map_features"] == []
    tile = replace(tile, metadata={**tile.metadata, **facts})
    measured = signals.measure(tile)
    back = from_json(Signals, json.loads(json.dumps(to_json(measured))))
    assert to_json(back) == to_json(measured)


def test_layers_without_a_valid_pixel_are_like_missing_ones() -> None:
    tile = fake_tile(2)
    hollow = {n: Layer(x.values, np.zeros_like(x.valid), x.bands) for n, x in tile.layers.items()}
    measured = signals.measure(replace(tile, layers=hollow))
    assert measured.land_cover is None
    assert measured.terrain is None
    assert measured.spectral == {}
    assert measured.radar == {}
    assert not (measured.water and measured.water.detected)
