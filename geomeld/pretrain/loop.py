"""The training loop: load, forward, backward, step, teacher, once in a while save; resumable at the exact step."""

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from tqdm import tqdm

from geomeld.batch import Batch
from geomeld.core.config import to_json
from geomeld.core.errors import CheckpointError, DatasetError, TrainingError, UsageError
from geomeld.core.modality import Timing
from geomeld.dataset import BandStatistics, Dataset
from geomeld.dataset.files import atomic, write_atomically
from geomeld.loader import Loader
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import train_tokenizer
from geomeld.models.weights import WEIGHTS, save_checkpoint
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.ema import make_teacher, update_teacher
from geomeld.pretrain.held_out import losses_on, reconstructions
from geomeld.pretrain.masking import visible_patches
from geomeld.pretrain.objectives import objectives
from geomeld.pretrain.optim import learning_rate, make_optimizer, set_rate
from geomeld.pretrain.state import LOG, STATE, TrainingState

__all__ = ["EXAMPLES", "LOG", "RUN", "STATE", "Summary", "pretrain"]

RUN = "run.json"
EXAMPLES = "reconstructions.npz"

HOW_NOT_WHAT = ("workers", "save_every")
"""Fields that a resumed run may change: they decide how it is computed, not what."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run has done."""

    steps: int
    tiles: int
    """Training tiles."""
    held_out: int
    loss: float
    """Of the last step."""
    held_out_loss: Mapping[str, float]
    """"loss" and every term, mean over held-out tiles; empty without any."""
    samples_per_second: float
    """Tiles per second of this call; 0 where nothing was left to do."""
    parameters: int
    skipped: int
    """Tiles that could not be read."""


class Watch(Protocol):
    """Who looks on while a run goes on (geomeld.pretrain.watch has one); in a run of several ranks, on rank 0 only."""

    def start(self, run: TrainingState, steps: int, held_out: Sequence[int]) -> None:
        """Called once, after the resume: `run.step` of `steps` steps are done, their rows are in `run.log`."""

    def step(self, step: int, row: Mapping[str, float], batch: Batch) -> None:
        """Called after each step with its row of the log, and two times in seconds that are not logged: "seconds" of
        the whole step and "waited" for its batch."""

    def close(self) -> None:
        """Called at the end, however the run ends."""


def pretrain(
    config: PretrainConfig, dataset: Dataset, out: Path, *, device: str = "auto", watch: Watch | None = None
) -> Summary:
    """Train GeoMeld-FM on a dataset into the checkpoint folder `out`; a run that was interrupted goes on at the exact
    step, with the same losses on a CPU.

    Raises DatasetError without usable tiles or captions that the recipe needs, CheckpointError where `out` holds a run
    with another configuration or on other tiles, TrainingError for a loss or gradient that is not finite.
    """
    where = _device(device)
    train, held_out = _tiles(config, dataset)
    captions = _captions(config, dataset, train)
    run = _start(config, dataset, captions, where)
    _claim(out, config, dataset, train, captions)
    loader = _loader(config, dataset, run.model, train)
    steps = config.epochs * loader.steps_per_epoch
    run.resume(out, where)
    start, began, done = run.step, time.perf_counter(), 0
    with (
        _watched(watch, run, steps, held_out),
        tqdm(
            total=steps, initial=start, desc="pretrain", unit="step", dynamic_ncols=True, disable=watch is not None
        ) as bar,
    ):
        for batch, waited in _waiting(loader.batches(start, steps)):
            at = time.perf_counter()
            epoch, rate = run.step // loader.steps_per_epoch, learning_rate(config.optim, run.step, steps)
            row = _train_step(config, run, batch, epoch, rate, where)
            run.log.append({"step": run.step, "lr": rate, **row})
            run.step += 1
            if watch is not None:
                spent = waited + time.perf_counter() - at
                watch.step(run.step - 1, {**run.log[-1], "seconds": spent, "waited": waited}, batch)
            done += len(batch)
            bar.set_postfix(loss=f"{row['loss']:.3f}", tiles_per_s=f"{done / (time.perf_counter() - began):.1f}")
            bar.update()
            if run.step % config.save_every == 0 and run.step < steps:
                run.save(out)
    speed = done / (time.perf_counter() - began)
    held_out_loss = losses_on(run.model.eval(), run.teacher, dataset, held_out, config)
    run.save(out)
    with atomic(out / EXAMPLES) as file:
        np.savez_compressed(file, **reconstructions(run.model, dataset, (held_out or train)[:4], config))  # type: ignore[arg-type]
    save_checkpoint(run.model, out)
    parameters = sum(p.numel() for p in run.model.parameters())
    return Summary(
        steps, len(train), len(held_out), run.log[-1]["loss"], held_out_loss, speed, parameters, len(loader.skipped)
    )


