"""`geomeld osm`: an extract of OpenStreetMap to one GeoParquet file, and the map features of many tiles at once."""

import json as jsonlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """Turn an extract of OpenStreetMap into a GeoParquet file that builds read without pyosmium."""

    extract: Annotated[str, tyro.conf.Positional]
    """Path or http(s) address of an extract (.osm.pbf, .osm)."""
    out: Path
    """File to write, e.g. region.parquet."""
    anchors: Path | None = None
    """Places (CSV or Parquet): also count what the map has of each tile, in one pass."""
    json: bool = False
    """Print the counts as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld osm")
    from geomeld.build.anchors import read_anchors
    from geomeld.core.errors import UsageError
    from geomeld.core.grid import Grid
    from geomeld.sources.map_file import save
    from geomeld.sources.openstreetmap import OpenStreetMap, rows_of

    if options.out.suffix != ".parquet":
        raise UsageError(f"--out {options.out} is to be a GeoParquet file; let its name end in .parquet.")
    anchors = read_anchors(options.anchors) if options.anchors else []
    rows = rows_of(options.extract)
    save(options.out, rows)
    about = rows.about
    known = {"features": rows.batch.num_rows, "skipped": about.skipped, "snapshot": about.snapshot, "box": about.box}
    grids = [Grid.centred_on(a.lon, a.lat) for a in anchors]
    found = OpenStreetMap(options.extract).join(grids) if grids else []
    tiles = {a.tile_id: None if f is None else len(f) for a, f in zip(anchors, found, strict=True)}
    if options.json:
        print(jsonlib.dumps({**known, "tiles": tiles}))
        return 0
    print(f"{known['features']:,} features -> {options.out} ({about.skipped:,} without a proper shape left out)")
    print(f"snapshot {about.snapshot or 'unknown'}; box {about.box or 'unknown'}; map data under the ODbL")
    if tiles:
        covered = [n for n in tiles.values() if n is not None]
        print(f"{len(covered)} of {len(tiles)} tiles lie in the map, with {sum(covered):,} features")
    return 0
