"""Warp: bilinear against a loop, missing pixels that do not spread, windows that agree, slopes of planes."""

import numpy as np
import pytest
from affine import Affine

from geomeld.core.grid import EARTH_RADIUS_M, Grid
from geomeld.core.modality import Resampling
from geomeld.sources.warp import Native, native_onto, slope_degrees, slope_onto

GRID = Grid(32632, 600_000.0, 5_100_000.0, 10.0, 12)
LEFT, TOP = GRID.left - 100.0, GRID.top + 100.0


def raster(values, pixel: float, nodata: float | None = None, left: float = LEFT, top: float = TOP) -> Native:
    return Native(np.asarray(values)[None], Affine(pixel, 0, left, 0, -pixel, top), 32632, nodata)


def noise(side: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 5000, (side, side)).astype(np.float32)


def loop(values: np.ndarray, valid: np.ndarray, pixel: float) -> tuple[np.ndarray, np.ndarray]:
    """Bilinear by the book: the four nearest pixel centres, weights of missing ones shared among the others."""
    out, at = np.zeros(GRID.shape), np.zeros(GRID.shape, bool)
    for i in range(GRID.size):
        for j in range(GRID.size):
            u = (GRID.left + (j + 0.5) * GRID.gsd - LEFT) / pixel - 0.5
            v = (TOP - GRID.top + (i + 0.5) * GRID.gsd) / pixel - 0.5
            total = weights = 0.0
            for row in (int(np.floor(v)), int(np.floor(v)) + 1):
                for column in (int(np.floor(u)), int(np.floor(u)) + 1):
                    weight = (1 - abs(u - column)) * (1 - abs(v - row))
                    if valid[row, column]:
                        total, weights = total + weight * float(values[row, column]), weights + weight
            at[i, j] = weights > 1e-6
            out[i, j] = total / weights if at[i, j] else 0.0
    return out, at


@pytest.mark.parametrize("pixel", [20.0, 60.0, 10.0, 25.0])
def test_bilinear_is_the_mean_of_four_neighbours(pixel):
    values = noise(40)
    seen, at = native_onto(raster(values, pixel), GRID, Resampling.BILINEAR)
    expected, _ = loop(values, np.ones(values.shape, bool), pixel)
    assert at.all()
    np.testing.assert_allclose(seen[0], expected, rtol=1e-5)


@pytest.mark.parametrize("nodata", [-9999.0, float("nan")])
def test_missing_pixels_do_not_bleed(nodata):
    values = noise(40)
    missing = np.random.default_rng(2).random(values.shape) < 0.4
    stored = np.where(missing, np.float32(nodata), values)
    seen, at = native_onto(raster(stored, 20.0, nodata), GRID, Resampling.BILINEAR)
    expected, there = loop(values, ~missing, 20.0)
    # A pixel exists where the pixel that it lies in does; the loop would fill a bit further.
    _, under = native_onto(raster(stored, 20.0, nodata), GRID, Resampling.NEAREST)
    np.testing.assert_array_equal(at, under)
    assert (there & ~at[0]).any()
    assert not (at[0] & ~there).any()
    np.testing.assert_allclose(seen[0][at[0]], expected[at[0]], rtol=1e-5)


def test_nearest_keeps_codes_and_their_gaps():
    codes = np.random.default_rng(3).integers(0, 10, (40, 40)).astype(np.uint8)
    seen, at = native_onto(raster(codes, 10.0, 0.0), GRID, Resampling.NEAREST)
    part = codes[10:22, 10:22]
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(at[0], part > 0)
    np.testing.assert_array_equal(seen[0], part)


def test_outside_the_raster_nothing_is_valid():
    seen, at = native_onto(raster(noise(14), 10.0), GRID, Resampling.BILINEAR)
    inside = np.zeros(GRID.shape, bool)
    inside[:4, :4] = True
    np.testing.assert_array_equal(at[0], inside)
    assert np.isfinite(seen).all()


def test_average_takes_whole_blocks():
    values = noise(120)
    seen, _ = native_onto(raster(values, 2.0), GRID, Resampling.AVERAGE_WHEN_COARSENING)
    blocks = values[50:110, 50:110].reshape(12, 5, 12, 5).mean(axis=(1, 3))
    np.testing.assert_allclose(seen[0], blocks, rtol=1e-5)


