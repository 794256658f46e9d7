"""THE TABLE of protocols: every way to evaluate an encoder on a task, with all of its choices and its known faults."""

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from geomeld.core.errors import UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.faults import AS_SCRIPTED, MENDED, Faults
from geomeld.evaluate.features import features_of
from geomeld.evaluate.finetune import finetune, predict
from geomeld.evaluate.frozen import KNN, PIXEL_PROBE, PROBE, knn, lbfgs_probe, segmentation_probe
from geomeld.evaluate.geobench import GeoBench
from geomeld.evaluate.images import Source, Statistics, Vectors, images_for, scale_for
from geomeld.evaluate.network import MeanMap, Network, linear_head, seeded, unet_head
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import Task, TaskKind
from geomeld.evaluate.training import Training

IMAGES = frozenset({TaskKind.MULTICLASS, TaskKind.MULTILABEL})
PIXELS = frozenset({TaskKind.SEGMENTATION})


@dataclass(frozen=True)
class Protocol(ABC):
    """One way to evaluate."""

    name: str
    kinds: frozenset[TaskKind]
    """Tasks that it is for."""
    about: str
    """What it does, in a line."""

    @property
    def statistics(self) -> tuple[Statistics, ...]:
        """Whose statistics it normalises by, one after the other, where nobody asks for any."""
        return ("own",)

    def run(
        self,
        encoder_factory: Callable[[], Encoder],
        task: Task,
        seed: int = 0,
        cache: Path | None = None,
        device: str | torch.device = "cpu",
        *,
        statistics: Statistics = "own",
        progress: bool = True,
    ) -> Outcome:
        """Evaluate a fresh encoder on a task; the test split is read once, when everything is chosen.

        `cache`: folder for features and for trainings that are on their way. Raises UsageError for a task of another
        kind, or one that the encoder or `statistics` does not fit.
        """
        self.check(task)
        encoder = encoder_factory().to(device)
        return self._outcome(
            encoder, task, self.statistics_used(statistics), seed, cache, torch.device(device), progress
        )

    @abstractmethod
    def _outcome(
        self,
        encoder: Encoder,
        task: Task,
        statistics: Statistics,
        seed: int,
        cache: Path | None,
        device: torch.device,
        progress: bool,
    ) -> Outcome:
        """The same with an encoder on its device, for a task that fits."""

    def lasting(self, epochs: int) -> "Protocol":
        """The same in another number of epochs, which is then part of its name. Raises UsageError where none are."""
        raise UsageError(f"{self.name!r} has no epochs; leave them out.")

    def statistics_used(self, asked: Statistics) -> Statistics:
        """Whose statistics it normalises by when `asked` to; where it always takes the same, those."""
        return asked

    def check(self, task: Task) -> None:
        """Raises UsageError for a task that it is not for."""
        if task.kind not in self.kinds:
            variants = ", "  # stands in the names of those that differ from another in a detail
            others = [repr(name) for name in fitting(task.kind) if variants not in name]
            raise UsageError(
                f"{self.name!r} is not for {task.name}, which has {task.kind.value}; there are {', '.join(others)}."
            )


