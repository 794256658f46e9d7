"""`geomeld anchors`: places and dates, imported and drawn, thinned and dated, to anchors.parquet."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from geomeld.build.recipe import Recipe


@dataclass(frozen=True)
class Options:
    """Import places, draw others, let overlapping tiles give way, and write them with a report of what was dropped."""

    out: Path
    """File to write, e.g. anchors.parquet; the report stands beside it, e.g. anchors.html."""
    json: bool = False
    """Print the summary as JSON."""
    recipe: tyro.conf.OmitArgPrefixes[Recipe] = field(default_factory=Recipe)


def main(argv: list[str]) -> int:
    """Run the verb."""
    import json

    options = tyro.cli(Options, args=argv, prog="geomeld anchors")
    from geomeld.build.anchors.columns import write_columns
    from geomeld.build.anchors.make import make_anchors, provenance
    from geomeld.core.errors import UsageError
    from geomeld.figures.anchors_page import write_anchors_page

    if options.out.suffix != ".parquet":
        raise UsageError(f"--out is {options.out}; the anchors are a Parquet file, so give it a name in .parquet.")

    made = make_anchors(options.recipe)
    story = provenance(options.recipe, made)
    write_columns(options.out, made.anchors, story)
    report = write_anchors_page(made.anchors, made.dropped, made.short, options.out.with_suffix(".html"))
    if options.json:
        print(json.dumps(story))
        return 0
    print(f"{len(made.anchors)} anchors -> {options.out}")
    for source, count in Counter(made.anchors["source"]).most_common():
        print(f"  {count:9} from {source}")
    for source, reason, count in story["dropped"]:
        print(f"  {count:9} of {source} dropped: {reason}")
    for remark in made.remarks:
        print(f"  {remark}")
    print(f"report -> {report}")
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
