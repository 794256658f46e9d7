"""Cost: what a run needs, before it is started: weights, arithmetic, bytes, memory, steps, time at measured speed."""

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from geomeld.batch import Batch
from geomeld.dataset import Dataset
from geomeld.models.depthwise import WINDOW
from geomeld.models.encoder import Block
from geomeld.models.sites import Sites
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.ema import update_teacher
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch
from geomeld.pretrain.optim import make_optimizer, set_rate
from geomeld.pretrain.progress import duration
from geomeld.pretrain.ranks import ranks
from geomeld.pretrain.readiness import Unwritten
from geomeld.pretrain.start import find_tiles, input_name, make_learner, make_loader
from geomeld.pretrain.step import Step

TIMED_STEPS = 3
"""Steps that are timed, after one that is not."""
MOST_ON_CPU, MOST_ON_GPU = 8, 256
"""Tiles of a timed step: enough to keep the device busy, few enough to be over soon."""
WEIGHT_COPIES = 4
"""Of a learned weight: itself, its gradient, two moments of AdamW; all float32."""
COUNTED = 2
"""Tiles that the arithmetic is counted on."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of a whole run on one device of this machine."""

    device: str
    parameters: Mapping[str, int]
    """Learned, by part."""
    teacher: int
    """Weights of the EMA teacher, which is not learned; 0 without JEPA."""
    flops: float
    """Per sample and step: forward, backward, teacher; multiplications and additions of products and convolutions."""
    bytes_read: float
    """Pixels per sample as stored."""
    bytes_batch: float
    """Per sample as tensors."""
    bytes_weights: int
    """Weights, gradients, moments and teacher."""
    bytes_activations: float
    """Per sample that is computed at once: what the backward pass keeps, counted, or the growth of a GPU's peak."""
    batch_size: int
    part_size: int
    """Tiles that are computed at once (--accumulate)."""
    steps: int
    epochs: int
    samples_per_second: float
    """Measured."""
    waiting: float
    """Share of the measured time that was waiting for data."""
    timed_tiles: int
    """Tiles of a timed step."""

    @property
    def memory(self) -> float:
        """Bytes at the peak of a step, estimated."""
        return self.bytes_weights + self.part_size * (self.bytes_activations + self.bytes_batch)

    @property
    def seconds(self) -> float:
        """Of the whole run at the measured speed."""
        return self.steps * self.batch_size / self.samples_per_second

    def text(self) -> str:
        """For a person to read."""
        total = sum(self.parameters.values())
        parts = ", ".join(f"{name} {n / 1e6:.1f}" for name, n in self.parameters.items() if n >= 1e4)
        teacher = f"; teacher {self.teacher / 1e6:.1f} M more, without gradients" if self.teacher else ""
        rows = {
            "parameters": f"{total / 1e6:.1f} M: {parts}{teacher}",
            "arithmetic": f"{self.flops / 1e9:.2f} GFLOP per sample; {self.flops * self.steps * self.batch_size:.2e} "
            f"in all; {self.flops * self.samples_per_second / 1e9:.0f} GFLOP/s measured",
            "data": f"{self.bytes_read / 1e6:.2f} MB of pixels per sample, {self.bytes_batch / 1e6:.2f} MB as tensors",
            "memory": f"about {self.memory / 2**30:.1f} GiB: weights and optimiser {self.bytes_weights / 2**30:.2f}, "
            f"{self.part_size} tiles at once at {(self.bytes_activations + self.bytes_batch) / 2**20:.1f} MiB each",
            "steps": f"{self.steps} of {self.batch_size} tiles, in {self.epochs} epochs",
            "speed": f"{self.samples_per_second:.1f} tiles/s, measured on {self.device} over {TIMED_STEPS} steps of "
            f"{self.timed_tiles}; {self.waiting:.0%} of it waiting for data",
            "time": f"{duration(self.seconds)} at that speed",
        }
        return "\n".join(f"{name:<11} {text}" for name, text in rows.items())


