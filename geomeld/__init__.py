"""GeoMeld: aligned multi-sensor tiles, verified captions and the GeoMeld-FM foundation model."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from geomeld.dataset import Dataset, open_dataset
    from geomeld.models.weights import load_model

__all__ = ["Dataset", "load_model", "open_dataset"]

_PUBLIC = {
    "Dataset": "geomeld.dataset",
    "open_dataset": "geomeld.dataset",
    "load_model": "geomeld.models.weights",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use: `import geomeld` stays cheap, and data work never needs torch."""
    if name in _PUBLIC:
        import importlib

        return getattr(importlib.import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'geomeld' has no attribute {name!r}")
