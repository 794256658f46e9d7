"""The training loop: load, forward, backward, step, teacher, once in a while save; resumable at the exact step."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from geomeld.batch import collate
from geomeld.core.config import to_json
from geomeld.core.errors import CheckpointError, DatasetError, TrainingError
from geomeld.core.modality import Categorical, Timing
from geomeld.dataset import BandStatistics, Dataset
from geomeld.dataset.files import write_atomically
from geomeld.loader import Loader, read_tiles
from geomeld.modalities import MODALITIES
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.spec import LayerSpec
from geomeld.models.text import train_tokenizer
from geomeld.models.weights import WEIGHTS, save_checkpoint
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.ema import make_teacher, update_teacher
from geomeld.pretrain.masking import visible_patches
from geomeld.pretrain.objectives import objectives
from geomeld.pretrain.optim import learning_rate, make_optimizer, set_rate

RUN = "run.json"
LOG = "log.jsonl"
STATE = "training_state.pt"
EXAMPLES = "reconstructions.npz"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run has done."""

    steps: int
    tiles: int
    """Training tiles."""
    held_out: int
    loss: float
    """Of the last step."""
    samples_per_second: float
    parameters: int
    skipped: int
    """Tiles that could not be read."""


def pretrain(config: PretrainConfig, dataset: Dataset, out: Path, *, device: str = "auto") -> Summary:
    """Train GeoMeld-FM on a dataset into the checkpoint folder `out`; a run that was interrupted goes on at the exact
    step, with the same losses on a CPU.

    Raises DatasetError without usable tiles or captions that the recipe needs, CheckpointError where `out` holds a run
    with another configuration, TrainingError for a loss that is not finite.
    """
    where = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
    train, held_out = _tiles(config, dataset)
    _claim(out, config, dataset)
    torch.manual_seed(config.seed)  # weights are drawn from torch's generator; nothing else draws from it
    model = GeoMeldFM(_model_config(config, dataset), _tokenizer(config, dataset, train)).to(where)
    teacher = make_teacher(model.encoder)
    optimizer = make_optimizer(model, config.optim)
    loader = _loader(config, dataset, model, train)
    steps = config.epochs * loader.steps_per_epoch
    start, log = _resume(out, model, teacher, optimizer)
    began, done = time.perf_counter(), 0
    with tqdm(total=steps, initial=start, desc="pretrain", unit="step", dynamic_ncols=True) as bar:
        for step, batch in enumerate(loader.batches(start, steps), start):
            set_rate(optimizer, learning_rate(config.optim, step, steps))
            visible = visible_patches(
                batch.tile_ids,
                step // loader.steps_per_epoch,
                patches=model.config.patches,
                ratio=config.mask_ratio,
                seed=config.seed,
            )
            with torch.autocast(where.type, torch.bfloat16, enabled=config.bf16 and where.type == "cuda"):
                loss, terms = objectives(model, teacher, batch.to(where), visible.to(where), config.weights)
            _check_finite(loss, terms, step, batch.tile_ids)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            if config.optim.clip is not None:
                torch.nn.utils.clip_grad_norm_(model.parameters(), config.optim.clip)
            optimizer.step()
            update_teacher(teacher, model.encoder, config.tau)
            done += len(batch)
            row = {"step": step, "loss": float(loss.detach()), "lr": learning_rate(config.optim, step, steps)}
            log.append(row | {name: float(value) for name, value in terms.items()})
            bar.set_postfix(loss=f"{row['loss']:.3f}", tiles_per_s=f"{done / (time.perf_counter() - began):.1f}")
            bar.update()
            if (step + 1) % config.save_every == 0 and step + 1 < steps:
                _save_state(out, step + 1, model, teacher, optimizer, log)
    speed = done / max(time.perf_counter() - began, 1e-9)
    _finish(out, steps, model, teacher, optimizer, log, held_out or train, dataset, config)
    parameters = sum(p.numel() for p in model.parameters())
    return Summary(steps, len(train), len(held_out), log[-1]["loss"], speed, parameters, len(loader.skipped))


def _tiles(config: PretrainConfig, dataset: Dataset) -> tuple[list[int], list[int]]:
    reference = _input_name()
    usable = {t for t in dataset.tile_ids if reference in dataset.layers_of(t)}
    train, held_out = (([t for t in side if t in usable]) for side in config.split.apply(dataset))
    if not train:
        raise DatasetError(
            f"{dataset.path} has no tile to train on: {len(dataset)} tiles, {len(usable)} with {reference}."
        )
    return train, held_out


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


def _tokenizer(config: PretrainConfig, dataset: Dataset, train: list[int]) -> Any:
    captions = [c for t in train if (c := dataset.metadata(t).get("caption"))]
    if not captions and config.weights.beta > 0:
        raise DatasetError(
            f"No training tile of {dataset.path} has a caption, and the recipe contrasts images with captions: "
            f"run `geomeld caption {dataset.path}` first, or set --weights.beta 0."
        )
    return train_tokenizer(captions, config.text.vocab_size) if captions else None


def _loader(config: PretrainConfig, dataset: Dataset, model: GeoMeldFM, train: list[int]) -> Loader:
    specs = {s.name: s for s in (model.config.input, *model.config.targets)}
    tokenizer = model.tokenizer
    length = model.config.text.max_length
    return Loader(
        dataset,
        train,
        [MODALITIES[n] for n in specs],
        specs,
        min(config.batch_size, len(train)),
        None if tokenizer is None else (lambda texts: tokenizer.encode(texts, length)),
        config.seed,
        config.augment,
        config.workers,
    )


