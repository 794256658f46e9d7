"""What the pixels of Sentinel-2 say of their unit, of the processing offset and of the order of their bands."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from geomeld.doctor.finding import Finding
from geomeld.doctor.image import Image

NATIVE = ("B2", "B3", "B4", "B8")
"""Bands whose pixels are 10 m wide; the others are drawn larger, and are smoother or blocky."""
FLOOR = 0.5
"""Percentile that counts as a band's darkest ground: below it lie single bad pixels."""
ABSENT_TO, PRESENT_FROM, PRESENT_TO = 600.0, 800.0, 1700.0
"""Floor of the darkest band, reflectance x 10000. Somewhere in nearly every kilometre there is shade or water: without
the offset one band or another comes near 0, with it none comes under 1000 by much."""
EVEN = 2.5
"""Median floor over the lowest one, up to which all bands stand on one level. Bright sand is dark in the blue alone."""
SNOW = 4000.0
"""Green reflectance x 10000 from which a median image is snow or cloud."""
SHARPER = 1.5
"""How much sharper one band must be than another to have the smaller pixels."""
FEWEST = 256
"""Valid pixels per band that any verdict needs."""


def units(image: Image) -> Iterator[Finding]:
    """Reflectance 0..1, percent or 8 bits instead of reflectance x 10000."""
    pixels = image.values[image.valid]
    if pixels.size < FEWEST:
        return
    top, middle = float(np.percentile(pixels, 99)), float(np.median(pixels))
    evidence = {"p99": round(top, 4), "median": round(middle, 4)}
    whole = bool((pixels[:100_000] == np.round(pixels[:100_000])).all())
    if top <= 2.0 and not whole:
        yield Finding(
            "reflectance between 0 and 1", True,
            f"99 % of the pixels are at most {top:.3g}: reflectance, where reflectance x 10000 is expected.",
            evidence, "scale", {"factor": 10000.0},
        )  # fmt: skip
    elif top <= 255 and whole and pixels.max() <= 255:
        yield Finding(
            "eight bits", True,
            f"All values are whole numbers up to {pixels.max():.0f}: a picture for the eye, whose reflectance is lost; "
            "fetch the Level-2A product.",
            evidence,
        )  # fmt: skip
    elif top <= 120.0 and not whole:
        yield Finding(
            "reflectance in percent", True,
            f"99 % of the pixels are at most {top:.3g}: percent, where reflectance x 10000 is expected.",
            evidence, "scale", {"factor": 100.0},
        )  # fmt: skip


def offset(image: Image) -> Iterator[Finding]:
    """The +1000 of processing baseline 04.00 (ESA, 25 January 2022), if it was never taken off."""
    floors = {b: f for b in image.bands if (f := _floor(image, b)) is not None}
    if len(floors) < 4:
        return
    lowest, level = min(floors.values()), float(np.median(list(floors.values())))
    evidence = {"floors": {b: round(f, 1) for b, f in floors.items()}, "lowest": round(lowest, 1)}
    if lowest <= ABSENT_TO:
        return
    even, snowy = level <= EVEN * lowest, _is_snowy(image)
    if PRESENT_FROM <= lowest <= PRESENT_TO and (even or snowy):
        yield Finding(
            "offset of +1000", True,
            f"No band comes under {lowest:.0f} (reflectance x 10000), not even in its darkest half percent: the offset "
            "of processing baseline 04.00 was not taken off.",
            evidence, "offset",
        )  # fmt: skip
    else:
        yield Finding(
            "offset cannot be told", False,
            f"The darkest band starts at {lowest:.0f}: bright ground without shade or water, with or without the "
            "offset of +1000. The product's processing baseline decides (04.00 and later carry it).",
            evidence,
        )  # fmt: skip


def order(image: Image) -> Iterator[Finding]:
    """Bands 8 and 8A, or the visible ones, in another order than their names say."""
    sharp = {b: s for b in image.bands if (s := sharpness(image, b)) is not None}
    if "B8" in sharp and "B8A" in sharp and sharp["B8A"] > SHARPER * sharp["B8"]:
        yield Finding(
            "B8 and B8A swapped", True,
            f"What is called B8A is {sharp['B8A'] / max(sharp['B8'], 1e-9):.1f} times as sharp as what is called B8, "
            "but B8 has pixels of 10 m and B8A of 20 m (the order of MMEarth's files).",
            {b: round(sharp[b], 4) for b in ("B8", "B8A")}, "order", {"order": _swapped(image.bands, "B8", "B8A")},
        )  # fmt: skip
    yield from _visible_order(image)
    if not image.stated and image.bands:
        yield from _lacking(image, sharp)


