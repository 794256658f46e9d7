"""StacSource: scenes and pixels from any STAC catalogue, on disk or on the web, behind the Source protocol."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pystac
import rasterio
import shapely
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import CorruptAsset, MissingProduct
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Resampling, Timing
from geomeld.core.tile import Layer
from geomeld.modalities import MODALITIES
from geomeld.sources.asset import look
from geomeld.sources.catalogue import items, open_catalogue, turned
from geomeld.sources.combine import ORBIT_SUFFIX, View, combined, decoded
from geomeld.sources.item import acquired_of, footprint_of
from geomeld.sources.openstreetmap import OpenStreetMap
from geomeld.sources.profiles import PROFILES, SCL_UNUSABLE, Profile, bands_of, baseline_of, offset_of
from geomeld.sources.signing import Signing, signing_of
from geomeld.sources.source import Feature, Scene
from geomeld.sources.warp import meets, onto, part_of, slope_onto

T = TypeVar("T")

MAP = "map"
"""Relation under which a catalogue links to its map extract."""


@dataclass(frozen=True, slots=True)
class StacSource:
    """A STAC catalogue as a source of scenes, pixels and, where it links to a map extract, map features."""

    href: str
    """Path or http(s) address of the root: a static catalog.json, or an API."""
    name: str = "stac"
    tokens: str | None = None
    """Address of a service that hands out a token per collection for its files, `TOKENS/COLLECTION`; that of the
    Planetary Computer is known by its name, and used for its own catalogue. See Signing."""

    def modalities(self) -> frozenset[str]:
        """Modalities with a collection in the catalogue.

        Raises MissingProduct without one for the reference modality, SourceError where there is no catalogue.
        """
        there = open_catalogue(self.href).collections
        served = frozenset(n for n, p in PROFILES.items() if p.collection_of(there))
        for name, modality in MODALITIES.items():
            if modality.timing is Timing.REFERENCE and name not in served:
                wanted = " or ".join(PROFILES[name].collections)
                raise MissingProduct(
                    f"{self.href} holds no {modality.title} collection ({wanted}); it holds "
                    f"{', '.join(sorted(there)) or 'no collections'}."
                )
        return served

    def scenes(self, modality: Modality, grid: Grid, start: dt.datetime, end: dt.datetime) -> list[Scene]:
        """Scenes of `modality` that touch `grid`, acquired in [start, end), sorted by (acquired, scene_id)."""
        if modality.name not in self.modalities():
            return []
        profile = PROFILES[modality.name]
        collections = open_catalogue(self.href).collections
        collection = profile.collection_of(collections)
        assert collection is not None
        dated = modality.timing is not Timing.STATIC
        outline = Polygon(grid.footprint())
        found = items(self.href, collection, outline, *((start, end) if dated else (None, None)))
        title = collections[collection].title or f"{profile.title} ({collection})"
        made = [scene_of(i, profile, dated, title, outline) for i in found if _of_year(i, profile)]
        touching = [s for s in made if s.footprint.intersects(outline)]
        return sorted(touching, key=lambda s: (s.acquired or start, s.scene_id))

    def read(self, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> Layer | None:
        """The pixels of the scenes on `grid.at(modality.gsd)`; None where none of them holds any.

        Raises CorruptAsset for a file that cannot be decoded, TransientError for a server that fails, SourceError for a
        file that is not there or that its server refuses.
        """
        target = grid.at(modality.gsd)
        return combined(modality, scenes, target, lambda scene: _view(modality, scene, target, self._signing()))

    def features(self, grid: Grid) -> list[Feature] | None:
        """Map features that intersect the grid, sorted by feature_id; None where there is no map extract or it does not
        reach that far."""
        extract = open_catalogue(self.href).linked(MAP)
        return None if extract is None else OpenStreetMap(extract).features(grid)

    def map_product(self) -> str | None:
        """What map the catalogue links to, and of when; None without one."""
        extract = open_catalogue(self.href).linked(MAP)
        return None if extract is None else OpenStreetMap(extract).product

    def clear_share(self, scene: Scene, grid: Grid) -> float | None:
        """Share of the tile's pixels that a scene's own classification calls usable (no cloud, shadow or missing data),
        0..1; None for scenes without a classification."""
        name = _first(PROFILES[scene.modality].classification, scene.properties["assets"])
        if name is None:
            return None
        codes, valid = _looked(
            scene,
            name,
            lambda dataset: onto(dataset, [1], grid.at(20.0), Resampling.NEAREST, _nodata(dataset, 0)),
            self._signing(),
        )
        return float((valid & ~np.isin(codes, SCL_UNUSABLE)).mean())

    def _signing(self) -> Signing | None:
        return signing_of(self.href, self.tokens)


def scene_of(item: pystac.Item, profile: Profile, dated: bool, title: str, outline: BaseGeometry) -> Scene:
    """What an item is to a planner; `title` names its product, the footprint is moved to where the outline lies."""
    given = item.properties
    wanted = {n for names in profile.assets.values() for n in names} | set(profile.classification)
    hrefs = {k: a.get_absolute_href() for k, a in item.assets.items() if k in wanted}
    properties: dict[str, Any] = {"collection": item.collection_id or "", "assets": hrefs}
    remarks = [profile.note]
    if profile.baselines:
        offset, reason = offset_of(item, wanted)
        properties |= {"baseline": baseline_of(item), "offset": offset}
        remarks.insert(0, reason)
    if "sar:instrument_mode" in given:
        properties["mode"] = given["sar:instrument_mode"]
    cloud = given.get("eo:cloud_cover")
    return Scene(
        scene_id=item.id,
        modality=profile.modality,
        footprint=_near(footprint_of(item), outline),
        acquired=acquired_of(item) if dated else None,
        cloud_cover=None if cloud is None else float(cloud),
        orbit=given.get("sat:orbit_state") if given.get("sat:orbit_state") in ORBIT_SUFFIX else None,
        epsg=_epsg(given),
        product=", ".join([title, *(r for r in remarks if r and r not in title)]),
        properties=properties,
    )


def _epsg(given: Mapping[str, Any]) -> int | None:
    code = str(given.get("proj:code") or given.get("proj:epsg") or "").rpartition(":")[2]
    return int(code) if code.isdigit() else None


def _near(footprint: BaseGeometry, outline: BaseGeometry) -> BaseGeometry:
    """A footprint moved by whole turns to where the tile is; one that is cut at the antimeridian is joined there."""
    west, _, east, _ = footprint.bounds
    if east - west > 180.0:
        return shapely.union_all(turned(footprint)).intersection(outline.buffer(3.0))
    turns = round((outline.centroid.x - footprint.centroid.x) / 360.0)
    return shapely.affinity.translate(footprint, 360.0 * turns) if turns else footprint


def _of_year(item: pystac.Item, profile: Profile) -> bool:
    acquired = acquired_of(item)
    return profile.year is None or acquired is None or acquired.year == profile.year


def _view(modality: Modality, scene: Scene, target: Grid, signing: Signing | None) -> View:
    """(values, valid) of all bands of one scene on the target grid; bands that it lacks are invalid."""
    profile = PROFILES[modality.name]
    shape = (len(modality.bands), *target.shape)
    values, valid = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    bands = bands_of(profile, modality, ORBIT_SUFFIX[scene.orbit])
    for name, members in _files(profile, bands, scene).items():

        def read(dataset: rasterio.DatasetReader, members: list[str] = members) -> None:
            positions = [profile.position(plain) for plain in members]
            if dataset.count < max(positions):
                missing = bands[members[positions.index(max(positions))]]
                raise CorruptAsset(f"it has {dataset.count} bands; {missing} should be one of them")
            nodata = _nodata(dataset, profile.nodata)
            at = [modality.bands.index(bands[plain]) for plain in members]
            values[at], valid[at] = onto(dataset, positions, target, modality.resampling, nodata)
            if not valid[at].any():
                _refuse_elsewhere(dataset, scene, target)
            for slope in (s for s, origin in profile.derived.items() if origin in members):
                native = part_of(dataset, profile.position(profile.derived[slope]), target, nodata)
                if native is not None:
                    i = [modality.bands.index(slope)]
                    values[i], valid[i] = slope_onto(native, target, modality.resampling)

        _looked(scene, name, read, signing)
    return decoded(values, valid, modality, scene), valid


def _refuse_elsewhere(dataset: rasterio.DatasetReader, scene: Scene, target: Grid) -> None:
    """Raise CorruptAsset for a file that lies nowhere near a tile which its item's footprint contains."""
    if scene.footprint.contains(Polygon(target.footprint())) and not meets(dataset, target):
        edges = ", ".join(f"{v:g}" for v in dataset.bounds)
        raise CorruptAsset(
            f"its pixels do not lie where its item says: the tile is in EPSG:{target.epsg} at {target.left:g}, "
            f"{target.top:g}, the file in {dataset.crs.to_string()} within {edges}"
        )


def _files(profile: Profile, bands: Mapping[str, str], scene: Scene) -> dict[str, list[str]]:
    """The bands that each of a scene's assets holds."""
    files: dict[str, list[str]] = {}
    for plain in bands:
        name = _first(profile.assets[plain], scene.properties["assets"])
        if name is not None:
            files.setdefault(name, []).append(plain)
    return files


def _looked(scene: Scene, name: str, work: Callable[[rasterio.DatasetReader], T], signing: Signing | None) -> T:
    return look(scene.properties["assets"][name], _what(scene, name), work, signing, scene.properties["collection"])


def _what(scene: Scene, asset: str) -> str:
    return f"Asset {asset} of {scene.modality} item {scene.scene_id}"


def _nodata(dataset: rasterio.DatasetReader, default: float | None) -> float | None:
    return default if dataset.nodata is None else float(dataset.nodata)


def _first(names: Sequence[str], there: Mapping[str, str]) -> str | None:
    return next((n for n in names if n in there), None)
