"""What a raster file says of itself that its pixels deny: no-data, orientation, projection."""

from collections.abc import Iterator

import numpy as np

from geomeld.doctor.finding import Finding
from geomeld.doctor.image import Image

FILLS = (0.0, 65535.0, -9999.0, -32768.0, 32767.0, -99999.0)
"""Values that files are filled up with."""
LEAST = 0.001
"""Share of pixels from which a value that all bands have at the same places is a filling."""


def nodata(image: Image) -> Iterator[Finding]:
    """A filling that is not marked as no-data, so that it would be read as measured."""
    for fill in FILLS:
        if fill == 0.0 and image.sensor == "other":
            continue  # 0 may be a class, a height, a depth
        if image.nodata == fill:
            continue
        filled = ((image.values == fill) & image.valid).all(axis=0)
        share = float(filled.mean())
        if share >= LEAST:
            tag = "no no-data value is stated" if image.nodata is None else f"the file states {image.nodata:g}"
            yield Finding(
                "no-data not marked", True,
                f"{share:.1%} of the pixels are {fill:g} in every band, and {tag}: they would be read as measured.",
                {"value": fill, "share": round(share, 5), "stated": image.nodata}, "nodata", {"nodata": fill},
            )  # fmt: skip


def orientation(image: Image) -> Iterator[Finding]:
    """Rows that run from south to north, grids that are turned, and files that lie nowhere."""
    to = image.transform
    if to is None:
        return
    if to.b or to.d:
        yield Finding(
            "turned grid", True,
            f"The grid is turned or sheared ({to.b:g}, {to.d:g}); warp it to a north-up grid (gdalwarp).",
            {"b": to.b, "d": to.d},
        )  # fmt: skip
    elif to.e > 0:
        yield Finding(
            "north-down raster", True,
            f"The first row is the southern one (pixel height {to.e:+g}): programs that take it for the northern one "
            "mirror the place.",
            {"e": to.e}, "north-up",
        )  # fmt: skip
    if not image.crs:
        yield Finding("no projection", True, "The file does not say where it lies; set its projection (gdal_edit).", {})


def values(image: Image) -> Iterator[Finding]:
    """Bands without any variation."""
    names = image.bands or tuple(f"band {k + 1}" for k in range(len(image.values)))
    dead = [
        name for name, plane, ok in zip(names, image.values, image.valid, strict=True)
        if ok.any() and image.sensor != "other" and float(np.ptp(plane[ok])) == 0.0
    ]  # fmt: skip
    if dead:
        yield Finding(
            "band without variation", True,
            f"{' '.join(dead)}: all pixels have one value; the band was never read, or lost its values.",
            {"bands": dead},
        )  # fmt: skip