@dataclass(frozen=True)
class TrainedProtocol(Protocol):
    """A head that is trained, with or without the encoder below it."""

    training: Training

    def _outcome(
        self,
        encoder: Encoder,
        task: Task,
        statistics: Statistics,
        seed: int,
        cache: Path | None,
        device: torch.device,
        progress: bool,
    ) -> Outcome:
        """Train, choose on validation, then predict the test split."""
        own = encoder if not self.training.new_norm else MeanMap(encoder)
        scale = self._scale(encoder, task, statistics)
        source = self._features(own, task, scale, cache, progress) if self.once else self._images(own, task, scale)
        network = Network(None if self.once else own, self._head(own, task, seed, device)).to(device)
        state = None if cache is None else cache / "training" / f"{self._key(encoder, task, scale, seed)}.pt"
        trained = finetune(
            network, task, self.training, (source("train"), source("valid")),
            seed=seed, state=state, device=device, progress=progress,
        )  # fmt: skip
        predicted, truth = predict(network, task, source("test"), self.training.batch, device)
        if self.training.faults.sigmoid_by_image and task.kind is TaskKind.MULTILABEL:
            predicted = _sigmoid_by_image(predicted)
        if state is not None:
            state.unlink(missing_ok=True)
        return Outcome(
            task.name, self.name, encoder.title, encoder.identity, task.fingerprint(), scale.source, seed,
            tuple(task.names["test"]), predicted, truth, trained.chosen | self._said(encoder), trained.curve,
        )  # fmt: skip

    @property
    def once(self) -> bool:
        """Whether features are computed once: the encoder never trains, and nothing disturbs it."""
        plan = self.training
        disturbed = plan.drop_path > 0 and plan.faults.drop_path_while_frozen
        return self.kinds == IMAGES and plan.frozen_epochs >= plan.epochs and not disturbed

    def lasting(self, epochs: int) -> "TrainedProtocol":
        """The same in another number of epochs, a part of its name."""
        if epochs == self.training.epochs:
            return self
        name = f"{self.name}, {epochs} epoch{'s' * (epochs != 1)}"
        return replace(self, name=name, training=self.training.lasting(epochs))

    def statistics_used(self, asked: Statistics) -> Statistics:
        """The set's own under the fault of that name."""
        return "own" if self.training.faults.own_normalisation else asked

    def _scale(self, encoder: Encoder, task: Task, statistics: Statistics) -> Scale:
        scale = scale_for(encoder, task, statistics)
        reflectance = isinstance(task, GeoBench) and task.record.unit == 1e4
        if reflectance and self.training.faults.reflectance_divided_again:
            scale = replace(scale, mean=scale.mean / np.float32(1e4), std=scale.std / np.float32(1e4))
        return scale

    def _head(self, encoder: Encoder, task: Task, seed: int, device: torch.device) -> nn.Module:
        plan = self.training
        with seeded(seed, "evaluate/head", task.name, device):
            if self.kinds == PIXELS:
                return unet_head(encoder, task.classes, plan.head_std)
            return linear_head(encoder.width, task.classes, plan.head_std, new_norm=plan.new_norm)

    def _images(self, encoder: Encoder, task: Task, scale: Scale) -> Callable[[str], Source]:
        return lambda split: images_for(encoder, task, split, scale)

    def _features(
        self, encoder: Encoder, task: Task, scale: Scale, cache: Path | None, progress: bool
    ) -> Callable[[str], Source]:
        return lambda split: Vectors(*features_of(encoder, task, split, scale, cache, progress=progress))

    def _key(self, encoder: Encoder, task: Task, scale: Scale, seed: int) -> str:
        said = [self.name, repr(self.training), encoder.identity, task.name, task.fingerprint(), scale.source, seed]
        return sha256(json.dumps(said).encode()).hexdigest()[:16]

    def _said(self, encoder: Encoder) -> dict[str, Any]:
        """What a reader of the score should know of the training."""
        said: dict[str, Any] = {"faults": list(self.training.faults.named())}
        if self.training.drop_path and not encoder.blocks():
            said["drop path"] = "none: this encoder names no residual blocks"
        return said


@dataclass(frozen=True)
class FrozenProtocol(Protocol):
    """A read-out of features or maps that is fitted to its optimum."""

    readout: Callable[..., Outcome]
    """(encoder, task, scale, seed, cache, progress=) to an outcome."""

    @property
    def statistics(self) -> tuple[Statistics, ...]:
        """Both: a read-out of kept features costs little, and which of the two does better differs by encoder."""
        return ("own", "pretraining")

    def _outcome(
        self,
        encoder: Encoder,
        task: Task,
        statistics: Statistics,
        seed: int,
        cache: Path | None,
        device: torch.device,
        progress: bool,
    ) -> Outcome:
        """Features once, settings by validation, then the test split."""
        return self.readout(encoder, task, scale_for(encoder, task, statistics), seed, cache, progress=progress)


def _sigmoid_by_image(scores: NDArray) -> NDArray:
    """Scores (n, classes) to be held against 0 when those of an image that all lie in 0..1 pass for probabilities."""
    taken = ((scores >= 0) & (scores <= 1)).all(axis=1)
    return np.where(taken[:, None], scores - np.float32(0.5), scores)


PAPER_PROBE = Training(50, base_rate=4e-3, batch=64, weight_decay=0.0, frozen_epochs=50)
PAPER_TUNING = Training(50, base_rate=4e-4, batch=64, layer_decay=0.9, drop_path=0.1)
PAPER_UNET = Training(100, base_rate=4e-3, batch=16, layer_decay=0.9, drop_path=0.1, frozen_epochs=50)

