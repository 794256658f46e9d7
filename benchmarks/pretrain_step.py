"""Whole pretraining steps: masked reconstruction and all three objectives, against MMEarth's model in its dense form.

All run in this process on the same pixels, in turns; the smallest time of each counts. A step is forward, six decoders,
losses, backward and AdamW (with three objectives also the teacher, the predictor, the text encoder and the EMA).
`--mmearth PATH` names a checkout of MMEarth-train; its model is timed in float32 with torch's own AdamW, as published.
"""

import contextlib
import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from mmearth_dense import mmearth_batch, mmearth_dense
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from geomeld.batch import Batch
from geomeld.core.modality import Continuous
from geomeld.modalities import MODALITIES, TARGETS
from geomeld.models.depthwise import WINDOW
from geomeld.models.encoder import Block, Size
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.pretrain.ema import update_teacher
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch
from geomeld.pretrain.objectives import OBJECTIVES, Objective, Reconstruction
from geomeld.pretrain.optim import OptimConfig, make_optimizer
from geomeld.pretrain.ranks import Ranks
from geomeld.pretrain.step import Step

CAPTION_TOKENS = 48
"""Length of the captions."""


@dataclass(frozen=True)
class Options:
    """What to measure."""

    size: Size = "tiny"
    """Size of the encoders."""
    batch: int = 32
    """Tiles per step."""
    mask: float = 0.7
    """Share of patches that are hidden."""
    rounds: int = 3
    """How often each is timed, after one that is not."""
    threads: int = 0
    """Threads of torch, 0 for its default."""
    clock: Literal["wall", "cpu"] = "wall"
    """cpu counts the process's own processor time, for a machine that others use too (with one thread: waiting threads
    spin)."""
    mmearth: Path | None = None
    """Checkout of MMEarth-train to compare with."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to run."""
    bf16: bool = False
    """Autocast to bfloat16 (ours only)."""
    compile: bool = False
    """Also time the three objectives with the model's parts compiled."""
    decoder_width: int | None = None
    """Of our decoders; None is the default of the model (MMEarth's are 512 wide at every size)."""
    profile: bool = False
    """Also print the five largest kernels, arithmetic and bytes beside what the machine can do."""
    json: bool = False
    """Print one JSON object."""


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options, description=__doc__)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU; give --device cpu.")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    batch = _batch(options)
    ways = dict(_ways(options, batch))
    seconds = dict.fromkeys(ways, float("inf"))
    for timed in range(options.rounds + 1):
        for name, way in ways.items():
            spent = _timed(way, options)
            seconds[name] = min(seconds[name], spent) if timed else seconds[name]
    counted = {name: _count(options, batch, objectives) for name, objectives in OURS.items()}
    result: dict[str, Any] = {
        "benchmark": "pretrain_step",
        "size": options.size,
        "batch": options.batch,
        "device": _device_name(options.device),
        "bf16": options.bf16,
        "clock": options.clock,
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "samples_per_second": {name: options.batch / s for name, s in seconds.items()},
        "gflop_per_sample": counted,
    }
    if options.profile:
        result["profile"] = {name: _profile(options, ways[name], counted[name], seconds[name]) for name in OURS}
    print(json.dumps(result) if options.json else _table(result))


OURS: dict[str, tuple[Objective, ...]] = {"reconstruction": (Reconstruction(),), "three objectives": OBJECTIVES}
COMPILED, MMEARTH = "three objectives, compiled", "MMEarth, dense"


def _ways(options: Options, batch: Batch) -> Iterator[tuple[str, Callable[[], object]]]:
    for name, objectives in OURS.items():
        yield name, _our_step(options, batch, objectives, compiled=False)
    if options.compile:
        yield COMPILED, _our_step(options, batch, OBJECTIVES, compiled=True)
    if options.mmearth is not None:
        yield MMEARTH, _mmearth_step(options, options.mmearth, batch)


def _our_step(
    options: Options, batch: Batch, objectives: tuple[Objective, ...], *, compiled: bool
) -> Callable[[], object]:
    learner = _learner(options, objectives).to(options.device)
    if compiled:
        for part in (learner.model.encoder, *learner.model.decoders.values(), learner.model.predictor):
            part.compile()
    used = _used(learner, objectives)
    optimizer = make_optimizer(used, OptimConfig())
    step = Step(objectives, Ranks(torch.device(options.device)), bf16=options.bf16)
    masked = _masked(options, batch)

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        step.gradient(learner, masked)
        optimizer.step()
        if learner.teacher is not None:
            update_teacher(learner.teacher, learner.model.encoder)

    return run


def _mmearth_step(options: Options, checkout: Path, batch: Batch) -> Callable[[], object]:
    side = batch.values[TARGETS[0]].shape[-1]
    with contextlib.redirect_stdout(io.StringIO()):  # it prints which model it is
        model = mmearth_dense(checkout, options.size, side, options.mask).to(options.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.05)
    values = batch.to(options.device).values

    def run() -> None:
        optimizer.zero_grad(set_to_none=True)
        model(mmearth_batch(values), mask_ratio=options.mask)[0].backward()
        optimizer.step()

    return run


def _learner(options: Options, objectives: tuple[Objective, ...]) -> Learner:
    specs = {name: LayerSpec.of(MODALITIES[name]) for name in TARGETS}
    config = ModelConfig(
        input=specs[TARGETS[0]],
        targets=tuple(specs.values()),
        size=options.size,
        decoder_width=options.decoder_width,
    )
    return Learner(GeoMeldFM(config), teacher=len(objectives) > 1)


