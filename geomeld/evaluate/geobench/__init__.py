"""GEO-Bench v1.0: its twelve sets read straight from disk, every known trap of theirs handled."""

from geomeld.evaluate.geobench.fetch import Hub, fetch
from geomeld.evaluate.geobench.reader import GeoBench, Sample, open_set
from geomeld.evaluate.geobench.scale import Scale
from geomeld.evaluate.geobench.sets import SETS, BenchmarkSet, Task

__all__ = ["SETS", "BenchmarkSet", "GeoBench", "Hub", "Sample", "Scale", "Task", "fetch", "open_set"]
