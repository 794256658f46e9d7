"""Geomorphons: the landform of every cell from what it sees in eight directions, cell by cell as GRASS computes it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

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

_DIRECTIONS = ((-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1), (0, 1))
"""(rows, columns) of one step, in the order in which GRASS adds them up."""

Comparison = Literal["anglev1", "anglev2", "anglev2_distance"]
"""Which of the steepest looks up and down speaks for a direction: the steeper; the steeper of those that are not level
(a tie looks up); the same with a tie going to the farther one."""


def geomorphons(
    elevation: NDArray,
    gsd: float | tuple[float, float],
    *,
    search: float,
    skip: float = 0,
    flat: float = 1.0,
    flat_distance: float = 0.0,
    comparison: Comparison = "anglev1",
    extended: bool = False,
    metres: bool = False,
) -> NDArray[np.uint8]:
    """Landform of every cell: 1..10 in GRASS's codes (flat, peak, ridge, shoulder, spur, slope, hollow, footslope,
    valley, pit), 0 where there is none: on the outer `skip + 1` cells and where elevation is NaN.

    `elevation` is (rows, columns) in metres, `gsd` the cell size in metres (one number, or (x, y)); `search` and `skip`
    are in cells as in r.geomorphon, or with `metres` in metres as by its -m; `flat` in degrees; `flat_distance` in
    metres (0: not used): beyond it a look is level by its height, no longer by its angle. `extended` is its -e: where
    `search` is over 10 cells, ridges and peaks give way to the form at half the distance, and shoulders and footslopes
    that are flat there become flat.

    Equal to GRASS 8.2 cell by cell (Jasiewicz and Stepinski 2013) for float32 elevations, which is all that it holds,
    down to habits of it: no look reaches the last row, one that reaches another edge goes as far as it can, none passes
    over a void beside the cell, and an open one that finds nothing is up in "anglev2". What GRASS leaves to unwritten
    memory differs ("anglev2_distance" where an open look finds nothing), and so may ties that its rounding of distances
    breaks (whole-metre elevations; none seen in square cells of 10 or 30 m).

    Raises ValueError for parameters that make no line of sight.
    """
    view = _view(elevation, gsd, search, skip, flat, flat_distance, comparison, metres)
    forms = view.forms()
    if extended and view.reach > 10 * max(view.cell):
        nearer = replace(view, reach=max(view.reach / 2, 4 * max(view.cell)), flat_distance=0.0).forms()
        flattened = np.isin(forms, (SH, FS)) & (nearer == FL)
        forms = np.where(flattened | np.isin(forms, (PK, RI)), nearer, forms)
    return view.framed(forms, 0)


def intensity_and_range(
    elevation: NDArray,
    gsd: float | tuple[float, float],
    *,
    search: float,
    skip: float = 0,
    flat: float = 1.0,
    flat_distance: float = 0.0,
    comparison: Comparison = "anglev1",
    metres: bool = False,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """r.geomorphon's intensity and range in metres, float32 (rows, columns), NaN where there is no form.

    Over the points that speak for the eight directions: how much higher the cell is than their mean, and the height
    between the highest and the lowest. A level direction counts with the cell's own height. Parameters, errors and
    limits as for `geomorphons`.
    """
    view = _view(elevation, gsd, search, skip, flat, flat_distance, comparison, metres)
    rises, count = np.zeros((len(_DIRECTIONS), *view.here.shape), np.float32), np.zeros(view.here.shape, np.float32)
    for rise, look in zip(rises, view.looks(located=True), strict=True):
        up, down = view.signs(look)
        rise[:] = np.where(up, view.height(look, look.zenith_at), np.where(down, view.height(look, look.nadir_at), 0))
        count += look.open
    # One after the other in float32, as GRASS adds them.
    total = reduce(np.subtract, rises, np.zeros_like(count))
    intensity = np.divide(total, count, out=np.full_like(count, np.nan), where=count > 0)
    return view.framed(intensity, np.nan), view.framed(np.ptp(rises, axis=0), np.nan)


@dataclass(frozen=True)
class _Look:
    """What every cell sees in one direction; arrays are (rows, columns) of the inner cells."""

    direction: tuple[int, int]
    step: float
    """Metres from cell to cell."""
    open: NDArray[np.bool_]
    """Where there is a line of sight."""
    zenith: NDArray[np.float64]
    """The steepest look up, in metres per step: that keeps the order of angles, and their ties, and is fast."""
    nadir: NDArray[np.float64]
    zenith_at: NDArray[np.integer]
    """Steps to it, 0 where not located."""
    nadir_at: NDArray[np.integer]


@dataclass(frozen=True)
class _View:
    """A terrain, and how far and how finely its cells look around."""

    z: NDArray[np.float64]
    around: NDArray[np.float64]
    """`z` inside a frame of NaN `margin` cells wide, and without its last row."""
    margin: int
    cell: tuple[float, float]
    reach: float
    skip: int
    flat: float
    """Tangent."""
    flat_distance: float
    comparison: Comparison

    @cached_property
    def here(self) -> NDArray[np.float64]:
        edge = self.skip + 1
        return self.z[edge:-edge, edge:-edge]

    def framed(self, values: NDArray, nothing: float) -> NDArray:
        """`values` of the inner cells on the whole raster, `nothing` elsewhere."""
        edge, out = self.skip + 1, np.full(self.z.shape, nothing, values.dtype)
        out[edge:-edge, edge:-edge] = np.where(np.isnan(self.here), values.dtype.type(nothing), values)
        return out

    def forms(self) -> NDArray[np.uint8]:
        """Forms of the inner cells."""
        up, down = np.zeros(self.here.shape, np.intp), np.zeros(self.here.shape, np.intp)
        for look in self.looks(located=self.flat_distance > 0 or self.comparison == "anglev2_distance"):
            higher, lower = self.signs(look)
            up += higher
            down += lower
        return _FORM_OF[down, up]

    def looks(self, located: bool) -> Iterator[_Look]:
        """What is seen in each direction, and, which takes twice as long, where."""
        shape, nowhere = self.here.shape, np.zeros((), np.int16)
        for south, east in _DIRECTIONS:
            step = float(np.hypot(south * self.cell[1], east * self.cell[0]))
            lines = ~np.isnan(self._moved(south, east))
            if south > 0:
                lines[-1:] = False
            zenith, nadir, rise = np.full(shape, -np.inf), np.full(shape, np.inf), np.empty(shape)
            zenith_at, nadir_at = (np.zeros(shape, np.int16) if located else nowhere for _ in range(2))
            for steps in range(self.skip + 1, math.ceil(self.reach / step)):
                np.subtract(self._moved(steps * south, steps * east), self.here, out=rise)
                np.divide(rise, steps, out=rise)
                if located:
                    zenith_at[rise > zenith] = steps
                    nadir_at[rise < nadir] = steps
                np.fmax(zenith, rise, out=zenith)
                np.fmin(nadir, rise, out=nadir)
            yield _Look((south, east), step, lines, zenith, nadir, zenith_at, nadir_at)

    def signs(self, look: _Look) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where a direction looks up, and where down."""
        high, low = np.abs(look.zenith), np.abs(look.nadir)
        rising, falling = high > self._level(look, look.zenith_at), low > self._level(look, look.nadir_at)
        if self.comparison == "anglev1":
            uneven = look.open & (rising | falling)
            return uneven & (high > low), uneven & (low > high)
        tie_up = look.zenith_at >= look.nadir_at if self.comparison == "anglev2_distance" else np.True_
        stronger = (high > low) | ((high == low) & tie_up)
        return look.open & rising & (stronger | ~falling), look.open & falling & ~(rising & stronger)

    def height(self, look: _Look, at: NDArray[np.integer]) -> NDArray[np.float64]:
        """Metres above each cell of what lies `at` steps from it."""
        (south, east), start = look.direction, self.margin + self.skip + 1
        rows, columns = (start + np.arange(n) for n in self.here.shape)
        return self.around[rows[:, None] + at * south, columns + at * east] - self.here

    def _level(self, look: _Look, at: NDArray[np.integer]) -> float | NDArray[np.float64]:
        """Metres per step up to which a look is level: beyond `flat_distance` the height stays what it is there."""
        if self.flat_distance <= 0:
            return self.flat * look.step
        return self.flat * look.step * self.flat_distance / np.maximum(at * look.step, self.flat_distance)

    def _moved(self, rows: int, columns: int) -> NDArray[np.float64]:
        """Elevation so many cells south and east of each inner cell."""
        start, (height, width) = self.margin + self.skip + 1, self.here.shape
        return self.around[start + rows :, start + columns :][:height, :width]


