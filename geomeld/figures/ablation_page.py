"""Ablation page: a table of variants with their intervals, as numbers and as bars."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from geomeld.figures.page import Page


@dataclass(frozen=True)
class Bars:
    """One column of the table: what was measured of every row."""

    title: str
    metric: str
    values: Sequence[Sequence[float]]
    """Of every row its seeds; empty where it has none."""
    means: Sequence[float | None]
    lows: Sequence[float | None]
    highs: Sequence[float | None]


@dataclass(frozen=True)
class AblationReport:
    """Everything that the page says."""

    lead: str
    verdict: str
    details: Sequence[str]
    notes: Sequence[str]
    rows: Sequence[str]
    header: Sequence[str]
    table: Sequence[Sequence[str]]
    bars: Sequence[Bars]


def write_ablation_page(report: AblationReport, path: Path) -> Path:
    """Write the page."""
    page = Page("Ablation", report.lead)
    page.section("Does the paper's order appear?")
    page.text(report.verdict)
    for detail in report.details:
        page.text(detail)
    page.section("Table")
    page.text(
        "Percent: mean over seeds, and in brackets the 95 % interval of a bootstrap over seeds and test images. "
        "Intervals of two rows may overlap where their difference, taken on the same images, is certain."
    )
    page.table(report.header, report.table)
    page.section("Bars")
    page.figure(bars(report.rows, report.bars), "Means with 95 % intervals; dots are seeds.")
    page.section("How it was measured")
    for note in report.notes:
        page.text(note)
    return page.write(path)


def bars(rows: Sequence[str], columns: Sequence[Bars]) -> Figure:
    """A panel per column, a bar per row, from the first row at the top."""
    across = min(3, len(columns))
    down = -(-len(columns) // max(across, 1))
    figure = Figure(figsize=(4.2 * across, (0.9 + 0.34 * len(rows)) * down), layout="constrained")
    for n, column in enumerate(columns):
        axes = figure.add_subplot(down, across, n + 1)
        for y, (values, mean, low, high) in enumerate(
            zip(column.values, column.means, column.lows, column.highs, strict=True)
        ):
            if mean is None:
                continue
            axes.barh(y, 100 * mean, color="#7a9cc6", height=0.7)
            if low is not None and high is not None:
                axes.plot([100 * low, 100 * high], [y, y], color="#222222", linewidth=1.4)
            axes.plot(100 * np.asarray(values), np.full(len(values), y), "o", color="#c0504d", markersize=3.5)
        axes.set_yticks(range(len(rows)), rows if n % across == 0 else [""] * len(rows))
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_title(f"{column.title}: {column.metric}", fontsize=9)
        axes.set_xlabel("%")
        axes.spines[["top", "right"]].set_visible(False)
    return figure
