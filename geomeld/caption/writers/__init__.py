"""Writers: who drafts the candidates; a table from name to function."""

from collections.abc import Callable, Sequence

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.writers import noisy, template

Writer = Callable[[int, Sequence[Fact], CaptionConfig, int], list[str]]
"""(tile id, facts, configuration, round) -> distinct drafts."""

WRITERS: dict[str, Writer] = {"template": template.drafts, "noisy-template": noisy.drafts}
