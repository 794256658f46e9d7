"""ChunkState: what passes between the agents: plain JSON over a chunk of tiles, never a pixel."""

from typing import Any, TypedDict


class ChunkState(TypedDict, total=False):
    """Every list is aligned with `signals`; a tile that failed has its reason in `errors` and is passed over."""

    config: dict[str, Any]
    signals: list[dict[str, Any]]
    """core `Signals` as JSON."""
    facts: list[list[dict[str, Any]]]
    """`Fact`s: what may be said, most salient first."""
    plans: list[dict[str, Any] | None]
    """`Plan`s: what must, may and must not be said, and from which angles."""
    candidates: list[list[dict[str, Any]]]
    """`Draft`s."""
    notes: list[list[dict[str, Any]]]
    """What a model's answers have to say of themselves, per round: for the record's provenance."""
    revised: list[dict[str, Any] | None]
    """{"of", "text"}: the candidate that a model has rewritten in this round, and what it made of it, perhaps ""."""
    scores: list[list[dict[str, Any]]]
    """The score table, best candidate first."""
    records: list[dict[str, Any] | None]
    """core `Caption` as JSON, None while a tile has none."""
    errors: list[str | None]
    round: int
    """How often the Captioner was asked."""
