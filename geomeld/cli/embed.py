"""`geomeld embed`: the tiles of a dataset to an index of embeddings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """Embed every tile of a dataset, for `geomeld search`."""

    dataset: Annotated[Path, tyro.conf.Positional]
    """Folder of the dataset."""
    model: Path
    """Folder of the checkpoint."""
    out: Path
    """Folder of the index."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld embed")
    from geomeld.dataset import open_dataset
    from geomeld.search.index import embed

    index = embed(open_dataset(options.dataset), options.model, options.out)
    print(
        f"{index.meta['tiles']} tiles, {index.meta['dimensions']} dimensions, "
        f"{index.meta['left_out']} left out -> {options.out}"
    )
    return 0
