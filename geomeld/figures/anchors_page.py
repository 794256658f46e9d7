"""The anchors' report: where they lie, how many of each biome and continent, and what was dropped and why."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from geomeld.figures.maps import density_map
from geomeld.figures.page import Page

SHOWN = 20
"""Dropped places that are listed one by one."""


def write_anchors_page(
    anchors: pd.DataFrame, dropped: pd.DataFrame, short: Mapping[tuple[str, str], tuple[int, int]], out: Path
) -> Path:
    """Write the report to `out` (one offline HTML file) and return its path.

    `anchors`: columns lon, lat, reference_date, source, biome, continent, overlap_group; `dropped`: source, source_key,
    lon, lat, reason, gave_way_to; `short`: (got, asked) by (biome, continent) of quotas that could not be met.
    """
    page = Page(f"Anchors {out.stem}", f"{len(anchors)} places of 1280 m that stay, {len(dropped)} that were dropped.")
    page.section("Where")
    page.figure(density_map(anchors["lon"], anchors["lat"]), "Anchors per cell of one degree.")
    page.section("From")
    page.table(("source", "anchors"), Counter(anchors["source"]).most_common())
    page.section("Biomes and continents")
    page.table(*_crossed(anchors))
    page.figure(_bars(anchors), "Anchors per biome.")
    if short:
        page.section("Quotas that could not be met", "There was no room for more places so far apart.")
        page.table(("biome", "continent", "got", "asked"), [(*s, *numbers) for s, numbers in short.items()])
    page.section("When")
    page.figure(_months(anchors), "Reference dates by month.")
    page.section("Groups", "Tiles that share ground are one group: keep a group on one side of any split.")
    sizes = Counter(Counter(anchors["overlap_group"]).values())
    page.table(("tiles in a group", "groups"), sorted(sizes.items()))
    page.section("Dropped")
    page.table(
        ("source", "reason", "places"),
        [(s, r, int(n)) for (s, r), n in dropped.groupby(["source", "reason"]).size().items()],
    )
    if len(dropped):
        page.text(f"The first {min(SHOWN, len(dropped))}:")
        columns = ["source", "source_key", "lon", "lat", "reason", "gave_way_to"]
        rows = dropped[columns].head(SHOWN).itertuples(index=False)
        page.table(columns, [(*r[:2], float(r[2]), float(r[3]), r[4], str(r[5] or "")) for r in rows])
    return page.write(out)


def _crossed(anchors: pd.DataFrame) -> tuple[tuple[str, ...], list[tuple[str | int, ...]]]:
    biome = anchors["biome"].replace("", "unknown")
    continent = anchors["continent"].replace("", "elsewhere")
    counts = pd.crosstab(biome, continent)
    header = ("biome", *map(str, counts.columns), "all")
    rows: list[tuple[str | int, ...]] = [
        (str(name), *map(int, values), int(values.sum()))
        for name, values in zip(counts.index, counts.to_numpy(), strict=True)
    ]
    return header, [*rows, ("all", *map(int, counts.sum()), len(anchors))]


def _bars(anchors: pd.DataFrame) -> Figure:
    counts = anchors["biome"].replace("", "unknown").value_counts()
    figure = Figure(figsize=(7.5, 0.28 * len(counts) + 0.9), dpi=110, layout="constrained")
    axis = figure.subplots()
    axis.bar_label(axis.barh(np.arange(len(counts)), counts.to_numpy(), color="#3b7a57"), fontsize=7, padding=2)
    axis.set_yticks(range(len(counts)), [str(n) for n in counts.index], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("anchors")
    return figure


def _months(anchors: pd.DataFrame) -> Figure:
    months = anchors["reference_date"].str[:7].value_counts().sort_index()
    figure = Figure(figsize=(7.5, 2.2), dpi=110, layout="constrained")
    axis = figure.subplots()
    axis.bar(np.arange(len(months)), months.to_numpy(), color="#3b6ea5")
    step = max(1, len(months) // 10)
    axis.set_xticks(range(0, len(months), step), list(months.index[::step]), fontsize=7)
    axis.set_ylabel("anchors")
    return figure
