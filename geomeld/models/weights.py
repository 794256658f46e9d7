"""The checkpoint folder: model.safetensors, config.json and tokenizer.json, written and read whole or not at all."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from geomeld.core.config import from_json, to_json
from geomeld.core.errors import CheckpointError, ConfigError
from geomeld.models.geomeld_fm import GeoMeldFM, ModelConfig
from geomeld.models.text import Tokenizer

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


def save_checkpoint(model: GeoMeldFM, path: str | Path) -> None:
    """Write the model to the folder `path`, made if need be; each file appears only when it is complete.

    The weights come last, so a folder with weights has everything. The same model gives the same bytes.
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    if model.tokenizer is not None:
        _write(folder / TOKENIZER, model.tokenizer.to_json().encode())
    _write(folder / CONFIG, (json.dumps(to_json(model.config), indent=1) + "\n").encode())
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    _write(folder / WEIGHTS, save(state, metadata={"format": "pt"}))


def load_model(path: str | Path, device: str | torch.device = "cpu") -> GeoMeldFM:
    """The model of a checkpoint folder, in evaluation mode.

    Raises CheckpointError that names the file or the weights at fault.
    """
    folder = Path(path)
    config = _read_config(folder)
    tokenizer = _read_tokenizer(folder)
    state = _read_weights(folder)
    try:
        with torch.device("meta"):
            model = GeoMeldFM(config, tokenizer)
    except ConfigError as error:
        raise CheckpointError(f"{folder / CONFIG} describes no model: {error}") from error
    if tokenizer is not None and tokenizer.vocab_size > config.text.vocab_size:
        raise CheckpointError(
            f"{folder / TOKENIZER} has {tokenizer.vocab_size} tokens, more than the {config.text.vocab_size} of "
            f"{folder / CONFIG}. Keep the files of one checkpoint together."
        )
    _check_weights(folder, state, model.state_dict(), config.size)
    model.load_state_dict(state, assign=True)
    return model.requires_grad_(True).to(device).eval()


def _write(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


WHOLE = "Name the folder that geomeld pretrain wrote, or copy all of it."


def _read(path: Path) -> str:
    if not path.parent.is_dir():
        raise CheckpointError(f"There is no checkpoint folder {path.parent}.")
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CheckpointError(f"{path.parent} is no whole checkpoint: it lacks {path.name}. {WHOLE}") from None
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is damaged: {error}. Copy the checkpoint again.") from error


def _read_config(folder: Path) -> ModelConfig:
    try:
        return from_json(ModelConfig, json.loads(_read(folder / CONFIG)))
    except (json.JSONDecodeError, ConfigError) as error:
        raise CheckpointError(f"{folder / CONFIG} is no model configuration ({error}). {WHOLE}") from error


def _read_tokenizer(folder: Path) -> Tokenizer | None:
    if not (folder / TOKENIZER).exists():
        return None
    try:
        return Tokenizer.from_json(_read(folder / TOKENIZER))
    except ValueError as error:
        raise CheckpointError(f"{folder / TOKENIZER} is damaged: {error}. Copy the checkpoint again.") from error


def _read_weights(folder: Path) -> dict[str, Tensor]:
    path = folder / WEIGHTS
    if not path.exists():
        raise CheckpointError(f"{folder} is no whole checkpoint: it lacks {WEIGHTS}. {WHOLE}")
    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError) as error:
        raise CheckpointError(f"{path} is truncated or damaged: {error}. Copy the checkpoint again.") from error


def _check_weights(folder: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], size: str) -> None:
    faults = [f"{name} is missing" for name in wanted if name not in found]
    faults += [f"{name} is unexpected" for name in found if name not in wanted]
    faults += [
        f"{name} is {tuple(found[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted
        if name in found and found[name].shape != wanted[name].shape
    ]
    if faults:
        more = f", and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise CheckpointError(
            f"{folder / WEIGHTS} holds another model than {folder / CONFIG} (size {size!r}) describes: "
            f"{'; '.join(faults[:5])}{more}. Keep the two files of one checkpoint together."
        )
