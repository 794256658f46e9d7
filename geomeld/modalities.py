"""THE TABLE: every modality as one entry; file format, statistics, model heads, losses and docs follow from it."""

from geomeld.core.modality import Categorical, Continuous, LandClass, Modality, Resampling, Timing

NAN = float("nan")

SENTINEL2_BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
"""Sentinel-2 L2A bands in stored order (B10 holds no surface signal and is dropped)."""

WORLDCOVER_CLASSES = (
    LandClass(10, "Tree cover", "#006400"),
    LandClass(20, "Shrubland", "#ffbb22"),
    LandClass(30, "Grassland", "#ffff4c"),
    LandClass(40, "Cropland", "#f096ff"),
    LandClass(50, "Built-up", "#fa0000"),
    LandClass(60, "Bare / sparse vegetation", "#b4b4b4"),
    LandClass(70, "Snow and ice", "#f0f0f0"),
    LandClass(80, "Permanent water bodies", "#0064c8"),
    LandClass(90, "Herbaceous wetland", "#0096a0"),
    LandClass(95, "Mangroves", "#00cf75"),
    LandClass(100, "Moss and lichen", "#fae6a0"),
)
"""ESA WorldCover legend (product user manual, table 2)."""

DYNAMIC_WORLD_CLASSES = (
    LandClass(1, "Water", "#419bdf"),
    LandClass(2, "Trees", "#397d49"),
    LandClass(3, "Grass", "#88b053"),
    LandClass(4, "Flooded vegetation", "#7a87c6"),
    LandClass(5, "Crops", "#e49635"),
    LandClass(6, "Shrub and scrub", "#dfc35a"),
    LandClass(7, "Built", "#c4281b"),
    LandClass(8, "Bare", "#a59b8f"),
    LandClass(9, "Snow and ice", "#b39fe1"),
)
"""Dynamic World legend, shifted by one so that 0 is free for no data (raw labels are 0..8)."""

MODALITIES: dict[str, Modality] = {
    m.name: m
    for m in (
        Modality(
            name="sentinel2",
            title="Sentinel-2 L2A",
            bands=SENTINEL2_BANDS,
            kind=Continuous(unit="surface reflectance x 10000", display=(0.0, 3000.0)),
            gsd=10.0,
            resampling=Resampling.BILINEAR,
            timing=Timing.REFERENCE,
            dtype="float32",
            no_data=NAN,
            also_no_data=(0.0,),
            composite=("B4", "B3", "B2"),
        ),
        Modality(
            name="sentinel1",
            title="Sentinel-1 backscatter",
            bands=("VV_asc", "VH_asc", "HH_asc", "HV_asc", "VV_desc", "VH_desc", "HH_desc", "HV_desc"),
            kind=Continuous(unit="dB", display=(-25.0, 0.0)),
            gsd=10.0,
            resampling=Resampling.BILINEAR,
            timing=Timing.NEAREST,
            dtype="float32",
            no_data=NAN,
            linear_power=True,
        ),
        Modality(
            name="naip",
            title="NAIP orthophoto",
            bands=("R", "G", "B"),
            kind=Continuous(unit="digital number, 8 bit", display=(0.0, 255.0)),
            gsd=1.0,
            resampling=Resampling.AVERAGE_WHEN_COARSENING,
            timing=Timing.ANCHOR,
            dtype="uint16",
            no_data=0,
            composite=("R", "G", "B"),
        ),
        Modality(
            name="aster",
            title="ASTER elevation",
            bands=("elevation", "slope"),
            kind=Continuous(unit="m; degrees", display=(0.0, 3000.0)),
            gsd=10.0,
            resampling=Resampling.BILINEAR,
            timing=Timing.STATIC,
            dtype="float32",
            no_data=NAN,
            also_no_data=(-9999.0,),
        ),
        Modality(
            name="canopy_height",
            title="ETH canopy height 2020",
            bands=("height", "stddev"),
            kind=Continuous(unit="m", display=(0.0, 40.0)),
            gsd=10.0,
            resampling=Resampling.BILINEAR,
            timing=Timing.STATIC,
            dtype="float32",
            no_data=NAN,
            also_no_data=(255.0,),
        ),
        Modality(
            name="esa_worldcover",
            title="ESA WorldCover 2020",
            bands=("esa_label",),
            kind=Categorical(WORLDCOVER_CLASSES),
            gsd=10.0,
            resampling=Resampling.NEAREST,
            timing=Timing.STATIC,
            dtype="uint8",
            no_data=0,
            also_no_data=(255,),
        ),
        Modality(
            name="dynamic_world",
            title="Dynamic World",
            bands=("dw_label",),
            kind=Categorical(DYNAMIC_WORLD_CLASSES),
            gsd=10.0,
            resampling=Resampling.NEAREST,
            timing=Timing.MODE,
            dtype="uint8",
            no_data=0,
        ),
        Modality(
            name="surface_water",
            title="JRC surface water occurrence",
            bands=("occurrence",),
            kind=Continuous(unit="% of observations", display=(0.0, 100.0)),
            gsd=10.0,
            resampling=Resampling.NEAREST,
            timing=Timing.STATIC,
            dtype="uint8",
            no_data=255,
            published=False,
        ),
    )
}
"""Every modality by name. `surface_water` is this project's addition: the published water analysis needs it, the
published files do not carry it."""

TARGETS = ("sentinel2", "sentinel1", "aster", "canopy_height", "dynamic_world", "esa_worldcover")
"""The six target modalities of GeoMeld-FM (paper 4.2)."""
