"""Confusion: how a land-cover map errs: classes that look alike, blurred borders, lost small objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from geomeld.sources.simulated.grain import key_of, smooth, uniform
from geomeld.sources.simulated.ground import Ground

PLAUSIBLE = {
    10: (-6.0, 99.0, 0.12),
    40: (2.0, 99.0, 0.15),
    50: (-3.0, 99.0, 0.0),
    70: (-99.0, 3.0, 0.0),
    90: (-99.0, 99.0, 0.2),
}
"""Annual mean temperature, lowest and highest in C, and least moisture at which a class is put down by mistake."""

NO_PULL: Mapping[int, float] = {}


@dataclass(frozen=True, slots=True, eq=False)
class ErrorModel:
    """The errors of one map product."""

    stream: str
    """Name of its random fields: two products err independently."""
    rate: Mapping[int, float]
    """Share of a class that is taken for another one."""
    partners: Mapping[int, tuple[tuple[int, float], ...]]
    """For which ones, with weights."""
    patch_metres: float
    """Size of the patches in which that happens."""
    border_pixels: float
    """Standard deviation by which borders are displaced."""
    filter_pixels: int
    """Side of the majority filter that loses small objects, odd."""
    pull: Mapping[int, float]
    """Weight of a class in that filter where it is not 1: settlements swallow their gardens."""


WORLDCOVER_ERRORS = ErrorModel(
    stream="worldcover",
    rate={10: 0.10, 20: 0.38, 30: 0.25, 40: 0.20, 50: 0.18, 60: 0.19, 70: 0.05, 80: 0.03, 90: 0.38, 95: 0.1, 100: 0.36},
    partners={
        10: ((20, 0.45), (30, 0.35), (90, 0.08), (40, 0.12)),
        20: ((30, 0.45), (10, 0.33), (60, 0.22)),
        30: ((40, 0.35), (20, 0.30), (60, 0.20), (10, 0.15)),
        40: ((30, 0.70), (20, 0.18), (10, 0.12)),
        50: ((30, 0.40), (60, 0.30), (10, 0.30)),
        60: ((30, 0.55), (20, 0.35), (50, 0.10)),
        70: ((60, 1.0),),
        80: ((90, 0.55), (60, 0.45)),
        90: ((30, 0.45), (10, 0.30), (80, 0.25)),
        95: ((10, 0.65), (80, 0.35)),
        100: ((60, 0.5), (30, 0.5)),
    },
    patch_metres=150.0,
    border_pixels=0.9,
    filter_pixels=3,
    pull={50: 1.6},
)
"""ESA WorldCover 2020: overall accuracy near 76 % (product validation report)."""

DYNAMIC_WORLD_ERRORS = ErrorModel(
    stream="dynamic-world",
    rate={10: 0.08, 20: 0.32, 30: 0.32, 40: 0.18, 50: 0.10, 60: 0.16, 70: 0.06, 80: 0.03, 90: 0.42, 95: 0.1, 100: 0.2},
    partners={
        10: ((20, 0.65), (40, 0.15), (30, 0.20)),
        20: ((30, 0.30), (10, 0.35), (60, 0.35)),
        30: ((20, 0.62), (40, 0.25), (60, 0.13)),
        40: ((30, 0.50), (20, 0.30), (60, 0.20)),
        50: ((60, 0.35), (40, 0.30), (10, 0.35)),
        60: ((20, 0.75), (50, 0.10), (70, 0.15)),
        70: ((60, 0.8), (80, 0.2)),
        80: ((90, 0.5), (60, 0.5)),
        90: ((30, 0.40), (20, 0.30), (10, 0.30)),
        95: ((80, 0.6), (20, 0.4)),
        100: ((60, 1.0),),
    },
    patch_metres=260.0,
    border_pixels=1.3,
    filter_pixels=5,
    pull={50: 2.4},
)
"""Dynamic World: agreement with experts near 74 % (Brown et al. 2022), smoother outlines than WorldCover."""


@lru_cache(maxsize=4)
def confused(seed: int, model: ErrorModel, ground: Ground) -> NDArray[np.uint8]:
    """The map that a product with these errors makes of the truth, in WorldCover codes, of the ground's shape.

    A margin of filter_pixels // 2 + 4 pixels at the border of the ground is not reliable.
    """
    codes = _displaced(seed, model, ground)
    codes = majority(codes, model.filter_pixels, model.pull)
    doubt = uniform(smooth(key_of(seed, f"{model.stream}-error"), ground.points, model.patch_metres, 3, 0.6))
    choice = uniform(smooth(key_of(seed, f"{model.stream}-partner"), ground.points, 3 * model.patch_metres, 2))
    # Open water far from any shore is never mistaken.
    shore = uniform_filter((codes == 80).astype(np.float32), 9, mode="nearest") < 0.98
    out = codes.copy()
    for code in np.unique(codes):
        wrong = (codes == code) & (doubt < model.rate[int(code)]) & (shore | (codes != 80))
        low = 0.0
        for partner, share in model.partners[int(code)]:
            out[wrong & (choice >= low) & (choice < low + share)] = partner
            low += share
    for code, (coldest, warmest, driest) in PLAUSIBLE.items():
        warm, wet = ground.land.temperature, ground.land.moisture
        out = np.where((out == code) & ((warm < coldest) | (warm > warmest) | (wet < driest)), codes, out)
    return out


def _displaced(seed: int, model: ErrorModel, ground: Ground) -> NDArray[np.uint8]:
    """Borders moved to and fro by a random field, at most three pixels."""
    rows, columns = ground.shape
    across, down = (
        np.clip(
            np.round(model.border_pixels * smooth(key_of(seed, f"{model.stream}-{axis}"), ground.points, 60.0)),
            -3,
            3,
        ).astype(np.int64)
        for axis in ("east", "north")
    )
    row = np.clip(np.arange(rows)[:, None] + down, 0, rows - 1)
    column = np.clip(np.arange(columns)[None, :] + across, 0, columns - 1)
    return ground.land.land_cover[row, column]


def majority(codes: NDArray[np.uint8], side: int, pull: Mapping[int, float] = NO_PULL) -> NDArray[np.uint8]:
    """The most frequent code in the side x side square around each pixel, the lowest code where several are; counts
    are multiplied by the `pull` of their class."""
    half = side // 2
    padded = np.pad(codes, half, mode="edge")
    best, out = np.zeros(codes.shape, dtype=np.float32), codes.copy()
    for code in np.unique(codes):
        total = np.zeros((padded.shape[0] + 1, padded.shape[1] + 1), dtype=np.int32)
        total[1:, 1:] = (padded == code).cumsum(axis=0, dtype=np.int32).cumsum(axis=1, dtype=np.int32)
        count = total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]
        weighted = count.astype(np.float32) * np.float32(pull.get(int(code), 1.0))
        better = weighted > best
        out[better], best[better] = code, weighted[better]
    return out
