"""GeoBench: one set of GEO-Bench v1.0 on disk, its bands by name, its labels checked, its traps handled."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5s
from numpy.typing import NDArray

from geomeld.core.errors import CorruptFile, DatasetError, UsageError
from geomeld.evaluate.geobench.records import AGAIN, attributes, label_of, task_specs
from geomeld.evaluate.geobench.sets import SETS, BenchmarkSet
from geomeld.evaluate.geobench.statistics import own_scale, pretraining_scale
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import (
    SIMULATED,
    SIMULATED_MARK,
    SPLITS,
    Sample,
    TaskKind,
    no_such_bands,
    refuse_gaps,
    simulated_traps,
)
from geomeld.modalities import SENTINEL2_BANDS

DATED = re.compile(r"(.*)_\d{4}-\d{2}-\d{2}")
Fill = Literal["refuse", "mask", "neighbour"]


@dataclass(frozen=True)
class GeoBench:
    """One set, one partition, one choice of bands. Make it with `open_set`."""

    path: Path
    record: BenchmarkSet
    bands: tuple[str, ...]
    """The bands of `Sample.values`, in order."""
    origin: dict[str, str]
    """Band -> band of the set that is read for it: itself, or a neighbour; lacking bands are not in it."""
    partition: str
    names: dict[str, tuple[str, ...]]
    """Samples of train, valid and test."""
    class_names: tuple[str, ...]
    """In order of the classes; empty where the set does not tell."""

    @property
    def name(self) -> str:
        """Its folder, e.g. "m-so2sat"."""
        return self.record.name

    @property
    def kind(self) -> TaskKind:
        """What is asked of an image."""
        return self.record.kind

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self.record.classes

    @property
    def size(self) -> int:
        """Rows and columns of an image, pixels."""
        return self.record.size

    @property
    def traps(self) -> tuple[str, ...]:
        """What one should know before believing a score."""
        return self.record.traps

    def fingerprint(self) -> str:
        """First 12 digits of a SHA-256 over the names of all samples by split, the files of labels and statistics
        (samples are checked against the Hub's sum when they are fetched), and bands that others stand in for."""
        said = [json.dumps([self.record.name, self.partition, self.names]).encode()]
        stand_ins = {band: other for band, other in self.origin.items() if band != other}
        said += [json.dumps(stand_ins, sort_keys=True).encode()] if stand_ins else []
        said += [json.dumps(self.class_names).encode()] if SIMULATED in self.traps else []
        files = ("band_stats.json", "label_map.json", "label_stats.json")
        said += [(self.path / f).read_bytes() for f in files if (self.path / f).exists()]
        return sha256(b"\0".join(said)).hexdigest()[:12]

    def samples(self, split: str) -> Iterator[Sample]:
        """The samples of a split, in the partition's order."""
        return (self.sample(name) for name in self.names[split])

    @property
    def images(self) -> str:
        """Its own: no other task has them."""
        return f"{self.name}-{self.fingerprint()}"

    def sample(self, name: str) -> Sample:
        """One sample by its name. The file is opened once, and of it only what was asked for is read.

        Raises CorruptFile where it is missing or damaged, lacks a band, or has pixels that are not numbers or a label
        out of range.
        """
        path = self.path / f"{name}.hdf5"
        try:
            file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY)
        except OSError as error:
            raise CorruptFile(f"{path} cannot be opened ({str(error)[:80]}); {AGAIN}.") from None
        try:
            return self._read(file, name, path)
        except (OSError, KeyError, RuntimeError) as error:
            raise CorruptFile(f"{path} cannot be read ({str(error)[:80]}); {AGAIN}.") from None
        finally:
            file.close()

    def _read(self, file: h5f.FileID, name: str, path: Path) -> Sample:
        keys = _keys(file, self.record, path)
        size = self.record.size
        values = np.empty((len(self.bands), size, size), np.float32)
        valid = np.zeros(len(self.bands), bool)
        for i, band in enumerate(self.bands):
            if band not in self.origin:
                values[i] = 0
                continue
            if self.origin[band] not in keys:
                raise CorruptFile(f"{path} lacks band {self.origin[band]}; {AGAIN}.")
            data = h5d.open(file, keys[self.origin[band]])
            if data.shape != (size, size):
                raise CorruptFile(f"{path}: {band} is {data.shape}, not {(size, size)} as in version 1.0; {AGAIN}.")
            data.read(h5s.ALL, h5s.ALL, values[i])
            valid[i] = True
        if self.record.unit not in (None, 1.0):
            values *= np.float32(self.record.unit)
        refuse_gaps(values, self.bands, str(path), AGAIN)
        return Sample(name, values, valid, self._label(file, path))

    def _label(self, file: h5f.FileID, path: Path) -> NDArray[np.int64]:
        record, size = self.record, self.record.size
        if record.kind is TaskKind.SEGMENTATION:
            shape: tuple[int, ...] = (size, size)
            label = np.empty(shape, np.int64)
            data = h5d.open(file, b"label")
            if data.shape == shape:
                data.read(h5s.ALL, h5s.ALL, label)
            else:
                label = label[:0]
        else:
            shape = (record.classes,) if record.kind is TaskKind.MULTILABEL else ()
            label = label_of(attributes(_attribute(file), str(path)), str(path))
        most = 2 if record.kind is TaskKind.MULTILABEL else record.classes
        if label.shape != shape:
            raise CorruptFile(f"{path} has a label of shape {label.shape}, not {shape}; {AGAIN}.")
        if label.min() < 0 or label.max() >= most:
            raise CorruptFile(
                f"{path} has labels {label.min()}..{label.max()}, and {record.name} has 0..{most - 1}: the file is "
                f"damaged or of another version; {AGAIN}."
            )
        return label

    def own_scale(self) -> Scale:
        """Normalisation by the set's own statistics, as the benchmark's users do."""
        return own_scale(self.record, _json(self.path / "band_stats.json"), self.bands, self.origin)

    def pretraining_scale(self, mean: Sequence[float], std: Sequence[float]) -> Scale:
        """Normalisation by an encoder's statistics: reflectance x 10000, one per band of `bands`."""
        return pretraining_scale(self.record, self.bands, mean, std)

    def label_map(self) -> dict[str, NDArray[np.int64]]:
        """Sample -> label, from label_map.json or label_stats.json without opening samples; empty for segmentation.

        Raises CorruptFile where a label is out of range.
        """
        record = self.record
        if record.kind is TaskKind.SEGMENTATION:
            return {}
        if record.kind is TaskKind.MULTILABEL:
            path = self.path / "label_stats.json"
            found = {name: np.asarray(row) for name, row in _json(path).items()}
            fits = all(row.shape == (record.classes,) and set(row.flat) <= {0, 1} for row in found.values())
        else:
            path = self.path / "label_map.json"
            found = {name: np.asarray(int(label)) for label, names in _json(path).items() for name in names}
            fits = all(0 <= int(label) < record.classes for label in found.values())
        if not fits:
            raise CorruptFile(f"{path} has labels that {record.name} has not ({record.classes} classes); {AGAIN}.")
        return {name: label.astype(np.int64) for name, label in found.items()}


