"""On tiles: a checkpoint on the held-out tiles of a dataset, to scores and figures in a folder of results."""

from pathlib import Path

import torch

from geomeld.core.errors import DatasetError
from geomeld.core.modality import Categorical
from geomeld.dataset import Dataset
from geomeld.evaluate.cross_sensor import cross_sensor_scores
from geomeld.evaluate.health import flat_map, health_scores
from geomeld.evaluate.held_out import HeldOut
from geomeld.evaluate.origin import why_no_text
from geomeld.evaluate.probe import dominant_classes
from geomeld.evaluate.results import ENDING, TILES, Described, LeftOut, Results, TileSet, keep_part, slug
from geomeld.evaluate.retrieval import retrieval_scores
from geomeld.evaluate.robustness import heat_maps, robustness_cells, robustness_scores
from geomeld.evaluate.tile_answers import tile_answers
from geomeld.evaluate.tiles import LABELS, Sides, probe_scores, sides
from geomeld.evaluate.zero_shot import zero_shot_scores
from geomeld.figures.embedding_map import embedding_map
from geomeld.figures.page import image
from geomeld.modalities import MODALITIES

PARTS = {"retrieval": retrieval_scores, "land cover": probe_scores, "zero-shot": zero_shot_scores}
"""What is scored on held-out tiles, always."""
ROBUSTNESS = "robustness"
ASKED = "retrieval and zero-shot"
"""What needs a text side."""


def run_on_tiles(
    checkpoint: Path,
    dataset: Dataset,
    results: Results,
    held_out: HeldOut | None = None,
    device: str | torch.device = "cpu",
    *,
    robustness: bool = False,
) -> list[LeftOut]:
    """Score a checkpoint on the tiles that its own run held out (by `held_out` where that does not tell), but for those
    by which its weights, or others that `held_out` is of, were chosen; say what was left out. The folder is held by the
    caller. Features and robustness, which take their time, are not computed again where they are there, whatever the
    device.

    Raises CheckpointError for a folder that is no checkpoint, UsageError where nobody tells what was held out or
    chosen by, DatasetError where there is nothing to evaluate on.
    """
    tiles = sides(checkpoint, dataset, held_out, results.cache, device)
    parts = {name: part(tiles) for name, part in PARTS.items()}
    if not any(parts.values()):
        raise DatasetError(
            f"{dataset.path} has neither captions (geomeld caption) nor {MODALITIES[LABELS].title}, or the first of "
            f"these alone and {tiles.encoder} was not trained on text: nothing to score."
        )
    parts["embedding health"] = health_scores(tiles)
    results.describe([_described(checkpoint, tiles)])
    for name, scores in parts.items():
        keep_part(_path(results, tiles, name), scores)
    if answers := tile_answers(tiles):
        answers.save(results.folder / TILES)
    _keep_map(tiles, results)
    if robustness:
        _robustness(tiles, results)
    unread = " and ".join(tiles.unread())
    results.keep_tile_set(
        TileSet(tiles.tested, dataset.path.name, _source(dataset), len(dataset), unread, tiles.held_out)
    )
    return _left_out(tiles)


def _source(dataset: Dataset) -> str:
    try:
        return dataset.manifest.source
    except DatasetError:  # published shards come without
        return "unknown"


def _left_out(tiles: Sides) -> list[LeftOut]:
    found, name = [], tiles.dataset.path.name
    if why := why_no_text(tiles.model, tiles.origin):
        found.append(LeftOut(tiles.encoder, name, ASKED, "all", why))
    if unread := " and ".join(tiles.unread()):
        why = (
            f"{unread} cannot be read, or not whole, and are left out of what needs them (first: "
            f"{tiles.first_unread()}); geomeld check {tiles.dataset.address or tiles.dataset.path} names them all"
        )
        found.append(LeftOut(tiles.encoder, name, "tiles", "all", why, partly=True))
    return found


def _path(results: Results, tiles: Sides, part: str) -> Path:
    return results.folder / TILES / f"{tiles.checkpoint}-{tiles.tested}-{slug(part)}{ENDING}"


def _robustness(tiles: Sides, results: Results) -> None:
    cells = robustness_cells(tiles, results.cache)
    scores = [*robustness_scores(tiles, cells), *cross_sensor_scores(tiles, results.cache)]
    keep_part(_path(results, tiles, ROBUSTNESS), scores)
    for read_out, figure in heat_maps(cells).items():
        caption = (
            f"{tiles.encoder}: accuracy of the dominant land cover by {read_out}, fitted on tiles as they are, on "
            "disturbed held-out tiles. Colours go from the accuracy of always giving the commonest class of the tiles "
            f"that it was fitted on to its own undisturbed, both on the same tiles. Held out: {tiles.held_out}."
        )
        name = f"{tiles.checkpoint}-{tiles.tested}-robustness-{read_out}"
        results.keep_figure(name, caption, image(figure, "robustness"))


def _keep_map(tiles: Sides, results: Results) -> None:
    """Draw held-out tiles by their features, coloured by land cover, where the dataset has it."""
    modality = MODALITIES[LABELS]
    assert isinstance(modality.kind, Categorical)
    labels = dominant_classes(tiles.dataset, tiles.new.tile_ids, modality, tiles.skipped)
    if labels.max() < 0:
        return
    figure = embedding_map(flat_map(tiles.new.pooled), labels, modality.kind)
    caption = f"{tiles.encoder}: held-out tiles by the two principal components of their features ({tiles.held_out})."
    results.keep_figure(f"{tiles.checkpoint}-{tiles.tested}-map", caption, image(figure, "embedding map"))


def _described(checkpoint: Path, tiles: Sides) -> Described:
    encoder = tiles.model.encoder
    count = sum(p.numel() for p in encoder.parameters())
    spec = tiles.model.config.input
    return Described(tiles.checkpoint, tiles.encoder, str(checkpoint), tuple(spec.bands), encoder.width, count)
