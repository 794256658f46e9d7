"""CaptionConfig: how captions are written, ranked and verified."""

from dataclasses import dataclass, field
from typing import Literal

from geomeld.caption.endpoint import Endpoint
from geomeld.core.errors import ConfigError

_EVALUATORS = {("signals", False), ("random", False), ("openclip", True), ("geomeld", True)}
"""By name, and whether a model is named with it."""


@dataclass(frozen=True)
class CaptionConfig:
    """Settings of a caption run; part of every record's provenance."""

    writer: Literal["template", "noisy-template", "openai", "tags", "recorded"] = "template"
    """Who drafts: the grounded grammar, the same with injected errors (to measure the verifier), a model behind an
    OpenAI-compatible endpoint, map features strung together (a baseline), or a file."""
    evaluator: str = "signals"
    """Who ranks: "signals" (agreement of claims with what was measured), "random" (a control), "openclip:NAME",
    "openclip:NAME:FILE" or "geomeld:FOLDER" (a contrastive model beside the signals; the paper's is
    openclip:RemoteCLIP-ViT-L-14)."""
    revise: bool = True
    """Whether the openai writer's model may rewrite a caption that no edit of ours could save."""
    candidates: int = 4
    """Drafts per tile (the paper says multiple and gives no number)."""
    error_rate: float = 0.3
    """Share of drafts that the noisy writer spoils."""
    endpoint: Endpoint = field(default_factory=Endpoint)
    """Of the openai writer."""
    recorded: str = ""
    """File of the recorded writer: lines of {"tile_id": 1, "text": "..."}."""
    seed: int = 0
    """Of every draw."""
    chunk: int = 64
    """Tiles per run of the graph."""

    def __post_init__(self) -> None:
        if not 1 <= self.candidates <= 16:
            raise ConfigError(f"candidates is {self.candidates}; give 1 to 16.")
        kind, _, model = self.evaluator.partition(":")
        if (kind, bool(model)) not in _EVALUATORS:
            raise ConfigError(
                f"evaluator is {self.evaluator!r}; it is signals, random, openclip:NAME, openclip:NAME:FILE or "
                "geomeld:FOLDER."
            )
        if not 0 <= self.error_rate <= 1:
            raise ConfigError(f"error_rate is {self.error_rate}; it is a share between 0 and 1.")
        if self.chunk < 1:
            raise ConfigError(f"chunk is {self.chunk}; a chunk holds at least one tile.")
