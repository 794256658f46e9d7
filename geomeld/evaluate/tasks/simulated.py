"""SimulatedTask: a question put to the Sentinel-2 images of a dataset built on the simulated Earth."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import UsageError
from geomeld.dataset import BandStatistics, Dataset
from geomeld.evaluate.held_out import HeldOut
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import SPLITS, Sample, TaskKind
from geomeld.evaluate.tasks.labels import VERSION, labels_of
from geomeld.evaluate.tasks.places import Places, input_layer, places_of
from geomeld.evaluate.tasks.questions import QUESTIONS, Question
from geomeld.evaluate.tiles import fingerprint_of
from geomeld.evaluate.truth import earth_of
from geomeld.modalities import MODALITIES

FEWEST: Mapping[str, int] = {"train": 20, "valid": 4, "test": 5}
"""Tiles of a class below which, in any split, nobody is asked about it."""


@dataclass(frozen=True, eq=False)
class SimulatedTask:
    """A task; make all of a dataset with `simulated_tasks`."""

    dataset: Dataset
    question: Question
    bands: tuple[str, ...]
    """The bands of `Sample.values`, in order."""
    names: Mapping[str, tuple[str, ...]]
    """Tiles of train, valid and test; a sample's name is its tile's identifier."""
    class_names: tuple[str, ...]
    """Those that are common enough."""
    labels: Mapping[str, NDArray[np.uint8]]
    """Of every sample, in these classes."""
    dropped: tuple[str, ...]
    """Classes that are too rare."""
    held_out: str
    """What the tiles of test are, in words."""

    @property
    def name(self) -> str:
        """The question's."""
        return self.question.name

    @property
    def kind(self) -> TaskKind:
        """What is asked of an image."""
        return self.question.kind

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @cached_property
    def size(self) -> int:
        """Rows and columns of an image, pixels."""
        return MODALITIES[input_layer()].shape()[1]

    @property
    def traps(self) -> tuple[str, ...]:
        """What one should know before believing a score."""
        rare = f"too rare to ask about: {', '.join(self.dropped)}"
        return (
            f"labels are the latent truth of a simulated Earth: {self.question.about}",
            f"tested on the tiles that are held out ({self.held_out}); a pretraining that held out the same has "
            "seen those of train and valid, without labels",
            *((rare,) if self.dropped else ()),
        )

    @property
    def images(self) -> str:
        """The same for all questions to a dataset."""
        return f"tiles-{fingerprint_of(self.dataset)}"

    def sample(self, name: str) -> Sample:
        """One tile. Pixels without a measurement hold the band's mean over the dataset, which the statistics of
        pretraining on it scale to 0.

        Raises KeyError for a name that is no sample, CorruptFile for a tile that cannot be read.
        """
        label = self.labels[name].astype(np.int64)
        layer = self.dataset.read(int(name), [input_layer()]).layers[input_layer()]
        values = np.zeros((len(self.bands), self.size, self.size), np.float32)
        valid = np.zeros(len(self.bands), bool)
        for i, band in enumerate(self.bands):
            if band in layer.bands:
                pixels, measured = layer.band(band)
                valid[i] = measured.any()
                values[i] = np.where(measured, pixels, self._fill[i]) if valid[i] else 0.0
        return Sample(name, values, valid, label)

    def samples(self, split: str) -> Iterator[Sample]:
        """All samples of a split, in order."""
        return map(self.sample, self.names[split])

    def own_scale(self) -> Scale:
        """Normalisation by the training images, missing pixels left out."""
        return self._own

    def pretraining_scale(self, mean: Sequence[float], std: Sequence[float]) -> Scale:
        """Normalisation by an encoder's statistics: reflectance x 10000, one per band of `bands`."""
        return Scale.of_pretraining(self.bands, mean, std)

    def fingerprint(self) -> str:
        """First 12 digits of a SHA-256 over the names of all samples by split, their labels and the dataset's own
        configuration, from which its pixels follow."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        digest = sha256(repr((VERSION, self.name, self.class_names, self.dataset.manifest.config)).encode())
        for split in SPLITS:
            for name in self.names[split]:
                digest.update(f"\0{split} {name}\0".encode() + self.labels[name].tobytes())
        return digest.hexdigest()[:12]

    @cached_property
    def _fill(self) -> NDArray[np.float32]:
        known = self.dataset.statistics().get(input_layer())
        if not isinstance(known, BandStatistics):
            return np.zeros(len(self.bands), np.float32)
        means = dict(zip(MODALITIES[input_layer()].bands, known.mean, strict=True))
        return np.nan_to_num([means[band] for band in self.bands]).astype(np.float32)

    @cached_property
    def _own(self) -> Scale:
        total = np.zeros((3, len(self.bands)))
        for name in self.names["train"]:
            layer = self.dataset.read(int(name), [input_layer()]).layers[input_layer()]
            for i, band in enumerate(self.bands):
                if band in layer.bands:
                    pixels, measured = layer.band(band)
                    chosen = pixels[measured].astype(np.float64)
                    total[:, i] += chosen.size, chosen.sum(), (chosen**2).sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total[1] / total[0]
            std = np.sqrt(np.maximum(total[2] / total[0] - mean**2, 0))
        std = np.where(std > 0, std, np.where(total[0] > 0, 1.0, np.nan))
        return Scale(self.bands, mean.astype(np.float32), std.astype(np.float32), "own")


def simulated_tasks(
    dataset: Dataset,
    held_out: HeldOut,
    cache: Path,
    bands: Sequence[str] | None = None,
    *,
    workers: int = 1,
    fewest: Mapping[str, int] | None = None,
) -> dict[str, SimulatedTask]:
    """The tasks of a dataset built on the simulated Earth, by name, for encoders kept from `held_out`.

    `cache`: folder of the labels, which take about 40 ms a tile the first time. `bands`: in the order that an encoder
    wants them; None takes all. A task of which fewer than two classes are common enough (`fewest` tiles in every
    split, FEWEST without it) is left out; `not_asked` says why.

    Raises UsageError for a dataset of real places, whose truth nobody knows, and for a band that Sentinel-2 lacks;
    DatasetError where a split is empty.
    """
    made = _made(dataset, held_out, cache, bands, workers, fewest or FEWEST)
    return {name: task for name, task in made.items() if isinstance(task, SimulatedTask)}


def not_asked(dataset: Dataset, held_out: HeldOut, cache: Path) -> dict[str, str]:
    """The tasks that `simulated_tasks` leaves out, each with the reason. Raises what that raises."""
    made = _made(dataset, held_out, cache, None, 1, FEWEST)
    return {name: why for name, why in made.items() if isinstance(why, str)}


def _made(
    dataset: Dataset,
    held_out: HeldOut,
    cache: Path,
    bands: Sequence[str] | None,
    workers: int,
    fewest: Mapping[str, int],
) -> dict[str, SimulatedTask | str]:
    """Every question as a task, or why it cannot be asked."""
    earth = earth_of(dataset)
    known = MODALITIES[input_layer()].bands
    chosen = known if bands is None else tuple(bands)
    if strangers := [band for band in chosen if band not in known]:
        raise UsageError(
            f"{MODALITIES[input_layer()].title} has no band {', '.join(strangers)}; it has {', '.join(known)}."
        )
    places = places_of(dataset, held_out)
    answers = labels_of(dataset, dataset.tile_ids, earth, cache, workers)
    return {
        name: _task(dataset, question, places, answers[name], chosen, fewest) for name, question in QUESTIONS.items()
    }


def _task(
    dataset: Dataset,
    question: Question,
    places: Places,
    answers: Mapping[int, NDArray[np.uint8]],
    bands: tuple[str, ...],
    fewest: Mapping[str, int],
) -> SimulatedTask | str:
    sides = {split: [t for t in getattr(places, split) if t in answers] for split in SPLITS}
    counts = {split: _tiles_per_class(question, [answers[t] for t in side]) for split, side in sides.items()}
    common = np.all([counts[split] >= fewest[split] for split in SPLITS], axis=0)
    if common.sum() < 2:
        there = ", ".join(f"{split} {len(side):,}" for split, side in sides.items())
        enough = [name for name, kept in zip(question.class_names, common, strict=True) if kept]
        return (
            f"it needs two classes or more with {fewest['train']} tiles to learn from, {fewest['valid']} to choose by "
            f"and {fewest['test']} to test on; so many has {', '.join(map(repr, enough)) or 'none'}. Of "
            f"{dataset.path.name} it can be asked on: {there}. Give a larger dataset."
        )
    labels = {t: _relabelled(question, answers[t], common) for side in sides.values() for t in side}
    return SimulatedTask(
        dataset,
        question,
        bands,
        {split: tuple(str(t) for t in side if labels[t] is not None) for split, side in sides.items()},
        tuple(name for name, kept in zip(question.class_names, common, strict=True) if kept),
        {str(t): label for t, label in labels.items() if label is not None},
        tuple(name for name, kept in zip(question.class_names, common, strict=True) if not kept),
        places.held_out,
    )


def _tiles_per_class(question: Question, labels: Sequence[NDArray[np.uint8]]) -> NDArray[np.int64]:
    """(classes,): how many tiles hold each class."""
    classes, counts = len(question.class_names), np.zeros(len(question.class_names), np.int64)
    for label in labels:
        held = label if question.kind is TaskKind.MULTILABEL else np.bincount(label.ravel(), minlength=classes) > 0
        counts += held.astype(np.int64)
    return counts


def _relabelled(question: Question, label: NDArray[np.uint8], common: NDArray[np.bool_]) -> NDArray[np.uint8] | None:
    """A label in the common classes alone; None for an image or a pixel of another."""
    if question.kind is TaskKind.MULTILABEL:
        return label[common]
    if not common[label].all():
        return None
    return (np.cumsum(common) - 1).astype(np.uint8)[label]
