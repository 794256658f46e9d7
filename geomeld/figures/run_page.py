"""The page of a training run: its curves, speed, scores, pictures, data and configuration in one offline file."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from geomeld.figures.curves import curves
from geomeld.figures.page import Page, definitions

Row = Mapping[str, float]
PICTURES = 4
"""Earlier pictures that the page keeps, so that it stays small."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything that the page shows."""

    name: str
    state: str
    """One line: how far the run is."""
    log: Sequence[Row]
    """A row per step: step, lr, loss and its terms."""
    pace: Sequence[Row]
    """A row per step: step and how fast it went."""
    scores: Sequence[Row]
    """A row per evaluation on held-out tiles: step and its numbers."""
    pictures: Sequence[tuple[int, Path]]
    """Steps and PNG files of reconstructions, in order."""
    data: Mapping[str, Any]
    """Facts about the dataset."""
    config: Mapping[str, Any]


def write_run_page(run: RunView, out: Path) -> Path:
    """Write the page and return its path."""
    page = Page(run.name, run.state)
    for title, text, rows in (
        ("Losses", "Every term by step; light: single steps, dark: their running median.", run.log),
        ("Held-out tiles", "Measured while training, on tiles that it never sees.", run.scores),
        ("Speed", "Samples per second, share of the time spent waiting for data, memory.", run.pace),
    ):
        if rows:
            page.section(title, text)
            page.figure(curves(rows), title)
            if rows is run.scores:
                page.table(("score", "first", "last"), _first_and_last(rows))
    if run.pictures:
        page.section("Reconstructions", "Held-out tiles where there are any: measured, and predicted where hidden.")
        *earlier, (step, last) = run.pictures
        page.add(f"<figure>{_embedded(last)}<figcaption>after step {step}</figcaption></figure>")
        for step, picture in _spread(earlier, PICTURES):
            page.add(f"<details><summary>after step {step}</summary>{_embedded(picture)}</details>")
    page.section("Data")
    page.add(definitions(run.data))
    page.section("Configuration")
    page.add(definitions(flat(run.config)))
    return page.write(out)


def _embedded(picture: Path) -> str:
    data = base64.b64encode(picture.read_bytes()).decode()
    return f'<img alt="reconstructions" src="data:image/png;base64,{data}">'


def _spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` items, evenly spread, the latest first."""
    return list(items[:: max(1, -(-len(items) // count))])[::-1]


def _first_and_last(rows: Sequence[Row]) -> list[tuple[str, float, float]]:
    names = [n for n in rows[-1] if n != "step"]
    first = {n: next(row[n] for row in rows if n in row) for n in names}
    return [(n, float(first[n]), float(rows[-1][n])) for n in names]


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A nested configuration as one level of names with dots."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def summary_of(facts: Sequence[Mapping[str, Any]], tiles: int, layers: Mapping[str, int]) -> dict[str, str]:
    """A dataset of `tiles` tiles in a few lines, dates and captions from the `facts` of some of them."""
    dates = sorted(str(f["acquisition_date"])[:10] for f in facts if f.get("acquisition_date"))
    captions = sum(bool(f.get("caption")) for f in facts)
    lines = {"tiles": f"{tiles}", "with a caption": f"{captions} of {len(facts)} looked at"}
    if dates:
        lines["acquired"] = f"{dates[0]} to {dates[-1]}"
    return lines | {f"with {name}": f"{count}" for name, count in layers.items()}
