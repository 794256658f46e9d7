"""Terrain: the relief of a tile in words, from its elevation and the geomorphons of it."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter

from geomeld.core.caption import Terrain
from geomeld.core.grid import Grid
from geomeld.core.tile import Layer
from geomeld.signals.geomorphons import FORMS, geomorphons

__all__ = ["FORMS", "geomorphons", "terrain"]

GSD = 30.0
"""Metres: the native sampling of the elevation product; finer adds nothing but noise."""
SMOOTHING = 60.0
"""Metres, sigma of the Gaussian that tames the product's noise: without it a plain with 2 m of noise is never flat."""
SEARCH, SKIP, FLAT = 17, 2, 3.0
"""500 m, 60 m and 3 degrees on the 30 m grid (captions study 2.4; the paper gives no parameters)."""


def terrain(layer: Layer | None, grid: Grid, water: NDArray[np.bool_] | None = None) -> Terrain | None:
    """The relief of a tile from its elevation layer (first band, metres); `water` (rows, columns) is left out of relief
    and slope, where elevation products are unreliable. None without half of the pixels."""
    if layer is None or layer.valid[0].mean() < 0.5:
        return None
    every = max(1, round(GSD / grid.gsd))
    z = _filled(layer.values[0].astype(np.float64), layer.valid[0])[every // 2 :: every, every // 2 :: every]
    dry = np.ones(z.shape, bool) if water is None else ~water[every // 2 :: every, every // 2 :: every]
    noise = 1.4826 * float(np.median(np.abs(z - median_filter(z, 3))))
    smooth = gaussian_filter(z, SMOOTHING / GSD, mode="nearest")
    forms = geomorphons(smooth, GSD, search=SEARCH, skip=SKIP, flat=FLAT)
    counts = np.bincount(forms.ravel(), minlength=11)[1:].astype(float)
    share = dict(zip(FORMS, (counts / max(counts.sum(), 1)).tolist(), strict=True))
    used = dry if dry.mean() > 0.1 else np.ones_like(dry)
    south, east = np.gradient(smooth, GSD)
    slope = np.degrees(np.arctan(np.hypot(south, east)))[used]
    relief = float(np.subtract(*np.percentile(smooth[used], [98, 2])))
    mean_slope, steep = float(slope.mean()), float(np.percentile(slope, 90))
    relief_class = _relief_class(relief, mean_slope, share["Flat"])
    return Terrain(
        terrain_class=FORMS[int(np.argmax(counts))],
        relief_class=relief_class,  # type: ignore[arg-type]
        setting=_setting(share, relief, mean_slope, relief_class),  # type: ignore[arg-type]
        relief_m=relief,
        elevation_m=float(z.mean()),
        slope_mean=mean_slope,
        slope_p90=steep,
        form_shares=share,
        noise_m=noise,
        confidence=0.5 if noise > 6 else 0.9,
    )


def _filled(z: NDArray[np.float64], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Voids filled by the mean of what is around them, wider and wider."""
    if valid.all():
        return z
    out = np.where(valid, z, 0.0)
    for sigma in (2.0, 8.0, 64.0):
        if valid.all():
            break
        weight = gaussian_filter(valid.astype(float), sigma)
        mean = gaussian_filter(np.where(valid, z, 0.0), sigma) / np.maximum(weight, 1e-9)
        todo = ~valid & (weight > 1e-3)
        out[todo] = mean[todo]
        valid, z = valid | todo, np.where(todo, mean, z)
    return out


def _relief_class(relief: float, slope: float, flat: float) -> str:
    if relief < 30 and slope < 3:
        return "flat" if flat >= 0.6 else "gently undulating"
    if relief < 60 and slope < 5:
        return "gently undulating"
    if relief < 100 and slope < 9:
        return "rolling"
    if relief < 150 or slope < 9 or (relief < 300 and slope < 20):
        return "hilly"
    return "mountainous"


def _setting(share: dict[str, float], relief: float, slope: float, relief_class: str) -> str:
    if relief_class == "flat":
        return "plain"
    if relief >= 60 and share["Valley"] + share["Hollow"] + share["Footslope"] + share["Pit"] >= 0.30:
        return "valley"
    if relief >= 60 and share["Ridge"] + share["Peak"] + share["Shoulder"] + share["Spur"] >= 0.30:
        return "ridge"
    return "slope" if share["Slope"] >= 0.6 and slope >= 8 else "none"
