"""`geomeld search`: a text, or a tile, to the tiles that fit it best."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """Find tiles by a text, or tiles like a tile."""

    index: Annotated[Path, tyro.conf.Positional]
    """Folder of the index."""
    text: Annotated[str, tyro.conf.Positional] = ""
    """What to look for, e.g. "a river between green fields"."""
    like: int | None = None
    """Id of a tile of the index: find tiles like it."""
    top: int = 5
    """How many."""
    model: Path | None = None
    """Folder of the checkpoint, where it has moved since the index was made."""
    json: bool = False
    """Print the hits as JSON lines."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld search")
    from geomeld.core.errors import UsageError
    from geomeld.search.index import open_index

    if bool(options.text.strip()) == (options.like is not None):
        raise UsageError("Give a text to look for, or --like TILE_ID.")
    if options.top < 1:
        raise UsageError(f"--top is {options.top}; it is at least 1.")
    index = open_index(options.index)
    query = index.vector_of(options.like) if options.like is not None else index.encode(options.text, options.model)
    for hit in index.nearest(query, options.top):
        if options.json:
            print(json.dumps(asdict(hit)))
        else:
            print(
                f"{hit.rank:3}  {hit.score:6.3f}  {hit.tile_id:<20} {hit.lat:9.4f} {hit.lon:10.4f}  "
                f"{hit.date}  {hit.caption}"
            )
    return 0
