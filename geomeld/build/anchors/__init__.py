"""Anchors: where and when tiles are wanted; imported, sampled, thinned, and written with where each one came from."""

from geomeld.build.anchors.table import (
    checked,
    read_anchors,
    reference_date,
    sampled_anchors,
    write_anchors,
)

__all__ = ["checked", "read_anchors", "reference_date", "sampled_anchors", "write_anchors"]
