"""geomeld simulate: write a piece of the simulated Earth as STAC, COGs and a map extract."""

import json
from dataclasses import dataclass
from pathlib import Path

import tyro

from geomeld.build.anchors import read_anchors, sampled_anchors, write_anchors
from geomeld.core.errors import UsageError
from geomeld.core.tile import Anchor
from geomeld.sources.simulated.export import Reach, export
from geomeld.sources.simulated.landscape import BIOMES, stratified_places

ANCHORS_FILE = "anchors.parquet"


@dataclass(frozen=True)
class Options:
    """What is written, and where."""

    out: Path
    """Folder of the catalogue; gets catalog.json, a folder per collection, map.osm.pbf and anchors.parquet."""
    anchors: Path | None = None
    """Places and dates (CSV with lat and lon, or Parquet)."""
    places: int | None = None
    """Instead of an anchors file: number of places, drawn evenly over the biomes."""
    seed: int = 0
    """Of the simulated Earth and of the drawn places and dates."""
    days: int = 45
    """Sentinel-2 scenes within this many days of a place's date."""
    json: bool = False
    """Print the counts as JSON."""


def main(argv: list[str]) -> int | None:
    """Write the catalogue. Raises UsageError unless exactly one of --anchors and --places is given."""
    options = tyro.cli(Options, args=argv, prog="geomeld simulate", description=__doc__)
    anchors = _anchors(options)
    if not 1 <= options.days <= 3660:
        raise UsageError(f"--days is {options.days}; give at least one day, and ten years at most.")
    counts = export(anchors, options.out, seed=options.seed, reach=Reach(days=options.days))
    write_anchors(options.out / ANCHORS_FILE, anchors)
    catalogue = options.out / "catalog.json"
    if options.json:
        print(json.dumps({"catalogue": str(catalogue), "places": len(anchors), "items": counts}))
        return None
    for collection, count in counts.items():
        print(f"{count:6d} items  {collection}")
    print(f"{catalogue}: {len(anchors)} places. Build from it with")
    print(f"  geomeld build --anchors {options.out / ANCHORS_FILE} --source stac:{catalogue} --out DATASET")
    return None


def _anchors(options: Options) -> list[Anchor]:
    if (options.anchors is None) == (options.places is None):
        raise UsageError("Give either --anchors FILE or --places N.")
    if options.anchors is not None:
        return read_anchors(options.anchors, seed=options.seed)
    assert options.places is not None
    if options.places < 1:
        raise UsageError(f"--places is {options.places}; give at least one.")
    places = [(lon, lat, BIOMES[biome]) for lon, lat, biome in stratified_places(options.seed, options.places)]
    return sampled_anchors(places, f"simulated:{options.seed}", seed=options.seed)
