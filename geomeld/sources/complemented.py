"""Complemented: a source of scenes with static products and a map from elsewhere, one provider for each modality."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geomeld.core.errors import UsageError
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality
from geomeld.core.tile import Layer
from geomeld.sources.mosaics import Mosaic
from geomeld.sources.openstreetmap import OpenStreetMap
from geomeld.sources.source import Feature, Scene, Source
from geomeld.sources.tiling import TILINGS


@dataclass(frozen=True, slots=True)
class Complemented:
    """The scenes of one source; what has no date may come from mosaics instead, and map features from an extract.

    Every modality has exactly one provider, the same for all tiles: products never mix inside a dataset.
    """

    main: Source
    mosaics: tuple[Mosaic, ...] = ()
    """Each stands in for what the main source has of its modality."""
    map: OpenStreetMap | None = None
    """Stands in for the main source's map."""

    def __post_init__(self) -> None:
        """Raises UsageError for two products of one modality."""
        known: dict[str, str] = {}
        for mosaic in self.mosaics:
            other = known.setdefault(TILINGS[mosaic.product].modality, mosaic.product)
            if other != mosaic.product:
                raise UsageError(f"{other} and {mosaic.product} serve the same layer; a dataset has one of them.")

    @property
    def name(self) -> str:
        """Short name, kept in the manifest."""
        return "+".join([self.main.name, *(m.name for m in self.mosaics), *(["osm"] if self.map else [])])

    def modalities(self) -> frozenset[str]:
        """Everything that the main source and the mosaics serve."""
        return self.main.modalities().union(*(m.modalities() for m in self.mosaics))

    def scenes(self, modality: Modality, grid: Grid, start: dt.datetime, end: dt.datetime) -> list[Scene]:
        """As `Source.scenes`, of the modality's provider."""
        return self._provider(modality).scenes(modality, grid, start, end)

    def read(self, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> Layer | None:
        """As `Source.read`, of the modality's provider."""
        return self._provider(modality).read(modality, scenes, grid)

    def features(self, grid: Grid) -> list[Feature] | None:
        """As `Source.features`: of the extract where there is one."""
        return self.main.features(grid) if self.map is None else self.map.features(grid)

    def map_product(self) -> str | None:
        """What map this is, and of when; None where nothing is known of it."""
        if self.map is not None:
            return self.map.product
        product = getattr(self.main, "map_product", None)
        return product() if product else None

    def clear_share(self, scene: Scene, grid: Grid) -> float | None:
        """Share of a tile that a scene's own classification calls usable; None where the source does not tell."""
        look = getattr(self.main, "clear_share", None)
        return look(scene, grid) if look else None

    def expect(self, scenes: Mapping[str, Sequence[Scene]], grid: Grid) -> None:
        """Let the main source know what of it will be read next."""
        expect = getattr(self.main, "expect", None)
        if expect:
            elsewhere = {TILINGS[m.product].modality for m in self.mosaics}
            expect({name: chosen for name, chosen in scenes.items() if name not in elsewhere}, grid)

    def budget(self, tiles: int) -> str | None:
        """What a build will ask of a service that counts, in words; None where nobody counts."""
        budget = getattr(self.main, "budget", None)
        return budget(tiles) if budget else None

    def _provider(self, modality: Modality) -> Source:
        mosaics = (m for m in self.mosaics if TILINGS[m.product].modality == modality.name)
        return next(mosaics, self.main)
