"""`geomeld evaluate`: a checkpoint on held-out tiles, to scores.jsonl."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """Retrieval both ways and a linear probe of land cover, on the tiles that training has not seen."""

    checkpoint: Annotated[Path, tyro.conf.Positional]
    """Folder of the checkpoint."""
    data: Path
    """Folder of the dataset."""
    out: Path
    """Folder for scores.jsonl."""
    json: bool = False
    """Print the rows as JSON lines."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld evaluate")
    from geomeld.dataset import open_dataset
    from geomeld.evaluate.run import evaluate

    rows = evaluate(options.checkpoint, open_dataset(options.data), options.out)
    for row in rows:
        if options.json:
            print(json.dumps(asdict(row)))
        else:
            print(
                f"{row.task:38} {row.metric:18} {row.value:.3f}   {row.baseline_name} {row.baseline:.3f}   n = {row.n}"
            )
    return 0
