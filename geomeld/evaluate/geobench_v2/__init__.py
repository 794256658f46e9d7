"""GEO-Bench v2: its sets of Sentinel-2 read straight from their tortilla files, without a package of the benchmark."""

from geomeld.evaluate.geobench_v2.reader import GeoBenchV2, open_set_v2, sets_in
from geomeld.evaluate.geobench_v2.sets import SETS_V2, TortillaSet

__all__ = ["SETS_V2", "GeoBenchV2", "TortillaSet", "open_set_v2", "sets_in"]