def open_set(
    path: str | Path, bands: Sequence[str] | None = None, *, partition: str = "default", fill: Fill = "refuse"
) -> GeoBench:
    """Open the folder of one set, e.g. `geobench/classification_v1.0/m-so2sat`.

    `bands`: names in the order an encoder wants them; without it, the bands of Sentinel-2 that the set has, else all of
    its bands. `partition`: "default", or "0.01x" .. "1.00x" for a part of the training split; the names of GEO-Bench's
    own package, "0.01x_train" .., mean the same. `fill`: of a band that the set lacks, "refuse", "mask" (0, and not
    valid) or "neighbour" (what MMEarth's evaluation puts there).

    Raises UsageError for a folder, band or partition that is not there, DatasetError for a set that is not whole.
    """
    path = Path(path)
    record = _as_written(path, _record(path))
    specs = task_specs(_there(path / "task_specs.pkl"))
    strangers = sorted(set(specs["bands"]) ^ set(record.bands)) if set(specs["bands"]) - set(record.bands) else []
    if specs["classes"] != record.classes or strangers:
        raise DatasetError(
            f"{path / 'task_specs.pkl'} speaks of {specs['classes']} classes and bands {', '.join(specs['bands'])}; "
            f"{record.name} of version 1.0 has {record.classes} and {', '.join(record.bands)}. {AGAIN.capitalize()}."
        )
    chosen = _default_bands(record) if bands is None else tuple(bands)
    class_names = record.class_names or specs["class_names"]
    partition = _short(partition)
    return GeoBench(
        path, record, chosen, _origin(record, chosen, fill), partition, _split_names(path, partition), class_names
    )


def partitions_of(path: Path) -> dict[str, Path]:
    """The partitions that lie in the folder of a set, by the names that `open_set` takes, and their files."""
    files = sorted(path.glob("*_partition.json"))
    return {_short(file.name.removesuffix("_partition.json")): file for file in files}


def _short(partition: str) -> str:
    return partition.removesuffix("_train")


def _record(path: Path) -> BenchmarkSet:
    if not path.is_dir():
        raise UsageError(f"There is no folder {path}. Fetch a set with `geomeld geobench fetch m-so2sat --out DIR`.")
    record = SETS.get(path.resolve().name)
    if record is None:
        inside = sorted(p for pattern in ("m-*", "*_v1.0/m-*") for p in path.glob(pattern) if p.name in SETS)
        hint = f"it holds sets; name one of them, e.g. {inside[0]}" if inside else f"the sets are {', '.join(SETS)}"
        if path.resolve().parent.name in SETS:
            hint = f"it lies inside a set; name {path.resolve().parent}"
        raise UsageError(f"{path} is no set of GEO-Bench: {hint}.")
    level = path.resolve().parent.name
    if re.fullmatch(r"(classification|segmentation)_v.*", level) and level != record.folder:
        raise UsageError(f"{path} is of {level}; this reads {record.folder}/{record.name}. Fetch that version.")
    nested = path / record.name
    if nested.is_dir() and not (path / "task_specs.pkl").exists():
        raise UsageError(f"{path} holds another folder of its name; name {nested}.")
    return record


