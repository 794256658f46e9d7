"""Where pixels and map features come from, behind one protocol; `open_source` turns a command-line word into one."""

import re

from geomeld.core.errors import UsageError
from geomeld.sources.source import Feature, Scene, Source

__all__ = ["FORMS", "Feature", "Scene", "Source", "open_source"]

FORMS = "simulated, simulated:SEED, stac:PATH-OR-URL-OF-A-CATALOGUE or ee:PROJECT-OF-EARTH-ENGINE"
"""What a source may be, in words."""


def open_source(spec: str) -> Source:
    """A source from its command-line form: one of `FORMS`, followed by products and a map from elsewhere, if wanted, as
    in "stac:URL,worldcover-2020=FOLDER,canopy-height=public,osm=EXTRACT" (see `Mosaic` and `OpenStreetMap`); a STAC API
    goes by its name too (`PROVIDERS`), and by "tokens=URL" for one whose files want signing (see `Signing`).

    Raises UsageError for anything else.
    """
    words, *parts = re.split(r",(?=[a-z0-9-]+=)", spec)
    signs = [part for part in parts if part.startswith("tokens=")]
    main = _main(words, signs)
    parts = [part for part in parts if part not in signs]
    if not parts:
        return main
    from geomeld.sources.complemented import Complemented
    from geomeld.sources.mosaics import Mosaic
    from geomeld.sources.openstreetmap import OpenStreetMap

    mosaics, maps = [], []
    for part in parts:
        name, _, place = part.partition("=")
        if not place:
            raise UsageError(f"{part!r} in --source {spec!r} names no place; write PRODUCT=FOLDER or osm=EXTRACT.")
        if name == "osm":
            maps.append(OpenStreetMap(place))
        else:
            mosaics.append(Mosaic(name, place))
    if len(maps) > 1:
        raise UsageError(f"--source {spec!r} names {len(maps)} maps; a dataset has one (osmium merges extracts).")
    return Complemented(main, tuple(mosaics), maps[0] if maps else None)


def _main(words: str, signs: list[str]) -> Source:
    kind, _, rest = words.partition(":")
    if signs and kind != "stac":
        raise UsageError(f"{signs[0]!r} signs the files of a STAC catalogue; {words!r} is none.")
    if kind == "simulated":
        from geomeld.sources.simulated import SimulatedSource

        try:
            return SimulatedSource(seed=int(rest or 0))
        except ValueError:
            raise UsageError(f"The seed in --source {words!r} is not a whole number; write simulated:7.") from None
    if kind == "stac" and rest:
        from geomeld.sources.profiles import PROVIDERS
        from geomeld.sources.stac import StacSource

        return StacSource(PROVIDERS.get(rest, rest), tokens=signs[0].partition("=")[2] if signs else None)
    if kind == "ee" and rest:
        from geomeld.sources.earth_engine import EarthEngineSource

        project, _, url = rest.partition("@")  # another endpoint than the usual one
        return EarthEngineSource(project, url) if url else EarthEngineSource(project)
    raise UsageError(f"Unknown source {words!r}; use {FORMS}.")
