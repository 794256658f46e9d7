"""`geomeld check`: a dataset held against the contract."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """List every violation in a dataset, and how it differs from what `geomeld build` writes without being wrong; exit
    code 1 if there is any violation."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of the dataset."""
    json: bool = False
    """Print violations and notes as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld check")
    from geomeld.core.errors import GeoMeldError
    from geomeld.dataset import open_dataset
    from geomeld.dataset.check import check
    from geomeld.dataset.variants import deviations

    found = check(options.dataset)
    try:
        notes = deviations(open_dataset(options.dataset))
    except GeoMeldError:
        notes = []  # what cannot be opened is among the violations
    if options.json:
        print(json.dumps({"violations": found, "notes": notes}))
        return 1 if found else 0
    for note in notes:
        print(f"note: {note}")
    for problem in found:
        print(problem)
    print(f"{len(found)} violations in {options.dataset}" if found else f"{options.dataset}: nothing is wrong")
    return 1 if found else 0
