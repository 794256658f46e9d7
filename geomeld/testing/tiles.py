"""Small tiles with every modality of the table, for tests that need no Earth at all."""

import datetime as dt

import numpy as np
from scipy.ndimage import gaussian_filter

from geomeld.core.draw import generator
from geomeld.core.grid import Grid
from geomeld.core.modality import Categorical, Continuous, Modality
from geomeld.core.tile import Anchor, Layer, Tile
from geomeld.modalities import MODALITIES


def fake_layer(modality: Modality, grid: Grid, tile_id: int) -> Layer:
    """Smooth random values over the modality's display range (or its classes); about 2 % of pixels are invalid."""
    rng = generator(0, f"fake-{modality.name}", tile_id)
    shape = (len(modality.bands), *grid.at(modality.gsd).shape)
    field = gaussian_filter(rng.standard_normal(shape), sigma=(0, 6, 6))
    field = (field - field.min()) / np.ptp(field)
    match modality.kind:
        case Continuous(display=(low, high)):
            values = low + (0.01 + 0.98 * field) * (high - low)
            if np.issubdtype(np.dtype(modality.dtype), np.integer):
                values = np.clip(np.round(values), 1, None)
        case Categorical() as kind:
            values = np.array(kind.codes)[np.minimum((field * len(kind.classes)).astype(int), len(kind.classes) - 1)]
    valid = rng.random(shape) > 0.02
    acquired = (dt.datetime(2020, 6, 15, 10, 30, tzinfo=dt.UTC),)
    return Layer(
        values.astype(modality.dtype),
        valid,
        modality.bands,
        acquired=acquired,
        product="fake",
        scenes=(f"{modality.name}-1",),
    )


def fake_tile(
    tile_id: int = 1, *, lon: float = 9.8449, lat: float = 57.2268, without: tuple[str, ...] = ("naip",)
) -> Tile:
    """A tile with every modality of the table except those in `without`; a pure function of its arguments."""
    anchor = Anchor(tile_id, lon, lat, dt.date(2020, 6, 15), source="fake", source_key=str(tile_id))
    grid = Grid.centred_on(lon, lat)
    layers = {name: fake_layer(m, grid, tile_id) for name, m in MODALITIES.items() if name not in without}
    metadata = {
        "tile_id": tile_id,
        "lat": lat,
        "long": lon,
        "acquisition_date": "2020-06-15",
        "file_type_naip": "naip" in layers,
        "band_names": {name: list(layer.bands) for name, layer in layers.items()},
        "terrain_class": "Flat",
        "water_analysis": {"detected": False, "percentage": 0.0},
        "osm_tags": {},
    }
    return Tile(anchor, grid, layers, metadata)