@contextmanager
def _watched(watch: Watch | None, run: TrainingState, steps: int, held_out: Sequence[int]) -> Iterator[None]:
    if watch is None:
        yield
        return
    watch.start(run, steps, held_out)
    try:
        yield
    finally:
        watch.close()


def _waiting(batches: Iterable[Batch]) -> Iterator[tuple[Batch, float]]:
    """Every batch with the seconds that were waited for it."""
    began = time.perf_counter()
    for batch in batches:
        yield batch, time.perf_counter() - began
        began = time.perf_counter()


def _device(name: str) -> torch.device:
    """Raises UsageError for a name that there is not, and for a GPU that there is not."""
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"There is no device {name!r}; give auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no GPU; give --device cpu, or leave it out.")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def _train_step(
    config: PretrainConfig, run: TrainingState, batch: Batch, epoch: int, rate: float, device: torch.device
) -> dict[str, float]:
    """One step of the optimiser and the teacher; "loss", "grad_norm" and every term, means over the batch's parts."""
    set_rate(run.optimizer, rate)
    run.optimizer.zero_grad(set_to_none=True)
    patches = run.model.config.patches
    visible = visible_patches(batch.tile_ids, epoch, patches=patches, ratio=config.mask_ratio, seed=config.seed)
    row: dict[str, float] = {}
    size = math.ceil(len(batch) / config.accumulate)
    for first in range(0, len(batch), size):
        part = batch.part(first, first + size)
        share = len(part) / len(batch)
        with torch.autocast(device.type, torch.bfloat16, enabled=config.bf16 and device.type == "cuda"):
            loss, terms = objectives(
                run.model, run.teacher, part.to(device), visible[first : first + size].to(device), config.weights
            )
        for name, value in _on_host({"loss": loss, **terms}, run.step, part).items():
            row[name] = row.get(name, 0.0) + share * value
        (loss * share).backward()
    grads = [p.grad for p in run.model.parameters() if p.grad is not None]
    norm = torch.nn.utils.get_total_norm(grads)
    row["grad_norm"] = float(norm)
    if not math.isfinite(row["grad_norm"]):
        raise TrainingError(f"Step {run.step}: the gradient is not finite; {_held(batch)}")
    if config.optim.clip is not None:
        torch.nn.utils.clip_grads_with_norm_(run.model.parameters(), config.optim.clip, norm)
    run.optimizer.step()
    update_teacher(run.teacher, run.model.encoder, config.tau)
    return row


def _on_host(terms: Mapping[str, torch.Tensor], step: int, batch: Batch) -> dict[str, float]:
    """The terms as numbers, fetched at once (one wait for a GPU, not one per term). Raises TrainingError."""
    numbers = torch.stack([v.detach().float() for v in terms.values()]).tolist()
    values = dict(zip(terms, numbers, strict=True))
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        named = [name for name in bad if name != "loss"] or bad
        raise TrainingError(f"Step {step}: {', '.join(named)} is not finite; {_held(batch)}")
    return values


def _held(batch: Batch) -> str:
    more = " ..." if len(batch) > 8 else ""
    return f"the batch held tiles {batch.tile_ids[:8]}{more}."


def _tiles(config: PretrainConfig, dataset: Dataset) -> tuple[list[int], list[int]]:
    reference = _input_name()
    usable = {t for t in dataset.tile_ids if reference in dataset.layers_of(t)}
    train, held_out = (([t for t in side if t in usable]) for side in config.split.apply(dataset))
    if not train:
        raise DatasetError(
            f"{dataset.path} has no tile to train on: {len(dataset)} tiles, {len(usable)} with {reference}, "
            f"{len(held_out)} of them held out by {config.split.by} (--split.by, --split.held-out)."
        )
    return train, held_out


