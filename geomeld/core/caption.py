"""Signals, Claim, Verdict and Caption: what was measured on a tile, what a sentence says, and what became of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["supported", "contradicted", "unsupported", "unverifiable"]
"""Outcome of one rule on one claim. Only closed-world evidence contradicts; absent map data leaves it unsupported."""

Severity = Literal["hard", "soft"]


@dataclass(frozen=True, slots=True)
class LandCover:
    """Shares of land cover over the valid pixels of a tile (captions study 2.1)."""

    shares: Mapping[str, float]
    """Fraction 0..1 per concept (tree, shrub, grass, crop, built, bare, snow, water, wetland, mangrove,
    moss), descending."""
    quadrants: Mapping[str, Mapping[str, float]]
    """The same per part of the tile: north-west, north-east, south-west, south-east, centre."""
    patterns: Mapping[str, str]
    """Spatial pattern per concept: "block", "patches", "scattered" or "strip"."""
    agreement: float
    """Share of pixels on which WorldCover and Dynamic World agree through the crosswalk, NaN without both."""
    confidence: float
    """0..1."""
    source: str
    """Which product the shares come from."""
    confirmed: Mapping[str, float] = field(default_factory=dict)
    """Per concept, the share of its pixels that the other map puts into the same class; empty without a second map."""


@dataclass(frozen=True, slots=True)
class WaterBody:
    """One connected body of consensus water."""

    kind: Literal["pond", "lake", "river", "sea"]
    area_m2: float
    sector: str
    """Part of the tile that holds its centroid, e.g. "north-east"."""
    elongation: float
    """Ratio of the principal axes, >= 1."""


@dataclass(frozen=True, slots=True)
class Water:
    """Water presence by consensus of independent products (captions study 2.5)."""

    detected: bool
    percentage: float
    """Share of the tile's pixels, percent, two decimals."""
    permanent: float
    """Percent of pixels."""
    seasonal: float
    """Percent of pixels."""
    unconfirmed: float
    """Percent of pixels that one product alone calls water."""
    kind: Literal["none", "pond", "lake", "river", "sea", "mixed"]
    bodies: tuple[WaterBody, ...]
    confidence: float
    """0..1."""
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Terrain:
    """Relief of a tile (captions study 2.4)."""

    terrain_class: str
    """Modal geomorphon form, as published: Flat, Peak, Ridge, Shoulder, Spur, Slope, Hollow, Footslope, Valley, Pit."""
    relief_class: Literal["flat", "gently undulating", "rolling", "hilly", "mountainous"]
    setting: Literal["none", "valley", "ridge", "slope", "plain"]
    relief_m: float
    """Difference of the 98th and the 2nd percentile of smoothed elevation, metres."""
    elevation_m: float
    """Mean elevation, metres."""
    slope_mean: float
    """Mean slope of the smoothed surface, degrees."""
    slope_p90: float
    form_shares: Mapping[str, float]
    """Fraction per form name."""
    noise_m: float
    """Estimated noise of the elevation product, metres."""
    confidence: float


@dataclass(frozen=True, slots=True)
class MapFeature:
    """Map objects of one phrase at one level of a tile (paper 5.1: centre, surroundings, area)."""

    level: Literal["center", "surrounding", "area"]
    concept: str
    """Concept of the claim lexicon, e.g. "solar_farm"; only the project's own table of phrases fills it."""
    phrase: str
    """Noun phrase of the table, singular, without an article."""
    plural: str
    tags: Mapping[str, str]
    """The table's matched key and value; free text of map editors is never kept here."""
    count: int = 1
    length_m: float = 0.0
    area_fraction: float = 0.0
    """Share of the tile's area, 0..1."""
    distance_m: float | None = None
    """From the tile's centre to the nearest of them."""
    sector: str | None = None
    visible: bool = True
    """Whether its size can be seen at the tile's finest GSD."""


@dataclass(frozen=True, slots=True)
class Signals:
    """Everything measured on one tile that a caption may be held against. None where the inputs are missing."""

    tile_id: int
    gsd_m: float
    """GSD of the finest optical layer, metres."""
    date: str
    """ISO date of the Sentinel-2 acquisition, or of the anchor without one."""
    latitude: float
    season: str | None
    """winter, spring, summer or autumn by date and hemisphere; None within 23.5 degrees of the equator."""
    land_cover: LandCover | None
    spectral: Mapping[str, Mapping[str, float]]
    """p5, p50 and p95 per spectral index that the bands at hand allow, over the tile and per land-cover concept
    ("ndvi", "ndvi@crop")."""
    radar: Mapping[str, float]
    """VV and VH percentiles in dB and shares, of the orbit with more valid pixels; empty without Sentinel-1."""
    canopy: Mapping[str, float]
    """p50, p95 of canopy height over tree pixels and mean stddev, metres; empty without the product."""
    water: Water | None
    terrain: Terrain | None
    map_features: tuple[MapFeature, ...] | None
    """None where no map was available, () where a map was and holds nothing."""
    missing: tuple[str, ...]
    """Modalities that the tile lacks."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One checkable statement found in a caption."""

    claim_id: str
    concept: str
    start: int
    """Span of the claim's words in the caption, characters."""
    end: int
    text: str
    negated: bool = False
    hedged: bool = False
    quantity: str | None = None
    """Quantity word, e.g. "mostly", "patches of"."""
    count: int | None = None
    location: str | None = None
    """Named part of the tile, e.g. "north"."""
    modifiers: tuple[str, ...] = ()
    """Adjectives that are claims of their own, e.g. "dense", "green", "winding"."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one rule says of one claim, with the measurement that decides."""

    claim_id: str
    rule: str
    status: Status
    severity: Severity
    evidence: Mapping[str, Any]
    """Measured values and the thresholds they were held against; JSON only."""
    action: str = "keep"
    """Edit that the rule asks for: keep, drop, replace, soften ..."""


@dataclass(frozen=True, slots=True)
class Score:
    """One row of the Evaluator's score table."""

    candidate: int
    total: float
    parts: Mapping[str, float]
    """Named terms of the total."""


@dataclass(frozen=True, slots=True)
class Caption:
    """A tile's caption with its whole history."""

    tile_id: int
    text: str
    original: str
    """The candidate before edits."""
    status: Literal["verified", "repaired", "fallback", "failed"]
    candidates: tuple[str, ...] = ()
    scores: tuple[Score, ...] = ()
    claims: tuple[Claim, ...] = ()
    """Claims of the final text."""
    verdicts: tuple[Verdict, ...] = ()
    """Verdicts on the final text."""
    edits: tuple[Mapping[str, Any], ...] = ()
    """Each change with the rule that asked for it: {"rule", "before", "after"}."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """Writer, evaluator, hashes of signals and rules, seed."""
