"""Modality: one kind of layer that a tile may hold, described by facts and never by its name."""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Continuous:
    """Values are measurements."""

    unit: str
    """The unit as it is printed, e.g. "m" or "dB"."""
    display: tuple[float, float]
    """Range that pictures stretch over, in the unit."""


@dataclass(frozen=True, slots=True)
class LandClass:
    """One class of a categorical product."""

    code: int
    """The stored value."""
    name: str
    """The product's own name for it."""
    colour: str
    """The product's own map colour, #RRGGBB."""


@dataclass(frozen=True, slots=True)
class Categorical:
    """Values are class codes; the class index is the position in `classes`."""

    classes: tuple[LandClass, ...]

    @property
    def codes(self) -> tuple[int, ...]:
        """Stored values in class order."""
        return tuple(c.code for c in self.classes)

    @property
    def counts_from_one(self) -> bool:
        """Whether the codes are 1 to the number of classes, so that files may hold them less one."""
        return self.codes == tuple(range(1, len(self.classes) + 1))

    def index_of(self, values: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Class indices 0..n-1 of stored codes, -1 where a code belongs to no class."""
        table = np.full(256, -1, dtype=np.int64)
        table[list(self.codes)] = np.arange(len(self.classes))
        return table[values]

    def holds(self, values: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Which stored codes belong to a class."""
        table = np.zeros(256, dtype=bool)
        table[list(self.codes)] = True
        return table.take(values)


Kind = Continuous | Categorical


class Resampling(StrEnum):
    """How source pixels become tile pixels."""

    NEAREST = "nearest"
    BILINEAR = "bilinear"
    AVERAGE_WHEN_COARSENING = "average"
    """Average when the source is finer than the tile's grid, bilinear otherwise."""


class Timing(StrEnum):
    """How acquisitions of a modality are chosen in time."""

    REFERENCE = "reference"
    """The acquisition that fixes the date of all others: Sentinel-2, nearest to the anchor's reference date."""
    NEAREST = "nearest"
    """Nearest to the reference acquisition within the window, one per orbit direction where there are several."""
    MODE = "mode"
    """Most frequent class over all acquisitions within the window."""
    ANCHOR = "anchor"
    """Its own acquisition dates give the anchor its reference date: NAIP."""
    STATIC = "static"
    """One product without a date."""


@dataclass(frozen=True, slots=True)
class Modality:
    """One kind of layer. To add a modality is to add one of these to the table."""

    name: str
    """Field name, also the key of the array in a sample file."""
    title: str
    """The name a person reads."""
    bands: tuple[str, ...]
    """Band names in stored order."""
    kind: Kind
    """What the values are."""
    gsd: float
    """Pixel size in a tile, metres."""
    resampling: Resampling
    """How source pixels become tile pixels."""
    timing: Timing
    """How acquisitions are chosen."""
    dtype: str
    """Stored NumPy dtype."""
    no_data: float
    """Stored value of an invalid pixel; NaN for floating point."""
    also_no_data: tuple[float, ...] = ()
    """Further values that published files use for invalid pixels; read, never written."""
    linear_power: bool = False
    """Values are decibels of a power: resample as power, then convert (averaging decibels is biased)."""
    composite: tuple[str, ...] = ()
    """The red, green and blue bands of a natural-colour picture; empty where there is none."""
    published: bool = True
    """Part of the published sample; others are this project's additions."""

    @property
    def is_categorical(self) -> bool:
        """Whether the values are class codes."""
        return isinstance(self.kind, Categorical)

    def shape(self, tile_metres: float = 1280.0) -> tuple[int, int, int]:
        """(bands, rows, columns) of this modality in a tile."""
        side = round(tile_metres / self.gsd)
        return len(self.bands), side, side

    def mark_valid(self, stored: NDArray) -> NDArray[np.bool_]:
        """Which stored pixels carry a measurement; the only place where a no-data value is looked at.

        `stored` is (bands, rows, columns) as it lies in a file; returns a mask of the same shape.
        """
        valid = np.isfinite(stored)  # no array of ones for integers either: this is a hot path of reading
        for code in (self.no_data, *self.also_no_data):
            if not np.isnan(code):
                valid &= stored != code
        if isinstance(self.kind, Categorical):
            valid &= self.kind.holds(stored)
        return valid

    def with_no_data(self, values: NDArray, valid: NDArray[np.bool_]) -> NDArray:
        """Values as they are stored: the modality's dtype, with invalid pixels set to its no-data value.

        A valid pixel that happens to equal an integer no-data value is stored as the nearest value beside it.
        """
        dtype = np.dtype(self.dtype)
        if np.issubdtype(dtype, np.floating):
            return np.where(valid, values, self.no_data).astype(dtype)
        stored = np.asarray(values, dtype=dtype)
        beside = self.no_data + 1 if self.no_data < np.iinfo(dtype).max else self.no_data - 1
        stored = np.where(valid & (stored == dtype.type(self.no_data)), dtype.type(beside), stored)
        return np.where(valid, stored, dtype.type(self.no_data))
