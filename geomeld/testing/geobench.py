"""GEO-Bench: sets with the very bytes that the benchmark's own writer makes, small, of any pixels or of the simulated
Earth."""

import copyreg
import datetime as dt
import io
import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from pickle import whichmodule  # type: ignore[attr-defined]
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from geomeld.core.grid import Grid
from geomeld.evaluate.geobench.sets import SENTINEL2, SETS, BenchmarkSet
from geomeld.evaluate.task import SIMULATED_MARK, TaskKind
from geomeld.modalities import MODALITIES
from geomeld.sources.simulated.source import SimulatedSource
from geomeld.sources.simulated.truth import stratified_places
from geomeld.sources.source import Scene

RESOLUTION = dict(zip(SENTINEL2, (60, 10, 10, 10, 20, 20, 20, 20, 20, 60, 60, 20, 20), strict=True))
WAVELENGTH = dict(
    zip(
        SENTINEL2,
        (0.443, 0.49, 0.56, 0.665, 0.705, 0.74, 0.783, 0.842, 0.865, 0.945, 1.375, 1.61, 2.19),
        strict=True,
    )
)
SUMMER = dt.datetime(2020, 6, 1, tzinfo=dt.UTC)
"""From when on simulated images are taken, within 60 days."""
LOOKS = 6
"""Scenes of least cloud among which the clearest over a place is chosen, or the first that is clear."""
CLEAR = 0.98
"""Share of an image without cloud from which it is clear."""
PRESENT = 0.05
"""Share of an image from which a class is one of its labels."""
LAND_COVER: Any = MODALITIES["esa_worldcover"].kind
NO_DATA = "no data"
COLOURS = {"02": "blue", "03": "green", "04": "red", "08": "NIR"}


class Foreign:
    """An instance of a class of somebody else's, to be pickled under its name: made from `arguments`, then given
    `state`. The class itself is never needed."""

    def __init__(self, module: str, name: str, arguments: tuple = (), state: Any = None) -> None:
        self.module, self.name, self.arguments, self.state = module, name, arguments, state


def pickled(value: Any) -> bytes:
    """A pickle of protocol 4 in which Foreign objects go by their own names and NumPy by its names before 2.0."""
    held = io.BytesIO()
    _Writer(held, protocol=4).dump(value)
    return held.getvalue()


PythonPickler: Any = pickle._Pickler  # type: ignore[attr-defined]


class _Writer(PythonPickler):
    """Python's pickler written in Python, whose names can be chosen; its bytes are those of the other one."""

    def __init__(self, file: io.BytesIO, protocol: int) -> None:
        super().__init__(file, protocol=protocol)
        self.classes: dict[tuple[str, str], type] = {}

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, Foreign):
            return NotImplemented
        key = (value.module, value.name)
        named = self.classes.setdefault(key, type(value.name, (), {"__module__": value.module}))
        return copyreg.__newobj__, (named, *value.arguments), value.state  # type: ignore[attr-defined]

    def save_reduce(self, func: Any, args: Any, state: Any = None, *more: Any, obj: Any = None, **rest: Any) -> None:
        if not isinstance(obj, Foreign):
            return super().save_reduce(func, args, state, *more, obj=obj, **rest)
        self.save(args[0])
        self.save(args[1:])
        self.write(pickle.NEWOBJ)
        self.memoize(obj)
        if state is not None:
            self.save(state)
            self.write(pickle.BUILD)
        return None

    def save_global(self, value: Any, name: str | None = None) -> None:
        name = name or value.__qualname__
        self.save(whichmodule(value, name).replace("numpy._core", "numpy.core"))
        self.save(name)
        self.write(pickle.STACK_GLOBAL)
        self.memoize(value)

    dispatch = {**PythonPickler.dispatch, type: save_global}  # noqa: RUF012


@dataclass(frozen=True)
class Place:
    """Where the pixels of a sample lie: one transform and one reference system, shared by all of its bands."""

    transform: tuple[float, ...]
    """(width, row rotation, left, column rotation, -height, top) of a pixel, metres."""
    wkt: str


def band_info(name: str) -> Foreign:
    """The benchmark's description of one band, by its name on disk."""
    if name == "Cloud Probability":
        state = {"name": name, "alt_names": ("CPL", "CLD"), "spatial_resolution": 10}
        return Foreign("geobench.dataset", "CloudProbability", state=state)
    number = name.split(" ")[0]
    if name in SENTINEL2:
        alternatives: tuple[str, ...] = (number.lstrip("0"), number) if number.startswith("0") else (number,)
        alternatives += (COLOURS[number],) if number in COLOURS else ()
        resolution: int | None = RESOLUTION[name]
    else:
        alternatives, resolution = (), 10
    state = {
        "name": name,
        "alt_names": alternatives,
        "spatial_resolution": resolution,
        "wavelength": WAVELENGTH.get(name),
    }
    return Foreign("geobench.dataset", "Sentinel2" if name in SENTINEL2 else "Sentinel1", state=state)


