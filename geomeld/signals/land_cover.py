"""Land cover: shares, places and patterns of the classes on a tile, and how far two maps agree."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomeld.core.caption import LandCover
from geomeld.core.tile import Tile

CONCEPTS = ("tree", "shrub", "grass", "crop", "built", "bare", "snow", "water", "wetland", "mangrove", "moss")
"""In the order of the WorldCover legend."""

FROM_WORLDCOVER = dict(zip((10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 100), CONCEPTS, strict=True))
FROM_DYNAMIC_WORLD = {
    1: "water",
    2: "tree",
    3: "grass",
    4: "wetland",
    5: "crop",
    6: "shrub",
    7: "built",
    8: "bare",
    9: "snow",
}

AGREES: dict[str, tuple[int, ...]] = {
    "tree": (2,), "mangrove": (2,), "shrub": (6, 3), "grass": (3, 6), "crop": (5, 3), "built": (7,), "bare": (8, 6),
    "snow": (9,), "water": (1,), "wetland": (4, 3), "moss": (3, 6, 8),
}  # fmt: skip
"""Dynamic World labels that agree with each concept; sets, because the legends do not match one to one."""

ITSELF = {concept: codes if concept == "moss" else codes[:1] for concept, codes in AGREES.items()}
"""Dynamic World labels that are a concept and no near relative of it; moss has none of its own."""

PARTS = {
    "north-west": (slice(0, 64), slice(0, 64)),
    "north-east": (slice(0, 64), slice(64, 128)),
    "south-west": (slice(64, 128), slice(0, 64)),
    "south-east": (slice(64, 128), slice(64, 128)),
    "centre": (slice(32, 96), slice(32, 96)),
}
MIN_VALID = 0.5
"""Share of a map's pixels under which it counts as missing."""
NEIGHBOURS = ndimage.generate_binary_structure(2, 1)
SMALLEST_PATCH = 9
"""Pixels."""


def concept_map(tile: Tile) -> tuple[NDArray[np.int8], str] | None:
    """(index into CONCEPTS or -1 per pixel, product): from WorldCover, else from Dynamic World; None without both."""
    for name, legend in (("esa_worldcover", FROM_WORLDCOVER), ("dynamic_world", FROM_DYNAMIC_WORLD)):
        layer = tile.layers.get(name)
        if layer is not None and layer.valid[0].mean() >= MIN_VALID:
            table = np.full(256, -1, np.int8)
            for code, concept in legend.items():
                table[code] = CONCEPTS.index(concept)
            return np.where(layer.valid[0], table[layer.values[0].astype(np.uint8)], -1), layer.product or name
    return None


def land_cover(tile: Tile, concepts: tuple[NDArray[np.int8], str] | None) -> LandCover | None:
    """Shares over valid pixels, per part of the tile, with patterns and agreement; None without a land-cover map."""
    if concepts is None:
        return None
    classes, product = concepts
    shares = _shares(classes)
    agreement = _agreement(tile, classes)
    confidence = 0.6 if np.isnan(agreement) else float(np.clip((agreement - 0.3) / 0.5, 0, 1))
    return LandCover(
        shares=shares,
        quadrants={name: _shares(classes[part]) for name, part in PARTS.items()},
        patterns={c: _pattern(classes == CONCEPTS.index(c)) for c, f in shares.items() if f >= 0.02},
        agreement=agreement,
        confidence=confidence,
        source=product,
        confirmed=_confirmed(tile, classes),
    )


def _shares(classes: NDArray[np.int8]) -> dict[str, float]:
    known = classes[classes >= 0]
    counts = np.bincount(known, minlength=len(CONCEPTS)) / max(known.size, 1)
    order = np.argsort(-counts, kind="stable")
    return {CONCEPTS[k]: float(counts[k]) for k in order if counts[k] > 0}


def _agreement(tile: Tile, classes: NDArray[np.int8]) -> float:
    labels, cover = tile.layers.get("dynamic_world"), tile.layers.get("esa_worldcover")
    # Below that share the classes come from Dynamic World itself, which would agree with itself everywhere.
    if labels is None or cover is None or cover.valid[0].mean() < MIN_VALID:
        return float("nan")
    both = labels.valid[0] & (classes >= 0)
    if not both.any():
        return float("nan")
    return float(_table(AGREES)[classes[both], labels.values[0][both].astype(np.uint8)].mean())


def _confirmed(tile: Tile, classes: NDArray[np.int8]) -> dict[str, float]:
    labels, cover = tile.layers.get("dynamic_world"), tile.layers.get("esa_worldcover")
    if labels is None or cover is None or cover.valid[0].mean() < MIN_VALID:
        return {}
    both = labels.valid[0] & (classes >= 0)
    same = _table(ITSELF)[classes[both], labels.values[0][both].astype(np.uint8)]
    seen = np.bincount(classes[both], minlength=len(CONCEPTS))
    found = np.bincount(classes[both], weights=same, minlength=len(CONCEPTS))
    return {CONCEPTS[k]: float(found[k] / seen[k]) for k in np.flatnonzero(seen)}


def _table(codes: Mapping[str, tuple[int, ...]]) -> NDArray[np.bool_]:
    """(concept, Dynamic World label) -> whether the label is among the concept's."""
    table = np.zeros((len(CONCEPTS), 10), bool)
    for concept, labels in codes.items():
        table[CONCEPTS.index(concept), list(labels)] = True
    return table


def _pattern(mask: NDArray[np.bool_]) -> str:
    """ "block", "strip", "scattered" or "patches" (captions study 2.1)."""
    labels, _ = ndimage.label(mask, NEIGHBOURS)
    sizes = np.bincount(labels.ravel())[1:]
    large = np.flatnonzero(sizes >= SMALLEST_PATCH) + 1
    if not large.size:
        return "scattered"
    biggest = int(large[np.argmax(sizes[large - 1])])
    share = sizes[biggest - 1] / sizes[large - 1].sum()
    if share >= 0.8:
        return "strip" if elongation(labels == biggest) >= 4 else "block"
    return "scattered" if large.size >= 5 and share < 0.5 else "patches"


def elongation(mask: NDArray[np.bool_]) -> float:
    """Ratio of the principal axes of a set of pixels, >= 1."""
    rows, columns = np.nonzero(mask)
    if rows.size < 3:
        return 1.0
    small, large = (float(v) for v in np.linalg.eigvalsh(np.cov(np.stack([rows, columns]).astype(float))))
    return float(np.sqrt(max(large, 1e-9) / max(small, 1 / 12)))


def sector_of(rows: float, columns: float, size: int) -> str:
    """The ninth of a square that a point lies in: "north-west" ... "centre"."""
    north = "north" if rows < size / 3 else "south" if rows >= 2 * size / 3 else ""
    west = "west" if columns < size / 3 else "east" if columns >= 2 * size / 3 else ""
    return "-".join(w for w in (north, west) if w) or "centre"
