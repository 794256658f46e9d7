"""`geomeld stats`: statistics of a dataset and its report with figures."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """Print statistics over valid pixels and write report.html into the dataset's folder."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of the dataset."""
    out: Path | None = None
    """File of the report; report.html in the dataset's folder if not given."""
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

    dataset = open_dataset(options.dataset)
    if dataset.address is not None and options.out is None:
        raise UsageError(f"{dataset.address} cannot be written to; say where the report goes: --out report.html.")
    statistics = dataset.statistics()
    report = write_stats_page(dataset, options.out or options.dataset / "report.html")
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
    print(f"report -> {report}")
    return 0
