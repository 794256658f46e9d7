"""TrainingState: everything the next step depends on."""

from dataclasses import dataclass, field
from typing import Any

import torch

from geomeld.models.encoder import ConvNeXtV2
from geomeld.models.geomeld_fm import GeoMeldFM
from geomeld.pretrain.learner import Learner


@dataclass
class TrainingState:
    """A run between two steps."""

    learner: Learner
    optimizer: torch.optim.Optimizer
    step: int = 0
    """Steps done."""
    log: list[dict[str, float]] = field(default_factory=list)
    """One row per step done: step, lr, loss, every term, grad_norm; "held_out" where a best model was looked for."""
    best: float | None = None
    """Lowest "held_out" so far."""

    @property
    def model(self) -> GeoMeldFM:
        """What is trained."""
        return self.learner.model

    @property
    def teacher(self) -> ConvNeXtV2 | None:
        """The EMA of its encoder, where an objective needs one."""
        return self.learner.teacher

    def to_dict(self) -> dict[str, Any]:
        """All of it, for `load`; tensors are not copied."""
        learner, optimizer = self.learner.state_dict(), self.optimizer.state_dict()
        return {"step": self.step, "log": self.log, "best": self.best, "learner": learner, "optimizer": optimizer}

    def load(self, state: dict[str, Any]) -> None:
        """The inverse of `to_dict`. Raises RuntimeError, ValueError or KeyError where it is of another model."""
        self.learner.load_state_dict(state["learner"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.log, self.best = int(state["step"]), list(state["log"]), state["best"]
