"""The caption quality report: the one place where the pipeline's captions and the simulated truth meet."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from geomeld.caption.config import CaptionConfig

JSON, PAGE = "quality.json", "quality.html"


def report(dataset: Path, config: CaptionConfig, out: Path, limit: int | None = None) -> dict[str, Any]:
    """Study the captions of a simulated dataset; `out` gets quality.json and quality.html. Nothing of the dataset
    changes, but that a model's answers are kept beside it; with the openai writer its model rewrites, in one row of the
    ablations, what is beyond repair. Raises UsageError for a dataset whose truth nobody knows."""
    from dataclasses import replace

    from geomeld.caption.evaluators import open_evaluator
    from geomeld.caption.quality.places import places_of
    from geomeld.caption.quality.study import study
    from geomeld.caption.writers import open_author
    from geomeld.dataset import open_dataset
    from geomeld.dataset.files import write_atomically
    from geomeld.evaluate.truth import earth_of, true_signals
    from geomeld.figures.caption_page import write_caption_page

    tiles = open_dataset(dataset)
    truth_of = partial(true_signals, earth=earth_of(tiles))
    names = dict.fromkeys((config.evaluator, "signals", "random"))
    evaluators = {name: open_evaluator(replace(config, evaluator=name), tiles) for name in names}
    with open_author(config, tiles) as author:
        found = study(places_of(tiles, tiles.tile_ids[:limit], truth_of), config, evaluators, reviser=author)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / JSON, (json.dumps(found, indent=1) + "\n").encode())
    write_caption_page(found, out / PAGE)
    return found


def print_report(found: dict[str, Any], out: Path) -> None:
    """The gates, on the terminal."""
    for gate in found["gates"]:
        aim = f"{'>=' if gate['at least'] else '<='} {gate['limit']:g}"
        print(f"{gate['gate']:45} {gate['value']:7.4f}   {aim:8} {'met' if gate['met'] else 'NOT MET'}")
    print(f"report -> {out / PAGE}")
