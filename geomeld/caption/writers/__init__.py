"""Writers: who drafts the candidates; a table from name to function."""

from collections.abc import Callable, Sequence

from geomeld.caption.config import CaptionConfig
from geomeld.caption.facts import Fact
from geomeld.caption.plan import Plan
from geomeld.caption.writers import noisy, template
from geomeld.caption.writers.template import Draft

Writer = Callable[[int, Sequence[Fact], Plan, CaptionConfig, int], list[Draft]]
"""(tile id, facts, plan, configuration, round) -> distinct drafts."""

WRITERS: dict[str, Writer] = {"template": template.drafts, "noisy-template": noisy.drafts}
"""By the name that the configuration uses."""
