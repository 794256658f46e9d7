"""`geomeld anchors`: places and dates from a table, or sampled, to anchors.parquet."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Options:
    """Import places from a table, or sample them evenly over the simulated Earth's biomes."""

    out: Path
    """File to write, e.g. anchors.parquet."""
    file: Path | None = None
    """CSV or (Geo)Parquet with lat and lon, and optionally id, date, source, biome."""
    sample: int | None = None
    """Number of places to draw on the simulated Earth instead."""
    seed: int = 0
    """Of the places' Earth and of the drawn dates."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld anchors")
    from geomeld.build.anchors import write_anchors

    anchors = anchors_from(options.file, options.sample, options.seed)
    write_anchors(options.out, anchors)
    print(f"{len(anchors)} anchors -> {options.out}")
    return 0


def anchors_from(
    file: Path | None, sample: int | None, seed: int, *, earth: int | None = None, years: tuple[int, int] = (2018, 2021)
) -> list:
    """Anchors of a file, or sampled on the simulated Earth of seed `earth` (`seed` if not given).

    Raises UsageError unless exactly one is asked for.
    """
    from geomeld.build.anchors import read_anchors, sampled_anchors
    from geomeld.core.errors import UsageError

    if (file is None) == (sample is None):
        raise UsageError("Give a file of places, or --sample N to draw them on the simulated Earth.")
    if file is not None:
        return read_anchors(file, seed=seed, years=years)
    if sample is None or sample < 1:
        raise UsageError(f"--sample is {sample}; draw at least one place.")
    from geomeld.sources.simulated.landscape import BIOMES, stratified_places

    drawn = stratified_places(seed if earth is None else earth, sample)
    return sampled_anchors(
        [(lon, lat, BIOMES[biome]) for lon, lat, biome in drawn], "simulated", seed=seed, years=years
    )
