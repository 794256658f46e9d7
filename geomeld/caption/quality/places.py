"""Places: the tiles of a dataset with what was measured on them and what is so."""

from collections.abc import Callable, Sequence

from tqdm import tqdm

from geomeld import signals
from geomeld.caption.quality.tally import Place
from geomeld.core.caption import Signals
from geomeld.core.tile import Tile
from geomeld.dataset import Dataset

TruthOf = Callable[[Tile], Signals]
"""The true signals of a tile; handed in, for nothing that writes captions may know them."""


def places_of(dataset: Dataset, tile_ids: Sequence[int], truth_of: TruthOf) -> list[Place]:
    """Measure tiles as a caption run does, and ask for the truth of each."""
    out = []
    for tile_id in tqdm(tile_ids, desc="measure", unit="tile", dynamic_ncols=True):
        tile = dataset.read(tile_id, signals.MEASURED)
        out.append(Place(signals.measure(tile, dataset.layers_of(tile_id)), truth_of(tile)))
    return out
