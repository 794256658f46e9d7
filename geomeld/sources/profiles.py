"""Profiles: under which names, and coded how, STAC catalogues hold each modality."""

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pystac

from geomeld.core.modality import Modality

PROVIDERS: Mapping[str, str] = {
    "planetary-computer": "https://planetarycomputer.microsoft.com/api/stac/v1",
    "earth-search": "https://earth-search.aws.element84.com/v1",
    "cdse": "https://stac.dataspace.copernicus.eu/v1",
}
"""Addresses of well-known STAC APIs by short names."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How one modality is found in a catalogue and read; a fact sheet, no code."""

    modality: str
    collections: tuple[str, ...]
    """Identifiers of collections that serve it; the first one that a catalogue has is taken."""
    title: str
    """The product, where the collection states no title."""
    assets: Mapping[str, tuple[str, ...]]
    """Asset names by band, the first one that an item has; bands of Sentinel-1 stand without their orbit suffix."""
    stacked: bool = False
    """All bands lie in one file, in the order of `assets`; else each is the first band of its own file."""
    derived: Mapping[str, str] = field(default_factory=dict)
    """Bands that no file carries, by the band whose slope they are."""
    nodata: float | None = None
    """Stored value of a missing pixel in files without a tag of their own."""
    note: str = ""
    """What is done to the values, for `Layer.product`."""
    baselines: bool = False
    """Stored values carry the Sentinel-2 offset of -1000 from processing baseline 04.00 on (ESA, January 2022)."""
    year: int | None = None
    """The only year wanted of a collection with one map per year."""
    classification: tuple[str, ...] = ()
    """Asset names of the scene's own classification of clouds."""

    def collection_of(self, there: Mapping[str, object]) -> str | None:
        """The first of its collections that a catalogue has."""
        return next((c for c in self.collections if c in there), None)

    def position(self, band: str) -> int:
        """Index of a band in its file, from 1."""
        return list(self.assets).index(band) + 1 if self.stacked else 1


SCL_UNUSABLE = (0, 1, 3, 8, 9, 10)
"""Codes of the Sentinel-2 scene classification without a view of the ground: no data, saturated, cloud shadow, clouds,
cirrus (Sen2Cor; ESA Level-2A product definition)."""

CHANGEOVER = dt.datetime(2022, 1, 25, tzinfo=dt.UTC)
"""When processing baseline 04.00 came into use."""

_SENTINEL2 = {
    "B1": "coastal",
    "B2": "blue",
    "B3": "green",
    "B4": "red",
    "B5": "rededge1",
    "B6": "rededge2",
    "B7": "rededge3",
    "B8": "nir",
    "B8A": "nir08",
    "B9": "nir09",
    "B11": "swir16",
    "B12": "swir22",
}
"""Names that Earth Search gives to the bands; most others write B01 or B1."""


_METRES = {"B1": 60, "B5": 20, "B6": 20, "B7": 20, "B8A": 20, "B9": 60, "B11": 20, "B12": 20}
"""Native pixels of the bands that are not of 10 m: the Copernicus Data Space has each band at several."""


def _sentinel2_assets() -> dict[str, tuple[str, ...]]:
    padded = {b: f"B{int(b[1:]):02d}" if b[1:].isdigit() else b for b in _SENTINEL2}
    return {b: (padded[b], b, word, f"{padded[b]}_{_METRES.get(b, 10)}m") for b, word in _SENTINEL2.items()}


PROFILES: dict[str, Profile] = {
    p.modality: p
    for p in (
        Profile(
            "sentinel2",
            ("sentinel-2-l2a", "sentinel-2-c1-l2a"),
            "Sentinel-2 L2A",
            _sentinel2_assets(),
            nodata=0,
            baselines=True,
            classification=("SCL", "scl", "SCL_20m"),
        ),
        Profile(
            "sentinel1",
            ("sentinel-1-rtc",),
            "Sentinel-1 RTC gamma0",
            {"VV": ("vv", "VV"), "VH": ("vh", "VH"), "HH": ("hh", "HH"), "HV": ("hv", "HV")},
            nodata=-32768.0,
            note="linear power to dB",
        ),
        Profile(
            "naip",
            ("naip",),
            "NAIP orthophoto",
            {"R": ("image",), "G": ("image",), "B": ("image",)},
            stacked=True,
            # The collar around a photograph is black in all bands and rarely tagged.
            nodata=0,
        ),
        Profile(
            "aster",
            ("aster-gdem", "cop-dem-glo-30"),
            "elevation model",
            {"elevation": ("elevation", "data")},
            derived={"slope": "elevation"},
            nodata=-9999.0,
        ),
        Profile(
            "canopy_height",
            ("eth-canopy-height",),
            "ETH canopy height 2020",
            {"height": ("height",), "stddev": ("stddev",)},
            nodata=255,
        ),
        Profile("esa_worldcover", ("esa-worldcover",), "ESA WorldCover", {"esa_label": ("map",)}, nodata=0, year=2020),
        Profile(
            "dynamic_world", ("dynamic-world",), "Dynamic World, labels 1 to 9", {"dw_label": ("label",)}, nodata=0
        ),
        Profile("surface_water", ("jrc-gsw",), "JRC surface water", {"occurrence": ("occurrence",)}, nodata=255),
    )
}
"""Every profile by the modality that it serves."""


def baseline_of(item: pystac.Item) -> str | None:
    """Version of ESA's processing that made a Sentinel-2 item, e.g. "04.00"; None where it is not stated."""
    given = item.properties
    return given.get("s2:processing_baseline") or given.get("processing:version")


def offset_of(item: pystac.Item, assets: Iterable[str]) -> tuple[int, str]:
    """(what must be added to Sentinel-2 reflectance x 10000 as stored, in words why).

    -1000 from processing baseline 04.00 on, 0 before it and where the provider states that it has been applied. An item
    without a baseline goes by the offset and scale that its assets state, and then by its date: ESA changed over on 25
    January 2022.
    """
    baseline = baseline_of(item)
    if baseline:
        applied = bool(item.properties.get("earthsearch:boa_offset_applied"))
        return -1000 if str(baseline) >= "04.00" and not applied else 0, f"baseline {baseline}"
    stated = {o for name in assets if name in item.assets and (o := _stated(item.assets[name])) is not None}
    if len(stated) == 1:
        (offset,) = stated
        return offset, f"offset {offset} as its assets state, no baseline"
    moment = item.datetime or item.common_metadata.start_datetime
    offset = -1000 if moment is not None and moment.astimezone(dt.UTC) >= CHANGEOVER else 0
    return offset, f"offset {offset} by its date, no baseline"


def _stated(asset: pystac.Asset) -> int | None:
    """The offset of an asset of one band in stored units, as STAC 1.0 or 1.1 states it; None where it states none."""
    given = asset.extra_fields
    for band in (*given.get("raster:bands", ()), *given.get("bands", ()), given):
        offset, scale = (band.get(k, band.get(f"raster:{k}")) for k in ("offset", "scale"))
        if offset is not None and scale:
            return round(offset / scale)
    return None


def bands_of(profile: Profile, modality: Modality, suffix: str) -> dict[str, str]:
    """Band of the modality by the profile's name for it, for scenes whose orbit adds `suffix`."""
    return {b: b + suffix for b in profile.assets if b + suffix in modality.bands}
