"""Disturbance: THE TABLE of what is done to images before an encoder sees them, each at several strengths."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

WAVELENGTHS: Mapping[str, float] = {
    "B1": 443.0, "B2": 492.0, "B3": 560.0, "B4": 665.0, "B5": 704.0, "B6": 740.0, "B7": 783.0, "B8": 833.0,
    "B8A": 865.0, "B9": 945.0, "B11": 1614.0, "B12": 2202.0,
}  # fmt: skip
"""Central wavelengths of Sentinel-2 bands, nm (mean of 2A and 2B, ESA)."""

GROUPS: Mapping[str, tuple[str, ...]] = {
    "blue, green, red": ("B2", "B3", "B4"),
    "red edge": ("B5", "B6", "B7"),
    "near infrared": ("B8", "B8A"),
    "short-wave infrared": ("B11", "B12"),
    "aerosol, water vapour": ("B1", "B9"),
}


@dataclass(frozen=True)
class Picture:
    """One optical image."""

    tile_id: int
    values: NDArray[np.float32]
    """(bands, rows, columns), reflectance x 10000; arbitrary, but finite, where not valid."""
    valid: NDArray[np.bool_]
    """The same shape."""
    bands: tuple[str, ...]


Change = Callable[[Picture, np.random.Generator], Picture | None]
"""None where it cannot be done to this picture."""


@dataclass(frozen=True)
class Disturbance:
    """One way in which images differ from those that were trained on."""

    name: str
    about: str
    """In a sentence, for tables."""
    levels: Mapping[str, Change]
    """From weak to strong, by what is written beside a score."""


def dropped(bands: tuple[str, ...], picture: Picture, _: np.random.Generator) -> Picture:
    """Without some bands."""
    gone = np.isin(picture.bands, bands)
    return replace(picture, valid=picture.valid & ~gone[:, None, None])


def noisy(sigma: float, picture: Picture, rng: np.random.Generator) -> Picture:
    """With independent Gaussian noise of `sigma` (reflectance x 10000) in every pixel."""
    noise = rng.standard_normal(picture.values.shape, np.float32) * np.float32(sigma)
    return replace(picture, values=picture.values + noise)


def speckled(looks: float, picture: Picture, rng: np.random.Generator) -> Picture:
    """Times gamma noise of mean 1 and variance 1 / looks."""
    return replace(
        picture, values=picture.values * rng.gamma(looks, 1 / looks, picture.values.shape).astype(np.float32)
    )


def miscalibrated(share: float, picture: Picture, rng: np.random.Generator) -> Picture:
    """Every band times its own factor, Gaussian around 1 with deviation `share`."""
    factors = 1 + share * rng.standard_normal(len(picture.bands))
    return replace(picture, values=picture.values * factors.astype(np.float32)[:, None, None])


def hazy(amount: float, picture: Picture, _: np.random.Generator) -> Picture:
    """Plus scattered light: `amount` (reflectance x 10000) at 492 nm, falling with the square of the wavelength."""
    added = amount * (WAVELENGTHS["B2"] / _wavelengths(picture)) ** 2
    return replace(picture, values=picture.values + added.astype(np.float32)[:, None, None])


def top_of_atmosphere(picture: Picture, _: np.random.Generator) -> Picture:
    """As a Level-1C product would roughly show it: light that molecules scatter (optical depth 0.00864 (um)^-4.08, over
    half of which reaches the sensor) is added, and the ground is seen through it twice."""
    depth = 0.00864 * (_wavelengths(picture) / 1000) ** -4.08
    path, through = 1e4 * 0.5 * (1 - np.exp(-depth)), np.exp(-2 * 0.5 * depth)
    seen = picture.values * through.astype(np.float32)[:, None, None] + path.astype(np.float32)[:, None, None]
    return replace(picture, values=seen)


def shifted(offset: float, picture: Picture, _: np.random.Generator) -> Picture:
    """Plus a constant: what is left on when the offset of products since January 2022 is not taken off."""
    return replace(picture, values=picture.values + np.float32(offset))


def coarsened(factor: int, picture: Picture, _: np.random.Generator) -> Picture:
    """Averaged over squares of `factor` pixels and drawn at the old size again; the last squares may be smaller."""
    rows, columns = picture.values.shape[1:]
    starts = np.arange(0, rows, factor), np.arange(0, columns, factor)

    def sums(x: NDArray) -> NDArray:
        return np.add.reduceat(np.add.reduceat(x, starts[0], axis=1), starts[1], axis=2)

    count = sums(picture.valid.astype(np.float64))
    mean = sums(np.where(picture.valid, picture.values, 0.0).astype(np.float64)) / np.maximum(count, 1)
    wide = mean.repeat(factor, axis=1).repeat(factor, axis=2)[:, :rows, :columns].astype(np.float32)
    return replace(picture, values=wide)


def _wavelengths(picture: Picture) -> NDArray[np.float64]:
    return np.array([WAVELENGTHS[b] for b in picture.bands])


DISTURBANCES: tuple[Disturbance, ...] = (
    Disturbance(
        "missing bands",
        "bands that are masked; the first as tiles with aerial photographs lack B2, B3 and B4",
        {name: partial(dropped, bands) for name, bands in GROUPS.items()},
    ),
    Disturbance(
        "noise",
        "independent Gaussian noise, reflectance x 10000",
        {f"{sigma:g}": partial(noisy, sigma) for sigma in (50.0, 200.0, 500.0, 1000.0)},
    ),
    Disturbance(
        "speckle",
        "multiplicative gamma noise, looks",
        {f"{looks:g} looks": partial(speckled, looks) for looks in (100.0, 20.0, 4.0)},
    ),
    Disturbance(
        "calibration",
        "a wrong factor for every band, deviation",
        {f"{share:.0%}": partial(miscalibrated, share) for share in (0.02, 0.05, 0.1, 0.2)},
    ),
    Disturbance(
        "haze",
        "scattered light, stronger in blue, reflectance x 10000 at 492 nm",
        {f"{amount:g}": partial(hazy, amount) for amount in (200.0, 500.0, 1000.0, 2000.0)},
    ),
    Disturbance(
        "resolution",
        "averaged to a coarser pixel and drawn at 10 m again",
        {f"{10 * factor} m": partial(coarsened, factor) for factor in (2, 4, 8, 16)},
    ),
    Disturbance(
        "processing",
        "the offset of newer products left on; no atmospheric correction, by molecules alone",
        {"+1000": partial(shifted, 1000.0), "like Level-1C": top_of_atmosphere},
    ),
)
"""A disturbance more is an entry more. The season, which needs other images, is made by `robustness.season_of`."""
