"""Score table: scores as lines of text, task by task."""

from collections.abc import Mapping, Sequence

from geomeld.evaluate.card import Card
from geomeld.evaluate.results import Described
from geomeld.evaluate.score import Score
from geomeld.evaluate.summary import Summary, baseline, cell, labels_of, summaries


def score_lines(
    scores: Sequence[Score], encoders: Mapping[str, Described], cards: Mapping[str, Card] | None = None
) -> list[str]:
    """What is of all classes, seeds together, shares in percent, each beside all that it is held against; `encoders` by
    identity and `cards` by fingerprint, as far as they are known. Partitions of a set and held-out sides of a dataset
    stand apart."""
    held_out = {s.data: s.held_out for s in scores}
    names = labels_of(encoders, scores)
    held: dict[tuple[str, ...], list[Summary]] = {}
    for s in summaries(scores):
        if "/" not in s.metric:
            held.setdefault((s.task, s.data, s.protocol, s.metric, s.checkpoint, s.scale), []).append(s)
    found = [group[0] for group in held.values()]
    rows = [
        [
            names[s.checkpoint],
            s.protocol,
            s.scale,
            s.metric,
            cell(s),
            ", ".join(filter(None, map(_beside, group))),
            f"n = {s.n:,}",
        ]
        for s, group in zip(found, held.values(), strict=True)
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(7)]
    lines: list[str] = []
    for task, data in dict.fromkeys((s.task, s.data) for s in found):
        alone = all(s.data == data for s in found if s.task == task)
        head = _head(task, data, (cards or {}).get(data), held_out[data], alone)
        lines += [head] if not lines else ["", head]
        lines += [
            "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row, s in zip(rows, found, strict=True)
            if (s.task, s.data) == (task, data)
        ]
    return lines


def _head(task: str, data: str, card: Card | None, held_out: str, alone: bool) -> str:
    """A task's name with the part of the data that was tested; where it is there on several data, with their names."""
    partition = f", partition {card.partition}" if card is not None and card.partition != "default" else ""
    tested = f", held out: {held_out}" if held_out else ""
    return f"{task}{partition}{tested}" if alone else f"{task}{partition}{tested} (data {data})"


def _beside(summary: Summary) -> str:
    return f"{summary.baseline_name} {baseline(summary)}" if summary.baseline is not None else ""
