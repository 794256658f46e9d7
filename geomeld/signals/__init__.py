"""What was measured on a tile: pure functions from layers and map features to facts."""

import datetime as dt
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from geomeld.core.caption import Signals
from geomeld.core.config import to_json
from geomeld.core.modality import Timing
from geomeld.core.tile import Tile
from geomeld.modalities import MODALITIES
from geomeld.signals.land_cover import CONCEPTS, concept_map, land_cover
from geomeld.signals.map_features import osm_tags, restored, summarise
from geomeld.signals.radar import radar
from geomeld.signals.spectral import spectral
from geomeld.signals.terrain import terrain
from geomeld.signals.water import consensus, stored

__all__ = ["MEASURED", "measure", "published_fields"]

MEASURED = tuple(n for n, m in MODALITIES.items() if m.gsd >= 10)
"""Layers that are measured. Of finer photographs it matters only that they are there: they show small things."""

TROPIC = 23.5
SEASONS = ("winter", "spring", "summer", "autumn")


def measure(tile: Tile, layers: Collection[str] | None = None) -> Signals:
    """Everything that a caption of the tile may be held against; what cannot be measured is None, empty or missing.

    `layers` names all that the tile has, where no more than those in MEASURED were read (None: all were).
    """
    there = tile.layers if layers is None else layers
    concepts = concept_map(tile)
    classes = concepts[0] if concepts else None
    water_mask, water = consensus(tile)
    relief = terrain(tile.layers.get("aster"), tile.grid, water_mask)
    date = tile.metadata.get("acquisition_date") or _date(tile)
    features = tile.metadata.get("map_features")
    return Signals(
        tile_id=tile.tile_id,
        gsd_m=_finest_gsd(there),
        date=date,
        latitude=tile.anchor.lat,
        season=season(dt.date.fromisoformat(date[:10]), tile.anchor.lat),
        land_cover=land_cover(tile, concepts),
        spectral=spectral(tile.layers.get("sentinel2"), classes),
        radar=radar(tile.layers.get("sentinel1"), relief.slope_p90 if relief else None),
        canopy=_canopy(tile, classes),
        water=water if water.sources else stored(tile.metadata.get("water_analysis")),
        terrain=relief,
        map_features=None if features is None else restored(features),
        missing=tuple(n for n, m in MODALITIES.items() if n not in there and m.published),
    )


def published_fields(tile: Tile, features: Sequence | None) -> dict[str, Any]:
    """The published metadata that follow from a tile's pixels and its map features (None: there is no map): terrain
    class, water analysis and map tags, and the summarised features that captions are held against."""
    water_mask, water = consensus(tile)
    relief = terrain(tile.layers.get("aster"), tile.grid, water_mask)
    summary = None if features is None else summarise(features, tile.grid, _finest_gsd(tile.layers))
    return {
        "terrain_class": relief.terrain_class if relief else None,
        "water_analysis": {"detected": water.detected, "percentage": water.percentage, "sources": list(water.sources)}
        if water.sources
        else None,
        "osm_tags": None if features is None else osm_tags(features, tile.grid),
        "map_features": None if summary is None else to_json(summary),
    }


def season(date: dt.date, latitude: float) -> str | None:
    """Meteorological season by hemisphere; None within the tropics."""
    if abs(latitude) < TROPIC:
        return None
    number = (date.month % 12) // 3
    return SEASONS[number if latitude > 0 else (number + 2) % 4]


def _date(tile: Tile) -> str:
    for name, modality in MODALITIES.items():
        layer = tile.layers.get(name)
        if layer is not None and layer.acquired and modality.timing is Timing.REFERENCE:
            return layer.acquired[0].date().isoformat()
    return tile.anchor.reference_date.isoformat()


def _finest_gsd(layers: Collection[str]) -> float:
    return min((MODALITIES[n].gsd for n in layers if n in MODALITIES and MODALITIES[n].composite), default=10.0)


def _canopy(tile: Tile, classes: np.ndarray | None) -> dict[str, float]:
    layer = tile.layers.get("canopy_height")
    if layer is None:
        return {}
    height, valid = layer.values[0], layer.valid[0]
    at = valid & (classes == CONCEPTS.index("tree")) if classes is not None else valid & (height > 2)
    if np.count_nonzero(at) < 30:
        return {}
    spread = layer.values[1][at & layer.valid[1]] if len(layer.bands) > 1 else np.array([])
    p50, p95 = np.percentile(height[at], [50, 95])
    return {"p50": float(p50), "p95": float(p95)} | ({"stddev": float(spread.mean())} if spread.size else {})
