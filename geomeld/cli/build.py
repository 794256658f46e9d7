"""`geomeld build`: anchors to shards of aligned tiles."""

import json as jsonlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import tyro

from geomeld.build.config import BuildConfig, Patience

MOST_REASONS = 20
"""Lines of a summary."""


@dataclass(frozen=True)
class Options:
    """Build a dataset of aligned tiles; run again after any interruption it goes on."""

    out: Path
    """Folder of the dataset."""
    anchors: Path | None = None
    """CSV or (Geo)Parquet of places with lat and lon, and optionally id and date."""
    plan: Path | None = None
    """A plan that `geomeld plan` wrote, instead of anchors."""
    sample: int | None = None
    """Number of places to draw on the simulated Earth instead."""
    source: str = "simulated"
    """simulated, simulated:SEED, stac:PATH-OR-URL of a STAC catalogue or API, or ee:PROJECT of Earth Engine; after it,
    if wanted, a map and static products from elsewhere: stac:URL,osm=EXTRACT.osm.pbf,worldcover-2020=FOLDER."""
    workers: int = 0
    """Processes; 0 takes one per core."""
    engine: Literal["processes", "ray"] = "processes"
    """Where tiles are read: processes of this machine, or the Ray cluster that RAY_ADDRESS names (a local one without
    it); all nodes see the same files."""
    status: bool = False
    """Say how far the build in --out has come, and what failed and why; nothing is built."""
    retry_failed: bool = False
    """Try the tiles that failed in an earlier run again, whatever the reason."""
    yes: bool = False
    """Go on without asking where a service counts what is asked of it (Earth Engine)."""
    json: bool = False
    """Print the summary as JSON."""
    config: tyro.conf.OmitArgPrefixes[BuildConfig] = field(default_factory=BuildConfig)
    patience: tyro.conf.OmitArgPrefixes[Patience] = field(default_factory=Patience)


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld build")
    if options.status:
        return _tell(options)
    from geomeld.build.run import build
    from geomeld.cli.budget import agree
    from geomeld.core.config import to_json
    from geomeld.core.errors import UsageError
    from geomeld.sources import open_source

    if options.workers < 0:
        raise UsageError(f"--workers is {options.workers}; give a number of processes, or 0 for one per core.")

    source = open_source(options.source)
    source.modalities()  # a catalogue that is not there ends the run here, not tile by tile
    places = _places(options, earth=getattr(source, "seed", None))
    agree(source, len(places), options.yes)
    manifest = build(
        places,
        source,
        options.out,
        options.config,
        patience=options.patience,
        retry_failed=options.retry_failed,
        workers=options.workers or os.cpu_count() or 1,
        engine=options.engine,
    )
    if options.json:
        print(jsonlib.dumps(to_json(manifest)))
        return 0
    print(f"{manifest.tiles} of {len(places)} tiles in {len(manifest.shards)} shards -> {options.out}")
    for modality, products in manifest.products.items():
        print(f"  {modality:15} " + "; ".join(f"{n} x {p}" for p, n in products.items()))
    reasons = Counter((f.stage, f.kind, f.reason) for f in manifest.failures)
    for (stage, kind, reason), count in reasons.most_common(MOST_REASONS):
        print(f"  {count} not built ({stage}, {kind}): {reason}")
    if len(reasons) > MOST_REASONS:
        print(f"  ... and {len(reasons) - MOST_REASONS} more reasons: --status lists them")
    if any(f.kind in ("transient", "auth") for f in manifest.failures):
        print("  Servers failed or refused: the same command with --retry-failed tries those tiles again.")
    return 0


def _tell(options: Options) -> int:
    from geomeld.build.status import described, status_of
    from geomeld.core.config import to_json

    found = status_of(options.out)
    print(jsonlib.dumps(to_json(found)) if options.json else described(found))
    return 0


def _places(options: Options, earth: int | None) -> Sequence:
    """Anchors or plan rows. Raises UsageError unless exactly one of the three ways is asked for."""
    from geomeld.build.plan import Plan
    from geomeld.cli.anchors import anchors_from
    from geomeld.core.errors import UsageError

    config = options.config
    if sum(way is not None for way in (options.anchors, options.plan, options.sample)) != 1:
        raise UsageError(
            "Give one of --anchors FILE, --plan FILE, or --sample N to draw places on the simulated Earth."
        )
    if options.plan is not None:
        return Plan(options.plan)
    return anchors_from(options.anchors, options.sample, config.seed, earth=earth, years=config.years)
