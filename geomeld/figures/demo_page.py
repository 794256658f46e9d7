"""The demo's report: the whole flow on one offline page."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from geomeld.dataset import Dataset
from geomeld.figures.captions import caption_html
from geomeld.figures.curves import curves
from geomeld.figures.maps import density_map, land_cover_bars
from geomeld.figures.page import Page, escape, image, table
from geomeld.figures.panels import tile_panel
from geomeld.figures.pictures import picture
from geomeld.figures.reconstructions import reconstruction_figure
from geomeld.figures.stats_page import land_cover_shares
from geomeld.modalities import MODALITIES


@dataclass(frozen=True, slots=True)
class DemoRun:
    """Everything that the report shows."""

    dataset: Dataset
    captions: Mapping[int, Mapping[str, Any]]
    """Records by tile id."""
    log: Sequence[Mapping[str, float]]
    """Rows of the training log."""
    examples: Mapping[str, np.ndarray]
    """Reconstructions (geomeld.pretrain.loop)."""
    scores: Sequence[Mapping[str, Any]]
    queries: Mapping[str, Sequence[Any]]
    """Text -> hits with tile_id, score, caption."""
    seconds: Mapping[str, float]
    """By step."""
    land: np.ndarray
    """Land of the simulated Earth, (rows, columns), north up."""
    commands: Sequence[str] = field(default_factory=tuple)
    """The same steps by hand."""
    run_page: str = ""
    """Address of the training run's own page, relative to the report; empty where there is none."""
    scores_page: str = ""
    """The page of the evaluation, from where the report lies; empty where there is none."""


def write_demo_page(run: DemoRun, out: Path) -> Path:
    """Write the report and return its path."""
    total = sum(run.seconds.values())
    page = Page(
        "GeoMeld, from coordinates to search",
        f"{len(run.dataset)} places on a simulated Earth, built, captioned, learned and searched in {total:.0f} s.",
    )
    _places(page, run)
    _tiles(page, run)
    _captions(page, run)
    _training(page, run)
    _scores(page, run)
    _search(page, run)
    _steps(page, run)
    return page.write(out)


def _places(page: Page, run: DemoRun) -> None:
    page.section("Places", "Drawn evenly over the 14 biomes. Land and sea are the simulated Earth's own.")
    facts = [run.dataset.metadata(t) for t in run.dataset.tile_ids]
    page.figure(
        density_map([f["long"] for f in facts], [f["lat"] for f in facts], land=run.land), "Where the tiles lie."
    )
    shares = {k: list(map(float, v)) for k, v in land_cover_shares(run.dataset, "esa_worldcover").items()}
    page.figure(land_cover_bars(MODALITIES["esa_worldcover"].kind, shares), "Land cover by WorldCover, percent.")  # type: ignore[arg-type]


def _tiles(page: Page, run: DemoRun) -> None:
    page.section(
        "Tiles", "Every modality on one grid of 10 m (photographs 1 m), each with the errors that its real product has."
    )
    for tile_id in _varied(run, 4):
        page.figure(tile_panel(run.dataset[tile_id]))


def _varied(run: DemoRun, count: int) -> list[int]:
    """Tiles whose captions claim the most different things, tiles with photographs first."""
    richness = {
        t: len({c["concept"] for c in r.get("claims", [])}) + 3 * ("naip" in run.dataset.layers_of(t))
        for t, r in run.captions.items()
    }
    return sorted(richness, key=lambda t: (-richness[t], t))[:count]


def _captions(page: Page, run: DemoRun) -> None:
    page.section(
        "Captions and their evidence",
        "Four agents write one sentence per tile. Each claim is held against a measurement; its colour is the verdict.",
    )
    repaired = [t for t, r in run.captions.items() if r["status"] == "repaired"][:2]
    shown = dict.fromkeys([*_varied(run, 8)[2:6], *repaired])
    for tile_id in shown:
        tile = run.dataset.read(tile_id, ["sentinel2"])
        rgb = image(picture(MODALITIES["sentinel2"], tile.layers["sentinel2"]), "Sentinel-2")
        page.add(
            '<div style="display:grid;grid-template-columns:minmax(120px,200px) 1fr;gap:1.2rem;margin:1.4rem 0">'
            f"<div>{rgb}</div><div>{caption_html(run.captions[tile_id])}</div></div>"
        )


def _training(page: Page, run: DemoRun) -> None:
    page.section(
        "Pretraining", "GeoMeld-FM at its smallest: masked reconstruction of six modalities, JEPA, caption contrast."
    )
    rows = [{name: value for name, value in row.items() if name != "lr"} for row in run.log]
    page.figure(curves(rows), "Every term of the loss by step.")
    if run.run_page:
        page.add(f'<p>More of this run: <a href="{escape(run.run_page)}">its own page</a>.</p>')
    page.add("<h3>Reconstructions of masked patches</h3>")
    page.figure(
        reconstruction_figure(run.examples),
        "Held-out tiles: what was measured, what 30 % of the patches show, what the model makes of it.",
    )


def _scores(page: Page, run: DemoRun) -> None:
    page.section(
        "Scores",
        "On tiles that training has not seen. A demo of minutes proves that the parts work, not how good they get.",
    )
    rows = [
        (r["task"], r["metric"], float(r["value"]), r["baseline_name"], float(r["baseline"]), r["n"])
        for r in run.scores
    ]
    page.table(("task", "metric", "value", "beside it", "its value", "tiles"), rows)
    if run.scores_page:
        page.add(f'<p>All of them, with intervals: <a href="{escape(run.scores_page)}">their own page</a>.</p>')


def _search(page: Page, run: DemoRun) -> None:
    page.section("Search", "Five texts, and the tiles whose embeddings lie nearest to them.")
    for text, hits in run.queries.items():
        page.add(f"<h3>&ldquo;{escape(text)}&rdquo;</h3>")
        page.cards(_card(run, hit) for hit in hits)


def _card(run: DemoRun, hit: Any) -> str:
    tile = run.dataset.read(hit.tile_id, ["sentinel2"])
    rgb = image(picture(MODALITIES["sentinel2"], tile.layers["sentinel2"]), "Sentinel-2")
    return f'{rgb}<div class="note">{hit.score:.3f}</div>{escape(hit.caption)}'


def _steps(page: Page, run: DemoRun) -> None:
    page.section("How long it took")
    page.add(table(("step", "seconds"), [(k, round(v, 1)) for k, v in run.seconds.items()]))
    page.add("<pre>" + escape("\n".join(run.commands)) + "</pre>")


def read_log(path: Path) -> list[dict[str, float]]:
    """Rows of a JSON-lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
