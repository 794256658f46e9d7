"""Cure: a corrected copy of a file or a dataset; the original is never touched."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.transform import Affine

from geomeld.core.errors import DatasetError, UsageError
from geomeld.core.tile import Layer, Tile
from geomeld.dataset import Dataset
from geomeld.dataset.dataset import write_dataset
from geomeld.dataset.files import atomic
from geomeld.doctor.finding import Finding
from geomeld.doctor.image import read_image
from geomeld.doctor.run import examine, images_of
from geomeld.modalities import MODALITIES

OFFSET = 1000.0
"""What processing baseline 04.00 adds to reflectance x 10000."""


def cured(values: NDArray[np.floating], valid: NDArray[np.bool_], findings: Sequence[Finding]) -> NDArray[np.float32]:
    """(bands, rows, columns) with every fault mended that has a cure; pixels that are not valid stay as they are.

    The offset is taken off with a floor of 1, as ESA's own reprocessing keeps 0 for no data.
    """
    out = values.astype(np.float32)
    for finding in findings:
        match finding.cure:
            case "order":
                places = list(finding.setting["order"])
                out, valid = out[places], valid[places]
            case "scale":
                out = np.where(valid, out * np.float32(finding.setting["factor"]), out)
            case "offset":
                out = np.where(valid, np.maximum(out - np.float32(OFFSET), 1.0), out)
            case "decibels":
                out = np.where(valid, 10 * np.log10(np.maximum(out, 1e-6)), out).astype(np.float32)
    return out


def cure_file(path: Path, out: Path) -> tuple[Finding, ...]:
    """Write a corrected copy of a raster file (GeoTIFF); returns the findings that were mended.

    Raises UsageError where nothing can be mended, or where `out` is the file itself.
    """
    image = read_image(path)
    found = tuple(f for f in examine(image) if f.sure and f.cure != "none")
    if not found:
        raise UsageError(f"{path} has no fault that a corrected copy would mend.")
    if out.exists() and out.samefile(path):
        raise UsageError(f"{out} is the file itself; give another name for the corrected copy.")
    with rasterio.open(path) as file:
        stored, profile = file.read(), file.profile
    tag = next((f.setting["nodata"] for f in found if f.cure == "nodata"), image.nodata)
    valid = np.isfinite(stored) if tag is None else np.isfinite(stored) & (stored != tag)
    values = cured(stored, valid, found)
    transform = profile["transform"]
    if any(f.cure == "north-up" for f in found):
        values, transform = values[:, ::-1], _north_up(transform, profile["height"])
    whole = np.issubdtype(stored.dtype, np.integer) and not any(f.cure in ("scale", "decibels") for f in found)
    dtype = stored.dtype if whole else np.dtype(np.float32)
    profile = {"driver": "GTiff", "width": profile["width"], "height": profile["height"], "count": len(values),
               "dtype": dtype.name, "crs": profile["crs"], "transform": transform, "nodata": tag,
               "compress": "deflate", "tiled": False}  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic(out) as file, rasterio.MemoryFile() as memory:
        with memory.open(**profile) as copy:
            copy.write(values.astype(dtype))
            if image.bands:
                copy.descriptions = image.bands
        file.write(memory.read())
    return found


def cure_dataset(dataset: Dataset, out: Path) -> dict[str, int]:
    """Write a corrected copy of a dataset; returns how many layers were mended, by symptom.

    Raises UsageError where nothing can be mended, DatasetError where `out` holds something already.
    """
    if out.exists() and any(out.iterdir()):
        raise DatasetError(f"{out} is not empty; give another folder for the corrected copy.")
    mended: dict[str, int] = {}
    if not any(_mendable(tile) for tile in dataset):
        raise UsageError(f"{dataset.path} has no fault that a corrected copy would mend.")
    write_dataset(out, _tiles(dataset, mended))
    return mended


def _mendable(tile: Tile) -> bool:
    return any(f.sure and f.cure != "none" for _, image in images_of(tile, "") for f in examine(image))


def _tiles(dataset: Dataset, mended: dict[str, int]) -> Iterator[Tile]:
    for tile in dataset:
        layers = dict(tile.layers)
        for name, image in images_of(tile, ""):
            found = [f for f in examine(image) if f.sure and f.cure != "none"]
            if found:
                layers[name] = _layer(name, layers[name], found)
                for finding in found:
                    mended[finding.symptom] = mended.get(finding.symptom, 0) + 1
        yield replace(tile, layers=layers)


def _layer(name: str, layer: Layer, findings: Sequence[Finding]) -> Layer:
    places = list(range(len(layer.bands)))
    for finding in findings:
        if finding.cure == "order":
            places = [places[k] for k in finding.setting["order"]]
    values = cured(layer.values, layer.valid, findings).astype(MODALITIES[name].dtype)
    said = "; ".join(f"corrected: {f.symptom}" for f in findings)
    return replace(layer, values=values, valid=layer.valid[places], product=f"{layer.product}; {said}".lstrip("; "))


def _north_up(transform: Affine, rows: int) -> Affine:
    return Affine(transform.a, 0.0, transform.c, 0.0, -transform.e, transform.f + transform.e * rows)
