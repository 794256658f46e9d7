"""Truth: what a caption would be held against if sensors made no errors and the map lacked nothing."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from geomeld import signals
from geomeld.core.caption import Signals
from geomeld.core.errors import UsageError
from geomeld.core.tile import Layer, Tile
from geomeld.dataset import Dataset
from geomeld.modalities import MODALITIES
from geomeld.signals.map_features import summarise
from geomeld.sources.simulated import truth as latent


def earth_of(dataset: Dataset) -> int:
    """The seed of the simulated Earth that a dataset was built on. Raises UsageError for any other dataset: nobody
    knows the truth of real places."""
    source = dataset.manifest.config.get("source") or {}
    if dataset.manifest.source != "simulated" or not isinstance(source, dict) or "seed" not in source:
        raise UsageError(
            f"{dataset.path} was not built on the simulated Earth, and only its truth is known; "
            "build one with: geomeld build --source simulated --sample 200 --out DIR."
        )
    return int(source["seed"])


def true_signals(tile: Tile, earth: int) -> Signals:
    """The signals of a tile as they truly are: measured on the latent landscape without error, with every object that
    stands there, mapped by volunteers or not, and visible or not. Spectra and radar are empty: nothing latent is a
    measured colour."""
    there = latent.truth(earth, tile.grid)
    rise = [np.gradient(there.elevation.astype(float), tile.grid.gsd, axis=k) for k in (0, 1)]
    slope = np.degrees(np.arctan(np.hypot(*rise)))
    pixels: dict[str, list[NDArray]] = {
        "esa_worldcover": [there.land_cover],
        "surface_water": [there.occurrence],
        "aster": [there.elevation, slope],
        "canopy_height": [there.canopy, np.zeros_like(there.canopy)],
    }
    layers = {name: _layer(name, planes) for name, planes in pixels.items()}
    metadata = {k: tile.metadata[k] for k in ("acquisition_date",) if k in tile.metadata}
    measured = signals.measure(Tile(tile.anchor, tile.grid, layers, metadata))
    things = summarise(latent.objects_on(earth, tile.grid), tile.grid, 1.0)
    return replace(measured, map_features=tuple(replace(f, visible=True) for f in things))


def _layer(name: str, planes: list[NDArray]) -> Layer:
    values = np.stack(planes).astype(MODALITIES[name].dtype if name == "esa_worldcover" else np.float32)
    return Layer(values, np.ones(values.shape, bool), MODALITIES[name].bands, (), "truth")
