"""EarthEngineSource: every product from Google Earth Engine, all 10 m pixels of a tile in one request."""

import datetime as dt
import io
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry import Polygon
from shapely.geometry.base import BaseGeometry

from geomeld.core.errors import AuthError, SourceError, TransientError
from geomeld.core.grid import Grid
from geomeld.core.modality import Modality, Resampling
from geomeld.core.tile import Layer
from geomeld.modalities import MODALITIES
from geomeld.sources.combine import ORBIT_SUFFIX, View, combined, decoded
from geomeld.sources.ee_client import asked
from geomeld.sources.ee_products import PRODUCTS, Product
from geomeld.sources.source import Feature, Scene

HIGH_VOLUME = "https://earthengine-highvolume.googleapis.com"
"""The endpoint for many small requests."""

EMPTY = -9999.0
"""Sent for a masked pixel of a measurement; whole numbers use the largest of their type."""

INPUTS = 256
"""Pixels that an average may take in: 0.1 m photographs at 1 m have 100."""

REQUESTS = (4, 12)
"""Lists of scenes per tile: of four dated products, that of Sentinel-2 once for every window."""

EECU_SECONDS = (3.0, 10.0)
"""Computing units that the pixels of a tile may cost; an estimate, not a measurement."""

Chosen = Mapping[str, Sequence[Scene]]


