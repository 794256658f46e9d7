"""GEO-Bench v1.0: its twelve sets read straight from disk, every known trap of theirs handled."""

from geomeld.evaluate.geobench.fetch import Hub, fetch
from geomeld.evaluate.geobench.reader import GeoBench, open_set, partitions_of
from geomeld.evaluate.geobench.sets import SETS, BenchmarkSet
from geomeld.evaluate.scale import Scale
from geomeld.evaluate.task import Sample, TaskKind

__all__ = [
    "SETS",
    "BenchmarkSet",
    "GeoBench",
    "Hub",
    "Sample",
    "Scale",
    "TaskKind",
    "fetch",
    "open_set",
    "partitions_of",
]
