"""`geomeld stats`: statistics of a dataset and its report with figures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from geomeld.dataset import Dataset


@dataclass(frozen=True)
class Options:
    """Print statistics over valid pixels and write report.html into the dataset's folder."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of the dataset."""
    out: Path | None = None
    """File of the report; report.html in the dataset's folder if not given."""
    footprints: Path | None = None
    """Polygon file of places that models are evaluated on: which tiles come near to them, and a split that keeps its
    distance, in leakage.parquet beside the report."""
    buffer_m: float = 1280.0
    """Metres that training tiles keep from footprints and from held-out tiles."""
    held_out: float = 0.1
    """Share of the groups of overlapping tiles that the split holds out."""
    json: bool = False
    """Print the statistics as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld stats")
    from geomeld.core.config import to_json
    from geomeld.core.errors import UsageError
    from geomeld.dataset import BandStatistics, open_dataset
    from geomeld.figures.stats_page import write_stats_page
    from geomeld.modalities import MODALITIES

    if options.footprints is None and (options.held_out, options.buffer_m) != (Options.held_out, Options.buffer_m):
        raise UsageError("--held-out and --buffer-m are of the split that --footprints asks for; give it as well.")
    dataset = open_dataset(options.dataset)
    if dataset.address is not None and options.out is None:
        raise UsageError(f"{dataset.address} cannot be written to; say where the report goes: --out report.html.")
    statistics = dataset.statistics()
    report = options.out or Path(options.dataset) / "report.html"
    leakage = _leakage(dataset, options, report.with_name("leakage.parquet")) if options.footprints else None
    write_stats_page(dataset, report, leakage)
    if options.json:
        print(json.dumps(to_json(statistics)))
        return 0
    for name, found in statistics.items():
        modality = MODALITIES[name]
        print(modality.title)
        if isinstance(found, BandStatistics):
            for i, band in enumerate(modality.bands):
                row = (found.mean[i], found.std[i], found.min[i], found.max[i])
                print(f"  {band:10}" + "".join(f"{v:12.4g}" for v in row) + f"{found.count[i]:12d} valid")
        else:
            total = max(sum(found.counts), 1)
            classes = zip(modality.kind.classes, found.counts, strict=True)  # type: ignore[union-attr]
            print("  " + ", ".join(f"{c.name} {100 * n / total:.1f} %" for c, n in classes if n))
    if leakage is not None:
        print("leakage: " + ", ".join(f"{n} {split}" for split, n in leakage.items()))
    print(f"report -> {report}")
    return 0


def _leakage(dataset: "Dataset", options: Options, out: Path) -> dict[str, int]:
    """Audit a dataset, write the split and count its tiles."""
    import numpy as np

    from geomeld.build.anchors.exclusion import read_zones
    from geomeld.build.leakage import audit, write_audit

    assert options.footprints is not None
    places = {t: dataset.metadata(t) for t in dataset.tile_ids}
    lon, lat = (np.array([float(p[k]) for p in places.values()]) for k in ("long", "lat"))
    found = audit(list(places), lon, lat, read_zones(options.footprints), buffer_m=options.buffer_m,
                  held_out=options.held_out)  # fmt: skip
    write_audit(out, found)
    return found.counts()