def _as_written(path: Path, record: BenchmarkSet) -> BenchmarkSet:
    """The record of a set; of a simulated one with the classes that it was written with."""
    if not (path / SIMULATED_MARK).exists():
        return record
    names = tuple(str(name) for name in _json(path / SIMULATED_MARK).get("classes", ()))
    classes, traps = len(names) or record.classes, simulated_traps(record.traps)
    return replace(record, classes=classes, class_names=names, splits=None, traps=traps)


def _default_bands(record: BenchmarkSet) -> tuple[str, ...]:
    have = set(record.bands.values())
    return tuple(b for b in SENTINEL2_BANDS if b in have) or tuple(record.bands.values())


def _origin(record: BenchmarkSet, bands: Sequence[str], fill: Fill) -> dict[str, str]:
    have = set(record.bands.values())
    origin = {band: band for band in bands if band in have}
    lacking = [band for band in bands if band not in have]
    if fill == "neighbour":
        origin |= {band: record.neighbours[band] for band in lacking if band in record.neighbours}
        lacking = [band for band in lacking if band not in origin]
    if (lacking and fill != "mask") or not origin:
        near = [band for band in lacking if band in record.neighbours]
        raise no_such_bands(record.name, lacking, [*record.bands.values()], some=bool(origin), neighbours=near)
    return origin


def _split_names(path: Path, partition: str) -> dict[str, tuple[str, ...]]:
    there = partitions_of(path)
    if not there:
        raise DatasetError(f"{path} has no partition at all: the download is partial; {AGAIN}.")
    if partition not in there:
        raise UsageError(f"{path} has no partition {partition!r}; it has {', '.join(there)}.")
    file = there[partition]
    stored = _json(file)
    if not all(isinstance(stored.get(s), list) and all(isinstance(n, str) for n in stored[s]) for s in SPLITS):
        raise CorruptFile(f"{file} does not list train, valid and test; {AGAIN}.")
    if empty := [split for split in SPLITS if not stored[split]]:
        raise DatasetError(f"{file} lists no image for {' and '.join(empty)}: it is not whole; {AGAIN}.")
    names = {split: tuple(stored[split]) for split in SPLITS}
    wanted = [name for split in SPLITS for name in names[split]]
    if len(set(wanted)) < len(wanted):
        twice = next(n for n in wanted if wanted.count(n) > 1)
        raise CorruptFile(f"{file} names {twice} twice: a sample in two splits would leak; {AGAIN}.")
    here = set(os.listdir(path))
    missing = [name for name in wanted if f"{name}.hdf5" not in here]
    if missing:
        raise DatasetError(
            f"{path} lacks {len(missing)} of the {len(wanted)} samples of {file.name}, {missing[0]}.hdf5 first: the "
            f"download is partial; {AGAIN}."
        )
    return names


def _there(path: Path) -> Path:
    if not path.exists():
        raise DatasetError(f"{path} is missing: the download is partial, or this is no set; {AGAIN}.")
    return path


def _json(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(_there(path).read_bytes())
    except ValueError as error:
        raise CorruptFile(f"{path} is no JSON ({error}); {AGAIN}.") from None
    if not isinstance(stored, dict):
        raise CorruptFile(f"{path} holds no mapping; {AGAIN}.")
    return stored


def _keys(file: h5f.FileID, record: BenchmarkSet, path: Path) -> dict[str, bytes]:
    """This project's band name -> key in the file, dates stripped."""
    root = h5py.h5g.open(file, b"/")
    return _named(tuple(root), record.name, str(path))


def _named(keys: tuple[bytes, ...], name: str, where: str) -> dict[str, bytes]:
    record, found = SETS[name], dict[str, bytes]()
    for key in keys:
        band = record.bands.get(_undated(key))
        if band is not None and found.setdefault(band, key) != key:
            raise CorruptFile(
                f"{where} holds {band} of several dates; version 1.0 has one date per sample, so this is another "
                f"version; {AGAIN}."
            )
    return found


@lru_cache(maxsize=4096)
def _undated(key: bytes) -> str:
    text = key.decode()
    dated = DATED.fullmatch(text)
    return dated.group(1) if dated else text


def _attribute(file: h5f.FileID) -> Any:
    root = h5py.h5g.open(file, b"/")
    if not h5a.exists(root, b"pickle"):
        return None
    attribute = h5a.open(root, b"pickle")
    held = np.empty((), dtype=attribute.dtype)
    attribute.read(held)
    return held[()]
