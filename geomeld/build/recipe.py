"""Recipe: where anchors come from and which of them stay."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from geomeld.core.errors import UsageError


@dataclass(frozen=True)
class Recipe:
    """Where anchors come from and which of them stay; stored in the file that they are written to."""

    file: tuple[Path, ...] = ()
    """CSV or (Geo)Parquet with lat and lon, and optionally id, date, source, biome."""
    mmearth: tuple[Path, ...] = ()
    """Tile lists of MMEarth: the JSON object of tiles, or GeoJSON squares."""
    skyscript: tuple[Path, ...] = ()
    """SkyScript: a CSV list, or a folder, ZIP or file of metadata records. Pickles are read without running them."""
    skyscript_meta: Path | None = None
    """Metadata with the coordinates of the CSV lists."""
    sample: int | None = None
    """Number of places to draw, the same for every biome (paper 3.1)."""
    global_south: int | None = None
    """Number of places to draw in Africa, South America and Asia, the same for every biome of each (paper 3.1)."""
    quotas: Path | None = None
    """Numbers of places to draw: CSV with the columns biome, continent, count."""
    biomes: Path | None = None
    """Polygon layer of biomes, for example RESOLVE Ecoregions 2017; those of the simulated Earth if not given."""
    biome_field: str | None = None
    """Its field with the biome's name; BIOME_NAME, biome or the like if not given."""
    continents: Path | None = None
    """Polygon layer of continents or countries; coarse outlines if not given."""
    continent_field: str | None = None
    """Its field with the continent's name; CONTINENT or the like if not given."""
    overlap: Literal["keep", "strict"] = "keep"
    """keep: tiles give way to those of other origins before them (MMEarth, then SkyScript and files, then drawn ones);
    MMEarth's and a file's own overlaps stay, but for places within 100 m. strict: no two tiles share ground. The paper
    is silent on overlaps within MMEarth."""
    exclude: Path | None = None
    """Polygons around places of evaluation, which no tile may come near."""
    exclude_metres: float = 5000.0
    """How near is near (the paper is silent)."""
    earliest: str = "2017-01"
    """First month that the date of an imported place is drawn from (the paper gives no range)."""
    latest: str = "2022-12"
    """Last one."""
    years: tuple[int, int] = (2018, 2021)
    """Range of the drawn dates of files' and sampled places (paper 3.4)."""
    seed: int = 0
    """Of every draw."""
    earth: int = 0
    """Seed of the simulated Earth whose biomes are the default."""

    def check(self) -> None:
        """Raises UsageError where nothing is asked for, or a number is out of range."""
        origins = (self.file, self.mmearth, self.skyscript, self.sample, self.global_south, self.quotas)
        if not any(o is not None and o != () for o in origins):
            raise UsageError(
                "Give places (--file, --mmearth, --skyscript), or have some drawn (--sample, --global-south, --quotas)."
            )
        for name, n in (("sample", self.sample), ("global-south", self.global_south)):
            if n is not None and n < 1:
                raise UsageError(f"--{name} is {n}; draw at least one place.")
        if not 0 <= self.exclude_metres <= 100_000:
            raise UsageError(f"--exclude-metres is {self.exclude_metres}; give 0 to 100000.")
        self.months()

    def months(self) -> tuple[int, int]:
        """(first, last) month of imported places' dates, counted from year 0. Raises UsageError."""
        try:
            first, last = (dt.date.fromisoformat(f"{m}-15") for m in (self.earliest, self.latest))
        except ValueError:
            raise UsageError(f"--earliest {self.earliest}, --latest {self.latest}: give months as 2018-12.") from None
        if not 1970 <= first.year <= last.year <= 2100 or first > last:
            raise UsageError(f"--earliest {self.earliest} must not be after --latest {self.latest}, in 1970 to 2100.")
        return 12 * first.year + first.month - 1, 12 * last.year + last.month - 1
