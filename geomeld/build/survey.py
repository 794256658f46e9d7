"""Survey: what a finished dataset holds, shard by shard on all processes: statistics, and products of layers."""

from collections import Counter
from pathlib import Path

from geomeld.core.pool import Engine, in_order
from geomeld.dataset.index import load_index
from geomeld.dataset.sample import decode
from geomeld.dataset.statistics import BandStatistics, ClassCounts, layer_statistics, merge
from geomeld.modalities import MODALITIES

Statistics = dict[str, BandStatistics | ClassCounts]
Products = dict[str, dict[str, int]]
"""By modality: tiles per product that was read."""


def survey(out: Path, workers: int, engine: Engine) -> tuple[Statistics, Products]:
    """(statistics over valid pixels, tiles per product) by modality; the same for any number of workers."""
    statistics: Statistics = {}
    products: dict[str, Counter[str]] = {}
    shards = sorted(out.resolve().glob("*.tar"))
    for some, counted in in_order(_of_shard, shards, min(workers, len(shards)), preload=(__name__,), engine=engine):
        for name, found in some.items():
            statistics[name] = merge(statistics.get(name), found)
        for name, count in counted.items():
            products.setdefault(name, Counter()).update(count)
    ordered = {n: statistics[n] for n in MODALITIES if n in statistics}
    return ordered, {n: dict(sorted(c.items())) for n, c in sorted(products.items())}


def _of_shard(shard: Path) -> tuple[Statistics, dict[str, Counter[str]]]:
    statistics: Statistics = {}
    products: dict[str, Counter[str]] = {}
    with shard.open("rb") as file:
        for member in load_index(shard).members:
            file.seek(member.offset)
            for name, layer in decode(file.read(member.size)).layers.items():
                statistics[name] = merge(statistics.get(name), layer_statistics(MODALITIES[name], layer))
                products.setdefault(name, Counter())[layer.product] += 1
    return statistics, products
