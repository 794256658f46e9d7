"""TrainingState: everything the next step depends on, in one file, so that no two parts of it can disagree."""

import json
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import torch

from geomeld.core.errors import CheckpointError
from geomeld.dataset.files import atomic, write_atomically
from geomeld.models.encoder import ConvNeXtV2
from geomeld.models.geomeld_fm import GeoMeldFM

LOG = "log.jsonl"
STATE = "training_state.pt"


@dataclass
class TrainingState:
    """A run between two steps."""

    model: GeoMeldFM
    teacher: ConvNeXtV2
    optimizer: torch.optim.Optimizer
    step: int = 0
    """Steps done."""
    log: list[dict[str, float]] = field(default_factory=list)
    """One row per step done: step, loss, lr, grad_norm and every term."""

    def save(self, folder: Path) -> None:
        """Write training_state.pt in one step, then log.jsonl, which can be read while the run goes on."""
        state = {
            "step": self.step,
            "model": self.model.state_dict(),
            "teacher": self.teacher.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "log": self.log,
        }
        with atomic(folder / STATE) as file:
            _save(state, file)
        write_atomically(folder / LOG, "".join(json.dumps(row) + "\n" for row in self.log).encode())

    def resume(self, folder: Path, device: torch.device) -> None:
        """Take over the state in `folder`, if there is one. Raises CheckpointError where it cannot be read."""
        path = folder / STATE
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=device, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.teacher.load_state_dict(state["teacher"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.log = int(state["step"]), list(state["log"])
        except (RuntimeError, EOFError, ValueError, KeyError, TypeError, pickle.UnpicklingError) as error:
            raise CheckpointError(f"{path} cannot be read: {error}. Delete it to start again.") from None


def _save(state: dict[str, Any], file: BinaryIO) -> None:
    """torch.save that says why it failed: after a write that the system refuses, torch raises another error."""
    try:
        torch.save(state, file)
    except RuntimeError as error:
        refused = error.__context__
        while refused is not None and not isinstance(refused, OSError):
            refused = refused.__context__
        raise refused or error from None
