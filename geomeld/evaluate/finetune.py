"""Fine-tuning: the one training loop of all trained protocols; validation chooses, and a killed run goes on."""

import io
import math
import pickle
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from geomeld.core.errors import CheckpointError, TrainingError
from geomeld.dataset.files import write_atomically
from geomeld.evaluate.images import Source, ahead
from geomeld.evaluate.metrics import main_metric, main_score
from geomeld.evaluate.network import Network, dropping, loss_of, seeded
from geomeld.evaluate.schedule import depth_scales
from geomeld.evaluate.task import Task, TaskKind
from geomeld.evaluate.training import Training

SAVE_SECONDS = 60.0
"""Between two saved states; what a killed run loses at most, but for the step that is on its way."""
DIVERGED = "training diverged; lower the learning rate or look at the encoder's weights"
"""Why numbers that come of finite images are not finite, and what to do."""


@dataclass(frozen=True)
class Trained:
    """What a training came to. The network holds the chosen weights."""

    chosen: dict[str, Any]
    """"epoch", counted from 1, its main metric on validation and by what rule it was chosen."""
    curve: tuple[dict[str, float], ...]
    """Per epoch: "epoch", "loss" on training, "valid", the main metric on validation."""


def finetune(
    network: Network,
    task: Task,
    training: Training,
    sources: tuple[Source, Source],
    *,
    seed: int = 0,
    state: Path | None = None,
    device: str | torch.device = "cpu",
    progress: bool = True,
) -> Trained:
    """Train `network` on the first of `sources` and choose the epoch that does best on the second.

    `state`: file that the training is saved to every minute, and goes on from; the result is the same, to the bit on a
    CPU. It is left where it is. Raises TrainingError for a loss or a score that is not finite, CheckpointError for a
    state that cannot be used.
    """
    run = _Run(network.to(device), task, training, *sources, seed, state, torch.device(device))
    run.resume()
    with tqdm(
        total=run.total, initial=run.done, desc=f"train on {task.name}", unit="step", dynamic_ncols=True,
        leave=False, disable=not progress,
    ) as bar:  # fmt: skip
        while run.epoch < training.epochs:
            run.train_epoch(bar)
    return run.finish()


@torch.no_grad()
def predict(
    network: Network, task: Task, source: Source, batch: int, device: str | torch.device = "cpu"
) -> tuple[NDArray, NDArray]:
    """Predictions and labels of a whole source of a task, in the form of `Outcome.predicted` and `Outcome.truth`.

    Raises TrainingError for scores that are not finite, of which no class is the likeliest.
    """
    network.eval()
    predicted, truth, pixels = [], [], task.kind is TaskKind.SEGMENTATION
    for given, labels in ahead(
        source, [np.arange(i, min(i + batch, len(source))) for i in range(0, len(source), batch)]
    ):
        scores = network(given.to(device))
        if not torch.isfinite(scores).all():
            raise TrainingError(
                f"What was trained on {task.name} predicts numbers that are not finite, of images that are: the "
                f"{DIVERGED}."
            )
        predicted.append((scores.argmax(1).to(torch.uint8) if pixels else scores.float()).cpu().numpy())
        truth.append(labels.numpy().astype(np.uint8) if pixels else labels.numpy())
    return np.concatenate(predicted), np.concatenate(truth)


