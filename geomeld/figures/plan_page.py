"""The plan's report: where anchors have scenes, how far off these are in time, how wide the search went."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib.figure import Figure

from geomeld.figures.maps import density_map
from geomeld.figures.page import Page

if TYPE_CHECKING:
    from collections import Counter

    from numpy.typing import NDArray


class PlanCounts(Protocol):
    """What a page needs to know of a plan: see `geomeld.build.plan.summary.Summary`."""

    name: str
    anchors: int
    planned: int
    stages: Counter[str]
    reasons: Counter[str]
    modalities: dict[str, tuple[int, int]]
    days: dict[str, NDArray[np.float64]]
    cloud: NDArray[np.float64]
    months: Counter[str]
    lon: NDArray[np.float64]
    lat: NDArray[np.float64]
    is_planned: NDArray[np.bool_]


def write_plan_page(plan: PlanCounts, out: Path) -> Path:
    """Write the report of a plan to `out` (one offline HTML file) and return its path."""
    page = Page(f"Plan {plan.name}", f"{plan.planned} of {plan.anchors} anchors have scenes.")
    page.section("Where")
    for which, title in ((plan.is_planned, "Anchors with scenes."), (~plan.is_planned, "Anchors without.")):
        if which.any():
            page.figure(density_map(plan.lon[which].tolist(), plan.lat[which].tolist()), title)
    page.section("Layers")
    page.table(
        ("modality", "tiles", "share of planned tiles, percent", "scenes per tile"),
        [(n, t, 100 * t / max(plan.planned, 1), s / max(t, 1)) for n, (t, s) in plan.modalities.items()],
    )
    page.section("Days", "From the reference date to the reference scene, and from that scene to all others.")
    for name, days in plan.days.items():
        page.figure(_histogram(name, days), f"{name}: median {np.median(np.abs(days)):.2f} days to either side.")
    page.section("Search", "How wide the search for the reference scene went.")
    page.figure(_bars(plan.stages), "Tiles by stage of widening.")
    if len(plan.cloud):
        page.section("Cloud")
        page.figure(_cloud(plan.cloud), "Cloud cover of the chosen scenes that state it.")
    page.section("Months")
    page.figure(_bars(dict(sorted(plan.months.items()))), "Anchors by month of their reference date.")
    page.section("Without scenes")
    page.table(("reason", "anchors"), plan.reasons.most_common())
    return page.write(out)


def _histogram(name: str, days: NDArray[np.float64]) -> Figure:
    figure, axis = _axis()
    reach = max(1.0, float(np.ceil(np.abs(days).max())))
    axis.hist(days, bins=np.linspace(-reach, reach, 61), color="#3b6ea5")
    axis.set(xlabel="days", ylabel="tiles", title=name)
    return figure


def _cloud(cloud: NDArray[np.float64]) -> Figure:
    figure, axis = _axis()
    axis.hist(cloud, bins=40, color="#7a7a7a")
    axis.set(xlabel="percent", ylabel="scenes")
    return figure


def _bars(counts: Mapping[str, int]) -> Figure:
    figure, axis = _axis()
    bars = axis.bar(np.arange(len(counts)), list(counts.values()), color="#3b7a57")
    if len(counts) <= 12:
        axis.bar_label(bars, fontsize=7)
    step = max(1, len(counts) // 10)
    axis.set_xticks(range(0, len(counts), step), list(counts)[::step], fontsize=7)
    axis.set_ylabel("tiles")
    return figure


def _axis() -> tuple[Figure, Any]:
    figure = Figure(figsize=(7.5, 2.4), dpi=110, layout="constrained")
    return figure, figure.subplots()
