"""Score table: scores as lines of text, task by task."""

from collections.abc import Mapping, Sequence

from geomeld.evaluate.results import Described
from geomeld.evaluate.score import Score
from geomeld.evaluate.summary import Summary, baseline, cell, labels_of, summaries


def score_lines(scores: Sequence[Score], encoders: Mapping[str, Described]) -> list[str]:
    """What is of all classes, seeds together, shares in percent; `encoders` by identity, as far as they are known."""
    names = labels_of(encoders, scores)
    found = [s for s in summaries(scores) if "/" not in s.metric]
    rows = [[names[s.checkpoint], s.protocol, s.scale, s.metric, cell(s), _beside(s), f"n = {s.n:,}"] for s in found]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(7)]
    lines: list[str] = []
    for task in dict.fromkeys(s.task for s in found):
        lines += [task] if not lines else ["", task]
        lines += [
            "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row, s in zip(rows, found, strict=True)
            if s.task == task
        ]
    return lines


def _beside(summary: Summary) -> str:
    return f"{summary.baseline_name} {baseline(summary)}" if summary.baseline is not None else ""