def _view(
    elevation: NDArray,
    gsd: float | tuple[float, float],
    search: float,
    skip: float,
    flat: float,
    flat_distance: float,
    comparison: Comparison,
    metres: bool,
) -> _View:
    z = np.asarray(elevation, dtype=np.float64)
    if z.ndim != 2:
        raise ValueError(f"elevation has shape {z.shape}; geomorphons need (rows, columns).")
    x, y = (float(gsd), float(gsd)) if np.isscalar(gsd) else gsd  # type: ignore[misc, arg-type]
    # GRASS counts cells of the longer side, but measures so many cells along a column.
    whole = 1 / max(x, y) if metres else 1.0
    reach, skipped = (search, skip) if metres else (search * y, skip * y)
    if int(search * whole) < 1 or skip < 0 or int(skip * whole) >= int(search * whole):
        raise ValueError(f"search={search}, skip={skip}: search must be at least 1 cell and greater than skip.")
    if not 0 < flat < 90:
        raise ValueError(f"flat={flat} is no angle between 0 and 90 degrees.")
    if flat_distance and not skipped < flat_distance < reach:
        raise ValueError(f"flat_distance={flat_distance} must lie between skip ({skipped} m) and search ({reach} m).")
    if comparison not in get_args(Comparison):
        raise ValueError(f"comparison={comparison!r} is none of {', '.join(get_args(Comparison))}.")
    margin = math.ceil(reach / min(x, y))
    around = np.pad(z, margin, constant_values=np.nan)
    around[margin + len(z) - 1] = np.nan
    return _View(
        z, around, margin, (x, y), reach, int(skip * whole), math.tan(math.radians(flat)), flat_distance, comparison
    )
