"""Spectral indices by the bands at hand: quantiles over the tile and per land cover, and shares of spectral cover."""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from geomeld.core.tile import Layer
from geomeld.signals.land_cover import CONCEPTS

INDICES: dict[str, tuple[str, str]] = {
    "ndvi": ("B8", "B4"),
    "ndre": ("B8", "B5"),
    "ndwi": ("B3", "B8"),
    "mndwi": ("B3", "B11"),
    "s2wi": ("B5", "B12"),
    "ndmi": ("B8", "B11"),
    "ndsi": ("B3", "B11"),
    "nbr": ("B8", "B12"),
    "ndti": ("B4", "B3"),
}
"""Normalised differences (a - b) / (a + b) of surface reflectance: NDVI vegetation, NDRE its stand-in without red, NDWI
and MNDWI water, S2WI water without green, NDMI moisture, NDSI snow, NBR burns, NDTI turbidity."""

USED = {band for pair in INDICES.values() for band in pair} | {"B2"}

COVERS = ("dense vegetation", "moderate vegetation", "sparse vegetation", "bare ground", "open water", "snow")
"""What the spectrum alone can tell apart, where there is no land-cover map."""

MIN_PIXELS = 30
QUANTILES = (5, 50, 95)
EPSILON = 1e-6


def reflectances(layer: Layer) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_]]:
    """(reflectance 0..1 of the bands that an index needs, where all bands are valid); bands without a valid pixel are
    left out."""
    there = [i for i in range(len(layer.bands)) if layer.valid[i].any()]
    valid = layer.valid[there].all(axis=0) if there else np.zeros(layer.valid.shape[1:], bool)
    used = [i for i in there if layer.bands[i] in USED]
    return {layer.bands[i]: np.clip(layer.values[i] * np.float32(1e-4), 0, 1) for i in used}, valid


def index_maps(
    bands: Mapping[str, NDArray[np.float32]], names: Iterable[str] = (*INDICES, "bsi")
) -> dict[str, NDArray[np.float32]]:
    """Of these indices those that the bands allow; BSI (bare soil) needs red, blue and shortwave infrared."""
    found = {
        name: (bands[a] - bands[b]) / (bands[a] + bands[b] + EPSILON)
        for name, (a, b) in INDICES.items()
        if name in names and a in bands and b in bands
    }
    if "bsi" in names and {"B11", "B4", "B8", "B2"} <= set(bands):
        dry, green = bands["B11"] + bands["B4"], bands["B8"] + bands["B2"]
        found["bsi"] = (dry - green) / (dry + green + EPSILON)
    return found


def spectral(layer: Layer | None, classes: NDArray[np.int8] | None) -> dict[str, dict[str, float]]:
    """{"ndvi": {"p5", "p50", "p95"}, "ndvi@crop": ..., "share@open water": {"share"}, ...}; empty without valid pixels.

    "index@concept" is over the pixels of a land cover that has at least 30; "share@cover" is the share of valid pixels
    that the spectrum alone assigns to one of COVERS.
    """
    if layer is None or not layer.valid.any():
        return {}
    bands, valid = reflectances(layer)
    if valid.sum() < MIN_PIXELS:
        return {}
    maps = index_maps(bands)
    whole = valid.all()
    seen = {name: values.ravel() if whole else values[valid] for name, values in maps.items()}
    out = {name: quantiles(values) for name, values in seen.items()}
    if classes is not None:
        known = classes[valid]
        for k, concept in enumerate(CONCEPTS):
            at = np.flatnonzero(known == k)
            if at.size >= MIN_PIXELS:
                for name in ("ndvi", "ndre", "ndmi", "ndsi"):
                    if name in seen:
                        out[f"{name}@{concept}"] = quantiles(seen[name][at])
    for cover, mask in spectral_cover(bands, maps).items():
        out[f"share@{cover}"] = {"share": float(np.count_nonzero(mask & valid) / np.count_nonzero(valid))}
    return out


def spectral_cover(
    bands: Mapping[str, NDArray[np.float32]], maps: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[np.bool_]]:
    """Masks of COVERS, which exclude one another; empty without red, near and shortwave infrared (thresholds: captions
    study 2.2)."""
    if not {"ndvi", "ndwi", "mndwi", "ndsi"} <= set(maps):
        return {}
    ndvi, near = maps["ndvi"], bands["B8"]
    water = (maps["ndwi"] > 0) & (maps["mndwi"] > 0) & (near < 0.15)
    snow = (maps["ndsi"] > 0.4) & (near > 0.3) & ~water
    rest = ~water & ~snow
    return {
        "dense vegetation": rest & (ndvi >= 0.6),
        "moderate vegetation": rest & (ndvi >= 0.3) & (ndvi < 0.6),
        "sparse vegetation": rest & (ndvi >= 0.15) & (ndvi < 0.3),
        "bare ground": rest & (ndvi < 0.15),
        "open water": water,
        "snow": snow,
    }


def quantiles(values: NDArray[np.float32]) -> dict[str, float]:
    """{"p5", "p50", "p95"}: the values at the nearest ranks (sorting them is faster than interpolating)."""
    ordered = np.sort(values)
    last = ordered.size - 1
    return {f"p{q}": float(ordered[round(q / 100 * last)]) for q in QUANTILES}
