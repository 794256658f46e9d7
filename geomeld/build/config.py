"""BuildConfig, the choices of a build, and Patience, how hard it tries; where the paper is silent, fields say so."""

from dataclasses import dataclass

from geomeld.core.errors import ConfigError
from geomeld.core.retry import Retry

MOST_DAYS = 3660
"""Widest search for a scene to either side of a date: ten years."""


@dataclass(frozen=True)
class BuildConfig:
    """How scenes are chosen and shards are cut; stored in the manifest."""

    seed: int = 0
    """Of every draw."""
    max_cloud: float = 10.0
    """Sentinel-2 scenes must have less cloud than this, percent (paper 3.4)."""
    window_days: int = 15
    """Sentinel-1 and Dynamic World lie within this many days of the chosen Sentinel-2 scene (paper 3.4)."""
    widening_days: tuple[int, ...] = (15, 30, 45)
    """Half widths of the search for Sentinel-2 around the reference date, tried in turn (the paper is silent)."""
    other_years: tuple[int, int] = (2017, 2022)
    """When nothing is found, the same days of the nearest other year in this range are tried (the paper is silent)."""
    clear_share: float = 0.9
    """Share of a tile that must be free of cloud and shadow in the scene's own classification, where the source has
    one (the paper is silent: a scene under 10 % can still be cloudy over one tile)."""
    years: tuple[int, int] = (2018, 2021)
    """Range of the drawn reference dates of sampled anchors (paper 3.4)."""
    shard_size: int = 64
    """Tiles per shard."""
    naip: bool = True
    """Take tiles' reference dates from 1 m photographs where there are any (paper 3.4), and keep the photographs."""

    allow_missing: bool = False
    """Build a tile without a layer whose file is damaged, gone or not to be had, and note that in its metadata; else
    the tile is listed as failed (the paper is silent). Never without the reference modality."""

    def __post_init__(self) -> None:
        if not 0 < self.max_cloud <= 100:
            raise ConfigError(f"max_cloud is {self.max_cloud}; it is a percentage above 0 and up to 100.")
        if self.shard_size < 1:
            raise ConfigError(f"shard_size is {self.shard_size}; a shard holds at least one tile.")
        if not self.widening_days or not all(1 <= days <= MOST_DAYS for days in self.widening_days):
            raise ConfigError(
                f"widening_days is {self.widening_days}; give at least one positive number of days, up to {MOST_DAYS}."
            )
        if not 0 <= self.window_days <= MOST_DAYS:
            raise ConfigError(f"window_days is {self.window_days}; it is a number of days from 0 to {MOST_DAYS}.")
        if not 0 <= self.clear_share <= 1:
            raise ConfigError(f"clear_share is {self.clear_share}; it is a share between 0 and 1.")
        for name, (first, last) in (("years", self.years), ("other_years", self.other_years)):
            if not 1970 <= first <= last <= 2100:
                raise ConfigError(f"{name} is {first} {last}; give the first and the last year, 1970 to 2100.")


@dataclass(frozen=True)
class Patience:
    """How hard a build tries; no byte of the tiles depends on it."""

    tries: int = 5
    """Times that a layer is read in a row, with growing waits, while its server fails or refuses."""
    first_wait_s: float = 1.0
    """Mean seconds before the second try; every further wait doubles."""
    longest_wait_s: float = 60.0
    """No wait is longer, unless a server asks for it (Retry-After)."""
    rounds: int = 3
    """Times that tiles which could not be had are tried again once all others are done."""
    give_up_after: int = 200
    """Tiles in a row whose server fails or refuses before the build stops, to be gone on with later."""
    rate: tuple[str, ...] = ()
    """HOST=PER_SECOND ...: the most requests per second that a host gets from all processes together."""

    def __post_init__(self) -> None:
        if self.rounds < 0 or self.give_up_after < 1:
            raise ConfigError(f"rounds is {self.rounds} and give_up_after {self.give_up_after}; give at least 0 and 1.")
        self.retry()

    def retry(self) -> Retry:
        """The policy for a single request."""
        return Retry(self.tries, self.first_wait_s, self.longest_wait_s)
