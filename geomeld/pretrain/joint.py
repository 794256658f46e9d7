"""JointGradient: the loss of a joint objective over all tiles of all ranks, and its gradient by each embedding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from geomeld.pretrain.learner import Learner
from geomeld.pretrain.objectives import Joint
from geomeld.pretrain.ranks import Ranks

Embedded = tuple[list[Tensor], Tensor]
"""What an objective's `embed` gives of one part: embeddings, and the keys of their tiles."""


@dataclass(frozen=True)
class JointGradient:
    """Taken once per step; the parts of the step are then pulled along one after the other (cached gradients: Gao et
    al., 2021, "Scaling deep contrastive learning batch size under memory limited setup")."""

    loss: Tensor
    pulls: Sequence[Sequence[Tensor]]
    """Per part of this rank, the gradient of the weighted loss by each of its embeddings; empty without learning."""

    @classmethod
    def of(cls, objective: Joint, learner: Learner, parts: Sequence[Embedded], ranks: Ranks, *, learn: bool) -> Self:
        """The loss of all embeddings of all ranks; every rank computes the whole of it, and keeps its own gradients.

        The gradient by the objective's own weights (a temperature) is added to them, divided by the number of ranks,
        since gradients are summed over ranks later.
        """
        lengths = [len(keys) for _, keys in parts]
        keys, start = ranks.gather(torch.cat([keys for _, keys in parts]))
        columns = zip(*(embeddings for embeddings, _ in parts), strict=True)
        everyone = [
            ranks.gather(torch.cat([e.detach() for e in column]))[0].requires_grad_(learn) for column in columns
        ]
        with torch.set_grad_enabled(learn):
            loss = objective.joint_loss(learner, everyone, keys)
        if not learn:
            return cls(loss, [])
        own = objective.parameters(learner)
        gradients = torch.autograd.grad(objective.weight * loss, [*everyone, *own])
        for weight, gradient in zip(own, gradients[len(everyone) :], strict=True):
            weight.grad = gradient / ranks.size + (0 if weight.grad is None else weight.grad)
        mine = [g[start : start + sum(lengths)].split(lengths) for g in gradients[: len(everyone)]]
        return cls(loss.detach(), list(zip(*mine, strict=True)))

    def pull(self, part: int, embedded: Embedded) -> Tensor:
        """A number whose gradient by the embeddings of one part is that of the loss."""
        return sum((e * g).sum() for e, g in zip(embedded[0], self.pulls[part], strict=True))  # type: ignore[return-value]
