"""`geomeld pack`: a dataset to packed shards, made for training."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """Pack a dataset: the same tiles, bit by bit, in fewer bytes; every verb reads the packed folder as it reads the
    dataset."""

    dataset: Annotated[str, tyro.conf.Positional]
    """Folder of the dataset, or its address on a server."""
    out: Path
    """Folder of the packed dataset; a run that was interrupted goes on here."""
    workers: int = 1
    """Processes."""
    strict: bool = False
    """Fail at the first damaged tile instead of leaving it out."""
    json: bool = False
    """Print the summary as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld pack")
    from geomeld.core.config import to_json
    from geomeld.core.errors import UsageError
    from geomeld.dataset import open_dataset
    from geomeld.dataset.packing import pack

    if options.workers < 1:
        raise UsageError(f"--workers is {options.workers}; give a number of processes, at least 1.")
    done = pack(open_dataset(options.dataset), options.out, workers=options.workers, strict=options.strict)
    for reason in done.damaged.values():
        print(f"left out: {reason}", file=sys.stderr)
    if options.json:
        print(json.dumps(to_json(done)))
    else:
        share = done.bytes_after / max(done.bytes_before, 1)
        print(
            f"{done.tiles} tiles in {done.shards} shards, {done.bytes_after / 1e6:.1f} MB: {100 * share:.0f} % of "
            f"{done.bytes_before / 1e6:.1f} MB -> {options.out}"
        )
        if share > 0.8:
            print("Most bands hold no steps that integers could take: packing does not pay for this dataset.")
        if done.damaged:
            print(f"{len(done.damaged)} tiles could not be read and were left out", file=sys.stderr)
    return 0
