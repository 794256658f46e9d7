"""Summary: the scores of all seeds as one number with its interval, and how encoders are named beside it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from geomeld.evaluate.results import Described
from geomeld.evaluate.score import Score


@dataclass(frozen=True)
class Summary:
    """One number of an encoder on a task by a protocol, over all seeds."""

    task: str
    data: str
    protocol: str
    metric: str
    checkpoint: str
    scale: str
    value: float
    """Mean over seeds."""
    low: float | None
    """Lowest and highest bound of the seeds' intervals; None where a seed has none."""
    high: float | None
    seeds: int
    n: int
    baseline: float | None
    baseline_name: str
    baseline_low: float | None = None
    """Bounds of the baseline's interval; None where it has none."""
    baseline_high: float | None = None


def summaries(scores: Iterable[Score]) -> list[Summary]:
    """Scores that differ in nothing but their seed as one, in the order of their first."""
    groups: dict[tuple[str, ...], list[Score]] = defaultdict(list)
    for s in scores:
        groups[s.task, s.data, s.protocol, s.metric, s.checkpoint, s.scale, s.baseline_name].append(s)
    return [_summary(group) for group in groups.values()]


def _summary(group: list[Score]) -> Summary:
    one = group[0]
    lows, highs = [s.low for s in group if s.low is not None], [s.high for s in group if s.high is not None]
    whole = len(lows) == len(highs) == len(group)  # bounds of some seeds alone need not hold the mean of all
    return Summary(
        one.task, one.data, one.protocol, one.metric, one.checkpoint, one.scale,
        float(np.mean([s.value for s in group])), min(lows) if whole else None, max(highs) if whole else None,
        len({s.seed for s in group}), one.n, one.baseline, one.baseline_name,
        one.baseline_low, one.baseline_high,
    )  # fmt: skip


def cell(summary: Summary) -> str:
    """ "49.6 [47.0, 52.1]", in percent where it is a share."""
    return _printed(summary, summary.value, summary.low, summary.high)


def is_share(summary: Summary) -> bool:
    """Whether the number lies in 0..1 and is printed in percent."""
    return summary.metric not in DECIMALS


def baseline(summary: Summary) -> str:
    """What a number is held against, as `cell` prints it; empty where it is held against nothing."""
    if summary.baseline is None:
        return ""
    return _printed(summary, summary.baseline, summary.baseline_low, summary.baseline_high)


def _printed(summary: Summary, value: float, low: float | None, high: float | None) -> str:
    def form(number: float) -> str:
        return percent(number) if is_share(summary) else f"{number:,.{DECIMALS[summary.metric]}f}"

    return form(value) + ("" if low is None or high is None else f" [{form(low)}, {form(high)}]")


DECIMALS = {"median rank": 1, "effective rank": 1, "uniformity": 2, "alignment": 3, "intrinsic dimension": 1}
"""Metrics that are no share, and the digits behind the point that they are printed with."""


def percent(value: float) -> str:
    """0.496 as "49.6"."""
    return f"{100 * value:.1f}"


def labels_of(encoders: Mapping[str, Described], scores: Iterable[Score]) -> dict[str, str]:
    """Names of encoders by identity, no two alike: their titles, where need be with what they were opened by."""
    titles = {s.checkpoint: s.encoder for s in scores}
    count = Counter(titles.values())
    named = {i: t if count[t] == 1 or i not in encoders else f"{t} ({encoders[i].where})" for i, t in titles.items()}
    count = Counter(named.values())
    return {i: t if count[t] == 1 else f"{t} {i[:6]}" for i, t in named.items()}