def cost_of(config: PretrainConfig, dataset: Dataset, *, device: str = "auto") -> Cost:
    """Make the model, count a step, and time a few; nothing is written.

    Raises DatasetError where the run could not start, UsageError for a device that there is not.
    """
    dataset = cast(Dataset, Unwritten(dataset))
    with ranks(device) as group:
        tiles = find_tiles(config, dataset)
        learner = make_learner(config, dataset, tiles.captions, torch.device("cpu"))
        whole = make_loader(config, dataset, learner.model, tiles.train, group)
        part = -(-whole.batch_size // config.accumulate)
        few = make_loader(replace(config, batch_size=COUNTED), dataset, learner.model, tiles.train, group)
        sample = few.batch(0)
        masked = _masked(config, sample, learner)
        step = Step(config.objectives)
        flops = _flops(step, learner, masked) / len(masked)
        parameters = _parameters(learner)
        teacher = sum(p.numel() for p in learner.teacher.parameters()) if learner.teacher is not None else 0
        on_gpu = group.device.type == "cuda"
        learner, step = learner.to(group.device), Step(config.objectives, group, bf16=config.bf16 and on_gpu)
        kept = _kept(step, learner, masked) / len(masked)
        timed = min(part, MOST_ON_GPU if on_gpu else MOST_ON_CPU)
        loader = make_loader(replace(config, batch_size=timed), dataset, learner.model, tiles.train, group)
        speed, waiting = _speed(config, step, learner, loader.batches(0, TIMED_STEPS + 1))
        return Cost(
            device=_name(group.device),
            parameters=parameters,
            teacher=teacher,
            flops=flops,
            bytes_read=_stored(dataset, sample.tile_ids, list(sample.values)),
            bytes_batch=sum(t.nbytes for t in (*sample.values.values(), *sample.valid.values())) / len(sample),
            bytes_weights=4 * (WEIGHT_COPIES * sum(parameters.values()) + teacher),
            bytes_activations=kept,
            batch_size=whole.batch_size,
            part_size=part,
            steps=config.epochs * whole.steps_per_epoch,
            epochs=config.epochs,
            samples_per_second=speed,
            waiting=waiting,
            timed_tiles=timed,
        )


def _masked(config: PretrainConfig, batch: Batch, learner: Learner) -> MaskedBatch:
    return MaskedBatch.draw(batch, input_name(), config.patch, 0, ratio=config.mask_ratio, seed=config.seed)


def _parameters(learner: Learner) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, p in learner.named_parameters():
        if p.requires_grad:
            part = name.removeprefix("model.").split(".")[0]
            found[part] = found.get(part, 0) + p.numel()
    return found


def _flops(step: Step, learner: Learner, masked: MaskedBatch) -> float:
    """Of one step on a CPU, where torch's counter sees products and convolutions, and depthwise windows over visible
    sites, which it does not see, are added."""
    windows = 0

    def visit(block: nn.Module, inputs: tuple[Tensor, Sites], _: Any) -> None:
        nonlocal windows
        passes = 3 if torch.is_grad_enabled() else 1  # backward: one for the input, one for the weights
        windows += 2 * passes * WINDOW**2 * inputs[0].numel()

    hooks = [m.register_forward_hook(visit) for m in learner.modules() if isinstance(m, Block)]
    try:
        with FlopCounterMode(display=False) as counter:
            step.gradient(learner, masked)
    finally:
        for hook in hooks:
            hook.remove()
        learner.zero_grad(set_to_none=True)
    return counter.get_total_flops() + windows


def _kept(step: Step, learner: Learner, masked: MaskedBatch) -> float:
    """Bytes that the backward pass of one step keeps, weights apart."""
    weights = {p.untyped_storage().data_ptr() for p in learner.parameters()}
    sizes: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step.gradient(learner, masked)
    learner.zero_grad(set_to_none=True)
    return sum(sizes.values())


def _speed(config: PretrainConfig, step: Step, learner: Learner, batches: Iterable[Batch]) -> tuple[float, float]:
    """Samples per second over whole steps, and the share of the time that was waiting for data."""
    optimizer = make_optimizer(learner, config.optim)
    set_rate(optimizer, 0.0)  # weights stay as they were drawn: what is timed does not drift
    samples, waited, began = 0, 0.0, time.perf_counter()
    asked = began
    for number, batch in enumerate(batches):
        came = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        step.gradient(learner, _masked(config, batch, learner))
        optimizer.step()
        if learner.teacher is not None:
            update_teacher(learner.teacher, learner.model.encoder)
        if step.ranks.device.type == "cuda":
            torch.cuda.synchronize()
        if number == 0:
            began = time.perf_counter()
        else:
            samples, waited = samples + len(batch), waited + came - asked
        asked = time.perf_counter()
    seconds = asked - began
    return samples / seconds, waited / seconds


def _stored(dataset: Dataset, tile_ids: list[int], names: list[str]) -> float:
    tiles = [dataset.read(tile_id, names) for tile_id in tile_ids]
    return sum(layer.values.nbytes for tile in tiles for layer in tile.layers.values()) / len(tiles)


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"the CPU with {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
