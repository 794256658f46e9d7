"""Evaluators: who ranks the candidates, by the name that the configuration uses."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from geomeld.caption.config import CaptionConfig
from geomeld.caption.evaluators import random as by_chance
from geomeld.caption.evaluators import signals as by_signals
from geomeld.caption.facts import Fact
from geomeld.core.caption import Score, Signals
from geomeld.dataset import Dataset

Evaluator = Callable[[Sequence[str], Signals, Sequence[Fact]], list[Score]]
"""(candidates, signals, facts) -> the score table, best first."""

__all__ = ["Evaluator", "by_signals", "identity_of", "open_evaluator"]


def open_evaluator(config: CaptionConfig, dataset: Dataset) -> Evaluator:
    """The evaluator of a configuration over a dataset; a contrastive model is loaded and proved on some of its tiles.

    Raises MissingExtra, ConfigError or CheckpointError where a model cannot be had.
    """
    kind, _, model = config.evaluator.partition(":")
    if kind == "signals":
        return by_signals.rank
    if kind == "random":
        return partial(by_chance.rank, seed=config.seed)
    from geomeld.caption.evaluators.pairs import pairs_of

    if kind == "openclip":
        from geomeld.caption.evaluators import openclip

        return openclip.open_model(model, dataset, pairs_of(dataset, config))
    from geomeld.caption.evaluators import geomeld

    return geomeld.open_model(model, dataset, pairs_of(dataset, config))


def identity_of(evaluator: Evaluator) -> dict[str, Any]:
    """What captions depend on beside the configuration: a model's weights, and what it has proved; else nothing."""
    identity = getattr(evaluator, "identity", None)
    return identity() if identity is not None else {}
