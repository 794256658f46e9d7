"""Surface: what each pixel is made of on a day, as shares of the endmembers of `spectra`."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomeld.sources.simulated import weather
from geomeld.sources.simulated.grain import key_of, smooth, uniform
from geomeld.sources.simulated.ground import Ground
from geomeld.sources.simulated.spectra import INDEX, MATRIX

ROAD, ROOF, PANEL, TANK, RUNWAY, GREENHOUSE, QUARRY, ORCHARD, RAIL = range(1, 10)
"""Codes of `Landscape.surface`."""

FALLOW, WINTER = 0.12, 0.67
"""The first number of `husbandry` below which a parcel lies fallow, and above which it stays green in winter."""


@dataclass(frozen=True, slots=True)
class Growth:
    """The state of the year at each pixel of a flat list."""

    temperature: NDArray[np.float32]
    """Mean of the season, C."""
    wetness: NDArray[np.float32]
    """Water that plants have now, 0..1."""
    green: NDArray[np.float32]
    """Share of herbs that are green, 0..1."""
    leaf: NDArray[np.float32]
    """Leaves on deciduous trees, 0..1."""


def growth(day: int, lat: NDArray, annual: NDArray, moisture: NDArray) -> Growth:
    """Warm and moist is green; the subtropics are dry in summer, the tropics in winter."""
    warm = weather.season(day, lat)
    now = weather.temperature(day, lat, annual)
    monsoon, summer_dry = np.exp(-((lat / 20) ** 2)), np.exp(-(((np.abs(lat) - 37) / 7) ** 2))
    wetness = np.clip(moisture + 0.22 * warm * monsoon - 0.17 * warm * summer_dry, 0, 1)
    green = np.clip((now - 3) / 9, 0, 1) * np.clip((wetness - 0.12) / 0.4, 0, 1)
    leaf = np.clip((now - 6) / 6, 0, 1) * np.clip((wetness - 0.1) / 0.25, 0.25, 1)
    return Growth(*(a.astype(np.float32) for a in (now, wetness, green, leaf)))


def crop_green(day: int, lat: NDArray, annual: NDArray, phase: NDArray) -> tuple[NDArray, NDArray]:
    """(greenness 0..1, share of the year since the peak 0..1) of field parcels by their position in the crop calendar.

    Cold climates have one season, its peak between May and August (half a year later in the south); warm ones two
    shorter ones, at any time of the year.
    """
    year = (weather.day_of_year(day) / 365.25 + np.where(lat < 0, 0.5, 0.0)) % 1.0
    tropical = np.clip((annual - 17) / 6, 0, 1)
    since = (year - (0.36 + 0.24 * phase)) % 1.0
    once = np.exp(-((np.minimum(since, 1 - since) / 0.11) ** 2))
    again = (year - phase) % 0.5
    twice = np.exp(-((np.minimum(again, 0.5 - again) / 0.10) ** 2))
    return once * (1 - tropical) + twice * tropical, since


def shares(seed: int, day: int, ground: Ground) -> NDArray[np.float32]:
    """Shares of every endmember, (endmembers, pixels), summing to one over the first axis."""
    land, lat, points = ground.land, ground.lat.ravel(), ground.points.reshape(3, -1)
    annual, moisture = land.temperature.ravel(), land.moisture.ravel()
    state = growth(day, lat, annual, moisture)
    colour = uniform(smooth(key_of(seed, "soil-colour"), points, 60_000.0, 4, 0.6))
    patch = uniform(smooth(key_of(seed, "soil-patch"), points, 1_500.0, 5, 0.75))
    out = np.zeros((len(INDEX), lat.size), dtype=np.float32)
    codes = land.land_cover.ravel()
    for code in np.unique(codes):
        at = np.flatnonzero(codes == code)
        for name, share in _recipe(int(code), seed, day, ground, at, state, colour[at], patch[at]).items():
            out[INDEX[name], at] += share
    _objects(out, ground)
    _snow(out, seed, day, ground, codes, state)
    out /= np.maximum(out.sum(axis=0), np.float32(1e-6))
    return out


def _earth(colour: NDArray, patch: NDArray, moisture: NDArray, steep: NDArray | float = 0.0) -> dict[str, NDArray]:
    """Bare ground: sand in deserts, red earth in some regions, rock where steep."""
    sand = np.clip(1.3 - 5.5 * moisture + 0.9 * (patch - 0.5), 0, 0.95) * (0.35 + 0.65 * colour)
    rock = np.clip(0.1 + steep + 0.5 * (patch - 0.6), 0, 0.8) * (1 - 0.7 * sand)
    rest = np.clip(1 - sand - rock, 0, 1)
    red = np.clip(2.2 * (colour - 0.35), 0, 1)
    return {"sand": sand, "rock": rock, "red soil": rest * red, "soil": rest * (1 - red)}


def _scaled(parts: dict[str, NDArray], by: NDArray | float) -> dict[str, NDArray]:
    return {name: share * by for name, share in parts.items()}


def _recipe(
    code: int, seed: int, day: int, ground: Ground, at: NDArray, state: Growth, colour: NDArray, patch: NDArray
) -> dict[str, Any]:
    """Endmember shares of the pixels `at` of one WorldCover class."""
    land = ground.land
    moisture, annual, canopy = land.moisture.ravel()[at], land.temperature.ravel()[at], land.canopy.ravel()[at]
    green, leaf, wet = state.green[at], state.leaf[at], state.wetness[at]
    earth = _earth(colour, patch, moisture)
    if code == 10:
        closed = np.clip(0.45 + canopy / 22, 0.45, 0.97)
        conifer = np.clip((9 - annual) / 9 + 0.6 * (patch - 0.5), 0, 0.95)
        evergreen = np.clip((annual - 18) / 5, 0, 1) * np.clip((moisture - 0.3) / 0.3, 0, 1)
        leaf = np.maximum(leaf, evergreen)
        broad = closed * (1 - conifer)
        under = 1 - closed
        return {
            "conifer": closed * conifer,
            "broadleaf": broad * leaf,
            "leafless": broad * (1 - leaf),
            "grass": under * green,
            "straw": under * (1 - green),
        }
    if code == 20:
        cover = np.clip(0.25 + 0.6 * moisture + 0.3 * (patch - 0.5), 0.15, 0.8)
        woody = np.clip(0.25 + 0.75 * leaf * np.clip(wet / 0.4, 0, 1), 0, 1)
        parts = {"broadleaf": 0.6 * cover * woody, "leafless": 0.6 * cover * (1 - woody), "straw": 0.4 * cover}
        return parts | _scaled(earth, 1 - cover)
    if code == 30:
        cover = np.clip(0.45 + 0.7 * moisture + 0.3 * (patch - 0.5), 0.3, 0.97)
        return {"grass": cover * green, "straw": cover * (1 - green)} | _scaled(earth, 1 - cover)
    if code == 40:
        return _field(day, ground, at, earth, state.temperature[at])
    if code == 50:
        built = np.clip(land.built.ravel()[at], 0, 1)
        garden = 0.75 * (1 - built)
        parts = {"grass": garden * green, "straw": garden * (1 - green), "broadleaf": 0.25 * (1 - built)}
        return parts | {"asphalt": 0.6 * built, "concrete": 0.25 * built, "tiles": 0.15 * built}
    if code == 60:
        weeds = np.clip(0.25 * moisture, 0, 0.2)
        return {"straw": weeds} | _scaled(earth, 1 - weeds)
    if code == 70:
        return {"snow": 0.9 + 0.1 * patch, "rock": 0.08 * (1 - patch)}
    if code == 80:
        return _water(seed, ground, at, patch)
    if code == 90:
        open_water = np.clip(0.15 + 0.5 * (patch - 0.4), 0.02, 0.5)
        return {"turbid": open_water, "grass": (1 - open_water) * green, "straw": (1 - open_water) * (1 - green)}
    if code == 95:
        return {"broadleaf": 0.82 + 0.1 * (patch - 0.5), "turbid": 0.18}
    return {"moss": 0.7 + 0.2 * (patch - 0.5), "rock": 0.3 - 0.2 * (patch - 0.5)}


def husbandry(parcel: NDArray) -> tuple[NDArray, NDArray]:
    """Two numbers 0..1 of every parcel, by its hash: what is grown (see FALLOW and WINTER), and how thickly."""
    word = parcel.astype(np.uint64)
    first, second = ((word * np.uint64(m) >> np.uint64(7)) % np.uint64(1021) / 1021.0 for m in (2654435761, 40503))
    return first, second


def _field(day: int, ground: Ground, at: NDArray, earth: dict[str, NDArray], now: NDArray) -> dict[str, NDArray]:
    """A cropped parcel: green by its calendar, then stubble or ploughed; one in eight lies fallow, a third carries
    winter crops or ley that stay green while it is not freezing."""
    land = ground.land
    first, second = husbandry(land.parcel.ravel()[at])
    annual, lat = land.temperature.ravel()[at], ground.lat.ravel()[at]
    green, since = crop_green(day, lat, annual, land.parcel_phase.ravel()[at])
    green = np.where(first < FALLOW, 0.08, np.clip(green * (0.75 + 0.3 * second), 0, 0.97))
    green = np.maximum(green, np.where(first > WINTER, 0.5 * np.clip(now / 5, 0, 1) * np.clip((20 - now) / 5, 0, 1), 0))
    stubble = np.where((since > 0.1) & (since < 0.45), 0.15 + 0.7 * second, 0.25 * second)
    return {"crop": green, "straw": (1 - green) * stubble} | _scaled(earth, (1 - green) * (1 - stubble))


def _water(seed: int, ground: Ground, at: NDArray, patch: NDArray) -> dict[str, NDArray]:
    """Clear or turbid by region and by eddies; shallow where the water sometimes falls dry."""
    points = ground.points.reshape(3, -1)[:, at]
    region = uniform(smooth(key_of(seed, "turbidity"), points, 30_000.0, 2))
    inland = ground.land.elevation.ravel()[at] > 0.5
    shallow = np.clip((97 - ground.land.occurrence.ravel()[at]) / 40, 0, 0.8)
    turbid = np.clip(np.where(inland, 1.3, 0.7) * region**2 + 0.25 * (patch - 0.5), 0, 0.95) * (1 - shallow)
    return {"turbid": turbid + shallow * 0.5, "shallow": shallow * 0.5, "water": 1 - turbid - shallow}


def _objects(out: NDArray[np.float32], ground: Ground) -> None:
    """Replace the shares of pixels that objects cover."""
    surface, parcel = ground.land.surface.ravel(), ground.land.parcel.ravel()
    noise = ((ground.lon * 1e5).astype(np.int64) ^ (ground.lat * 1e5).astype(np.int64)).ravel()
    kind = (parcel.astype(np.int64) + noise // 3) % 5
    mixes: dict[int, dict[str, float]] = {
        ROAD: {"asphalt": 0.55, "gravel": 0.15, "grass": 0.15, "straw": 0.15},
        PANEL: {"panel": 0.8, "grass": 0.2},
        TANK: {"tank": 0.8, "concrete": 0.2},
        RUNWAY: {"asphalt": 0.5, "concrete": 0.5},
        GREENHOUSE: {"plastic": 0.8, "crop": 0.2},
        QUARRY: {"gravel": 0.7, "soil": 0.3},
        RAIL: {"gravel": 0.6, "asphalt": 0.15, "grass": 0.1, "straw": 0.15},
    }
    for code, mix in mixes.items():
        at = np.flatnonzero(surface == code)
        if at.size:
            out[:, at] = 0
            for name, share in mix.items():
                out[INDEX[name], at] = share
    for i, roof in enumerate(("tiles", "tiles", "concrete", "metal", "asphalt")):
        at = np.flatnonzero((surface == ROOF) & (kind == i))
        if at.size:
            out[:, at] *= 0.35
            out[INDEX[roof], at] += 0.65


def _snow(out: NDArray[np.float32], seed: int, day: int, ground: Ground, codes: NDArray, state: Growth) -> None:
    """Cover the ground with snow: less under trees, none on water until the season is well below freezing."""
    land = ground.land
    cover = weather.snow(seed, day, ground.points, ground.lat, land.temperature, land.moisture).ravel()
    if not cover.any():
        return
    hold = np.ones(256, dtype=np.float32)
    hold[[10, 50, 95, 20]] = 0.1, 0.6, 0.05, 0.7
    ice = np.clip((-6 - state.temperature) / 4, 0, 1)
    hidden = np.where(codes == 80, ice, cover * hold[codes])
    out *= 1 - hidden
    out[INDEX["snow"]] += hidden


def reflectance(parts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mixed reflectance of the twelve bands, (12, pixels)."""
    return MATRIX.T @ parts