def _check_finite(loss: Tensor, terms: Mapping[str, Tensor], step: int, tile_ids: list[int]) -> None:
    if not torch.isfinite(loss):
        bad = [name for name, value in terms.items() if not torch.isfinite(value)] or ["loss"]
        raise TrainingError(f"Step {step}: {', '.join(bad)} is not finite; the batch held tiles {tile_ids[:8]} ...")


def _claim(out: Path, config: PretrainConfig, dataset: Dataset) -> None:
    """Take the folder for this configuration, or find that it is another run's."""
    if out.exists() and not out.is_dir():
        raise CheckpointError(f"{out} is a file; give a folder for the checkpoint.")
    out.mkdir(parents=True, exist_ok=True)
    resolved = json.dumps({"config": to_json(config), "tiles": len(dataset)}, indent=1, sort_keys=True) + "\n"
    if (out / RUN).exists():
        if (out / RUN).read_text() != resolved:
            raise CheckpointError(f"{out} holds a run with another configuration (see {RUN}); give another folder.")
        return
    if (out / WEIGHTS).exists():
        raise CheckpointError(f"{out} holds a checkpoint that no run of this folder wrote; give another folder.")
    write_atomically(out / RUN, resolved.encode())


def _save_state(
    out: Path,
    step: int,
    model: GeoMeldFM,
    teacher: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    log: list[dict[str, float]],
) -> None:
    """Everything that the next step depends on, in one file, so that no two parts of it can disagree."""
    state = {
        "step": step,
        "model": model.state_dict(),
        "teacher": teacher.state_dict(),
        "optimizer": optimizer.state_dict(),
        "log": log,
    }
    part = out / f"{STATE}.partial"
    torch.save(state, part)
    part.replace(out / STATE)


def _resume(
    out: Path, model: GeoMeldFM, teacher: torch.nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, list[dict[str, float]]]:
    if not (out / STATE).exists():
        return 0, []
    try:
        state = torch.load(out / STATE, weights_only=True)
        model.load_state_dict(state["model"])
        teacher.load_state_dict(state["teacher"])
        optimizer.load_state_dict(state["optimizer"])
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CheckpointError(f"{out / STATE} cannot be read: {error}. Delete it to start again.") from None
    return int(state["step"]), list(state["log"])


def _finish(
    out: Path, steps: int, model: GeoMeldFM, teacher: torch.nn.Module, optimizer: torch.optim.Optimizer,
    log: list[dict[str, float]], shown: list[int], dataset: Dataset, config: PretrainConfig,
) -> None:  # fmt: skip
    _save_state(out, steps, model, teacher, optimizer, log)
    write_atomically(out / LOG, "".join(json.dumps(row) + "\n" for row in log).encode())
    examples = reconstructions(model, dataset, shown[:4], ratio=config.mask_ratio, seed=config.seed)
    with (out / f"{EXAMPLES}.partial").open("wb") as file:
        np.savez_compressed(file, **examples)  # type: ignore[arg-type]
    (out / f"{EXAMPLES}.partial").replace(out / EXAMPLES)
    save_checkpoint(model, out)


@torch.no_grad()
def reconstructions(
    model: GeoMeldFM, dataset: Dataset, tile_ids: list[int], *, ratio: float, seed: int
) -> dict[str, np.ndarray]:
    """What the model makes of hidden patches: per target "<name>/target", "<name>/predicted" and "<name>/valid" in the
    modality's own unit or class codes (B, bands, H, W); "hidden" (B, H, W) marks the pixels that it did not see."""
    specs = {s.name: s for s in (model.config.input, *model.config.targets)}
    tiles = read_tiles(dataset, tile_ids, [MODALITIES[n] for n in specs], {})
    batch = collate(tiles, [MODALITIES[n] for n in specs], specs)
    device = model.log_scale.device
    image = batch.values[model.config.input.name].to(device)
    grid = model.encoder.grid(image)
    visible = visible_patches(batch.tile_ids, 0, patches=grid[0] * grid[1], ratio=ratio, seed=seed).to(device)
    predicted = model.decode(model.encoder(image, visible), visible, grid)
    out: dict[str, np.ndarray] = {"tile_ids": np.array(batch.tile_ids)}
    for name, spec in specs.items():
        if name not in predicted:
            continue
        out[f"{name}/target"], out[f"{name}/valid"] = _in_unit(spec, batch.values[name]), batch.valid[name].numpy()
        guess = predicted[name].float().cpu()
        if isinstance(spec.kind, Categorical):
            guess = guess.argmax(dim=1, keepdim=True)
        out[f"{name}/predicted"] = _in_unit(spec, guess)
    seen = torch.zeros(len(tiles), grid[0] * grid[1], dtype=torch.bool).scatter_(1, visible.cpu(), True)
    side = model.config.patch
    shown = seen.view(-1, *grid).repeat_interleave(side, 1).repeat_interleave(side, 2)
    out["hidden"] = ~shown.numpy()
    return out


def _in_unit(spec: LayerSpec, values: Tensor) -> np.ndarray:
    if isinstance(spec.kind, Categorical):
        return np.array(spec.kind.codes)[values.numpy()]
    mean, std = (np.array(v, np.float32)[None, :, None, None] for v in (spec.mean, spec.std))
    return values.numpy() * std + mean
