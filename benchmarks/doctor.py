"""How often `geomeld doctor` finds faults put into real Sentinel images, and how often it sees what is not there."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import Affine

from geomeld.doctor.image import OPTICAL, Image, read_image
from geomeld.doctor.run import examine

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NORTH_UP = Affine(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_000_000.0)


def chips() -> list[Image]:
    """Real 12-band images of all continents, bands named; processing with and without the offset is mixed."""
    return [replace(read_image(p), stated=True) for p in sorted((DATA / "sentinel2_chips").glob("*.tif"))]


def folder(path: Path, pattern: str) -> Image:
    """An image whose bands are files of their own, enlarged to the size of the largest."""
    planes = []
    for band in OPTICAL:
        (file,) = path.glob(pattern.format(band if band == "B8A" else f"B{int(band[1:]):02d}"))
        with rasterio.open(file) as opened:
            planes.append(opened.read(1).astype(np.float32))
    size = max(len(p) for p in planes)
    values = np.stack([p.repeat(size // len(p) + 1, 0).repeat(size // len(p) + 1, 1)[:size, :size] for p in planes])
    return Image(path.name, values, values > 0, OPTICAL, True, "optical", 0.0, NORTH_UP, "EPSG:32633")


def has(image: Image, symptom: str) -> bool:
    return any(f.symptom == symptom and f.sure for f in examine(image))


def says(image: Image) -> str:
    symptoms = {f.symptom for f in examine(image)}
    return "with" if "offset of +1000" in symptoms else "open" if "offset cannot be told" in symptoms else "without"


def moved(image: Image, by: float) -> Image:
    return replace(image, values=np.where(image.valid, np.maximum(image.values + by, 1), image.values))


def exchanged(image: Image, a: str, b: str) -> Image:
    places = list(range(len(image.bands)))
    i, j = image.bands.index(a), image.bands.index(b)
    places[i], places[j] = j, i
    return replace(image, values=image.values[places], valid=image.valid[places])


def collared(image: Image) -> Image:
    values = image.values.copy()
    values[:, :, :20] = 0
    return replace(image, values=values, valid=np.ones_like(image.valid), nodata=None)


FAULTS: dict[str, Callable[[Image], Image]] = {
    "B8 and B8A swapped": lambda i: exchanged(i, "B8", "B8A"),
    "B2 and B4 swapped": lambda i: exchanged(i, "B2", "B4"),
    "reflectance between 0 and 1": lambda i: replace(i, values=i.values / np.float32(10_000)),
    "eight bits": lambda i: replace(i, values=np.clip(i.values / 20, 0, 255).round()),
    "no-data not marked": collared,
    "north-down raster": lambda i: replace(i, transform=Affine(10.0, 0.0, 0.0, 0.0, 10.0, 0.0)),
}


def main() -> int:
    """Print the tables; 0, or 1 where the data are not there."""
    if not DATA.is_dir():
        print(f"{DATA} is not there")
        return 1
    images = chips()
    said = [says(i) for i in images]
    counts = ", ".join(f"{said.count(word)} {word}" for word in ("with", "without", "open"))
    print(f"{len(images)} chips, the offset of +1000: {counts}")
    known = [folder(p, "*_{}.tif") for p in sorted((DATA / "bigearthnet").iterdir()) if p.is_dir()]
    print("BigEarthNet, dates before the offset:", [says(i) for i in known])
    (scene,) = {p.parent for p in (DATA / "major_tom").rglob("B02.tif")}
    print("Major TOM, baseline 04.00:", says(folder(scene, "{}.tif")))
    for place in sorted({p.parent for p in (DATA / "terramesh_stac" / "sentinel-2-l2a").rglob("B02.tif")}):
        print("TerraMesh", place.name, says(folder(place, "{}.tif")))
    clean = [i for i in [*images, *known] if says(i) == "without"]
    added = [says(moved(i, 1000.0)) for i in clean]
    print(f"offset put in: {added.count('with')} of {len(clean)} found, {added.count('open')} left open")
    taken = [says(moved(i, -1000.0)) for i in images if says(i) == "with"]
    print(f"offset taken off: {taken.count('without')} of {len(taken)} cleared, {taken.count('open')} left open")
    print(f"{'fault':32} {'found':>10} {'false alarms':>14}")
    for symptom, fault in FAULTS.items():
        found = sum(has(fault(i), symptom) for i in images)
        false = sum(has(i, symptom) for i in images)
        print(f"{symptom:32} {found:4d} of {len(images):2d} {false:8d} of {len(images):2d}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
