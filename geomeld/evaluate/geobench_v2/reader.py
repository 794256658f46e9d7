"""GeoBenchV2: one set of GEO-Bench v2 in its tortilla files, its bands by name, its labels checked."""

import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from geomeld.core.errors import CorruptFile, DatasetError, UsageError
from geomeld.evaluate.geobench_v2.sets import SETS_V2, TortillaSet
from geomeld.evaluate.geobench_v2.tortilla import AGAIN, Entry, entries, parts
from geomeld.evaluate.kept import Arrays, once
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import SIMULATED_MARK, SPLITS, Sample, TaskKind, no_such_bands, refuse_gaps, simulated_traps

SPLIT = "tortilla:data_split"
SPELT = {"train": "train", "validation": "valid", "val": "valid", "valid": "valid", "test": "test"}
"""The benchmark's name of a split -> this project's."""
STATISTICS = 500
"""Training images that mean and deviation are taken from, at most, evenly spread: the benchmark ships none."""
Fill = Literal["refuse", "mask"]


@dataclass(frozen=True)
class GeoBenchV2:
    """One set, one choice of bands. Make it with `open_set_v2`."""

    record: TortillaSet
    bands: tuple[str, ...]
    """The bands of `Sample.values`, in order; those that the set lacks are 0 and not valid."""
    names: dict[str, tuple[str, ...]]
    """Samples of train, valid and test."""
    entries: dict[str, Entry]
    """Sample -> where it lies."""
    cache: Path | None = None
    """Folder in which statistics are kept, for the files hold none."""

    @property
    def name(self) -> str:
        """As the benchmark calls it, e.g. "benv2"."""
        return self.record.name

    @property
    def kind(self) -> TaskKind:
        """What is asked of an image."""
        return self.record.kind

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.record.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """In order of the classes."""
        return self.record.class_names

    @property
    def traps(self) -> tuple[str, ...]:
        """What one should know before believing a score."""
        return self.record.traps

    @cached_property
    def size(self) -> int:
        """Rows and columns of every image, pixels: those of the first."""
        first = next(name for split in SPLITS for name in self.names[split])
        return int(self._image(self.entries[first].inside()).shape[-1])

    @property
    def images(self) -> str:
        """Its own: no other task has them."""
        return f"{self.name}-{self.fingerprint()}"

    def sample(self, name: str) -> Sample:
        """One sample by its name. Raises CorruptFile where it cannot be read, is of another size, or has pixels that
        are not numbers or a label that the set does not have."""
        files = self.entries[name].inside()
        if len(files) <= max(self.record.image, self.record.mask or 0):
            raise CorruptFile(f"{self.entries[name].path}: {name} has {len(files)} files only; {AGAIN}.")
        stored = self._image(files)
        if stored.shape != (len(self.record.bands), self.size, self.size):
            raise CorruptFile(
                f"{self.entries[name].path}: the image of {name} is {stored.shape}, not "
                f"{(len(self.record.bands), self.size, self.size)}; {AGAIN}."
            )
        valid = np.array([band in self.record.bands for band in self.bands])
        values = np.zeros((len(self.bands), self.size, self.size), np.float32)
        for into, band in zip(values, self.bands, strict=True):
            if band in self.record.bands:
                into[...] = stored[self.record.bands.index(band)]
        values *= np.float32(self.record.unit)
        refuse_gaps(values, self.bands, f"{self.entries[name].path}: the image of {name}", AGAIN)
        return Sample(name, values, valid, self._label(name, files))

    def own_scale(self) -> Scale:
        """Normalisation by mean and deviation of (at most 500) training images; NaN for bands that the set lacks."""
        return Scale(self.bands, *self._statistics, "own")

    def pretraining_scale(self, mean: Sequence[float], std: Sequence[float]) -> Scale:
        """Normalisation by an encoder's statistics: reflectance x 10000, one per band of `bands`."""
        return Scale.of_pretraining(self.bands, mean, std)

    def fingerprint(self) -> str:
        """First 12 digits of a SHA-256 over set and bands, the names of all samples by split, and where each lies."""
        placed = [(n, e.offset, e.length, str(e.columns.get(self.record.label))) for n, e in self.entries.items()]
        return sha256(json.dumps([self.name, self.names, placed]).encode()).hexdigest()[:12]

    @cached_property
    def _statistics(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        said = json.dumps([STATISTICS, self.fingerprint(), repr(self.record)])
        kept = once(self.cache, self.name, said, replace(self, bands=self.record.bands)._taken)
        mean, std = np.full((2, len(self.bands)), np.nan, np.float32)
        for i, band in enumerate(self.bands):
            if band in self.record.bands:
                place = self.record.bands.index(band)
                mean[i], std[i] = kept["mean"][place], kept["std"][place]
        return mean, std

    def _taken(self) -> Arrays:
        """Mean and deviation (bands,) of training images."""
        train = self.names["train"]
        chosen = [train[i] for i in np.unique(np.linspace(0, len(train) - 1, min(len(train), STATISTICS)).astype(int))]
        total, squares = np.zeros((2, len(self.bands)))
        for name in chosen:
            values = self.sample(name).values.astype(np.float64)
            total += values.mean((1, 2))
            squares += np.square(values).mean((1, 2))
        mean = total / len(chosen)
        std = np.sqrt(np.maximum(squares / len(chosen) - np.square(mean), 0))
        std[std == 0] = 1.0  # a band that never varies
        return {"mean": mean.astype(np.float32), "std": std.astype(np.float32)}

    def _image(self, files: Sequence[Entry]) -> NDArray:
        """The bands of the set (bands, rows, columns) as they were taken."""
        stored = _raster(files[self.record.image])
        if len(stored) <= len(self.record.bands) + self.record.beyond:
            stored = stored[: len(self.record.bands)]
        return _reduced(stored, self.record.pixels) if self.record.pixels else stored

    def _label(self, name: str, files: Sequence[Entry]) -> NDArray[np.int64]:
        where = f"{self.entries[name].path}: {name}"
        if self.record.mask is not None:
            label = _raster(files[self.record.mask])[0].astype(np.int64)
            if label.shape != (self.size, self.size):
                raise CorruptFile(f"{where} has a mask of {label.shape}, not {(self.size, self.size)}; {AGAIN}.")
            if self.record.missing is not None:
                label[label == self.record.missing] = self.classes - 1
        else:
            columns = self.entries[name].columns
            said = columns.get(self.record.label, files[0].columns.get(self.record.label))
            label = self._classes_of(said, where)
        if label.min() < 0 or label.max() >= (2 if self.kind is TaskKind.MULTILABEL else self.classes):
            raise CorruptFile(
                f"{where} has labels {label.min()}..{label.max()}, and {self.name} has {self.classes} classes; {AGAIN}."
            )
        return label

    def _classes_of(self, said: object, where: str) -> NDArray[np.int64]:
        """A class by its name or its place, or zeros and ones of several by their names."""
        told = said if isinstance(said, list) else [said]
        strangers = [c for c in told if not isinstance(c, int) and c not in self.class_names]
        if strangers or said is None:
            raise CorruptFile(f"{where} is labelled {said!r}, which is no class of {self.name}; {AGAIN}.")
        places = [c if isinstance(c, int) else self.class_names.index(c) for c in told]
        if self.kind is TaskKind.MULTICLASS:
            return np.asarray(places[0], np.int64)
        return np.isin(np.arange(self.classes), places).astype(np.int64)


def open_set_v2(
    path: str | Path, bands: Sequence[str] | None = None, *, fill: Fill = "refuse", cache: Path | None = None
) -> GeoBenchV2:
    """Open one set: its file geobench_NAME.tortilla, one of its parts, or the folder that holds them.

    `bands`: names in the order an encoder wants them; without it, those of the set. `fill`: of a band that the set
    lacks, "refuse" or "mask" (0, and not valid). `cache`: folder in which the set's statistics are kept once they are
    computed.

    Raises UsageError for a file or band that is not there, DatasetError and CorruptFile for a set that is not whole.
    """
    files = _files(Path(path))
    found, names = _samples(files)
    record = _settled(SETS_V2[_set_of(files[0])], found[names["train"][0]])
    if files[0].with_suffix(f".{SIMULATED_MARK}").exists():
        record = replace(record, splits=None, traps=simulated_traps(record.traps))
    chosen = record.bands if bands is None else tuple(bands)
    lacking = [band for band in chosen if band not in record.bands]
    if (lacking and fill == "refuse") or len(lacking) == len(chosen):
        raise no_such_bands(record.name, lacking, record.bands, some=len(lacking) < len(chosen))
    return GeoBenchV2(record, chosen, names, found, cache)


def sets_in(folder: Path) -> dict[str, Path]:
    """Name -> file, one part of several, of every set that lies in a folder or in one inside it; or of one file."""
    if folder.is_file():
        return {_set_of(folder): folder} if _set_of(folder) in SETS_V2 else {}
    found = (f for pattern in ("*.tortilla", "*/*.tortilla") for f in sorted(folder.glob(pattern)))
    return {_set_of(f): f for f in found if _set_of(f) in SETS_V2}


def _files(path: Path) -> list[Path]:
    """The tortilla that is meant, or all of its parts."""
    if path.is_dir():
        known = [f for f in sorted(path.glob("*.tortilla")) if _set_of(f) in SETS_V2]
        if len({_set_of(f) for f in known}) != 1:
            raise UsageError(
                f"{path} holds {'several sets' if known else 'no set'} of GEO-Bench v2; name one file, such as "
                f"{path / 'geobench_benv2.tortilla'}. The sets are {', '.join(SETS_V2)}."
            )
        path = known[0]
    if not path.is_file():
        raise UsageError(f"There is no file {path}; the sets of GEO-Bench v2 are {', '.join(SETS_V2)}.")
    if _set_of(path) not in SETS_V2:
        raise UsageError(f"{path.name} is no set that can be read; there are {', '.join(SETS_V2)}.")
    expected = parts(path)
    if expected <= 1:
        return [path]
    beside = sorted(f for f in path.parent.glob("*.part.tortilla") if _set_of(f) == _set_of(path))
    if len(beside) != expected:
        raise DatasetError(f"{path} is one of {expected} parts, and {len(beside)} are here; fetch the others.")
    return beside


def _samples(files: Sequence[Path]) -> tuple[dict[str, Entry], dict[str, tuple[str, ...]]]:
    """Where every sample lies, and those of train, valid and test."""
    found, names = dict[str, Entry](), {split: list[str]() for split in SPLITS}
    for entry in (e for file in files for e in entries(file)):
        split = SPELT.get(str(entry.columns.get(SPLIT)))
        if split is None:
            raise DatasetError(f"{entry.path}: {entry.id} is in no split ({entry.columns.get(SPLIT)}); {AGAIN}.")
        if found.setdefault(entry.id, entry) is not entry:
            raise CorruptFile(f"{entry.path} names {entry.id} twice: a sample in two splits would leak; {AGAIN}.")
        names[split].append(entry.id)
    if empty := [split for split, ids in names.items() if not ids]:
        raise DatasetError(f"{files[0]} has no image for {' and '.join(empty)}: it is not whole; {AGAIN}.")
    return found, {split: tuple(ids) for split, ids in names.items()}


def _settled(record: TortillaSet, sample: Entry) -> TortillaSet:
    """The record with the bands that a sample shows to be what they are said to be."""
    files = sample.inside() if record.doubtful else []
    if len(files) <= record.image:
        return record
    stored = _raster(files[record.image])
    if len(stored) != len(record.bands):
        return record  # reading it says so
    pairs = zip(record.bands, stored, strict=True)
    return replace(record, bands=tuple(b if (v < 0).any() else record.doubtful.get(b, b) for b, v in pairs))


def _set_of(file: Path) -> str:
    return file.name.partition(".")[0].removeprefix("geobench_")


def _reduced(stored: NDArray, pixels: int) -> NDArray:
    """The image (bands, `pixels`, `pixels`) that was blown up by nearest neighbour; the stored one if none was."""
    if min(stored.shape[1:]) < pixels:
        return stored
    rows, columns = (np.arange(n) * pixels // n for n in stored.shape[1:])
    each = np.arange(pixels)
    small = stored[:, np.searchsorted(rows, each)][:, :, np.searchsorted(columns, each)]
    return small if np.array_equal(small[:, rows][:, :, columns], stored) else stored


def _raster(entry: Entry) -> NDArray:
    """All bands of a GeoTIFF within a tortilla (bands, rows, columns)."""
    held = entry.read()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # some sets tell no place
            with rasterio.open(io.BytesIO(held)) as image:
                return image.read()
    except RasterioError as error:
        raise CorruptFile(f"{entry.path}: {entry.id} cannot be decoded ({error}); {AGAIN}.") from None