def _captions(config: PretrainConfig, dataset: Dataset, train: list[int]) -> list[str]:
    captions = [c for t in train if (c := dataset.metadata(t).get("caption"))]
    if not captions and config.weights.beta > 0:
        raise DatasetError(
            f"No training tile of {dataset.path} has a caption, and the recipe contrasts images with captions: "
            f"run `geomeld caption {dataset.path}` first, or set --weights.beta 0."
        )
    return captions


def _claim(out: Path, config: PretrainConfig, dataset: Dataset, train: list[int], captions: list[str]) -> None:
    """Take the folder for this configuration and these tiles, or find that it is another run's."""
    if out.exists() and not out.is_dir():
        raise CheckpointError(f"{out} is a file; give a folder for the checkpoint.")
    if any(out.glob("*.tar")):
        raise CheckpointError(f"{out} holds a dataset; give another folder for the checkpoint.")
    out.mkdir(parents=True, exist_ok=True)
    inputs = blake2b(json.dumps([train, captions, to_json(dataset.statistics())]).encode(), digest_size=16).hexdigest()
    wanted = {"config": to_json(config), "tiles": len(dataset), "inputs": inputs}
    if (out / RUN).exists():
        _check_same(out, _stored_run(out / RUN), json.loads(json.dumps(wanted)))
    elif (out / WEIGHTS).exists():
        raise CheckpointError(f"{out} holds a checkpoint that no run of this folder wrote; give another folder.")
    write_atomically(out / RUN, (json.dumps(wanted, indent=1, sort_keys=True) + "\n").encode())


def _stored_run(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text())
        return {"config": dict(stored["config"]), "inputs": stored.get("inputs")}
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error!r}. Give another folder.") from None


def _check_same(out: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    differ = [k for k, v in wanted["config"].items() if k not in HOW_NOT_WHAT and stored["config"].get(k) != v]
    if differ:
        raise CheckpointError(
            f"{out} holds a run with another configuration ({', '.join(differ)}; see {RUN}); give another folder."
        )
    if stored["inputs"] != wanted["inputs"]:
        raise CheckpointError(
            f"{out} holds a run on other tiles or captions than the dataset has now; give another folder."
        )


def _start(config: PretrainConfig, dataset: Dataset, captions: list[str], device: torch.device) -> TrainingState:
    tokenizer = train_tokenizer(captions, config.text.vocab_size) if captions else None
    with torch.random.fork_rng(devices=[]):  # weights come from torch's generator, which is left as it was
        torch.manual_seed(config.seed)
        model = GeoMeldFM(_model_config(config, dataset), tokenizer).to(device)
    return TrainingState(model, make_teacher(model.encoder), make_optimizer(model, config.optim))


def _input_name() -> str:
    return next(n for n, m in MODALITIES.items() if m.timing is Timing.REFERENCE)


def _model_config(config: PretrainConfig, dataset: Dataset) -> ModelConfig:
    statistics = dataset.statistics()

    def spec(name: str) -> LayerSpec:
        known = statistics.get(name)
        return LayerSpec.of(
            MODALITIES[name], *((known.mean, known.std) if isinstance(known, BandStatistics) else ((), ()))
        )

    return ModelConfig(
        input=spec(_input_name()),
        targets=tuple(spec(t) for t in config.targets),
        size=config.size,
        patch=config.patch,
        image_size=config.augment.crop or MODALITIES[_input_name()].shape()[1],
        decoder_width=config.decoder_width,
        decoder_depth=config.decoder_depth,
        predictor_width=config.predictor_width,
        predictor_depth=config.predictor_depth,
        text=config.text,
    )


def _loader(config: PretrainConfig, dataset: Dataset, model: GeoMeldFM, train: list[int]) -> Loader:
    specs = {s.name: s for s in (model.config.input, *model.config.targets)}
    tokenizer, length = model.tokenizer, model.config.text.max_length
    return Loader(
        dataset,
        train,
        list(specs.values()),
        specs,
        min(config.batch_size, len(train)),
        None if tokenizer is None else (lambda texts: tokenizer.encode(texts, length)),
        config.seed,
        config.augment,
        config.workers,
    )
