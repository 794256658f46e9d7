"""Image: the bands of one raster file or of one layer of a tile, with what its file says about them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
from numpy.typing import NDArray

from geomeld.core.errors import SourceError

Sensor = Literal["optical", "radar", "other"]
OPTICAL = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
"""Bands of Sentinel-2 Level-2A, in the order in which this project stores them."""
WITHOUT_VISIBLE = ("B1", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
"""Bands of tiles with a 1 m photograph, which holds the visible ones."""
BY_COUNT = {12: OPTICAL, 9: WITHOUT_VISIBLE, 13: (*OPTICAL[:10], "B10", *OPTICAL[10:])}
"""What as many bands without names are taken for."""
POLARISATIONS = ("VV", "VH", "HH", "HV")
LARGEST = 4096
"""Pixels a side that are looked at: the middle of a larger raster."""


@dataclass(frozen=True)
class Image:
    """Bands of one sensor on one grid."""

    where: str
    """Name for people: the file, or shard and tile."""
    values: NDArray[np.floating]
    """(bands, rows, columns) as stored."""
    valid: NDArray[np.bool_]
    """(bands, rows, columns)."""
    bands: tuple[str, ...]
    """Names as stated, or as their number suggests; empty where nothing does."""
    stated: bool
    """Whether the file itself names its bands."""
    sensor: Sensor
    nodata: float | None = None
    transform: Any = None
    """Affine transform from (column, row) to the projection; None for tiles, whose grid is north-up."""
    crs: str = ""

    def band(self, name: str) -> NDArray[np.floating] | None:
        """Valid pixels of a band, flat; None where there is no such band."""
        if name not in self.bands:
            return None
        k = self.bands.index(name)
        return self.values[k][self.valid[k]]


def read_image(path: Path) -> Image:
    """A raster file (GeoTIFF or what else GDAL reads); of a large one the middle. Raises SourceError for any other."""
    try:
        with rasterio.open(path) as file:
            rows, columns = min(file.height, LARGEST), min(file.width, LARGEST)
            window = ((file.height - rows) // 2, (file.width - columns) // 2)
            values = file.read(window=((window[0], window[0] + rows), (window[1], window[1] + columns)))
            names, tag = tuple(d or "" for d in file.descriptions), file.nodata
            transform, crs = file.transform, str(file.crs or "")
    except rasterio.errors.RasterioError as error:
        raise SourceError(f"{path} is no raster that can be read: {error}.") from None
    values = values.astype(np.float32)
    valid = np.isfinite(values) if tag is None or np.isnan(tag) else np.isfinite(values) & (values != tag)
    bands, stated = _named(names, len(values))
    return Image(str(path), values, valid, bands, stated, sensor_of(bands), tag, transform, crs)


def sensor_of(bands: tuple[str, ...]) -> Sensor:
    """What kind of sensor has such bands."""
    if any(b.split("_")[0] in POLARISATIONS for b in bands):
        return "radar"
    return "optical" if set(bands) & set(OPTICAL) else "other"


def _named(descriptions: tuple[str, ...], count: int) -> tuple[tuple[str, ...], bool]:
    """(names, whether the file states them)."""
    known = tuple(_canonical(d) for d in descriptions)
    if all(known):
        return known, True
    return BY_COUNT.get(count, ()), False


def _canonical(description: str) -> str:
    """ "B02" as "B2", "vv" as "VV"; empty for what is no name of a band."""
    text = description.strip().upper()
    if found := re.fullmatch(r"B0?(\d{1,2})(A?)", text):
        return f"B{found[1]}{found[2]}"
    return text if text.split("_")[0] in POLARISATIONS else ""
