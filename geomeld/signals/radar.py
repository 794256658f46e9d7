"""Radar: backscatter of the better orbit and the shares of pixels that look like smooth water, buildings or forest."""

import numpy as np
from scipy.ndimage import uniform_filter

from geomeld.core.tile import Layer
from geomeld.signals.spectral import quantiles

SMOOTH_WATER = -17.0, -24.0
"""VV and VH in dB below which a surface is smooth."""


def radar(layer: Layer | None) -> dict[str, float]:
    """Percentiles of VV and VH in dB and shares 0..1, of the direction with more valid pixels; empty without any.

    Speckle is averaged over 3 x 3 pixels in decibels first (thresholds: captions study 2.3).
    """
    best = best_orbit(layer)
    if layer is None or best is None:
        return {}
    vv, valid = layer.band(f"VV_{best}")
    vh, valid_vh = layer.band(f"VH_{best}")
    both = valid & valid_vh
    if not both.any():
        return {}
    vv, vh = (uniform_filter(np.where(both, band, np.median(band[both])), 3)[both] for band in (vv, vh))
    return {
        **{f"vv_{q}": value for q, value in quantiles(vv).items()},
        **{f"vh_{q}": value for q, value in quantiles(vh).items()},
        "smooth_water_share": float(((vv < SMOOTH_WATER[0]) & (vh < SMOOTH_WATER[1])).mean()),
        "built_share": float(((vv > -5) & (vh > -12)).mean()),
        "forest_share": float(((vh > -16) & (vh < -10) & (vh - vv > -8)).mean()),
    }


def best_orbit(layer: Layer | None) -> str | None:
    """ "asc" or "desc", whichever has more valid VV pixels; None without any."""
    if layer is None:
        return None
    counts = {o: int(layer.band(f"VV_{o}")[1].sum()) for o in ("asc", "desc") if f"VV_{o}" in layer.bands}
    best = max(counts, key=lambda o: counts[o], default=None)
    return best if best and counts[best] else None
