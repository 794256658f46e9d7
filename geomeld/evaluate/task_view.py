"""Task view: what lies behind the scores of a task: every metric, classes, confusions, predictions, learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np

from geomeld.evaluate.beside import about_protocol, notes_on, star
from geomeld.evaluate.card import Card
from geomeld.evaluate.metrics import class_labels, confusion, main_metric
from geomeld.evaluate.outcome import Outcome
from geomeld.evaluate.protocols import PROTOCOLS
from geomeld.evaluate.results import Results
from geomeld.evaluate.summary import Summary, cell, percent
from geomeld.evaluate.task import Task, TaskKind
from geomeld.figures.evaluation_page import Example, Table, TaskView

CLASS_METRIC = {TaskKind.MULTICLASS: "F1", TaskKind.MULTILABEL: "F1", TaskKind.SEGMENTATION: "IoU"}
CONFUSED = {
    TaskKind.MULTICLASS: "Shares of the images of each true class.",
    TaskKind.MULTILABEL: "Of the images that have the label of the row: the share that was given it (on the "
    "diagonal), and that was given another one without having it.",
    TaskKind.SEGMENTATION: "Shares of the pixels of each true class.",
}
"""What a confusion matrix shows."""
MATRICES, MAPS, ANSWERS, CURVES = 3, 4, 4, 10
"""How many encoders (or runs) are drawn side by side, at most."""

Names = Mapping[str, str]


def task_views(results: Results, cards: Mapping[str, Card], names: Names, found: Sequence[Summary]) -> list[TaskView]:
    """A view per task that has scores, in the order of names."""
    outcomes = [outcome for _, outcome in results.outcomes()]
    views = []
    for card in sorted(cards.values(), key=lambda card: (card.name, card.partition, card.data)):
        of_task = [s for s in found if s.data == card.data]
        if of_task:
            views.append(_view(card, names, of_task, [o for o in outcomes if o.data == card.data], cards))
    return views


def _view(
    card: Card, names: Names, found: Sequence[Summary], outcomes: Sequence[Outcome], cards: Mapping[str, Card]
) -> TaskView:
    classes, metric = class_labels(cast(Task, card)), CLASS_METRIC[card.kind]
    drawn = {names[o.identity]: o for o in chosen_to_draw(outcomes)}
    maps, examples = {}, []
    if card.kind is TaskKind.SEGMENTATION:
        maps = _maps(card, dict(list(drawn.items())[:MAPS]))
    else:
        examples = _examples(card, dict(list(drawn.items())[:ANSWERS]), classes)
    shown = "; ".join(dict.fromkeys(f"{o.protocol}, {o.scale} statistics" for o in drawn.values()))
    title = card.name if card.partition == "default" else f"{card.name}, partition {card.partition}"
    return TaskView(
        title,
        _facts(card),
        [*(f"{trap}." for trap in card.traps), f"Figures below are of: {shown}, seed 0."],
        _table(card, names, found, cards),
        classes,
        metric,
        {name: _by_class(found, outcome, metric) for name, outcome in drawn.items()},
        {name: confusion(cast(Task, card), o) for name, o in list(drawn.items())[:MATRICES]},
        CONFUSED[card.kind],
        examples,
        list(card.pictures[: len(next(iter(maps.values()), ()))] / 255),
        maps,
        _curves(outcomes, names),
        main_metric(card.kind),
        f"By epoch. Tested: {'; '.join(dict.fromkeys(str(o.chosen.get('rule')) for o in outcomes if o.curve))}.",
    )


def chosen_to_draw(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """One outcome per encoder: seed 0 of the protocol that stands first in the table, own statistics before others.
    Nothing is chosen by its score."""
    order = {name: i for i, name in enumerate(PROTOCOLS)}
    ranked = sorted(outcomes, key=lambda o: (o.seed, order.get(o.protocol, len(order)), o.protocol, o.scale))
    first: dict[str, Outcome] = {}
    for outcome in ranked:
        first.setdefault(outcome.identity, outcome)
    return list(first.values())


def _facts(card: Card) -> dict[str, Any]:
    return {
        "asked": card.kind.value,
        "classes": card.classes,
        "images of train, valid, test": ", ".join(f"{n:,}" for n in card.splits),
        "size": f"{card.size} px",
        "partition": card.partition,
        "fingerprint": card.data,
    }


def _table(card: Card, names: Names, found: Sequence[Summary], cards: Mapping[str, Card]) -> Table:
    """A row per encoder, protocol and normalisation; a column per metric that is of all classes."""
    metrics = list(dict.fromkeys(s.metric for s in found if "/" not in s.metric))
    rows: dict[tuple[str, str, str], dict[str, Summary]] = {}
    for s in found:
        rows.setdefault((names[s.checkpoint], s.protocol, s.scale), {})[s.metric] = s
    lines = []
    for (who, protocol, scale), by_metric in rows.items():
        one = next(iter(by_metric.values()))
        cells = [cell(by_metric[m]) + star(by_metric[m], cards) if m in by_metric else "" for m in metrics]
        lines.append([who, protocol, scale, *cells, one.seeds, one.n])
    floor = next((s for s in found if s.baseline is not None), None)
    if floor is not None and floor.baseline is not None:
        cells = [percent(floor.baseline) if m == floor.metric else "" for m in metrics]
        lines.append([floor.baseline_name, "", "", *cells, "", floor.n])
    abouts = [about_protocol(name) or f"{name}." for name in dict.fromkeys(s.protocol for s in found)]
    abouts += notes_on(found, cards)
    return Table(
        card.name, "Percent, with 95 % intervals.",
        ("", "protocol", "statistics", *metrics, "seeds", "test images"), lines, abouts,
    )  # fmt: skip


def _by_class(found: Sequence[Summary], outcome: Outcome, metric: str) -> dict[str, float]:
    """Class -> 0..1, of the protocol and normalisation of an outcome, mean over seeds."""
    key = (outcome.identity, outcome.protocol, outcome.scale)
    return {
        s.metric.removeprefix(f"{metric}/"): s.value
        for s in found
        if (s.checkpoint, s.protocol, s.scale) == key and s.metric.startswith(f"{metric}/")
    }


def _maps(card: Card, drawn: Mapping[str, Outcome]) -> dict[str, np.ndarray]:
    """ "true", then encoders -> classes (images, rows, columns) of the images that the card shows."""
    one = next(iter(drawn.values()))
    at = [one.names.index(name) for name in card.shown[:4]]
    return {"true": one.truth[at]} | {
        name: o.predicted[[o.names.index(n) for n in card.shown[:4]]] for name, o in drawn.items()
    }


def _examples(card: Card, drawn: Mapping[str, Outcome], classes: Sequence[str]) -> list[Example]:
    one = next(iter(drawn.values()))
    examples = []
    for picture, name in zip(card.pictures, card.shown, strict=True):
        truth = _named(one.truth[one.names.index(name)], classes)
        answers = {who: _answer(card.kind, o.predicted[o.names.index(name)], classes) for who, o in drawn.items()}
        examples.append(Example(picture / 255, truth, answers, {who: a == truth for who, a in answers.items()}))
    return examples


def _answer(kind: TaskKind, scores: np.ndarray, classes: Sequence[str]) -> str:
    if kind is TaskKind.MULTICLASS:
        return classes[int(scores.argmax())]
    return _named((scores > 0).astype(np.int64), classes)


def _named(label: np.ndarray, classes: Sequence[str]) -> str:
    if np.ndim(label) == 0:
        return classes[int(label)]
    return ", ".join(classes[i] for i in np.flatnonzero(label).tolist()) or "none"


def _curves(outcomes: Sequence[Outcome], names: Names) -> dict[str, Sequence[Mapping[str, float]]]:
    """Learning curves by what they are of, at most CURVES."""
    curves = {
        f"{names[o.identity]}, {o.protocol}, {o.scale}, seed {o.seed}": o.curve
        for o in sorted(outcomes, key=lambda o: (o.seed, o.protocol))
        if o.curve
    }
    return dict(list(curves.items())[:CURVES])
