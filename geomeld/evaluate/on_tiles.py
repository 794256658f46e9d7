"""On tiles: what a checkpoint makes of the held-out tiles of a dataset, to scores in a folder of results."""

from pathlib import Path

from geomeld.core.errors import DatasetError
from geomeld.dataset import Dataset
from geomeld.evaluate.results import ENDING, TILES, Described, Results, keep_part, slug
from geomeld.evaluate.retrieval import retrieval_scores
from geomeld.evaluate.score import Score
from geomeld.evaluate.tiles import LABELS, Sides, probe_scores, sides
from geomeld.loader import Split
from geomeld.modalities import MODALITIES

PARTS = {"retrieval": retrieval_scores, "land cover": probe_scores}
"""What is scored on held-out tiles, always."""


def is_checkpoint(spec: str) -> bool:
    """Whether an encoder is spelt as the folder of a checkpoint."""
    return ":" not in spec


def run_on_tiles(
    checkpoint: Path, dataset: Dataset, results: Results, split: Split | None = None, *, robustness: bool = False
) -> list[Score]:
    """Score a checkpoint on the tiles that its own run held out (`split` overrides it); the folder is held by the
    caller.

    Raises CheckpointError for a folder that is no checkpoint, DatasetError where there is nothing to evaluate on.
    """
    tiles = sides(checkpoint, dataset, split)
    parts = {name: part(tiles) for name, part in PARTS.items()}
    if not any(parts.values()):
        raise DatasetError(
            f"{dataset.path} has neither captions (geomeld caption) nor {MODALITIES[LABELS].title}: nothing to score."
        )
    results.describe([_described(checkpoint, tiles)])
    for name, scores in parts.items():
        keep_part(results.folder / TILES / f"{tiles.checkpoint}-{tiles.data}-{slug(name)}{ENDING}", scores)
    return [score for scores in parts.values() for score in scores]


def _described(checkpoint: Path, tiles: Sides) -> Described:
    encoder = tiles.model.encoder
    count = sum(p.numel() for p in encoder.parameters())
    spec = tiles.model.config.input
    return Described(tiles.checkpoint, tiles.encoder, str(checkpoint), tuple(spec.bands), encoder.width, count)
