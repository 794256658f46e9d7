"""Evaluators: who ranks the candidates; a table from name to function."""

from collections.abc import Callable, Sequence

from geomeld.caption.evaluators import signals as by_signals
from geomeld.caption.facts import Fact
from geomeld.core.caption import Score, Signals

Evaluator = Callable[[Sequence[str], Signals, Sequence[Fact]], list[Score]]
"""(candidates, signals, facts) -> the score table, best first."""

EVALUATORS: dict[str, Evaluator] = {"signals": by_signals.rank}
