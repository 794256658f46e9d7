"""Geomorphons against GRASS cell by cell, and against plain loops on ties, voids and oblong cells."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from geomeld.signals.geomorphons import FORMS, geomorphons, intensity_and_range

SHARED = Path(__file__).parents[3] / "shared" / "data"
DATA = SHARED / "geomorphons"
MODELS = SHARED / "terramesh_stac" / "cop-dem-glo-30"
needs_grass = pytest.mark.skipif(
    not DATA.exists(), reason="the GRASS results (../shared/data/geomorphons) are not here"
)
V2, V2D = {"comparison": "anglev2"}, {"comparison": "anglev2_distance"}

CASES = [
    ("hillpit_forms_default", {"search": 5}),
    ("hillpit_forms_skip1", {"search": 5, "skip": 1}),
    ("hillpit_forms_meters", {"search": 5, "metres": True}),
    ("hillpit_forms_anglev2", {"search": 5} | V2),
    ("hillpit_forms_anglev2_distance", {"search": 5} | V2D),
    ("hillpit_forms_extended", {"search": 12, "extended": True}),
    ("saotome30_s3_f1", {"search": 3}),
    ("saotome30_s10_f1", {"search": 10}),
    ("saotome30_s10_f1", {"search": 300, "metres": True}),
    ("saotome30_s20_k2_f1_d3", {"search": 20, "skip": 2, "flat_distance": 90.0}),
    ("saotome30_s10_f1_v2", {"search": 10} | V2),
    ("saotome30_s10_f1_v2d", {"search": 10} | V2D),
    ("saotome30_s12_f1_e", {"search": 12, "extended": True}),
]


def read(path: Path, nothing: float) -> np.ndarray:
    import rasterio

    with rasterio.open(path) as file:
        values = file.read(1, out_dtype=np.float32)  # what GRASS holds
        return values if file.nodata is None else np.where(values == file.nodata, values.dtype.type(nothing), values)


@needs_grass
@pytest.mark.parametrize(("expected", "options"), CASES)
def test_forms_equal_grass_cell_by_cell(expected: str, options: dict) -> None:
    model, gsd = ("hillpit_dem", 1.0) if expected.startswith("hillpit") else ("saotome30_dem", 30.0)
    forms = geomorphons(read(DATA / f"{model}.tif", np.nan), gsd, **options)
    np.testing.assert_array_equal(forms, read(DATA / f"{expected}.tif", 0))


@needs_grass
def test_intensity_and_range_equal_grass_bit_by_bit() -> None:
    found = intensity_and_range(read(DATA / "hillpit_dem.tif", np.nan), 1.0, search=5)
    for values, name in zip(found, ("intensity", "range"), strict=True):
        np.testing.assert_array_equal(values, read(DATA / f"hillpit_{name}_default.tif", np.nan))


@needs_grass
@pytest.mark.skipif(not MODELS.exists(), reason="the elevation models (../shared/data/terramesh_stac) are not here")
@pytest.mark.parametrize("place", ["DEM_282D_485L_3_3", "DEM_433D_629L_3_1", "DEM_637U_59R_1_3"])
def test_counts_of_forms_equal_grass_on_whole_metres(place: str) -> None:
    """Whole metres make ties, on which the comparisons part."""
    counts = json.loads((DATA / "reference.json").read_text())
    elevation = read(MODELS / place / "data.tif", np.nan)
    for expected, options in CASES:
        name = f"terramesh_{place.split('_', 2)[2]}_{expected.removeprefix('saotome30_')}"
        if name in counts and "metres" not in options:
            found = geomorphons(elevation, 10.0, **options | ({"flat_distance": 30.0} if "_d3" in name else {}))
            np.testing.assert_array_equal(np.bincount(found.ravel(), minlength=11), counts[name]["counts"], name)


def hill_and_pit() -> np.ndarray:
    y, x = 39.5 - np.arange(40)[:, None], np.arange(40)[None, :] + 0.5

    def bump(at: float) -> np.ndarray:
        return 15 * np.exp(-((x - at) ** 2 + (y - at) ** 2) / 8)

    return (200 + bump(13) - bump(27)).astype(np.float32)


def test_published_synthetic_case() -> None:
    """Figures of GRASS's own test of r.geomorphon."""
    z = hill_and_pit()
    forms = geomorphons(z, 1.0, search=5)
    inside = forms[forms > 0].astype(float)
    assert (inside.size, inside.sum()) == (1444, 3384)
    np.testing.assert_allclose(inside.mean(), 2.34349030470914, rtol=1e-12)
    np.testing.assert_array_equal(np.bincount(forms.ravel())[1:], [1056, 4, 8, 30, 72, 160, 72, 30, 8, 4])
    assert not geomorphons(z, 1.0, search=5, skip=1)[:2].any()
    assert geomorphons(z, 1.0, search=12, extended=True).sum() == 3614
    intensity, height = intensity_and_range(z, 1.0, search=5)
    np.testing.assert_allclose([np.nanmax(intensity), np.nanmin(intensity)], [8.88377952575684, -8.88377952575684])
    np.testing.assert_allclose(np.nansum(height.astype(float)), 3288.10522460938, rtol=1e-12)


