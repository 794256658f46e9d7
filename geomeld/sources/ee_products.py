"""Earth Engine's products: under which names it holds each modality; a table of facts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Product:
    """How one modality is found on Earth Engine and read; a fact sheet, no code."""

    modality: str
    asset: str
    """Image, or collection of images, that scenes are listed of."""
    title: str
    """Product, and what is done to its values."""
    bands: Mapping[str, str]
    """Its bands by those of the modality; bands of Sentinel-1 stand without their orbit suffix."""
    kind: str = "dated"
    """"dated": a collection with an image per acquisition; "image": one image; "single": a collection of one image."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Assets of bands that lie in another one."""
    derived: Mapping[str, str] = field(default_factory=dict)
    """Bands that no asset carries, by the band whose slope they are."""
    filter: str = ""
    """Condition on the properties of images."""
    nodata: float | None = None
    """Value of a missing pixel that is not masked."""
    masked: float | None = None
    """What a masked pixel inside the product means, where it means something."""
    shift: int = 0
    """Added to the values."""
    baseline: str = ""
    """Property with the version of the processing."""


PRODUCTS: dict[str, Product] = {
    p.modality: p
    for p in (
        Product(
            "sentinel2",
            "COPERNICUS/S2_SR_HARMONIZED",
            "Earth Engine COPERNICUS/S2_SR_HARMONIZED (L2A, offset removed by the provider)",
            {b: b for b in ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")},
            nodata=0,
            baseline="PROCESSING_BASELINE",
        ),
        Product(
            "sentinel1",
            # Linear power, so that what is averaged is not decibels; S1_GRD holds the same in dB.
            "COPERNICUS/S1_GRD_FLOAT",
            "Earth Engine COPERNICUS/S1_GRD_FLOAT (GRD, terrain-corrected, not flattened), linear power to dB",
            {b: b for b in ("VV", "VH", "HH", "HV")},
            filter='properties.instrumentMode = "IW"',
        ),
        Product("naip", "USDA/NAIP/DOQQ", "Earth Engine USDA/NAIP/DOQQ", {b: b for b in "RGB"}),
        Product(
            "aster",
            "projects/sat-io/open-datasets/ASTER/GDEM",
            "ASTER GDEM v3 (Earth Engine community asset)",
            {"elevation": "b1"},
            kind="image",
            derived={"slope": "elevation"},
            nodata=-9999,
        ),
        Product(
            "canopy_height",
            "users/nlang/ETH_GlobalCanopyHeight_2020_10m_v1",
            "ETH canopy height 2020 (Earth Engine)",
            {"height": "b1", "stddev": "b1"},
            kind="image",
            elsewhere={"stddev": "users/nlang/ETH_GlobalCanopyHeightSD_2020_10m_v1"},
            nodata=255,
        ),
        Product(
            "esa_worldcover",
            "ESA/WorldCover/v100",
            "ESA WorldCover 2020 v100 (Earth Engine)",
            {"esa_label": "Map"},
            kind="single",
        ),
        Product(
            "dynamic_world",
            "GOOGLE/DYNAMICWORLD/V1",
            "Earth Engine GOOGLE/DYNAMICWORLD/V1, labels 1 to 9",
            {"dw_label": "label"},
            shift=1,
        ),
        Product(
            "surface_water",
            "JRC/GSW1_4/GlobalSurfaceWater",
            "JRC Global Surface Water v1.4, occurrence 1984-2021 (Earth Engine)",
            {"occurrence": "occurrence"},
            kind="image",
            masked=0,  # never water
        ),
    )
}
"""Every product by the modality that it serves."""
