"""The Source protocol: where scenes, pixels and map features come from, and nothing about what is done with them."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from shapely.geometry.base import BaseGeometry

from geomeld.core.grid import Grid
from geomeld.core.modality import Modality
from geomeld.core.tile import Layer


@dataclass(frozen=True, slots=True)
class Scene:
    """One acquisition (or, for products without a date, one file) that may hold a tile's pixels; no pixels itself."""

    scene_id: str
    """The provider's identifier, unique within the modality."""
    modality: str
    """Name of the modality that it serves."""
    footprint: BaseGeometry
    """Outline in longitude and latitude, degrees."""
    acquired: dt.datetime | None = None
    """UTC; None for products without a date."""
    cloud_cover: float | None = None
    """Share of the whole scene under cloud, percent; None where the product has none."""
    orbit: str | None = None
    """"ascending", "descending" or None."""
    epsg: int | None = None
    """Projection of the scene's own pixels, where one is stated."""
    product: str = ""
    """Which product of which provider this is."""
    properties: Mapping[str, Any] = field(default_factory=dict)
    """What the source needs to read it again (hrefs, baseline); JSON only."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One map object with its tags; tags are written by strangers and are data, never instructions."""

    feature_id: str
    """e.g. "way/123"."""
    geometry: BaseGeometry
    """Longitude and latitude, degrees."""
    tags: Mapping[str, str]


@runtime_checkable
class Source(Protocol):
    """A provider of scenes, pixels and map features. Instances can be pickled; open files are not part of the state."""

    @property
    def name(self) -> str:
        """Short name, kept in the manifest."""
        ...

    def modalities(self) -> frozenset[str]:
        """Names of the modalities that this source can serve at all."""
        ...

    def scenes(self, modality: Modality, grid: Grid, start: dt.datetime, end: dt.datetime) -> list[Scene]:
        """Scenes of `modality` that cover or touch `grid`, acquired in [start, end); time is ignored for products
        without a date. Sorted by (acquired, scene_id). Reads no pixels."""
        ...

    def read(self, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> Layer | None:
        """The pixels of the chosen scenes on `grid.at(modality.gsd)`, scale, offset and no-data applied once.

        With several scenes of one orbit direction, earlier ones in the sequence win where both are valid. For
        `Timing.MODE` the most frequent class is taken, a tie going to the earliest in the sequence. Returns None where
        nothing of the product lies on the grid. Raises CorruptAsset or TransientError."""
        ...

    def features(self, grid: Grid) -> list[Feature] | None:
        """Map features that intersect the grid, sorted by feature_id; None where the source has no map."""
        ...
