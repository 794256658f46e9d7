"""Water: the consensus of independent products, and what kind of water bodies it makes (captions study 2.5)."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geomeld.core.caption import Water, WaterBody
from geomeld.core.tile import Tile
from geomeld.modalities import MODALITIES
from geomeld.signals.land_cover import MIN_VALID, elongation, sector_of
from geomeld.signals.radar import SMOOTH_WATER, despeckled
from geomeld.signals.spectral import index_maps, reflectances

DETECTED_FROM = 0.10
"""Percent of the tile's pixels."""
SMALLEST = 4
"""Pixels of a component that counts."""
PERMANENT, SEASONAL, DRY = 75, 5, 50
"""Occurrence in percent."""
STORED = 0.5
"""Confidence in an analysis whose layers are not there."""
MOST_BODIES = 6
"""Bodies that are described."""
LONG, CHANNEL = 4.0, 8.0
"""Elongation from which a body that leaves the tile is a river, and any body is."""
CLOSE, IN_LINE = 5.0, 25.0
"""Pixels between pieces of one river: to any side of each other, and one behind the other."""
EIGHT = np.ones((3, 3), bool)

Kind = Literal["pond", "lake", "river", "sea"]


def consensus(tile: Tile) -> tuple[NDArray[np.bool_], Water]:
    """(mask of consensus water, its description) of a tile.

    Dynamic World water is confirmed by JRC occurrence; new water (rarely seen before) needs the spectrum or smooth
    radar beside it. Without JRC the spectrum or WorldCover confirms; without Dynamic World, WorldCover and JRC; with
    neither, the spectrum alone speaks, held against radar, at a low confidence.
    """
    shape = (128, 128) if not tile.layers else tile.grid.shape
    named, known = _named_water(tile, "dynamic_world"), _named_water(tile, "esa_worldcover")
    occurrence = tile.layers.get("surface_water")
    if occurrence is not None and occurrence.valid.mean() < MIN_VALID:
        occurrence = None
    wet_spectrum, wet_radar = _spectral_water(tile), _smooth_radar(tile)
    seen = [m for m in (wet_spectrum, wet_radar) if m is not None]
    supported = np.logical_or.reduce(seen) if seen else np.zeros(shape, bool)
    often = np.where(occurrence.valid[0], occurrence.values[0], 0) if occurrence is not None else None
    permanent = seasonal = np.zeros(shape, bool)
    sources: tuple[str, ...]
    if named is not None and often is not None:
        permanent, seasonal = named & (often >= PERMANENT), named & (often >= SEASONAL) & (often < PERMANENT)
        mask, claimed = permanent | seasonal | (named & (often < SEASONAL) & supported), named
        confidence, sources = None, ("dynamic_world", "surface_water")
    elif named is not None:
        other = known if known is not None else np.zeros(shape, bool)
        mask, claimed, confidence, sources = named & (supported | other), named, 0.6, ("dynamic_world",)
    elif known is not None and often is not None:
        mask, claimed = known & (often >= 25), known
        permanent, seasonal = mask & (often >= PERMANENT), mask & (often < PERMANENT)
        confidence, sources = 0.6, ("esa_worldcover", "surface_water")
    elif wet_spectrum is not None:
        mask = wet_spectrum if wet_radar is None else wet_spectrum & (wet_radar | ndimage.binary_erosion(wet_spectrum))
        claimed, confidence, sources = (
            wet_spectrum,
            0.5,
            ("sentinel2",) + (("sentinel1",) if wet_radar is not None else ()),
        )
    elif known is not None:
        mask, claimed, confidence, sources = known, known, 0.4, ("esa_worldcover",)
    else:
        mask, claimed, confidence, sources = np.zeros(shape, bool), np.zeros(shape, bool), 0.0, ()
    mask = without_specks(mask)
    unconfirmed = claimed & ~mask
    if confidence is None:
        confidence = 1.0 - float(unconfirmed.sum()) / max(float(claimed.sum()), 1.0)
    return mask, _described(mask, permanent & mask, seasonal & mask, unconfirmed, float(confidence), sources, tile)


def stored(analysis: Any) -> Water | None:
    """The water of a tile's published metadata, `{"detected": bool, "percentage": 0..100}`: how much, not where nor of
    which kind; None for anything else."""
    if not isinstance(analysis, Mapping):
        return None
    percentage, sources = analysis.get("percentage"), analysis.get("sources")
    if isinstance(percentage, bool) or not isinstance(percentage, int | float) or not 0 <= percentage <= 100:
        return None
    named = tuple(s for s in sources if isinstance(s, str)) if isinstance(sources, list) else ()
    return Water(
        detected=analysis.get("detected") is True,
        percentage=round(float(percentage), 2),
        permanent=0.0,
        seasonal=0.0,
        unconfirmed=0.0,
        kind="none",
        bodies=(),
        confidence=STORED,
        sources=named or ("water_analysis",),
    )


