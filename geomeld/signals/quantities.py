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
    """Before the noun, or around it: "mostly", "patches of", "dominated by"."""
    predicates: tuple[str, ...] = ()
    """Directly after the noun: "dominates", "covers most of"."""


_ALL = (
    "entirely", "all", "blanketed", "completely", "wholly", "almost entirely", "nothing but", "wall-to-wall",
    "entirely covered by", "entirely covered with", "completely covered by", "blanketed by", "blanketed in",
)  # fmt: skip
_ALL_AFTER = (
    "entirely", "completely", "wholly", "almost entirely", "everywhere", "cover the entire", "covers the entire",
    "cover nearly all", "covers nearly all", "cover almost all", "covers almost all", "cover nearly the whole",
    "covers nearly the whole", "fill the whole", "fills the whole", "from edge to edge",
)  # fmt: skip
_MOST = (
    "mostly", "most", "most of", "largely", "vast", "predominantly", "mainly", "chiefly", "dominated by",
    "covered by", "covered with", "covered in", "mostly covered by", "mostly covered with", "mostly covered in",
    "largely covered by", "largely covered with", "largely covered in", "covered largely by", "covered mainly by",
    "covered mostly by", "vast areas of", "vast expanses of", "a vast expanse of", "carpeted with", "carpeted in",
    "mostly under", "largely under", "clothed in", "cloaked in", "mantled in", "draped in",
)  # fmt: skip
_MOST_AFTER = (
    "dominates", "dominate", "dominated", "mostly", "largely", "mainly", "predominantly", "prevail", "prevails",
    "stretches across", "stretch across", "cover most of", "covers most of", "cover much of", "covers much of",
    "cover the", "covers the", "cover", "covers", "blanket", "blankets", "carpet", "carpets", "fill", "fills",
    "fill most of", "fills most of", "take up most of", "takes up most of", "make up most of", "makes up most of",
    "occupy most of", "occupies most of", "spread across most of", "spreads across most of", "extend over most of",
    "extends over most of", "spread over most of", "spreads over most of", "clothe", "clothes",
    "predominate", "predominates", "sweep across", "sweeps across", "cloak", "cloaks", "mantle", "mantles", "drape",
    "drapes", "span most of", "spans most of", "claim most of", "claims most of", "form most of", "forms most of",
    "account for most of", "accounts for most of", "reach across most of", "reaches across most of", "dominating",
    "prevailing", "predominating", "blanketing", "carpeting", "covering", "cloaking", "mantling", "on most of it",
)  # fmt: skip
_LARGE = (
    "a large part", "large parts", "extensive", "lots of", "large areas", "large areas of", "much of", "broad",
    "wide areas", "wide areas of", "broad areas of", "large tracts of", "wide tracts of", "broad stretches of",
    "wide stretches of", "large stretches of", "large expanses of", "wide expanses of", "plenty of", "ample",
    "abundant", "swathes of", "a large area of", "a broad stretch of", "a wide expanse of", "partly covered by",
    "partly covered with", "considerable", "substantial", "sizeable", "plentiful", "widespread",
    "large swathes of", "much",
)  # fmt: skip
_LARGE_AFTER = ("covers part of", "cover part of", "takes up part of", "take up part of", "spreads over", "spread over")
_SOME = (
    "patches of", "some", "stands of", "areas of", "several", "pockets of", "stretches of", "several patches of",
    "plots of", "clumps of", "clusters of", "parcels of", "bands of", "several areas of", "a number of", "blocks of",
    "several stands of", "tracts of", "a block of", "portions of", "intermittent",
    "a fair amount of", "sections of", "a share of", "various", "groups of", "patchy", "assorted",
    "piecemeal", "discontinuous", "broken", "multiple",
)  # fmt: skip
_FEW = (
    "a few patches of", "small patches of", "a few", "few", "small", "scattered", "a strip of", "bits of", "sparse",
    "a little", "a few small patches of", "small pockets of", "a few pockets of", "a few small areas of",
    "isolated", "isolated patches of", "scattered patches of", "scattered pockets of", "a scattering of",
    "occasional", "small areas of", "a patch of", "a small patch of", "thin strips of", "strips of",
    "small stands of", "a few stands of",
    "small clumps of", "scattered clumps of", "a touch of", "traces of", "small plots of", "a few plots of",
    "small stretches of", "slivers of", "sporadic", "spots of", "a spot of", "a sprinkling of", "stray",
    "limited", "fragments of", "scant", "solitary", "dispersed",
    "infrequent",
)  # fmt: skip

QUANTITIES: tuple[Quantity, ...] = (
    Quantity("all", 0.90, 1.01, 0.85, 1.0, _ALL, _ALL_AFTER),
    Quantity("most", 0.50, 0.90, 0.35, 1.0, _MOST, _MOST_AFTER),
    Quantity("large", 0.25, 0.50, 0.15, 1.0, _LARGE, _LARGE_AFTER),
    Quantity("some", 0.08, 0.25, 0.04, 0.55, _SOME),
    Quantity("few", 0.02, 0.08, 0.005, 0.25, _FEW),
)
"""From much to little. Below the last band a cover is not mentioned."""

_BAND_OF = {word: q for q in QUANTITIES for word in (*q.words, *q.predicates)}

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
    return _BAND_OF.get(word.lower())
