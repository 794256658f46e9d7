"""TrainingState: what a run needs to go on exactly where it stopped, beside the checkpoint."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geomeld.core.errors import CheckpointError, ConfigError
from geomeld.dataset.files import atomic

STATE = "training_state.pt"


@dataclass
class TrainingState:
    """The parts that change with every step."""

    model: nn.Module
    teacher: nn.Module
    optimizer: torch.optim.Optimizer
    config: Mapping[str, Any]
    """PretrainConfig.what_is_computed()."""
    inputs: str
    """Digest of what the dataset decided: tiles, statistics, vocabulary."""
    step: int = 0
    """Steps done."""

    def save(self, folder: Path) -> None:
        """Write the state under its name in one step."""
        state = {
            "step": self.step,
            "config": json.dumps(self.config),
            "inputs": self.inputs,
            "model": self.model.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        with atomic(folder / STATE) as file:
            torch.save(state, file)

    def resume(self, folder: Path, device: torch.device) -> None:
        """Take over the state in `folder`, if there is one.

        Raises ConfigError where it belongs to another run, CheckpointError where it cannot be read.
        """
        path = folder / STATE
        if not path.exists():
            return
        state = _load(path, device)
        _check_same(json.loads(state["config"]), json.loads(json.dumps(self.config)), folder)
        if state["inputs"] != self.inputs:
            raise ConfigError(
                f"The dataset has changed since the run in {folder} was started; give another --out, or remove {path}."
            )
        self.model.load_state_dict(state["model"])
        self.teacher.load_state_dict(state["teacher"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]


def _load(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); remove it to start the run anew.") from error


def _check_same(stored: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    differ = [k for k in {**stored, **wanted} if stored.get(k) != wanted.get(k)]
    if differ:
        first = differ[0]
        raise ConfigError(
            f"{folder} holds a run with another {', '.join(differ)} ({first}: {stored.get(first)}, now "
            f"{wanted.get(first)}); give another --out, or the same fields to go on with it."
        )


def digest(*parts: Any) -> str:
    """Short hash of JSON values."""
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()


def parameters(module: nn.Module) -> list[Tensor]:
    """The parameters that are trained."""
    return [p for p in module.parameters() if p.requires_grad]
