"""Finding: one thing that pixels say about how they were stored, with the numbers behind it and what would mend it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Cure = Literal["none", "scale", "offset", "order", "decibels", "nodata", "north-up"]
"""What a corrected copy does: multiply, take off 1000, reorder bands, take logarithms, set no-data, turn rows."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault, or one question that the pixels leave open."""

    symptom: str
    """Short and fixed, e.g. "offset of +1000"."""
    sure: bool
    """Whether it is a fault; False where the pixels leave it open."""
    explanation: str
    """What was seen, with numbers, and what follows."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """The numbers, JSON only."""
    cure: Cure = "none"
    setting: Mapping[str, Any] = field(default_factory=dict)
    """What the cure needs: {"factor": 10000.0}, {"order": (1, 0, ...)}, {"nodata": 0.0}."""
