"""Faults: which term of a step is not finite, and which tiles make it so."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch

from geomeld.core.errors import TrainingError
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch
from geomeld.pretrain.ranks import Ranks
from geomeld.pretrain.step import Step

SHOWN = 8
"""Tiles that a message names."""


def check_finite(step: Step, learner: Learner, masked: MaskedBatch, row: Mapping[str, float]) -> None:
    """Raise TrainingError, on all ranks the same, where a number of the row is not finite.

    The message names the terms, the step and the tiles at fault: each tile of the step is tried alone.
    """
    bad = [name for name, value in row.items() if not math.isfinite(value)]
    if not bad:
        return
    terms = [name for name in bad if name not in ("loss", "grad_norm")]
    what = f"{', '.join(terms)} is not finite" if terms else f"the {bad[0].replace('_norm', 'ient')} is not finite"
    faulty = [t for tiles in step.ranks.collect(_at_fault(step, learner, masked)) for t in tiles]
    tiles = [t for tiles in step.ranks.collect(masked.batch.tile_ids) for t in tiles]
    raise TrainingError(f"Step {masked.step}: {what}; {_who(faulty, tiles)}")


def _at_fault(step: Step, learner: Learner, masked: MaskedBatch) -> list[int]:
    alone = replace(step, ranks=Ranks(step.ranks.device), part_size=None)
    faulty = []
    for i, tile in enumerate(masked.batch.tile_ids):
        learner.zero_grad()
        row = alone.gradient(learner, masked.part(i, i + 1))
        norm = torch.nn.utils.get_total_norm([p.grad for p in learner.parameters() if p.grad is not None])
        if not all(map(math.isfinite, (*row.values(), float(norm)))):
            faulty.append(tile)
    return faulty


def _who(faulty: list[int], tiles: list[int]) -> str:
    if not faulty:
        return f"no tile alone is at fault; the batch held {_named(tiles)}."
    if len(faulty) == len(tiles) > 1:
        return (
            f"so it is with each of {_named(tiles)} alone: the weights have diverged (lower optim.lr, set optim.clip)."
        )
    return f"at fault {'are' if len(faulty) > 1 else 'is'} {_named(faulty)} of {len(tiles)}."


def _named(tiles: list[int]) -> str:
    more = f" and {len(tiles) - SHOWN} more" if len(tiles) > SHOWN else ""
    return f"tile{'s' if len(tiles) > 1 else ''} {', '.join(map(str, tiles[:SHOWN]))}{more}"