@dataclass
class _Run:
    """A training on its way."""

    network: Network
    task: Task
    training: Training
    train: Source
    valid: Source
    seed: int
    state: Path | None
    device: torch.device
    epoch: int = 0
    step: int = 0
    """Steps of this epoch that are done."""
    loss: float = 0.0
    """Summed over the images of this epoch so far."""
    seen: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Any] | None = None
    saved: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.per_epoch = len(self._steps(0))
        self.optimizer = torch.optim.AdamW(
            _groups(self._head(), self.training, None), betas=self.training.betas, lr=0.0
        )

    @property
    def total(self) -> int:
        """Steps of the whole training."""
        return self.training.epochs * self.per_epoch

    @property
    def done(self) -> int:
        """Steps so far."""
        return self.epoch * self.per_epoch + self.step

    def train_epoch(self, bar: tqdm) -> None:
        """What is left of this epoch, then a look at validation."""
        if self.network.encoder is not None and self.epoch >= self.training.frozen_epochs:
            self._thaw()
        self.network.train()
        steps = self._steps(self.epoch)[self.step :]
        batches = ahead(self.train, [batch for step in steps for batch in step])
        for step in steps:
            self._set_rate()
            self.loss += self._gradient([next(batches) for _ in step])
            self.seen += sum(map(len, step))
            self.optimizer.step()
            self.step += 1
            bar.update()
            bar.set_postfix(epoch=f"{self.epoch + 1}/{self.training.epochs}", loss=f"{self.loss / self.seen:.3f}")
            self._save()
        self._look()
        self._save()

    def resume(self) -> None:
        """Go on where the saved state stands, if there is one."""
        if self.state is None or not self.state.exists():
            return
        try:
            held = torch.load(io.BytesIO(self.state.read_bytes()), map_location="cpu", weights_only=True)
            if held.pop("thawed"):
                self._thaw()
            self.network.load_own_state(held.pop("network"))
            self.optimizer.load_state_dict(held.pop("optimizer"))
            for name, value in held.items():
                setattr(self, name, value)
        except (OSError, RuntimeError, KeyError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                f"The training saved in {self.state} cannot go on ({str(error)[:200]}). Delete the file to start again."
            ) from None

    def finish(self) -> Trained:
        """Put the chosen weights into the network."""
        assert self.best is not None
        last = self.training.faults.last_epoch
        if not last:
            self.network.load_own_state(self.best["network"])
        epoch = len(self.curve) if last else self.best["epoch"]
        metric = main_metric(self.task.kind)
        chosen = {"epoch": epoch, f"validation {metric}": self.curve[epoch - 1]["valid"]}
        return Trained({**chosen, "rule": "the last epoch" if last else "best on validation"}, tuple(self.curve))

    def _steps(self, epoch: int) -> list[list[NDArray[np.int64]]]:
        return self.training.steps(len(self.train), epoch, self.seed, self.task.name)

    def _gradient(self, batches: list[tuple[Tensor, Tensor]]) -> float:
        """Gradient of the mean loss over the images of one step; their losses' sum."""
        faults, plan, network = self.training.faults, self.training, self.network
        self.optimizer.zero_grad(set_to_none=True)
        images, total = sum(len(labels) for _, labels in batches), 0.0
        rate = plan.drop_path if network.encoder_trains or faults.drop_path_while_frozen else 0.0
        with self._draws(), dropping(network.encoder, rate):
            for given, labels in batches:
                scores = network(given.to(self.device))
                loss = loss_of(
                    self.task.kind, scores, labels.to(self.device), plan.smoothing, doubled=faults.smoothing_doubled
                )
                if not math.isfinite(value := loss.item()):
                    raise self._diverged(value)
                (loss * (len(labels) / images)).backward()
                total += value * len(labels)
        return total

    def _draws(self) -> AbstractContextManager[None]:
        """What an encoder draws in a step belongs to that step; without one nothing is drawn."""
        if self.network.encoder is None:
            return nullcontext()
        return seeded(self.seed, f"evaluate/step/{self.task.name}", self.done, self.device)

    def _diverged(self, loss: float) -> TrainingError:
        where = f"the loss is {loss} in epoch {self.epoch + 1}, step {self.step + 1} of {self.per_epoch}"
        return TrainingError(
            f"Training on {self.task.name} cannot go on: {where}; its images are finite, so the {DIVERGED}."
        )

    def _look(self) -> None:
        """Score the validation split, and keep the weights if they are the best so far (the first of equals)."""
        predicted, truth = predict(self.network, self.task, self.valid, self.training.batch, self.device)
        score = main_score(self.task.kind, predicted, truth, self.task.classes)
        self.curve.append({"epoch": self.epoch + 1, "loss": self.loss / self.seen, "valid": score})
        if self.best is None or score > self.best["score"]:
            weights = {} if self.training.faults.last_epoch else self._weights()
            self.best = {"epoch": self.epoch + 1, "score": score, "network": weights}
        self.epoch, self.step, self.loss, self.seen = self.epoch + 1, 0, 0.0, 0

    def _weights(self) -> dict[str, Tensor]:
        trains = self.network.encoder is not None and self.training.frozen_epochs < self.training.epochs
        return self.network.own_state(encoder=trains)

    def _thaw(self) -> None:
        """Let the encoder train from here on."""
        if not self.network.encoder_trains:
            self.network.thaw()
            for group in _encoder_groups(self.network, self.training):
                self.optimizer.add_param_group(group)

    def _head(self) -> list[tuple[str, nn.Parameter]]:
        """The head's parameters that train: a new norm only where the encoder is to train as well."""
        frozen = self.training.frozen_epochs >= self.training.epochs
        names = [(n, p) for n, p in self.network.head.named_parameters()]
        norm = {id(p) for m in self.network.head.children() if isinstance(m, nn.LayerNorm) for p in m.parameters()}
        return [(n, p) for n, p in names if not (frozen and id(p) in norm)]

    def _set_rate(self) -> None:
        rate = self.training.rate.at(self.training.progress(len(self.train), self.epoch, self.step))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["scale"]

    def _save(self) -> None:
        if self.state is None or time.monotonic() - self.saved < SAVE_SECONDS:
            return
        held = io.BytesIO()
        kept = {name: getattr(self, name) for name in ("epoch", "step", "loss", "seen", "curve", "best")}
        kept |= {"network": self._weights(), "optimizer": self.optimizer.state_dict()}
        torch.save(kept | {"thawed": self.network.encoder_trains}, held)
        self.state.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.state, held.getvalue())
        self.saved = time.monotonic()


def _groups(
    named: list[tuple[str, nn.Parameter]], training: Training, scales: dict[str, float] | None
) -> list[dict[str, Any]]:
    """Parameters in groups of one learning rate and one weight decay, each with its `scale` of the rate."""
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in named:
        decay = training.weight_decay if parameter.ndim > 1 and not name.endswith("bias") else 0.0
        found.setdefault((1.0 if scales is None else scales[name], decay), []).append(parameter)
    return [{"params": p, "scale": scale, "weight_decay": decay} for (scale, decay), p in found.items()]


def _encoder_groups(network: Network, training: Training) -> list[dict[str, Any]]:
    """The encoder's parameters: their rates fade with depth, but for the fault of thawing at the full rate."""
    assert network.encoder is not None
    depths, faults = network.encoder.depths(), training.faults
    named = [pair for group in depths for pair in group]
    if faults.thawed_at_full_rate and training.frozen_epochs:
        return [{"params": [p for _, p in named], "scale": 1.0, "weight_decay": 0.0}]
    names = [[name for name, _ in group] for group in depths]
    scales = depth_scales(names, training.layer_decay, inverted=faults.inverted_layer_decay)
    return _groups(named, training, scales)
