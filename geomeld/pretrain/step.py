"""One step, exactly: the gradient of the loss over all tiles of all ranks, computed in parts of any size."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from geomeld.pretrain.joint import Embedded, JointGradient
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch
from geomeld.pretrain.objectives import OBJECTIVES, Additive, Joint, Objective
from geomeld.pretrain.ranks import Ranks, as_one

TILES = "tiles"
"""The count of tiles, among those of the terms."""


@dataclass(frozen=True)
class Step:
    """How the steps of a run are computed."""

    objectives: Sequence[Objective] = OBJECTIVES
    ranks: Ranks = field(default_factory=Ranks)
    part_size: int | None = None
    """Tiles of a rank that are computed at once; None computes all of them at once."""
    bf16: bool = False
    """Autocast to bfloat16."""

    @property
    def additive(self) -> list[Additive]:
        """The objectives that are means over things that can be counted."""
        return [o for o in self.objectives if isinstance(o, Additive) and o.weight > 0]

    @property
    def joint(self) -> list[Joint]:
        """The objectives in which every tile meets every other."""
        return [o for o in self.objectives if isinstance(o, Joint) and o.weight > 0]

    def gradient(self, learner: Learner, masked: MaskedBatch) -> dict[str, float]:
        """Add the gradient of the whole step's loss to `.grad`, on every rank the same; "loss" and every term.

        `masked` is this rank's part of the batch. Memory is that of `part_size` tiles: means are sums over parts
        divided by counts that are taken first, and where there are several parts, joint objectives take two passes:
        one without graph for the embeddings of all tiles, one to pull each part along. Masks are keyed and nothing
        else is drawn, so that both passes see the same.
        """
        row = self._run(learner, masked, learn=True)
        self.ranks.sum_gradients(learner)
        return row

    @torch.no_grad()
    def losses(self, learner: Learner, masked: MaskedBatch) -> dict[str, float]:
        """The same row without gradients."""
        return self._run(learner, masked, learn=False)

    def _run(self, learner: Learner, masked: MaskedBatch, learn: bool) -> dict[str, float]:
        device = self.ranks.device
        parts = masked.parts(self.part_size or len(masked))
        one = len(parts) == 1
        parts = [part.to(device) for part in parts] if one else parts
        counts = self._counts(learner, parts)
        joint = [] if one else self._joint(learner, [self._embed(learner, part.to(device)) for part in parts], learn)
        totals: dict[str, Tensor] = {}
        for i, part in enumerate(part.to(device) for part in parts):
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
                tokens = learner.tokens(part)
                loss, sums = self._additive(learner, part, tokens, counts)
                embedded = [o.embed(learner, part, tokens) for o in self.joint]
            joint = self._joint(learner, [embedded], learn) if one else joint
            if learn:
                sum((j.pull(i, e) for j, e in zip(joint, embedded, strict=True)), loss).backward()
            for name, value in sums.items():
                value = value.detach().double()
                totals[name] = totals[name] + value if name in totals else value
        return self._row(self.ranks.sum(totals), counts, joint)

    def _counts(self, learner: Learner, parts: Sequence[MaskedBatch]) -> dict[str, Tensor]:
        """How many things every term is a mean over, over all parts of all ranks."""
        totals: dict[str, Tensor] = {}
        for part in parts:
            counts = {TILES: torch.tensor(len(part))}
            for objective in self.additive:
                counts |= objective.counts(learner, part)
            for name, count in counts.items():
                totals[name] = totals.get(name, 0) + count.to(self.ranks.device)
        return self.ranks.sum(totals)

    def _additive(
        self, learner: Learner, part: MaskedBatch, tokens: Tensor, counts: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """A part's share of the loss with its graph, and its sums, with the share of each objective by its name."""
        loss = tokens.new_zeros((), dtype=torch.float32)
        sums: dict[str, Tensor] = {}
        share = len(part) / counts[TILES]
        for objective in self.additive:
            mine = objective.sums(learner, part, tokens)
            own = objective.loss(learner, mine, counts, share)
            loss = loss + objective.weight * own
            sums |= mine | {_total(objective): own}
        return loss, sums

    @torch.no_grad()
    def _embed(self, learner: Learner, part: MaskedBatch) -> list[Embedded]:
        if not self.joint:
            return []
        with torch.autocast(part.visible.device.type, torch.bfloat16, enabled=self.bf16):
            tokens = learner.tokens(part)
            return [o.embed(learner, part, tokens) for o in self.joint]

    def _joint(self, learner: Learner, parts: Sequence[Sequence[Embedded]], learn: bool) -> list[JointGradient]:
        """One for each joint objective, from what `embed` gave of every part."""
        by_objective = zip(self.joint, zip(*parts, strict=True), strict=True)
        return [JointGradient.of(o, learner, embedded, self.ranks, learn=learn) for o, embedded in by_objective]

    def _row(
        self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor], joint: Sequence[JointGradient]
    ) -> dict[str, float]:
        losses = {o.name: gradient.loss for o, gradient in zip(self.joint, joint, strict=True)}
        known = as_one({**sums, **losses, **{f"count/{n}": c for n, c in counts.items()}}, Tensor.cpu)
        counts = {n: known[f"count/{n}"] for n in counts}
        row: dict[str, float] = {}
        for objective in self.additive:
            row |= objective.row(known, counts) | {objective.name: float(known[_total(objective)])}
        row |= {name: float(known[name]) for name in losses}
        weights = [(o.weight, o.name) for o in self.additive] + [(o.weight, o.name) for o in self.joint]
        return {"loss": sum(weight * row[name] for weight, name in weights), **row}


def _total(objective: Additive) -> str:
    return f"loss/{objective.name}"
