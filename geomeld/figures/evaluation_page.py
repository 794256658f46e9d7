"""The page of an evaluation: our numbers beside printed ones, then task by task what lies behind them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from geomeld.figures.page import Page, definitions, escape, grid, image
from geomeld.figures.pictures import RGB
from geomeld.figures.predictions import Curve, class_bars, class_maps, confusion_matrices, learning_curves

Row = Sequence[Any]
NO_BREAK = "\N{NO-BREAK SPACE}"


@dataclass(frozen=True)
class Table:
    """A table of numbers and what must be said with it."""

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Row]
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Example:
    """A test image with what stands there and what was said of it."""

    picture: RGB
    truth: str
    answers: Mapping[str, str]
    """By encoder."""
    right: Mapping[str, bool]


@dataclass(frozen=True)
class TaskView:
    """What the page shows of one task."""

    name: str
    facts: Mapping[str, Any]
    notes: Sequence[str]
    """What one should know before believing a score."""
    scores: Table
    classes: Sequence[str]
    class_metric: str = ""
    per_class: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Encoder -> class -> 0..1."""
    confusion: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    """Encoder -> (classes, classes) shares of the row's class, 0..1."""
    confusion_caption: str = ""
    examples: Sequence[Example] = ()
    pictures: Sequence[RGB] = ()
    """Of `maps`."""
    maps: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    """"true", then encoders -> (images, rows, columns)."""
    curves: Mapping[str, Curve] = field(default_factory=dict)
    curve_metric: str = ""
    curve_caption: str = ""


@dataclass(frozen=True)
class EvaluationView:
    """Everything that the page shows."""

    name: str
    state: str
    """One line: what was evaluated."""
    beside: Sequence[Table]
    """Tables with printed numbers in them."""
    tasks: Sequence[TaskView]
    tiles: Sequence[Table]
    """Tables of numbers on the tiles of a dataset."""
    figures: Sequence[tuple[str, Figure | str]]
    """Captions and figures (or trusted HTML) on the tiles of a dataset."""
    encoders: Table
    left_out: Table


def write_evaluation_page(view: EvaluationView, out: Path) -> Path:
    """Write the page and return its path."""
    page = Page(view.name, view.state)
    for each in view.beside:
        _table(page, each)
    for task in view.tasks:
        _task(page, task)
    if view.figures:
        page.section("Held-out tiles, in pictures")
        for caption, figure in view.figures:
            if isinstance(figure, str):
                page.add(f"<figure>{figure}<figcaption>{escape(caption)}</figcaption></figure>")
            else:
                page.figure(figure, caption)
    for each in view.tiles:
        _table(page, each)
    for each in (view.encoders, view.left_out):
        if each.rows:
            _table(page, each)
    return page.write(out)


def _table(page: Page, shown: Table) -> None:
    page.section(shown.title, escape(shown.text))
    page.table(shown.header, [_unbroken(row) for row in shown.rows])
    _notes(page, shown.notes)


def _unbroken(row: Row) -> list[Any]:
    """A number stays on one line with its interval."""
    return [c.replace(" ", NO_BREAK) if isinstance(c, str) and "]" in c and " [" in c else c for c in row]


def _notes(page: Page, notes: Sequence[str]) -> None:
    if notes:
        page.add('<ul class="note">' + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")


def _task(page: Page, task: TaskView) -> None:
    page.section(task.name, escape(task.scores.text))
    page.table(task.scores.header, [_unbroken(row) for row in task.scores.rows])
    _notes(page, [*task.scores.notes, *task.notes])
    page.add(f"<details><summary>The set</summary>{definitions(task.facts)}</details>")
    if any(task.per_class.values()):
        page.add("<h3>By class</h3>")
        page.figure(
            class_bars(task.per_class, task.class_metric), f"{task.class_metric} of every class on test images."
        )
    if task.confusion:
        page.add("<h3>What is taken for what</h3>")
        page.figure(confusion_matrices(task.confusion, task.classes), task.confusion_caption)
    if task.maps:
        page.add("<h3>Predictions</h3>")
        page.figure(class_maps(task.pictures, task.maps, task.classes), "Test images, drawn by lot.")
    if task.examples:
        page.add("<h3>Predictions</h3>")
        page.add(example_cards(task.examples))
    if task.curves:
        page.add("<h3>Learning curves</h3>")
        page.figure(learning_curves(task.curves, task.curve_metric), task.curve_caption)


def example_cards(examples: Iterable[Example]) -> str:
    """Test images with truth and answers as HTML."""
    return grid(map(_card, examples))


def _card(example: Example) -> str:
    said = "".join(
        f'<div><span class="{"supported" if example.right[encoder] else "contradicted"}">{escape(answer)}</span> '
        f'<span class="note">{escape(encoder)}</span></div>'
        for encoder, answer in example.answers.items()
    )
    return f"{image(example.picture, example.truth)}<b>{escape(example.truth)}</b>{said}"