def write_sample(
    path: Path,
    bands: Mapping[str, NDArray],
    label: int | NDArray,
    place: Place,
    *,
    gsd: int | float = 10,
    date: dt.date | None = None,
    classes: int = 0,
) -> None:
    """One sample as the benchmark writes it: `bands` by their names on disk, (rows, columns) each.

    `label`: a class, zeros and ones (classes,), or classes per pixel (rows, columns), of which there are `classes`.
    `date`: of the bands; it is put into their keys, never into the label's.
    """
    transform = Foreign("affine", "Affine", place.transform)
    crs = Foreign("rasterio.crs", "CRS", state=place.wkt)
    mask = isinstance(label, np.ndarray) and label.ndim == 2
    attributes: dict[str, Any] = {} if mask else {"label": label}
    order: list[str] = []
    with h5py.File(path, "w") as file:
        planes: list[tuple[str, NDArray, Foreign, dt.date | None]] = []
        for name, plane in bands.items():
            planes.append((f"{name}_{date.isoformat()}" if date else name, plane, band_info(name), date))
        if mask:
            state = {"name": "label", "alt_names": (), "spatial_resolution": gsd, "n_classes": classes}
            info = Foreign("geobench.dataset", "SegmentationClasses", state={**state, "_class_names": None})
            planes.append(("label", np.asarray(label), info, None))
        for key, plane, info, day in planes:
            # One object for the key and the name: the pickle then refers back to it, as the benchmark's does.
            key = info.state["name"] if key == info.state["name"] else key
            file.create_dataset(name=key, data=plane)
            order.append(key)
            attributes[key] = {
                "date": day,
                "date_id": day,
                "spatial_resolution": gsd,
                "band_info": info,
                "meta_info": None,
                "transform": transform,
                "crs": crs,
            }
        attributes["bands_order"] = order
        file.attrs["pickle"] = str(pickled(attributes))


def task_specs(record: BenchmarkSet, class_names: Sequence[str] | None = None) -> bytes:
    """The bytes of task_specs.pkl of a set."""
    kind = {TaskKind.MULTICLASS: "Classification", TaskKind.MULTILABEL: "MultiLabelClassification"}.get(record.kind)
    names = list(class_names) if class_names else None
    if kind is None:
        state = {"name": "label", "alt_names": (), "spatial_resolution": record.gsd, "n_classes": record.classes}
        label = Foreign("geobench.dataset", "SegmentationClasses", state={**state, "_class_names": None})
    else:
        key = "class_name" if record.kind is TaskKind.MULTILABEL else "_class_names"
        label = Foreign("geobench.label", kind, state={"n_classes": record.classes, key: names})
    state = {
        "dataset_name": record.name,
        "benchmark_name": f"{record.folder.split('_')[0]}_v0.8.5",
        "patch_size": (record.size, record.size),
        "n_time_steps": 1,
        "bands_info": [band_info(name) for name in record.bands],
        "label_type": label,
        "eval_metrics": None,
        "spatial_resolution": np.int64(record.gsd),
    }
    return pickled(Foreign("geobench.task", "TaskSpecifications", state=state))


STATISTICS = {"percentile_0_1": 0.1, "percentile_1": 1, "percentile_5": 5, "percentile_95": 95, "percentile_99": 99}
STATISTICS |= {"percentile_99_9": 99.9}


