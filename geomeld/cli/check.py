"""`geomeld check`: a dataset held against the contract."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """List every violation in a dataset; exit code 1 if there is any."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of the dataset."""
    json: bool = False
    """Print the violations as a JSON list."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld check")
    from geomeld.dataset.check import check

    found = check(options.dataset)
    if options.json:
        print(json.dumps(found))
    else:
        for problem in found:
            print(problem)
        print(f"{len(found)} violations in {options.dataset}" if found else f"{options.dataset}: nothing is wrong")
    return 1 if found else 0
