"""AblationReport: the table of an ablation for a terminal, for a document, for a program and as a page."""

from pathlib import Path
from typing import Any

from geomeld.core.config import to_json
from geomeld.evaluate.ablation_table import AblationTable
from geomeld.figures.ablation_page import AblationReport, Bars, write_ablation_page

NOTES = (
    "Test images were seen neither by pretraining nor by a read-out; labels are the truth of the simulated Earth, not "
    "the products that pretraining reconstructs.",
    "Intervals: 1,000 draws of test images, the same for every row, and in each draw of seeds with replacement. Few "
    "seeds say little about how far seeds scatter. Each difference is judged alone: of twenty that are nothing, one is "
    "expected beyond its interval.",
    "These are other tasks, another scale and other read-outs than the paper's table 3; only the order of rows "
    "can be compared.",
)


def text(table: AblationTable) -> str:
    """For a terminal: a line per row, columns side by side, each with its own title above."""
    header, rows = _header(table), _cells(table)
    legend = [f"[{n}] {title}" for n, title in enumerate(header[1:], start=1)]
    lines = [[header[0], *(f"[{n}]" for n in range(1, len(header)))], *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    body = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
    return "\n".join([*legend, "", *body])


def markdown(table: AblationTable) -> str:
    """For a document."""
    header = _header(table)
    lines = [header, ["---"] * len(header), *_cells(table)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_json(table: AblationTable) -> dict[str, Any]:
    """For a program: shares of 1, and every step of the expected order with its verdict."""
    return {
        "columns": [to_json(c) for c in table.columns],
        "rows": {r: [to_json(table.cell(r, c)) for c in table.columns] for r in table.rows},
        "steps": [{**to_json(s), "verdict": s.verdict} for s in table.steps],
        "sentence": table.sentence(),
    }


def write_page(table: AblationTable, lead: str, path: Path) -> Path:
    """The page; `lead` says what was trained on what."""
    protocols = [f"{c.task}: {c.protocol}, {c.metric}, {c.n} test images or queries." for c in table.columns]
    report = AblationReport(
        lead,
        table.sentence(),
        table.details(),
        (*protocols, *NOTES),
        table.rows,
        _header(table),
        _cells(table),
        [_bars(table, n) for n in range(len(table.columns))],
    )
    return write_ablation_page(report, path)


def _header(table: AblationTable) -> list[str]:
    return ["variant", *(f"{c.task}, {c.metric}" for c in table.columns)]


def _cells(table: AblationTable) -> list[list[str]]:
    return [[row, *(str(table.cell(row, c) or "-") for c in table.columns)] for row in table.rows]


def _bars(table: AblationTable, n: int) -> Bars:
    column = table.columns[n]
    cells = [table.cell(row, column) for row in table.rows]
    return Bars(
        column.task,
        column.metric,
        [c.seeds if c else () for c in cells],
        [c.mean if c else None for c in cells],
        [c.low if c else None for c in cells],
        [c.high if c else None for c in cells],
    )
