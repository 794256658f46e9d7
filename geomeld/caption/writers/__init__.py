"""Writers: who drafts the candidates; a table from name to function."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from geomeld.caption.batch import Batch
from geomeld.caption.config import CaptionConfig
from geomeld.caption.endpoint import shaping
from geomeld.caption.facts import Fact
from geomeld.caption.plan import Plan
from geomeld.caption.writers import noisy, recorded, tags, template
from geomeld.caption.writers.author import Author
from geomeld.caption.writers.prompt import prompt_hash
from geomeld.caption.writers.template import Draft
from geomeld.core.errors import ConfigError
from geomeld.dataset import Dataset

Writer = Callable[[int, Sequence[Fact], Plan, CaptionConfig, int], list[Draft]]
"""(tile id, facts, plan, configuration, round) -> distinct drafts."""

WRITERS: dict[str, Writer] = {
    "template": template.drafts, "noisy-template": noisy.drafts, "tags": tags.drafts, "recorded": recorded.drafts,
}  # fmt: skip
"""By the name that the configuration uses."""


def open_author(
    config: CaptionConfig, dataset: Dataset, batch: Batch | None = None
) -> AbstractContextManager[Author | None]:
    """The author that the configuration names, for the length of a run; None where a function of WRITERS drafts."""
    if config.writer != "openai":
        if batch is not None:
            raise ConfigError(f"Batches are for --writer openai, not {config.writer}.")
        return nullcontext()
    from geomeld.caption.writers.openai import Model

    return Model(dataset, config, batch)


def shape_of(config: CaptionConfig) -> dict[str, Any]:
    """What drafts depend on beside the tile and the plain settings: prompts, model, sampling; a file's content."""
    match config.writer:
        case "openai":
            return {"endpoint": {**shaping(config.endpoint), "prompt": prompt_hash()}}
        case "recorded":
            return {"recorded": recorded.digest(config.recorded)}
    return {}
