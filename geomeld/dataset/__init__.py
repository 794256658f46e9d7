"""Tiles on disk: sample file, shards, index, manifest, statistics, check."""

from geomeld.dataset.dataset import Dataset, open_dataset, update_metadata, write_dataset
from geomeld.dataset.statistics import BandStatistics, ClassCounts

__all__ = ["BandStatistics", "ClassCounts", "Dataset", "open_dataset", "update_metadata", "write_dataset"]
