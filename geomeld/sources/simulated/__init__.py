"""A simulated Earth: every product for any place and date, without a network, and a truth to measure against."""

from geomeld.sources.simulated.source import SimulatedSource

__all__ = ["SimulatedSource"]
