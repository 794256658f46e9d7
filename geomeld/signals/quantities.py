"""The one table of quantity words, for writer and verifier alike (captions study 2.1)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Quantity:
    """A band of shares and the words for it."""

    name: str
    low: float
    """The writer uses the words from this share on ..."""
    high: float
    """... and below this one."""
    accept_low: float
    """The verifier accepts them from this share on (wider, so that a pixel more or less flips nothing) ..."""
    accept_high: float
    """... and up to this one."""
    words: tuple[str, ...]


_MOST = ["mostly", "most", "dominates", "dominate", "dominated", "largely", "vast", "predominantly", "mainly"]
_FEW = ("a few patches of", "small patches of", "a few", "few", "small", "scattered", "a strip of", "bits of", "sparse")
_LARGE = ("a large part", "large parts", "extensive", "lots of", "large areas", "much of", "broad", "wide areas")

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("all", 0.90, 1.01, 0.85, 1.0, ("entirely", "all", "blanketed", "completely", "wholly")),
    Quantity("most", 0.50, 0.90, 0.35, 1.0, tuple(_MOST)),
    Quantity("large", 0.25, 0.50, 0.15, 1.0, _LARGE),
    Quantity("some", 0.08, 0.25, 0.04, 0.55, ("patches of", "some", "stands of", "areas of", "several", "pockets of")),
    Quantity("few", 0.02, 0.08, 0.005, 0.25, _FEW),
)
"""From much to little. Below the last band a cover is not mentioned."""

ABSENT_BELOW: dict[str, float] = {
    "tree": 0.01, "shrub": 0.03, "grass": 0.03, "crop": 0.03, "built": 0.002, "bare": 0.02, "snow": 0.01,
    "water": 0.003, "wetland": 0.02, "mangrove": 0.01, "moss": 0.02,
}  # fmt: skip
"""Share under which a cover counts as absent, so that a claim of it is contradicted."""


def quantity_for(share: float) -> Quantity | None:
    """The band of a share; None where the cover is too small to mention."""
    return next((q for q in QUANTITIES if q.low <= share < q.high), None)


def quantity_of(word: str) -> Quantity | None:
    """The band that a word belongs to."""
    return next((q for q in QUANTITIES if word.lower() in q.words), None)