SCRIPT = Training(
    100, base_rate=2e-4, batch=64, accumulate=16, last_rate=1e-6, weight_decay=0.3, layer_decay=0.9, smoothing=0.2,
    drop_path=0.1, head_std=2e-5, new_norm=True, faults=AS_SCRIPTED,
)  # fmt: skip
"""MMEarth-train's slurm_fine_tune_all.sh, for the size atto."""
SCRIPT_PROBE = replace(SCRIPT, frozen_epochs=100)
TINY_TUNING = replace(SCRIPT, base_rate=1e-4, batch=128, accumulate=8)
"""slurm_fine_tune_tiny.sh."""
TINY_PROBE = replace(SCRIPT_PROBE, base_rate=1e-2, batch=128, accumulate=8)
FEW_LABELS = replace(SCRIPT_PROBE, batch=32, accumulate=1)
"""slurm_fine_tune_subsample.sh."""
SCRIPT_UNET = replace(
    SCRIPT, epochs=200, base_rate=1e-2, batch=8, accumulate=4, smoothing=0.0, frozen_epochs=50, new_norm=False
)
"""slurm_fine_tune_seg_all.sh; the script begins to train the encoder in epoch 50, however many there are."""


def _rows() -> list[Protocol]:
    paper: list[Protocol] = [
        TrainedProtocol("paper linear probe", IMAGES, "a linear layer on frozen features, 50 epochs", PAPER_PROBE),
        TrainedProtocol("paper fine-tuning", IMAGES, "a linear layer and the encoder, 50 epochs", PAPER_TUNING),
        TrainedProtocol("paper U-Net", PIXELS, "U-Net, 50 epochs frozen and 50 with the encoder", PAPER_UNET),
    ]
    scripts = (
        ("mmearth linear probe", IMAGES, "MMEarth's script: a linear layer, 100 epochs", SCRIPT_PROBE),
        ("mmearth fine-tuning", IMAGES, "MMEarth's script: all weights, 100 epochs", SCRIPT),
        ("mmearth linear probe, tiny", IMAGES, "MMEarth's script for encoders of size tiny", TINY_PROBE),
        ("mmearth fine-tuning, tiny", IMAGES, "MMEarth's script for encoders of size tiny", TINY_TUNING),
        ("mmearth linear probe, few labels", IMAGES, "MMEarth's script for parts of the training data", FEW_LABELS),
        ("mmearth U-Net", PIXELS, "MMEarth's script: U-Net, 50 epochs frozen and 150 with the encoder", SCRIPT_UNET),
    )
    frozen: list[Protocol] = [
        FrozenProtocol(KNN, IMAGES, "nearest neighbours among frozen features, k by validation", knn),
        FrozenProtocol(PROBE, IMAGES, "logistic regression on frozen features, penalty by validation", lbfgs_probe),
        FrozenProtocol(PIXEL_PROBE, PIXELS, "logistic regression on frozen maps, per pixel", segmentation_probe),
    ]
    return [*paper, *frozen, *(row for script in scripts for row in _with_faults_and_without(*script))]


def _with_faults_and_without(name: str, kinds: frozenset[TaskKind], about: str, training: Training) -> list[Protocol]:
    mended = replace(training, faults=MENDED)
    return [
        TrainedProtocol(name, kinds, f"{about}; with its faults", training),
        TrainedProtocol(f"{name}, mended", kinds, f"{about}; without its faults", mended),
    ]


PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in _rows()}
"""By name."""


def open_protocol(name: str, epochs: int | None = None) -> Protocol:
    """The protocol of this name, in another number of `epochs` where they are given.

    Raises UsageError for a name that is not there, or epochs of a protocol that has none.
    """
    if name not in PROTOCOLS:
        raise UsageError(f"There is no protocol {name!r}; there are {', '.join(map(repr, PROTOCOLS))}.")
    return PROTOCOLS[name] if epochs is None else PROTOCOLS[name].lasting(epochs)


def fitting(kind: TaskKind) -> Sequence[str]:
    """Names of the protocols for tasks of a kind."""
    return [name for name, protocol in PROTOCOLS.items() if kind in protocol.kinds]


def switched(protocol: TrainedProtocol, faults: Faults) -> TrainedProtocol:
    """The protocol with just these faults, which are then part of its name."""
    name = f"{protocol.name.removesuffix(', mended')}, {' + '.join(faults.named()) or 'mended'}"
    return replace(protocol, name=name, training=replace(protocol.training, faults=faults))
