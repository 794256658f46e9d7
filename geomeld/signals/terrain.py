"""Terrain: geomorphons cell by cell as GRASS computes them, and the relief of a tile in words."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter

from geomeld.core.caption import Terrain
from geomeld.core.grid import Grid
from geomeld.core.tile import Layer

FORMS = ("Flat", "Peak", "Ridge", "Shoulder", "Spur", "Slope", "Hollow", "Footslope", "Valley", "Pit")
"""Names of forms 1..10 (Jasiewicz and Stepinski 2013)."""

FL, PK, RI, SH, SP, SL, HL, FS, VL, PT = range(1, 11)
# Rows: directions that look down (0..8); columns: directions that look up. Combinations over 8 cannot occur.
_FORM_OF = np.array(
    [
        [FL, FL, FL, FS, FS, VL, VL, VL, PT],
        [FL, FL, FS, FS, FS, VL, VL, VL, 0],
        [FL, SH, SL, SL, HL, HL, VL, 0, 0],
        [SH, SH, SL, SL, SL, HL, 0, 0, 0],
        [SH, SH, SP, SL, SL, 0, 0, 0, 0],
        [RI, RI, SP, SP, 0, 0, 0, 0, 0],
        [RI, RI, RI, 0, 0, 0, 0, 0, 0],
        [RI, RI, 0, 0, 0, 0, 0, 0, 0],
        [PK, 0, 0, 0, 0, 0, 0, 0, 0],
    ],
    dtype=np.uint8,
)

_DIRECTIONS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))
"""(rows, columns) of one step."""


def geomorphons(
    elevation: NDArray,
    gsd: float | tuple[float, float],
    *,
    search: int,
    skip: int = 0,
    flat: float = 1.0,
    flat_distance: float = 0.0,
) -> NDArray[np.uint8]:
    """Landform of every cell: 1..10 in GRASS's codes (flat, peak, ridge, shoulder, spur, slope, hollow, footslope,
    valley, pit), 0 where there is none: on the outer `skip + 1` cells and where elevation is NaN.

    `elevation` is (rows, columns) in metres, `gsd` the cell size in metres (one number, or (x, y)); `search` and `skip`
    are in cells, as in r.geomorphon; `flat` in degrees; `flat_distance` in metres (0: not used). Lines of sight that
    reach the edge are used as far as they go. Equal to GRASS 8.2 cell by cell in its default comparison mode (Jasiewicz
    and Stepinski 2013), down to one habit of its row buffer: no line of sight looks at the last row.
    Raises ValueError for parameters that make no line of sight.
    """
    z = np.ascontiguousarray(elevation, dtype=np.float64)
    if z.ndim != 2:
        raise ValueError(f"elevation has shape {z.shape}; geomorphons need (rows, columns).")
    if search < 1 or skip < 0 or skip >= search:
        raise ValueError(f"search={search}, skip={skip}: search must be at least 1 cell and greater than skip.")
    if not 0 < flat < 90:
        raise ValueError(f"flat={flat} is no angle between 0 and 90 degrees.")
    x, y = (float(gsd), float(gsd)) if np.isscalar(gsd) else gsd  # type: ignore[misc, arg-type]
    reach, edge, out = search * max(x, y), skip + 1, np.zeros(z.shape, np.uint8)
    here = z[edge:-edge, edge:-edge]
    margin = math.ceil(reach / min(x, y))
    around = np.pad(z, margin, constant_values=np.nan)
    around[margin + z.shape[0] - 1] = np.nan
    up, down = np.zeros(here.shape, np.intp), np.zeros(here.shape, np.intp)
    for south, east in _DIRECTIONS:
        step = math.hypot(south * y, east * x)
        top, left = margin + edge, margin + edge
        sights = [
            (j * step, around[top + j * south :, left + j * east :][: here.shape[0], : here.shape[1]])
            for j in range(edge, math.ceil(reach / step))
        ]
        higher, lower = _outlook(here, sights, math.tan(math.radians(flat)), flat_distance)
        up += higher
        down += lower
    out[edge:-edge, edge:-edge] = np.where(np.isnan(here), 0, _FORM_OF[down, up])
    return out


def _outlook(
    here: NDArray[np.float64], sights: Sequence[tuple[float, NDArray[np.float64]]], flat: float, flat_distance: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where one direction looks up and where it looks down; `sights` are (distance, elevation there), near to far.

    Angles are compared by their tangents, which keeps their order and is many times faster.
    """
    zenith, nadir = np.full(here.shape, -np.inf), np.full(here.shape, np.inf)
    far_zenith, far_nadir = np.zeros(here.shape), np.zeros(here.shape)
    tangent = np.empty(here.shape)
    for distance, there in sights:
        np.subtract(there, here, out=tangent)
        tangent /= distance
        if flat_distance > 0:
            far_zenith[tangent > zenith] = distance
            far_nadir[tangent < nadir] = distance
        np.fmax(zenith, tangent, out=zenith)
        np.fmin(nadir, tangent, out=nadir)
    high, low = np.abs(zenith), np.abs(nadir)
    uneven = np.isfinite(zenith) & (
        (high > _limit(flat, flat_distance, far_zenith)) | (low > _limit(flat, flat_distance, far_nadir))
    )
    return uneven & (high > low), uneven & (low > high)


def _limit(flat: float, flat_distance: float, far: NDArray[np.float64]) -> float | NDArray[np.float64]:
    """Tangent up to which a line of sight is level: beyond `flat_distance` the height stays what it is there."""
    return flat if flat_distance <= 0 else flat * flat_distance / np.maximum(far, flat_distance)


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
