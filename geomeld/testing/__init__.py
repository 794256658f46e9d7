"""Fakes that ship: small tiles, sources that fail on purpose, and tiny datasets for tests."""

from geomeld.testing.datasets import tiny_dataset
from geomeld.testing.sources import FakeSource
from geomeld.testing.tiles import fake_layer, fake_tile

__all__ = ["FakeSource", "fake_layer", "fake_tile", "tiny_dataset"]