def without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Components of at least SMALLEST pixels (8 neighbours)."""
    labels, _ = ndimage.label(mask, EIGHT)
    sizes = np.bincount(labels.ravel())
    keep = sizes >= SMALLEST
    keep[0] = False
    return keep[labels]


def _named_water(tile: Tile, name: str) -> NDArray[np.bool_] | None:
    layer = tile.layers.get(name)
    if layer is None or layer.valid.mean() < MIN_VALID:
        return None
    code = next(c.code for c in MODALITIES[name].kind.classes if "water" in c.name.lower())  # type: ignore[union-attr]
    return layer.valid[0] & (layer.values[0] == code)


def _spectral_water(tile: Tile) -> NDArray[np.bool_] | None:
    layer = tile.layers.get("sentinel2")
    if layer is None or not layer.valid.any():
        return None
    bands, valid = reflectances(layer)
    maps = index_maps(bands, ("ndwi", "mndwi", "s2wi"))
    if {"ndwi", "mndwi"} <= set(maps):
        return valid & (maps["mndwi"] > 0) & (maps["ndwi"] > 0) & (bands["B8"] < 0.15)
    if "s2wi" in maps and "B8" in bands:
        return valid & (maps["s2wi"] > 0.3) & (bands["B8"] < 0.10)
    return None


def _smooth_radar(tile: Tile) -> NDArray[np.bool_] | None:
    calm = despeckled(tile.layers.get("sentinel1"))
    if calm is None:
        return None
    vv, vh, valid = calm
    return valid & (vv < SMOOTH_WATER[0]) & (vh < SMOOTH_WATER[1])


def _described(
    mask: NDArray[np.bool_],
    permanent: NDArray[np.bool_],
    seasonal: NDArray[np.bool_],
    unconfirmed: NDArray[np.bool_],
    confidence: float,
    sources: tuple[str, ...],
    tile: Tile,
) -> Water:
    def percent(m: NDArray[np.bool_]) -> float:
        return round(100.0 * float(np.count_nonzero(m)) / m.size, 2)

    found = bodies(mask, tile)
    kinds = {b.kind for b in found if b.area_m2 >= 0.1 * sum(x.area_m2 for x in found)}
    return Water(
        detected=percent(mask) >= DETECTED_FROM,
        percentage=percent(mask),
        permanent=percent(permanent),
        seasonal=percent(seasonal),
        unconfirmed=percent(unconfirmed),
        kind="none" if not kinds else kinds.pop() if len(kinds) == 1 else "mixed",
        bodies=tuple(found),
        confidence=round(confidence, 4),
        sources=sources,
    )


def bodies(mask: NDArray[np.bool_], tile: Tile) -> list[WaterBody]:
    """The MOST_BODIES largest bodies of at least 9 pixels, largest first; the pieces of one river are one body."""
    labels, count = ndimage.label(mask, EIGHT)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    largest = np.argsort(-sizes[1:], kind="stable")[:MOST_BODIES] + 1
    joined = _rivers_joined([labels == k for k in largest if sizes[k] >= 9])
    return sorted((_body(piece, tile) for piece in joined), key=lambda b: -b.area_m2)


def _body(body: NDArray[np.bool_], tile: Tile) -> WaterBody:
    rows, columns = np.nonzero(body)
    return WaterBody(
        kind=_kind(body, tile),
        area_m2=float(rows.size * tile.grid.gsd**2),
        sector=sector_of(rows.mean(), columns.mean(), body.shape[0]),
        elongation=round(elongation(body), 3),
    )


def _rivers_joined(pieces: list[NDArray[np.bool_]]) -> list[NDArray[np.bool_]]:
    """Pieces put together that bridges, trees or a map's errors have cut out of one river: one of them is long, and
    the other lies close to it, or further on in its direction."""
    for i, j in combinations(range(len(pieces)), 2):
        if _is_one_river(pieces[i], pieces[j]):
            rest = [p for k, p in enumerate(pieces) if k not in (i, j)]
            return _rivers_joined([pieces[i] | pieces[j], *rest])
    return pieces


def _is_one_river(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    longest = max(elongation(a), elongation(b))
    if longest < LONG:
        return False
    apart = float(ndimage.distance_transform_edt(~a)[b].min())
    return apart <= CLOSE or (apart <= IN_LINE and elongation(a | b) > longest)


def _kind(body: NDArray[np.bool_], tile: Tile) -> Kind:
    size = np.count_nonzero(body)
    edges = sum(bool(e.any()) for e in (body[0], body[-1], body[:, 0], body[:, -1]))
    # A river is long for its area whatever its bends: compare its outline with that of a disc.
    outline = np.count_nonzero(body & ~ndimage.binary_erosion(body, EIGHT, border_value=1))
    winding = outline / (2 * np.sqrt(np.pi * size))
    corner = bool(body[0, 0] or body[0, -1] or body[-1, 0] or body[-1, -1])
    if edges >= 2 and (size >= 0.2 * body.size or (corner and size >= 0.03 * body.size)) and _at_sea_level(body, tile):
        return "sea"
    length = elongation(body)
    channel = length >= CHANNEL or (edges >= 1 and length >= LONG) or (edges >= 2 and (length >= 3 or winding >= 2.2))
    if size < 0.3 * body.size and channel:
        return "river"
    return "pond" if size * tile.grid.gsd**2 < 10_000 else "lake"


def _at_sea_level(body: NDArray[np.bool_], tile: Tile) -> bool:
    layer = next((x for n, x in tile.layers.items() if x.bands[:1] == ("elevation",)), None)
    if layer is None:
        return False
    z = layer.values[0][body & layer.valid[0]]
    return z.size > 0 and bool(np.median(z) < 1.0)
