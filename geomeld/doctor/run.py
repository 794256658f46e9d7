"""Run: every check on one file, or on every tile of a dataset, and what came of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from geomeld.core.errors import CorruptFile
from geomeld.core.tile import Tile
from geomeld.dataset import Dataset
from geomeld.doctor import optical, radar, raster
from geomeld.doctor.finding import Finding
from geomeld.doctor.image import Image, read_image, sensor_of
from geomeld.modalities import MODALITIES

CHECKS = {
    "optical": (optical.units, optical.offset, optical.order),
    "radar": (radar.units, radar.order),
    "other": (),
}
IN_REFLECTANCE = 2.0
"""Largest value (99 %) of reflectance that was never multiplied."""


@dataclass(frozen=True, slots=True)
class Report:
    """The findings on one image."""

    where: str
    layer: str
    """Name of the modality; empty for a file."""
    findings: tuple[Finding, ...]

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Findings that are no mere questions."""
        return tuple(f for f in self.findings if f.sure)


def examine(image: Image) -> tuple[Finding, ...]:
    """Everything that is wrong with an image, or cannot be told."""
    found = [*raster.orientation(image), *raster.nodata(image), *raster.values(image)]
    unit = [f for check in CHECKS[image.sensor][:1] for f in check(image)]
    scaled = _in_reflectance_x_10000(image, unit)
    return (*found, *unit, *(f for check in CHECKS[image.sensor][1:] for f in check(scaled)))


def examine_file(path: Path) -> Report:
    """One raster file. Raises SourceError for what is none."""
    return Report(str(path), "", examine(read_image(path)))


def examine_dataset(dataset: Dataset) -> Iterator[Report]:
    """Every layer of every tile that has findings, in stored order. Tiles that cannot be read have one, too."""
    for tile_id in dataset.tile_ids:
        where = f"{dataset.shard_of(tile_id).name}: tile {tile_id}"
        try:
            images = list(images_of(dataset.read(tile_id), where))
        except CorruptFile as error:
            yield Report(where, "", (Finding("unreadable", True, str(error)),))
            continue
        for layer, image in images:
            if found := examine(image):
                yield Report(where, layer, found)


def images_of(tile: Tile, where: str) -> Iterator[tuple[str, Image]]:
    """(modality, image) for every layer of a tile that the doctor knows something about."""
    for name, layer in tile.layers.items():
        sensor = sensor_of(layer.bands)
        if MODALITIES[name].is_categorical or sensor == "other":
            continue
        values = layer.values.astype(np.float32)
        yield name, Image(where, values, layer.valid, tuple(layer.bands), True, sensor)


def _in_reflectance_x_10000(image: Image, unit: list[Finding]) -> Image:
    """The image in the unit in which the offset is known, so that one fault does not hide another."""
    factor = next((f.setting["factor"] for f in unit if f.cure == "scale"), 1.0)
    if factor == 1.0:
        return image
    return Image(image.where, image.values * np.float32(factor), image.valid, image.bands, image.stated, image.sensor)
