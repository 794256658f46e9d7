"""The noisy writer: grounded drafts, some of them spoiled with one error of a known type, to measure the verifier."""

from collections.abc import Sequence

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.writers import template
from geomeld.core.draw import below, draw_words, unit

ERRORS: dict[str, tuple[str, ...]] = {
    "invented cover": (", with patches of snow", " and a few mangroves", ", with a dense city", " and sand dunes"),
    "invented water": (", with a large lake", " and a river", ", with several ponds"),
    "invented object": (
        ", with a solar farm",
        " and an airfield",
        ", with several storage tanks",
        ", with a golf course",
    ),
    "wrong relief": (" among steep mountains", " in a deep valley below high peaks"),
    "meta talk": (
        ", as the satellite image shows",
        ", with cars on the roads",
        ", possibly a park",
        ", under clear skies",
    ),
}
"""Words that are added, by type of error. Whether they are false depends on the tile."""


def drafts(tile_id: int, facts: Sequence[Fact], config: CaptionConfig, round_number: int) -> list[str]:
    """The template's drafts with a share of `config.error_rate` spoiled."""
    out = []
    for k, text in enumerate(template.drafts(tile_id, facts, config, round_number)):
        chance, kind = draw_words(config.seed, f"noise-{round_number}-{k}", tile_id)
        if unit(chance) < config.error_rate:
            pool = ERRORS[sorted(ERRORS)[below(kind, len(ERRORS))]]
            text = text.rstrip(".") + pool[below(chance ^ kind, len(pool))] + "."
        out.append(text)
    return out