def seen(z, row, column, south, east, x, y, search, skip, flat, flat_distance, comparison) -> tuple[int, float] | None:
    """What one cell sees in one direction, in plain loops: (-1, 0 or 1, metres above it); None without a look."""
    last = z.shape[0] - 2
    first = (row + (skip + 1) * south, column + (skip + 1) * east)
    if first[0] > last or math.isnan(z[row + south, column + east]):
        return None
    up, down, steps = (-math.pi / 2, 0.0, 0.0), (math.pi / 2, 0.0, 0.0), skip + 1
    while math.hypot(steps * south * y, steps * east * x) < search * y:
        i, j, distance = row + steps * south, column + steps * east, math.hypot(steps * south * y, steps * east * x)
        steps += 1
        if not (0 <= i <= last and 0 <= j < z.shape[1]) or math.isnan(z[i, j]):
            continue
        angle = math.atan2(z[i, j] - z[row, column], distance)
        up = (angle, distance, z[i, j] - z[row, column]) if angle > up[0] else up
        down = (angle, distance, z[i, j] - z[row, column]) if angle < down[0] else down

    def over(look: tuple[float, float, float]) -> bool:
        far = max(look[1] / flat_distance, 1.0) if flat_distance else 1.0
        return abs(look[0]) > math.atan(math.tan(math.radians(flat)) / far)

    if not (over(up) or over(down)):
        return 0, 0.0
    if comparison != "anglev1" and over(up) != over(down):
        return (1, up[2]) if over(up) else (-1, down[2])
    if abs(up[0]) != abs(down[0]):
        return (1, up[2]) if abs(up[0]) > abs(down[0]) else (-1, down[2])
    if comparison == "anglev1":
        return 0, 0.0
    return (-1, down[2]) if comparison == "anglev2_distance" and down[1] > up[1] else (1, up[2])


@pytest.mark.parametrize("comparison", ["anglev1", "anglev2", "anglev2_distance"])
@pytest.mark.parametrize(
    ("gsd", "search", "skip", "flat", "flat_distance"),
    [((30, 30), 6, 0, 1.0, 0.0), ((20, 30), 5, 1, 2.0, 60.0), ((30, 20), 7, 0, 0.5, 40.0)],
)
def test_equals_plain_loops(
    gsd: tuple, search: int, skip: int, flat: float, flat_distance: float, comparison: str
) -> None:
    rng = np.random.default_rng(search)
    z = rng.integers(0, 5, (24, 22)).astype(float)
    if not skip:  # With it a void is all that some look finds, and GRASS reads memory that it never wrote.
        z[rng.random(z.shape) < 0.05] = np.nan
    options = {"search": search, "skip": skip, "flat": flat, "flat_distance": flat_distance, "comparison": comparison}
    ternary = geomorphons(z, gsd, **options)
    intensity, height = intensity_and_range(z, gsd, **options)
    kinds: dict[tuple[int, int], set[int]] = {}
    directions = [(s, e) for s in (-1, 0, 1) for e in (-1, 0, 1) if s or e]
    edge = skip + 1
    for row, column in np.ndindex(z.shape):
        inner = edge <= row < z.shape[0] - edge and edge <= column < z.shape[1] - edge
        if not inner or math.isnan(z[row, column]):
            assert ternary[row, column] == 0
            assert math.isnan(intensity[row, column])
            continue
        looks = [seen(z, row, column, s, e, *gsd, **options) for s, e in directions]
        signs, rises = zip(*(look or (0, 0.0) for look in looks), strict=True)
        kinds.setdefault((signs.count(1), signs.count(-1)), set()).add(int(ternary[row, column]))
        count = sum(look is not None for look in looks)
        assert intensity[row, column] == np.float32(-sum(rises)) / np.float32(count)
        assert height[row, column] == max(rises) - min(rises)
    assert all(len(forms) == 1 for forms in kinds.values()), "the form follows from the numbers of ups and downs"
    assert len(kinds) > 15


def test_extended_looks_nearer() -> None:
    """A gentle ridge that only far looks see flattens at half the distance; a sharp one stays."""
    x = np.abs(np.arange(61) - 30.0)
    far = np.broadcast_to(np.where(x > 8, -(x - 8) * 2.0, 0.0), (61, 61))
    sharp = np.broadcast_to(-(x**1.5), (61, 61))
    for z, near in ((far, "Flat"), (sharp, "Ridge")):
        plain, extended = (geomorphons(z, 1.0, search=16, extended=e)[30, 30] for e in (False, True))
        assert (FORMS[plain - 1], FORMS[extended - 1]) == ("Ridge", near)


def test_wrong_parameters_are_named() -> None:
    z = hill_and_pit()
    for options, word in (
        ({"search": 0}, "search"),
        ({"search": 3, "skip": 3}, "skip"),
        ({"search": 59, "skip": 30, "metres": True}, "skip"),
        ({"search": 3, "flat": 90.0}, "flat"),
        ({"search": 3, "flat_distance": 90.0}, "flat_distance"),
        ({"search": 3, "comparison": "anglev3"}, "anglev3"),
    ):
        with pytest.raises(ValueError, match=word):
            geomorphons(z, 30.0, **options)
