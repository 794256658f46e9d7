"""`geomeld plan`: the scenes of every anchor, without a pixel."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from geomeld.build.config import BuildConfig


@dataclass(frozen=True)
class Options:
    """Choose the scenes of every anchor: in bulk from files of STAC items, through a source for what they lack, or
    through a source alone. Run again after any interruption it asks for nothing twice."""

    out: Path
    """File to write, e.g. plan.parquet."""
    anchors: Path | None = None
    """CSV or (Geo)Parquet of places."""
    items: tuple[str, ...] = ()
    """STAC-GeoParquet files of items: paths, globs in quotes or http(s) addresses, e.g. 's2/*.parquet' 's1/*.parquet';
    'sentinel2=FILE' for one that does not name its collection. Newline-delimited JSON will do, too."""
    source: str | None = None
    """What fills the gaps of the items, or serves everything without them: simulated, simulated:SEED, stac:PATH-OR-URL
    (also with ,osm=EXTRACT). Simulated without items."""
    workers: int = 2
    """Processes that ask a source."""
    report: bool = False
    """Write a page of the plan's distributions beside it (plan.html); alone, with --out, of a plan that is there."""
    json: Annotated[bool, tyro.conf.arg(name="json")] = False
    """Print the summary as JSON."""
    config: tyro.conf.OmitArgPrefixes[BuildConfig] = field(default_factory=BuildConfig)


def main(argv: list[str]) -> int:
    """Run the verb."""
    import json

    options = tyro.cli(Options, args=argv, prog="geomeld plan")
    from geomeld.build.plan.summary import summary_of
    from geomeld.core.errors import UsageError

    if options.anchors is None and not options.report:
        raise UsageError("Give --anchors FILE, or --report for a page of the plan that --out names.")
    remarks = _planned(options) if options.anchors is not None else []
    summary = summary_of(options.out)
    if options.report:
        from geomeld.figures.plan_page import write_plan_page

        report = write_plan_page(summary, options.out.with_suffix(".html"))
    if options.json:
        print(json.dumps(summary.as_json()))
        return 0 if summary.planned else 1
    print(f"{summary.planned} of {summary.anchors} anchors planned -> {options.out}")
    for stage, count in summary.stages.most_common():
        print(f"  {count:6} found within {stage}")
    for name, (tiles, scenes) in summary.modalities.items():
        print(f"  {tiles:6} with {name} ({scenes} scenes)")
    for reason, count in summary.reasons.most_common(20):
        print(f"  {count:6} left out: {reason}")
    for remark in remarks:
        print(f"  {remark}")
    if options.report:
        print(f"report -> {report}")
    return 0 if summary.planned else 1


def _planned(options: Options) -> list[str]:
    """Write the plan; returns what there is to say about the items."""
    from geomeld.build.anchors.columns import read_columns
    from geomeld.build.plan.run import plan_with_items, plan_with_source
    from geomeld.sources import open_source

    config = options.config
    assert options.anchors is not None
    anchors = read_columns(options.anchors, seed=config.seed, years=config.years)
    keep = options.out.with_name(f".{options.out.name}.answers")
    if options.items:
        source = open_source(options.source) if options.source else None
        return plan_with_items(anchors, options.items, options.out, config, source, options.workers, keep)
    source = open_source(options.source or "simulated")
    return plan_with_source(anchors, source, options.out, config, options.workers, keep)