def write_set(
    root: Path,
    name: str,
    images: Mapping[str, Sequence[tuple[Mapping[str, NDArray], Any]]],
    place: Place | None = None,
    record: BenchmarkSet | None = None,
) -> Path:
    """A whole set below the benchmark's folder `root`: samples `id_0`, `id_1`, ... of (bands by names on disk, label)
    for train, valid and test, with partitions, statistics and label files. `record`: where it is not the published
    one. Returns its folder."""
    record, place = record or SETS[name], place or Place((10.0, 0.0, 500000.0, 0.0, -10.0, 0.0), 'LOCAL_CS["nowhere"]')
    folder = root / record.folder / name
    folder.mkdir(parents=True)
    date = dt.date(2019, 11, 5) if name == "m-cashew-plant" else None
    partition: dict[str, list[str]] = {split: [] for split in ("train", "valid", "test")}
    labels, pixels = {}, {band: [np.empty(0)] for band in record.bands}
    for split, samples in images.items():
        for bands, label in samples:
            sample = f"id_{sum(map(len, partition.values()))}"
            partition[split].append(sample)
            write_sample(
                folder / f"{sample}.hdf5", bands, label, place, date=date, classes=record.classes, gsd=record.gsd
            )
            labels[sample] = label
            if split == "train":
                for band, plane in bands.items():
                    pixels[band].append(np.ravel(plane).astype(float))
    stats = {band: _statistics(np.concatenate(parts)) for band, parts in pixels.items() if len(parts) > 1}
    _dump(folder / "band_stats.json", stats, indent=4, sort_keys=True)
    _dump(folder / "default_partition.json", partition, indent=2)
    part = {**partition, "train": partition["train"][: max(1, len(partition["train"]) // 2)]}
    _dump(folder / "0.50x_train_partition.json", part, indent=2)
    if record.kind is TaskKind.MULTICLASS:
        by_class: dict[str, list[str]] = {}
        for sample, label in labels.items():
            by_class.setdefault(str(label), []).append(sample)
        _dump(folder / "label_map.json", by_class, indent=4)
    elif record.kind is TaskKind.MULTILABEL:
        _dump(folder / "label_stats.json", {s: np.asarray(row).tolist() for s, row in labels.items()}, indent=4)
    (folder / "task_specs.pkl").write_bytes(task_specs(record, record.class_names))
    return folder


def simulated_set(root: Path, name: str, counts: tuple[int, int, int] = (4, 2, 2), seed: int = 0) -> Path:
    """A set in the form of a benchmark set with the simulated Earth's pixels: Sentinel-2 as it was seen, labels
    from the WorldCover of the place, by its classes and their names. A pure function of its arguments; only for sets
    of Sentinel-2 at 10 m."""
    record, places = _of_land_cover(SETS[name]), stratified_places(seed, sum(counts))
    made = [_simulated(record, seed, lon, lat) for lon, lat, _ in places]
    train, valid, _ = counts
    parts = {"train": made[:train], "valid": made[train : train + valid], "test": made[train + valid :]}
    folder = write_set(root, name, parts, record=record)
    _dump(folder / SIMULATED_MARK, {"earth": seed, "classes": record.class_names})
    return folder


def _of_land_cover(record: BenchmarkSet) -> BenchmarkSet:
    """The same with the classes of WorldCover, behind one of missing data where its pixels have that."""
    names = tuple(c.name for c in LAND_COVER.classes)
    names = names if record.unlabelled is None else (NO_DATA, *names)
    return replace(record, classes=len(names), class_names=names)


def simulated_pixels(seed: int, lon: float, lat: float, size: int) -> tuple[dict[str, NDArray], NDArray[np.int64]]:
    """Sentinel-2 as it was seen at a place on a clear day of a summer, band by band (size, size), reflectance x 10000,
    and which class of WorldCover each pixel is."""
    source, grid = SimulatedSource(seed), Grid.centred_on(lon, lat, metres=10.0 * size)

    def layer(name: str, scenes: Sequence[Scene]) -> NDArray:
        read = source.read(MODALITIES[name], scenes, grid)
        empty = np.zeros((len(MODALITIES[name].bands), size, size))
        return empty if read is None else np.where(read.valid, read.values, 0)

    def seen(name: str) -> list[Scene]:
        return source.scenes(MODALITIES[name], grid, SUMMER, SUMMER + dt.timedelta(days=60))

    best, share = None, -1.0
    for scene in sorted(seen("sentinel2"), key=lambda scene: scene.cloud_cover or 0)[:LOOKS]:
        if share < CLEAR and (clear := source.clear_share(scene, grid) or 0.0) > share:
            best, share = scene, clear
    optical = dict(zip(MODALITIES["sentinel2"].bands, layer("sentinel2", [best] if best else []), strict=True))
    return optical, np.searchsorted(LAND_COVER.codes, layer("esa_worldcover", seen("esa_worldcover")[:1])[0])


def _simulated(record: BenchmarkSet, seed: int, lon: float, lat: float) -> tuple[dict[str, NDArray], Any]:
    optical, index = simulated_pixels(seed, lon, lat, record.size)
    bands: dict[str, NDArray] = {}
    for key, band in record.bands.items():
        plane = optical.get(band, np.zeros_like(index, float))
        bands[key] = (plane / 1e4).astype(np.float32) if record.unit == 1e4 else plane.astype(np.int16)
    if record.kind is TaskKind.SEGMENTATION:
        return bands, (index + record.class_names.index(LAND_COVER.classes[0].name)).astype(np.int16)
    counts = np.bincount(index.ravel(), minlength=record.classes)
    common = (counts >= PRESENT * index.size).astype(np.int64)
    return bands, common if record.kind is TaskKind.MULTILABEL else int(counts.argmax())


def _statistics(values: NDArray) -> dict[str, float]:
    whole = {key: float(getattr(np, key)(values)) for key in ("max", "mean", "median", "min", "std")}
    return whole | {key: float(np.percentile(values, share)) for key, share in STATISTICS.items()}


def _dump(path: Path, value: Any, **form: Any) -> None:
    path.write_text(json.dumps(value, **form))
