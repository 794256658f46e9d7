"""Pairs: tiles of a dataset with a sentence that fits each, to test a contrastive model on."""

from collections.abc import Iterator

from geomeld import signals
from geomeld.caption.config import CaptionConfig
from geomeld.caption.evaluators.contrast import TEST_TILES, Pair
from geomeld.caption.facts import facts_of
from geomeld.caption.plan import plan_of
from geomeld.caption.writers import template
from geomeld.core.draw import draw_words
from geomeld.core.errors import GeoMeldError
from geomeld.dataset import Dataset


def pairs_of(dataset: Dataset, config: CaptionConfig) -> list[Pair]:
    """Up to TEST_TILES tiles by keyed draw, each with the grounded sentence of its own signals; a tile that cannot be
    measured, or of which nothing can be said, is passed over."""
    drawn = sorted(dataset.tile_ids, key=lambda t: draw_words(config.seed, "evaluator-test", t))
    return list(_pairs(dataset, drawn[:TEST_TILES], config))


def _pairs(dataset: Dataset, tile_ids: list[int], config: CaptionConfig) -> Iterator[Pair]:
    for tile_id in tile_ids:
        try:
            tile = dataset.read(tile_id, signals.MEASURED)
            found = signals.measure(tile, dataset.layers_of(tile_id))
        except (GeoMeldError, ValueError):
            continue
        facts = facts_of(found)
        drafts = template.drafts(tile_id, facts, plan_of(facts, found), config)
        if drafts:
            yield Pair(tile_id, found.gsd_m, drafts[0].text)