@dataclass(frozen=True, slots=True)
class EarthEngineSource:
    """Earth Engine as a source; scenes are chosen by their properties alone.

    One request brings all layers of a tile that lie at 10 m, with one explicit grid; a photograph at 1 m is a request
    of its own, since a request has one grid.
    """

    project: str
    """The Google Cloud project that requests count for."""
    url: str = HIGH_VOLUME
    name: str = "ee"

    def modalities(self) -> frozenset[str]:
        """All modalities of `PRODUCTS`."""
        return frozenset(PRODUCTS)

    def scenes(self, modality: Modality, grid: Grid, start: dt.datetime, end: dt.datetime) -> list[Scene]:
        """Scenes of `modality` that touch `grid`, acquired in [start, end), sorted by (acquired, scene_id)."""
        product = PRODUCTS.get(modality.name)
        if product is None:
            return []
        outline = Polygon(grid.footprint())
        if product.kind != "dated":
            properties = {"id": product.asset, "bands": sorted(set(product.bands.values()))}
            around = Polygon(grid.padded(1000.0).footprint())
            return [Scene(product.asset, modality.name, around, product=product.title, properties=properties)]
        query = {
            "parent": f"projects/earthengine-public/assets/{product.asset}",
            "startTime": _stamp(start),
            "endTime": _stamp(end),
            "region": shapely.geometry.mapping(outline),
            "view": "FULL",
            **({"filter": product.filter} if product.filter else {}),
        }
        found = asked(self.project, self.url, f"The list of {product.asset}", lambda ee: ee.data.listImages(query))
        made = [_scene(image, product, outline) for image in found.get("images") or []]
        return sorted(
            (s for s in made if s.footprint.intersects(outline)), key=lambda s: (s.acquired or start, s.scene_id)
        )

    def expect(self, scenes: Chosen, grid: Grid) -> None:
        """Let it know all that will be read of a tile next, so that the first `read` can fetch it together."""
        _sample.set(_Sample(self, grid, dict(scenes)))

    def read(self, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> Layer | None:
        """The pixels of the scenes on `grid.at(modality.gsd)`; None where none of them shows any.

        Raises TransientError, AuthError, MissingAsset, or SourceError for what Earth Engine refuses.
        """
        sample = _sample.of(self, modality, scenes, grid)
        pixels = sample.pixels(modality)

        def view(scene: Scene) -> View:
            return _view(modality, scene, list(scenes).index(scene), pixels, grid.at(modality.gsd))

        return combined(modality, scenes, grid.at(modality.gsd), view)

    def features(self, grid: Grid) -> list[Feature] | None:
        """No map: Earth Engine has no OpenStreetMap."""
        return None

    def budget(self, tiles: int) -> str:
        """What a build will ask of Earth Engine at most, in words."""
        lists, units = [n * tiles for n in REQUESTS], [s * tiles / 3600 for s in EECU_SECONDS]
        return (
            f"{tiles:,} tiles from Earth Engine, project {self.project}: {tiles:,} requests for pixels (twice that "
            f"with 1 m photographs), {lists[0]:,} to {lists[1]:,} lists of scenes, about {units[0]:,.1f} to "
            f"{units[1]:,.1f} EECU-hours (an estimate; a noncommercial project has 150 or 1,000 a month)."
        )


@dataclass(slots=True)
class _Sample:
    """What is read of one tile, and the pixels of it that have come."""

    source: EarthEngineSource
    grid: Grid
    chosen: dict[str, Sequence[Scene]]
    apart: bool = False
    """Whether each layer is a request of its own: together they were too much, or one of them cannot be had."""
    come: dict[str, dict[str, NDArray]] = field(default_factory=dict)
    """By modality: arrays (rows, columns) by the band names of the request."""

    def pixels(self, modality: Modality) -> dict[str, NDArray]:
        if modality.name in self.come:
            return self.come[modality.name]
        if not self.apart:
            together = [n for n in self.chosen if MODALITIES[n].gsd == modality.gsd]
            try:
                return self._fetch(together)[modality.name]
            except (TransientError, AuthError):
                raise
            except SourceError:
                if together == [modality.name]:
                    raise
                self.apart = True
        return self._fetch([modality.name])[modality.name]

    def _fetch(self, names: Sequence[str]) -> dict[str, dict[str, NDArray]]:
        grid = self.grid.at(MODALITIES[names[0]].gsd)
        what = f"{', '.join(names)} at {', '.join(f'{v:.4f}' for v in grid.centre)}"

        def request(ee: Any) -> bytes:
            image = ee.Image.cat([part for n in names for part in _images(ee, n, self.chosen[n])])
            return bytes(ee.data.computePixels({"expression": image, "fileFormat": "NPY", "grid": _grid(grid)}))

        arrays = _decoded(asked(self.source.project, self.source.url, what, request), what, grid)
        for name in names:
            self.come[name] = {band: a for band, a in arrays.items() if band.startswith(f"{name}__")}
        return self.come


class _Held(threading.local):
    """The sample that a thread is at."""

    sample: _Sample | None = None

    def set(self, sample: _Sample) -> None:
        self.sample = sample

    def of(self, source: EarthEngineSource, modality: Modality, scenes: Sequence[Scene], grid: Grid) -> _Sample:
        """The sample that these scenes belong to, else one of their own."""
        held = self.sample
        if held is not None and held.source == source and held.grid == grid:
            ids = [s.scene_id for s in held.chosen.get(modality.name, ())]
            if ids == [s.scene_id for s in scenes]:
                return held
        return _Sample(source, grid, {modality.name: scenes})


_sample = _Held()


def _images(ee: Any, name: str, scenes: Sequence[Scene]) -> list[Any]:
    """An image per scene and asset, its bands named after modality, scene and band, masked pixels filled."""
    modality, product = MODALITIES[name], PRODUCTS[name]
    made = []
    for number, scene in enumerate(scenes):
        for asset, bands in _assets(product, scene).items():
            labels = [_label(name, number, band) for band in bands]
            image = _loaded(ee, product, asset).select([product.bands[b] for b in bands], labels)
            if product.nodata is not None:
                image = image.updateMask(image.neq(product.nodata))
            if product.masked is not None:
                image = image.unmask(product.masked)
            made.append(_filled(ee, image, modality, scene))
            slopes = [slope for slope, origin in product.derived.items() if origin in bands]
            for slope in slopes:
                steep = ee.Terrain.slope(image.toFloat()).rename(_label(name, number, slope))
                made.append(_filled(ee, steep, modality, scene))
    return made


def _loaded(ee: Any, product: Product, asset: str) -> Any:
    return ee.ImageCollection(asset).first() if product.kind == "single" else ee.Image(asset)


def _filled(ee: Any, image: Any, modality: Modality, scene: Scene) -> Any:
    """An image in the type of its modality, resampled as that asks for, and then filled: a fill never bleeds."""
    real = np.issubdtype(np.dtype(modality.dtype), np.floating)
    match modality.resampling:
        case Resampling.AVERAGE_WHEN_COARSENING if scene.properties.get("gsd", modality.gsd) < modality.gsd * 0.99:
            image = image.toFloat().reduceResolution(ee.Reducer.mean(), False, INPUTS)
        case Resampling.BILINEAR | Resampling.AVERAGE_WHEN_COARSENING:
            image = image.toFloat().resample("bilinear")
        case Resampling.NEAREST:
            pass
    kind = {"float32": image.toFloat, "uint8": image.toByte, "uint16": image.round().toUint16}[modality.dtype]
    return kind().unmask(EMPTY if real else float(np.iinfo(modality.dtype).max), False)


def _assets(product: Product, scene: Scene) -> dict[str, list[str]]:
    """Bands of the modality (without suffix) that a scene has, by the asset that they lie in."""
    there = set(scene.properties["bands"])
    found: dict[str, list[str]] = {}
    for band, stored in product.bands.items():
        if stored in there:
            found.setdefault(product.elsewhere.get(band, scene.properties["id"]), []).append(band)
    return found


def _label(modality: str, number: int, band: str) -> str:
    return f"{modality}__{number}__{band}"


def _view(modality: Modality, scene: Scene, number: int, pixels: Mapping[str, NDArray], target: Grid) -> View:
    """(values, valid) of all bands of one scene; bands that it lacks are invalid."""
    product = PRODUCTS[modality.name]
    shape = (len(modality.bands), *target.shape)
    values, valid = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=bool)
    for band in (*product.bands, *product.derived):
        array, name = pixels.get(_label(modality.name, number, band)), band + ORBIT_SUFFIX[scene.orbit]
        if array is None or name not in modality.bands:
            continue
        i = modality.bands.index(name)
        empty = EMPTY if np.issubdtype(array.dtype, np.floating) else np.iinfo(array.dtype).max
        valid[i] = (array != empty) & np.isfinite(array)
        values[i] = np.where(valid[i], array + np.float32(product.shift), 0)
    return decoded(values, valid, modality, scene), valid


