"""Where pixels and map features come from, behind one protocol; `open_source` turns a command-line word into one."""

from geomeld.core.errors import UsageError
from geomeld.sources.source import Feature, Scene, Source

__all__ = ["Feature", "Scene", "Source", "open_source"]


def open_source(spec: str) -> Source:
    """A source from its command-line form: "simulated", "simulated:SEED", "stac:PATH-OR-URL" or, with map features
    from an OpenStreetMap extract, "stac:PATH-OR-URL,osm=PATH-OR-URL".

    Raises UsageError for any other word.
    """
    kind, _, rest = spec.partition(":")
    if kind == "simulated":
        from geomeld.sources.simulated import SimulatedSource

        try:
            return SimulatedSource(seed=int(rest or 0))
        except ValueError:
            raise UsageError(
                f"The seed in --source {spec!r} is not a whole number; write for example simulated:7."
            ) from None
    if kind == "stac" and rest:
        from geomeld.sources.stac import StacSource

        href, _, extract = rest.partition(",osm=")
        return StacSource(href, extract or None)
    raise UsageError(
        f"Unknown source {spec!r}; use simulated, simulated:SEED, stac:PATH-OR-URL-OF-A-CATALOGUE or "
        "stac:PATH-OR-URL-OF-A-CATALOGUE,osm=PATH-OR-URL-OF-A-MAP."
    )