def _visible_order(image: Image) -> Iterator[Finding]:
    """Blue goes with the coastal band, red with the first red edge: the other way round, B2 and B4 are swapped."""
    if not {"B1", "B2", "B4", "B5"} <= set(image.bands):
        return
    right = _correlation(image, "B1", "B2") + _correlation(image, "B5", "B4")
    wrong = _correlation(image, "B1", "B4") + _correlation(image, "B5", "B2")
    if wrong > right + 0.02:
        yield Finding(
            "B2 and B4 swapped", True,
            f"Red should go with the red edge and blue with the coastal band (correlations {right:.3f} together); with "
            f"B2 and B4 exchanged they do so better ({wrong:.3f}).",
            {"as named": round(right, 4), "exchanged": round(wrong, 4)},
            "order", {"order": _swapped(image.bands, "B2", "B4")},
        )  # fmt: skip


def _lacking(image: Image, sharp: dict[str, float]) -> Iterator[Finding]:
    """Bands without names are what their number suggests, if the sharp ones stand where they should."""
    if len(sharp) < len(image.bands):
        return
    native = [b for b in image.bands if b in NATIVE]
    others = [sharp[b] for b in image.bands if b not in NATIVE]
    blurred = [b for b in native if sharp[b] < SHARPER * float(np.median(others))]
    names = " ".join(image.bands)
    yield Finding(
        "bands without names", bool(blurred) and blurred != ["B8"],
        f"The file does not name its {len(image.bands)} bands; they are taken for {names}"
        + (", without B2 B3 B4, as tiles with a photograph have them" if "B2" not in image.bands else "")
        + (f". That does not fit: {' '.join(blurred)} should be sharp and are not." if blurred else "; it fits."),
        {b: round(s, 4) for b, s in sharp.items()},
    )  # fmt: skip


def sharpness(image: Image, band: str) -> float | None:
    """How much detail a band has at the size of its pixels: energy of second differences across pairs of pixels, less
    what blocks of equal pixels and interpolation leave out; None without enough valid pixels.

    A band enlarged by repetition has equal neighbours in every other pair, one enlarged by interpolation hardly any
    energy in the finest octave.
    """
    k = image.bands.index(band)
    plane = np.where(image.valid[k], image.values[k], np.nan).astype(np.float64)
    if np.isfinite(plane).sum() < FEWEST or min(plane.shape) < 16:
        return None
    rows = [_along(plane), _along(plane.T)]
    return float(np.mean(rows)) if np.isfinite(rows).all() else None


def _along(plane: NDArray[np.float64]) -> float:
    steps = np.abs(np.diff(plane, axis=1))
    even, odd = float(np.nanmean(steps[:, ::2])), float(np.nanmean(steps[:, 1::2]))
    if max(even, odd) == 0:
        return 0.0
    pairs = min(even, odd) / max(even, odd)
    fine = plane[:, :-3] - 3 * plane[:, 1:-2] + 3 * plane[:, 2:-1] - plane[:, 3:]
    coarse = plane[:, :-6] - 3 * plane[:, 2:-4] + 3 * plane[:, 4:-2] - plane[:, 6:]
    return pairs * float(np.nanmean(np.abs(fine)) / max(np.nanmean(np.abs(coarse)), 1e-9))


def _floor(image: Image, band: str) -> float | None:
    pixels = image.band(band)
    return None if pixels is None or pixels.size < FEWEST else float(np.percentile(pixels, FLOOR))


def _is_snowy(image: Image) -> bool:
    """Bright in the green and dark beyond 1.6 micrometres."""
    green, swir = image.band("B3"), image.band("B11")
    if green is None or swir is None or not green.size or not swir.size:
        return False
    return float(np.median(green)) >= SNOW and float(np.median(swir)) < 0.6 * float(np.median(green))


def _correlation(image: Image, a: str, b: str) -> float:
    i, j = image.bands.index(a), image.bands.index(b)
    both = image.valid[i] & image.valid[j]
    x, y = image.values[i][both], image.values[j][both]
    if x.size < FEWEST or x.std() == 0 or y.std() == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1])


def _swapped(bands: tuple[str, ...], a: str, b: str) -> tuple[int, ...]:
    """Positions from which a corrected copy takes its bands."""
    out = list(range(len(bands)))
    i, j = bands.index(a), bands.index(b)
    out[i], out[j] = j, i
    return tuple(out)
