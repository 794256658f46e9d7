"""`geomeld export`: a dataset in the published form."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """Write a dataset as the published files are: shards of HDF5 samples, *_n.tar with nine bands of Sentinel-2 where a
    1 m photograph shows the others, and data/{naip,non_naip}_metadata.parquet."""

    dataset: Annotated[str, tyro.conf.Positional]
    """Folder or address of the dataset."""
    out: Path
    """Folder of the export, new or of an export that was interrupted."""
    shard_size: int = 64
    """Tiles per shard."""
    json: bool = False
    """Print what was written as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld export")
    from geomeld.core.config import to_json
    from geomeld.dataset import open_dataset
    from geomeld.dataset.export import export

    written = export(open_dataset(options.dataset), options.out, shard_size=options.shard_size)
    if options.json:
        print(json.dumps(to_json(written)))
    else:
        print(f"{written.tiles} tiles ({written.with_photograph} with a photograph) in {len(written.shards)} shards")
        print(f"export -> {options.out}")
    return 0
