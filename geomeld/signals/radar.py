"""Radar: backscatter of the better orbit and the shares of pixels that look like smooth water, buildings or forest."""

import numpy as np
from numpy.typing import NDArray

from geomeld.core.tile import Layer
from geomeld.signals.spectral import quantiles

SMOOTH_WATER = -17.0, -24.0
"""VV and VH in dB below which a surface is smooth."""


STEEP = 15.0
"""Degrees: where a tenth of the tile is steeper, layover and shadow say more than the ground (captions study 2.3)."""


def radar(layer: Layer | None, slope_p90: float | None = None) -> dict[str, float]:
    """Percentiles of VV and VH in dB and, unless the 90th percentile of slope (degrees) is steep, shares 0..1 of pixels
    that look like something, of the direction with more valid pixels; empty without any."""
    calm = despeckled(layer)
    if calm is None:
        return {}
    vv, vh, valid = calm
    vv, vh = vv[valid], vh[valid]
    levels = {f"{name}_{q}": v for name, band in (("vv", vv), ("vh", vh)) for q, v in quantiles(band).items()}
    if slope_p90 is not None and slope_p90 > STEEP:
        return levels
    return {
        **levels,
        "smooth_water_share": float(((vv < SMOOTH_WATER[0]) & (vh < SMOOTH_WATER[1])).mean()),
        "built_share": float(((vv > -5) & (vh > -12)).mean()),
        "forest_share": float(((vh > -16) & (vh < -10) & (vh - vv > -8)).mean()),
    }


def despeckled(layer: Layer | None) -> tuple[NDArray, NDArray, NDArray[np.bool_]] | None:
    """(VV, VH, where both are valid) in dB of the direction with more valid pixels, each pixel the median of the 3 x 3
    around it; None where no pixel has both."""
    best = best_orbit(layer)
    if layer is None or best is None or f"VH_{best}" not in layer.bands:
        return None
    (vv, valid), (vh, valid_vh) = layer.band(f"VV_{best}"), layer.band(f"VH_{best}")
    both = valid & valid_vh
    if not both.any():
        return None
    if not both.all():
        vv, vh = (np.where(both, band, np.median(band[both])) for band in (vv, vh))
    return median3(vv), median3(vh), both


def median3(values: NDArray) -> NDArray:
    """Median of the 3 x 3 pixels around each, edges repeated.

    Columns of three are sorted first, then threes of them: a few percent of the time of a general rank filter.
    """
    padded = np.pad(values, 1, mode="edge")
    low, middle, high = _sorted3(padded[:-2], padded[1:-1], padded[2:])
    lows, middles, highs = (_sorted3(m[:, :-2], m[:, 1:-1], m[:, 2:]) for m in (low, middle, high))
    return _sorted3(lows[2], middles[1], highs[0])[1]


def _sorted3(a: NDArray, b: NDArray, c: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    low, high = np.minimum(a, b), np.maximum(a, b)
    return np.minimum(low, c), np.maximum(low, np.minimum(high, c)), np.maximum(high, c)


def best_orbit(layer: Layer | None) -> str | None:
    """ "asc" or "desc", whichever has more valid VV pixels; None without any."""
    if layer is None:
        return None
    counts = {o: int(layer.band(f"VV_{o}")[1].sum()) for o in ("asc", "desc") if f"VV_{o}" in layer.bands}
    best = max(counts, key=lambda o: counts[o], default=None)
    return best if best and counts[best] else None
