"""What the pixels of Sentinel-1 say of their unit and of their polarisations."""

from collections.abc import Iterator

import numpy as np

from geomeld.doctor.finding import Finding
from geomeld.doctor.image import Image

FEWEST = 256
"""Valid pixels that any verdict needs."""
STRONGER = 1.0
"""Decibels by which cross-polarised backscatter is never stronger than co-polarised over a kilometre."""


def units(image: Image) -> Iterator[Finding]:
    """Linear power or amplitude where decibels are expected. A file may well hold linear power, and is turned into
    decibels when a tile is built from it; a tile may not."""
    pixels = image.values[image.valid]
    if pixels.size < FEWEST:
        return
    low, middle, top = (float(np.percentile(pixels, p)) for p in (1, 50, 99))
    evidence = {"p1": round(low, 4), "median": round(middle, 4), "p99": round(top, 4)}
    is_tile = image.transform is None
    if low >= 0 and middle > 5:
        yield Finding(
            "amplitude", True,
            f"Values from {low:.3g} to {top:.3g}: uncalibrated amplitude; fetch a terrain-corrected product (RTC), or "
            "Earth Engine's GRD in decibels.",
            evidence,
        )  # fmt: skip
    elif low >= 0 and middle < 2:
        yield Finding(
            "linear power", is_tile,
            f"Half of the values are under {middle:.3g} and none is negative: linear power, while tiles hold decibels "
            "(10 log10 of it).",
            evidence, "decibels",
        )  # fmt: skip


def order(image: Image) -> Iterator[Finding]:
    """Co- and cross-polarised bands exchanged: VH over land is 5 to 10 dB weaker than VV."""
    for suffix in ("", "_asc", "_desc"):
        vv, vh = image.band("VV" + suffix), image.band("VH" + suffix)
        if vv is None or vh is None or min(vv.size, vh.size) < FEWEST:
            continue
        co, cross = float(np.median(vv)), float(np.median(vh))
        exchanged = cross > co + STRONGER if co < 0 else cross > co * 10 ** (STRONGER / 10)
        if exchanged:
            i, j = image.bands.index("VV" + suffix), image.bands.index("VH" + suffix)
            places = list(range(len(image.bands)))
            places[i], places[j] = j, i
            yield Finding(
                f"VV and VH swapped{suffix.replace('_', ' ')}", True,
                f"What is called VH is stronger ({cross:.3g}) than what is called VV ({co:.3g}); over a kilometre of "
                "ground it never is.",
                {"VV": round(co, 4), "VH": round(cross, 4)}, "order", {"order": tuple(places)},
            )  # fmt: skip