def _used(learner: Learner, objectives: tuple[Objective, ...]) -> nn.Module:
    """The modules that these objectives train: without JEPA and contrast, encoder and decoders alone."""
    model = learner.model
    return learner if len(objectives) > 1 else nn.ModuleList([model.encoder, *model.decoders.values()])


def _masked(options: Options, batch: Batch) -> MaskedBatch:
    return MaskedBatch.draw(batch, TARGETS[0], 16, 0, ratio=options.mask, seed=0)


def _batch(options: Options) -> Batch:
    """Random tiles that have everything, each with a caption of its own."""
    values, valid = {}, {}
    for name in TARGETS:
        spec = LayerSpec.of(MODALITIES[name])
        shape = (options.batch, len(spec.bands), 128, 128)
        continuous = isinstance(spec.kind, Continuous)
        values[name] = torch.randn(shape) if continuous else torch.randint(0, spec.channels, shape)
        valid[name] = torch.ones(shape, dtype=torch.bool)
    tokens = torch.randint(2, 4096, (options.batch, CAPTION_TOKENS))
    return Batch(list(range(options.batch)), values, valid, [f"caption {i}" for i in range(options.batch)], tokens)


def _timed(way: Callable[[], object], options: Options) -> float:
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    start = clock()
    way()
    if options.device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def _count(options: Options, batch: Batch, objectives: tuple[Objective, ...]) -> dict[str, float]:
    """GFLOP per sample by part, of a step on two tiles on a CPU: products as torch counts them, depthwise windows
    (which it does not see) as 49 multiplications and additions at every computed site."""
    learner, found = _learner(options, objectives), dict.fromkeys(("products", "depthwise windows"), 0.0)

    def visit(block: nn.Module, inputs: tuple[Tensor, Any], _: Tensor) -> None:
        found["depthwise windows"] += (3 if torch.is_grad_enabled() else 1) * 2 * WINDOW**2 * inputs[0].numel()

    for module in learner.modules():
        if isinstance(module, Block):
            module.register_forward_hook(visit)
    few = _masked(options, batch.part(0, 2))
    with FlopCounterMode(display=False) as counter:
        Step(objectives).gradient(learner, few)
    found["products"] = counter.get_total_flops()
    return {name: n / len(few) / 1e9 for name, n in found.items()}


class Bytes(TorchDispatchMode):
    """Counts the bytes that every operation is given and returns, views apart: what would move without caches."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count."""
        out = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.total += sum(t.nbytes for t in tree_leaves((args, kwargs, out)) if isinstance(t, Tensor))
        return out


def _profile(options: Options, way: Callable[[], object], gflop: dict[str, float], seconds: float) -> dict[str, Any]:
    """The five largest kernels, and arithmetic and bytes per second beside the machine's own."""
    with Bytes() as counted:
        way()
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (options.device == "cuda")
    with profile(activities=activities) as seen:
        way()
    attribute = "self_device_time_total" if options.device == "cuda" else "self_cpu_time_total"
    events = sorted(seen.key_averages(), key=lambda e: -getattr(e, attribute))
    total = sum(getattr(e, attribute) for e in events)
    flops, bandwidth = _ceilings(options)
    return {
        "largest": {e.key[:70]: getattr(e, attribute) / total for e in events[:5]},
        "flop_per_second": sum(gflop.values()) * 1e9 * options.batch / seconds,
        "ceiling_flop_per_second": flops,
        "bytes_per_second": counted.total / seconds,
        "ceiling_bytes_per_second": bandwidth,
    }


def _ceilings(options: Options) -> tuple[float, float]:
    """FLOP/s of a large product of matrices in the precision of the run, and bytes/s of a large copy."""
    n = 8192 if options.device == "cuda" else 2048
    dtype = torch.bfloat16 if options.bf16 else torch.float32
    a = torch.randn(n, n, device=options.device).to(dtype)
    large = torch.empty(1 << 28, dtype=torch.uint8, device=options.device)
    other = torch.empty_like(large)
    product = min(_timed(lambda: a @ a, options) for _ in range(10))
    copy = min(_timed(lambda: other.copy_(large), options) for _ in range(10))
    return 2 * n**3 / product, 2 * large.nbytes / copy


def _device_name(device: str) -> str:
    return torch.cuda.get_device_name() if device == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def _table(result: dict[str, Any]) -> str:
    precision = "bfloat16" if result["bf16"] else "float32"
    what = f"pretraining step {result['size']}, batch {result['batch']}, 128 x 128, {precision}"
    lines = [f"{what}, {result['device']}, {result['clock']} time"]
    theirs = result["seconds"].get(MMEARTH)
    for name, seconds in result["seconds"].items():
        beside = f"  MMEarth takes {theirs / seconds:4.1f}x as long" if theirs and name != MMEARTH else ""
        lines.append(f"  {name:28s} {seconds:8.3f} s  {result['samples_per_second'][name]:8.1f} samples/s{beside}")
    for name, parts in result["gflop_per_sample"].items():
        listed = ", ".join(f"{part} {n:.2f}" for part, n in parts.items())
        lines.append(f"  {name}: {sum(parts.values()):.2f} GFLOP per sample ({listed})")
    for name, seen in result.get("profile", {}).items():
        ratio = seen["flop_per_second"] / seen["ceiling_flop_per_second"]
        lines.append(f"  {name}: {seen['flop_per_second'] / 1e9:.0f} GFLOP/s, {ratio:.0%} of a large product's")
        moved, possible = seen["bytes_per_second"] / 1e9, seen["ceiling_bytes_per_second"] / 1e9
        lines.append(f"    {moved:.0f} GB/s given to and returned by operations; a large copy moves {possible:.0f}")
        lines += [f"    {share:5.1%} {kernel}" for kernel, share in seen["largest"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