@pytest.mark.parametrize("pixel", [10.0, 20.0, 60.0])
@pytest.mark.parametrize("resampling", [Resampling.BILINEAR, Resampling.NEAREST])
def test_any_window_of_a_raster_gives_the_same_pixels(pixel, resampling):
    values = noise(60)
    whole, _ = native_onto(raster(values, pixel), GRID, resampling)
    left = int((GRID.left - LEFT) // pixel) - 1
    size = int(GRID.metres // pixel) + 4
    part = values[left : left + size, left : left + size]
    cut, at = native_onto(raster(part, pixel, left=LEFT + left * pixel, top=TOP - left * pixel), GRID, resampling)
    assert at.all()
    np.testing.assert_array_equal(cut, whole)


@pytest.mark.parametrize("per_degree", [1200, 3600, 12000])
@pytest.mark.parametrize("shift", [0.0, 0.5])
@pytest.mark.parametrize("place", [(11.3, 46.1), (-70.2, -23.4), (25.0, 78.0), (-0.0005, -0.0005)])
def test_files_cut_anywhere_in_degrees_give_the_same_bits(per_degree, shift, place):
    """Whole degrees begin at a corner of a pixel or, as in the files of ASTER, in its middle."""
    grid = Grid.centred_on(*place).at(10.0)
    corners = np.array(grid.footprint())
    margins = np.random.default_rng(per_degree).integers(5, 60, (4, 4))
    found = []
    for west, north, east, south in margins:
        left, right = (
            np.floor(corners[:, 0].min() * per_degree) - west,
            np.ceil(corners[:, 0].max() * per_degree) + east,
        )
        top, bottom = np.floor(-corners[:, 1].max() * per_degree) - north, np.ceil(-corners[:, 1].min() * per_degree)
        column, row = np.meshgrid(np.arange(left, right), np.arange(top, bottom + south))
        height = (column * 7919 + row * 104729) % 1009
        # As a provider counts: from the corner of a cell of one degree, in steps of a rounded pixel.
        cell = np.floor(left / per_degree)
        x = cell - shift / per_degree + (left - cell * per_degree) * (1 / per_degree)
        y = -(top * (1 / per_degree)) + shift / per_degree
        transform = Affine(1 / per_degree, 0, x, 0, -1 / per_degree, y)
        native = Native(np.where(height < 9, -9999, height)[None].astype(np.int16), transform, 4326, -9999.0)
        found.append((*native_onto(native, grid, Resampling.BILINEAR), *slope_onto(native, grid, Resampling.BILINEAR)))
    assert found[0][1].mean() > 0.9
    for other in found[1:]:
        for seen, there in zip(other, found[0], strict=True):
            np.testing.assert_array_equal(seen, there)


def test_pixels_that_fit_no_lattice_agree_to_the_last_bits():
    pixel, (lon, lat) = 1 / 3600.7, GRID.centre
    values = noise(80)[None]
    left, top = lon - 40 * pixel, lat + 40 * pixel
    whole, _ = native_onto(
        Native(values, Affine(pixel, 0, left, 0, -pixel, top), 4326, None), GRID, Resampling.BILINEAR
    )
    moved = Affine(pixel, 0, left + 25 * pixel, 0, -pixel, top - 27 * pixel)
    cut, at = native_onto(Native(values[:, 27:53, 25:56], moved, 4326, None), GRID, Resampling.BILINEAR)
    assert at.all()
    np.testing.assert_allclose(cut, whole, rtol=1e-5)


def test_a_raster_elsewhere_has_nothing_here():
    far = raster(noise(20), 10.0, left=LEFT + 50_000)
    for seen, at in (native_onto(far, GRID, Resampling.BILINEAR), slope_onto(far, GRID, Resampling.BILINEAR)):
        assert seen.shape == at.shape == (1, *GRID.shape)
        assert not at.any()


@pytest.mark.parametrize(("east", "north"), [(0.1, 0.0), (0.0, -0.5), (0.3, 0.4)])
def test_slope_of_a_plane_in_metres(east, north):
    x, y = np.meshgrid(np.arange(20) * 30.0, -np.arange(20) * 30.0)
    slope = slope_degrees(raster(100 + east * x + north * y, 30.0)).values[0]
    np.testing.assert_allclose(slope, np.degrees(np.arctan(np.hypot(east, north))), rtol=1e-4)


@pytest.mark.parametrize("latitude", [0.0, 46.0, -71.5])
def test_slope_of_a_plane_in_degrees(latitude):
    pixel, metres = 1 / 3600, np.radians(1.0) * EARTH_RADIUS_M
    rows, columns = np.mgrid[0:30, 0:30] + 0.5
    lat = latitude - rows * pixel
    height = 0.2 * columns * pixel * metres * np.cos(np.radians(latitude)) + 0.1 * lat * metres
    native = Native(height[None], Affine(pixel, 0, 11.0, 0, -pixel, latitude), 4326, None)
    expected = np.degrees(np.arctan(np.hypot(0.2, 0.1)))
    np.testing.assert_allclose(slope_degrees(native).values[0], expected, rtol=1e-3)


def test_slope_beside_a_void_is_one_sided_and_the_void_has_none():
    x = np.arange(10) * 30.0
    height = np.broadcast_to(0.2 * x, (10, 10)).copy()
    height[4, 5] = -9999.0
    slope = slope_degrees(raster(height, 30.0, -9999.0)).values[0]
    assert np.isnan(slope[4, 5])
    assert np.isnan(slope).sum() == 1
    np.testing.assert_allclose(slope[~np.isnan(slope)], np.degrees(np.arctan(0.2)), rtol=1e-4)