def _decoded(data: bytes, what: str, grid: Grid) -> dict[str, NDArray]:
    """Arrays by band from the bytes of an answer. Raises TransientError for bytes that are cut or of another shape."""
    try:
        table = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise TransientError(f"{what}: the pixels from Earth Engine came damaged: {error}. Try again later.") from None
    if table.dtype.names is None or table.shape != grid.shape:
        raise TransientError(f"{what}: Earth Engine sent {table.dtype} {table.shape} instead of bands {grid.shape}.")
    return {name: np.ascontiguousarray(table[name]) for name in table.dtype.names}


def _grid(grid: Grid) -> dict[str, Any]:
    """A grid as a request states it: nothing is left for the server to choose."""
    a, b, c, d, e, f = grid.transform
    names = ("scaleX", "shearX", "translateX", "shearY", "scaleY", "translateY")
    return {
        "dimensions": {"width": grid.size, "height": grid.size},
        "affineTransform": dict(zip(names, (a, b, c, d, e, f), strict=True)),
        "crsCode": f"EPSG:{grid.epsg}",
    }


def _scene(image: Mapping[str, Any], product: Product, outline: BaseGeometry) -> Scene:
    given = image.get("properties") or {}
    bands = image.get("bands") or []
    first = (bands[0].get("grid") or {}) if bands else {}
    code, gsd = str(first.get("crsCode", "")).rpartition(":")[2], (first.get("affineTransform") or {}).get("scaleX")
    cloud, orbit = given.get("CLOUDY_PIXEL_PERCENTAGE"), str(given.get("orbitProperties_pass") or "").lower()
    version = given.get(product.baseline)
    asset = str(image.get("id") or image["name"].partition("/assets/")[2])
    return Scene(
        scene_id=asset.removeprefix(f"{product.asset}/"),
        modality=product.modality,
        footprint=_near(_footprint(image), outline),
        acquired=dt.datetime.fromisoformat(str(image["startTime"])).astimezone(dt.UTC),
        cloud_cover=None if cloud is None else float(cloud),
        orbit=orbit if orbit in ORBIT_SUFFIX else None,
        epsg=int(code) if code.isdigit() else None,
        product=f"{product.title}, baseline {version}" if version else product.title,
        properties={"id": asset, "bands": [b["id"] for b in bands], **({"gsd": abs(float(gsd))} if gsd else {})},
    )


def _footprint(image: Mapping[str, Any]) -> BaseGeometry:
    """Outline of an image; Earth Engine writes some as closed lines. Raises SourceError where it is no geometry."""
    try:
        shape = shapely.geometry.shape(image.get("geometry") or {})
    except (shapely.errors.ShapelyError, ValueError, TypeError, AttributeError) as error:
        raise SourceError(f"Earth Engine image {image.get('name')} has no proper footprint: {error}.") from None
    return Polygon(shape.coords) if shape.geom_type in ("LinearRing", "LineString") else shape


def _near(footprint: BaseGeometry, outline: BaseGeometry) -> BaseGeometry:
    turns = round((outline.centroid.x - footprint.centroid.x) / 360.0)
    return shapely.affinity.translate(footprint, 360.0 * turns) if turns else footprint


def _stamp(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
