"""`geomeld doctor`: what is wrong with a raster file or a dataset, by its pixels, and a corrected copy."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

if TYPE_CHECKING:
    from geomeld.doctor.run import Report

RASTERS = (".tif", ".tiff", ".vrt", ".jp2", ".img", ".nc")


@dataclass(frozen=True)
class Options:
    """Find wrong units, the offset of +1000, swapped bands, unmarked no-data and north-down rasters; exit code 1 if
    there are any."""

    path: Annotated[str, tyro.conf.Positional]
    """A raster file, or the folder or address of a dataset."""
    fix: Path | None = None
    """Write a corrected copy there (a GeoTIFF, or a folder of shards); the original stays as it is."""
    json: bool = False
    """Print the findings as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld doctor")
    from tqdm import tqdm

    from geomeld.dataset import open_dataset
    from geomeld.doctor.run import examine_dataset, examine_file

    path = Path(options.path)
    if path.suffix.lower() in RASTERS or (path.is_file() and path.suffix.lower() != ".tar"):
        reports = [examine_file(path)]
        if options.fix is not None:
            return _mended_file(path, options.fix)
    else:
        dataset = open_dataset(options.path)
        if options.fix is not None:
            return _mended_dataset(options.path, options.fix)
        reports = list(tqdm(examine_dataset(dataset), desc="doctor", unit=" findings", dynamic_ncols=True))
    if options.json:
        from geomeld.core.config import to_json

        print(json.dumps(to_json(reports)))
    else:
        _print(reports, options.path)
    return 1 if any(r.faults for r in reports) else 0


def _mended_file(path: Path, out: Path) -> int:
    from geomeld.doctor.cure import cure_file

    for finding in cure_file(path, out):
        print(f"mended: {finding.symptom}")
    print(f"corrected copy -> {out}")
    return 0


def _mended_dataset(path: str, out: Path) -> int:
    from geomeld.dataset import open_dataset
    from geomeld.doctor.cure import cure_dataset

    for symptom, n in cure_dataset(open_dataset(path), out).items():
        print(f"mended: {symptom} in {n} layers")
    print(f"corrected copy -> {out}")
    return 0


def _print(reports: Sequence["Report"], path: str) -> None:
    """Each symptom once, with how often it was met and the first explanation."""
    met = Counter((r.layer, f.symptom, f.sure) for r in reports for f in r.findings)
    first = {(r.layer, f.symptom): (r.where, f) for r in reversed(reports) for f in r.findings}
    for (layer, symptom, sure), n in met.most_common():
        where, finding = first[layer, symptom]
        times = f" ({n} tiles, first {where})" if layer else ""
        print(f"{'FAULT' if sure else 'open '} {layer + ': ' if layer else ''}{symptom}{times}")
        print(f"      {finding.explanation}")
    curable = {f.symptom for r in reports for f in r.faults if f.cure != "none"}
    if curable:
        print(f"A corrected copy ({', '.join(sorted(curable))}): geomeld doctor {path} --fix OUT")
    if not met:
        print(f"{path}: nothing is wrong")
