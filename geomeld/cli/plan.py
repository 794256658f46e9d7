"""`geomeld plan`: the scenes of every anchor, without a pixel."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import tyro

from geomeld.build.config import BuildConfig


@dataclass(frozen=True)
class Options:
    """Choose the scenes of every anchor."""

    anchors: Path
    """CSV or (Geo)Parquet of places."""
    out: Path
    """File to write, e.g. plan.parquet."""
    source: str = "simulated"
    """simulated, simulated:SEED or stac:PATH-OR-URL, with a map of your own stac:PATH-OR-URL,osm=EXTRACT."""
    workers: int = 2
    """Processes."""
    config: tyro.conf.OmitArgPrefixes[BuildConfig] = field(default_factory=BuildConfig)


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld plan")
    from geomeld.build.anchors import read_anchors
    from geomeld.build.plan import write_plan
    from geomeld.build.run import plan
    from geomeld.sources import open_source

    anchors = read_anchors(options.anchors, seed=options.config.seed, years=options.config.years)
    rows = plan(anchors, open_source(options.source), options.config, workers=options.workers)
    planned = sum(not r.reason for r in rows)
    if planned:  # a plan of nothing must not take the place of another
        write_plan(options.out, rows)
    print(f"{planned} of {len(rows)} anchors planned -> {options.out if planned else 'nothing written'}")
    for stage, count in Counter(r.stage for r in rows if not r.reason).most_common():
        print(f"  {count:6} found within {stage}")
    for reason, count in Counter(r.reason for r in rows if r.reason).most_common():
        print(f"  {count:6} left out: {reason}")
    return 0 if planned else 1
