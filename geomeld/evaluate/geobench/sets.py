"""THE TABLE of GEO-Bench v1.0: one record per set; the reader, the fixtures and `show` follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from geomeld.evaluate.task import TaskKind

VERSION = "1.0"


SENTINEL2 = {
    "01 - Coastal aerosol": "B1",
    "02 - Blue": "B2",
    "03 - Green": "B3",
    "04 - Red": "B4",
    "05 - Vegetation Red Edge": "B5",
    "06 - Vegetation Red Edge": "B6",
    "07 - Vegetation Red Edge": "B7",
    "08 - NIR": "B8",
    "08A - Vegetation Red Edge": "B8A",
    "09 - Water vapour": "B9",
    "10 - SWIR - Cirrus": "B10",
    "11 - SWIR": "B11",
    "12 - SWIR": "B12",
}
"""Name on disk -> this project's name."""

SURFACE = {name: band for name, band in SENTINEL2.items() if band != "B10"}
CLOUDS = {"Cloud Probability": "cloud_probability"}

SO2SAT = {
    "01 - VH.Real": "VH_real",
    "02 - VH.Imaginary": "VH_imaginary",
    "03 - VV.Real": "VV_real",
    "04 - VV.Imaginary": "VV_imaginary",
    "05 - VH.LEE Filtered": "VH_lee",
    "06 - VV.LEE Filtered": "VV_lee",
    "07 - VH.LEE Filtered.Real": "VHVV_lee_real",
    "08 - VV.LEE Filtered.Imaginary": "VHVV_lee_imaginary",
    **{name: band for name, band in SURFACE.items() if band not in ("B1", "B9")},
}
"""Radar in linear units, real and imaginary parts among them: none is a backscatter in dB, so none is named so."""

EUROSAT = {**SENTINEL2, **dict(zip(list(SENTINEL2)[8:], ("B9", "B10", "B11", "B12", "B8A"), strict=True))}
"""The files hold B8A last and were named as if it stood after B8 (ServiceNow/geo-bench issue 28)."""

BRICK_KILN = dict(
    zip(
        SENTINEL2,
        ("B1", "B2", "B3", "B4", "B5", "B7", "B8A", "B8", "B11", "B12", "TCI_R", "TCI_G", "TCI_B"),
        strict=True,
    )
)
"""What was exported, in that order, under the thirteen names of Sentinel-2 (ServiceNow/geo-bench issue 29)."""

LANDSAT = {"04 - Red": "L4", "03 - Green": "L3", "02 - Blue": "L2", "05 - NIR": "L5", "06 - SWIR1": "L6"}
FORESTNET = {**LANDSAT, "07 - SWIR2": "L7"}
PHOTO = {"Red": "R", "Green": "G", "Blue": "B"}


@dataclass(frozen=True)
class BenchmarkSet:
    """One set of the benchmark, as it lies on disk."""

    name: str
    """Its folder, e.g. "m-bigearthnet"."""
    kind: TaskKind
    classes: int
    """Number of classes."""
    size: int
    """Rows and columns of an image, pixels."""
    gsd: float
    """Pixel size, metres."""
    bands: Mapping[str, str]
    """Name of a band on disk (without a date) -> the name it deserves. Bands are chosen by it, never by position."""
    unit: float | None = None
    """What values are to be multiplied by to be surface reflectance x 10000; None where no factor is known, and
    statistics of other data must not be put on them."""
    splits: tuple[int, int, int] | None = None
    """Images of train, valid and test in the partition `default`, where they are certain."""
    unlabelled: int | None = None
    """Class that stands for missing data. The benchmark trains on it and scores it like any other."""
    neighbours: Mapping[str, str] = field(default_factory=dict)
    """Missing band -> the band that MMEarth's evaluation puts in its place."""
    class_names: tuple[str, ...] = ()
    """In order; empty where task_specs.pkl is to be asked."""
    traps: tuple[str, ...] = ()
    """What one should know before believing a score."""

    @property
    def folder(self) -> str:
        """Where it lies below the benchmark's folder, e.g. "classification_v1.0"."""
        return f"{'segmentation' if self.kind is TaskKind.SEGMENTATION else 'classification'}_v{VERSION}"


CLIMATE_ZONES = (
    "Compact high-rise",
    "Compact mid-rise",
    "Compact low-rise",
    "Open high-rise",
    "Open mid-rise",
    "Open low-rise",
    "Lightweight low-rise",
    "Large low-rise",
    "Sparsely built",
    "Heavy industry",
    "Dense trees",
    "Scattered trees",
    "Bush, scrub",
    "Low plants",
    "Bare rock or paved",
    "Bare soil or sand",
    "Water bodies",
)
"""Local climate zones 1 to 10 and A to G, in the order of So2Sat's labels."""
CASHEW_CLASSES = (
    "no data",
    "well-managed plantation",
    "poorly-managed plantation",
    "non-plantation",
    "residential",
    "background",
    "uncertain",
)
SA_CLASSES = (
    "No Data",
    "Lucerne/Medics",
    "Planted pastures (perennial)",
    "Fallow",
    "Wine grapes",
    "Weeds",
    "Small grain grazing",
    "Wheat",
    "Canola",
    "Rooibos",
)
CHESAPEAKE_CLASSES = (
    "water",
    "tree-canopy-forest",
    "low-vegetation-field",
    "barren-land",
    "impervious-other",
    "impervious-roads",
    "no-data",
)

SETS: dict[str, BenchmarkSet] = {
    s.name: s
    for s in (
        BenchmarkSet(
            "m-bigearthnet",
            TaskKind.MULTILABEL,
            43,
            120,
            10.0,
            SURFACE,
            unit=1.0,
            splits=(20000, 1000, 1000),
            traps=("43 labels, not the 19 of BigEarthNet's newer nomenclature",),
        ),
        BenchmarkSet(
            "m-so2sat",
            TaskKind.MULTICLASS,
            17,
            32,
            10.0,
            SO2SAT,
            unit=1e4,
            splits=(19992, 986, 986),
            neighbours={"B1": "B2", "B9": "B8A"},
            class_names=CLIMATE_ZONES,
            traps=(
                "values are reflectance (0..2.8); some codes divide its statistics by 10000 once too often",
                "has no B1 and no B9; MMEarth puts B2 and B8A in their place",
                "32 px: an encoder of patch 16 sees 2 x 2 patches",
            ),
        ),
        BenchmarkSet(
            "m-cashew-plant",
            TaskKind.SEGMENTATION,
            7,
            256,
            10.0,
            {**SURFACE, **CLOUDS},
            unit=1.0,
            splits=(1350, 400, 50),
            unlabelled=0,
            class_names=CASHEW_CLASSES,
            traps=(
                "the test split is 2 places on 25 dates, and chips overlap by half: scores leak and are very noisy",
                "class 0 is missing data, trained on and scored as published",
            ),
        ),
        BenchmarkSet(
            "m-SA-crop-type",
            TaskKind.SEGMENTATION,
            10,
            256,
            10.0,
            {**SURFACE, **CLOUDS},
            splits=(3000, 1000, 1000),
            unlabelled=0,
            class_names=SA_CLASSES,
            traps=(
                "values look like 8 bit (means 13 to 84), in no known unit",
                "class 0 is missing data, trained on and scored as published",
            ),
        ),
        BenchmarkSet(
            "m-eurosat",
            TaskKind.MULTICLASS,
            10,
            64,
            10.0,
            EUROSAT,
            unit=1.0,
            splits=(2000, 1000, 1000),
            traps=("bands after B8 carry wrong names on disk; they are put right here (geo-bench issue 28)",),
        ),
        BenchmarkSet(
            "m-brick-kiln",
            TaskKind.MULTICLASS,
            2,
            64,
            10.0,
            BRICK_KILN,
            splits=(15063, 999, 999),
            class_names=("not brick kiln", "brick kiln"),
            traps=("bands after B5 carry wrong names on disk; they are put right here (geo-bench issue 29)",),
        ),
        BenchmarkSet(
            "m-forestnet",
            TaskKind.MULTICLASS,
            12,
            332,
            15.0,
            FORESTNET,
            splits=(6464, 989, 993),
            traps=("Landsat 8, no band of Sentinel-2",),
        ),
        BenchmarkSet(
            "m-pv4ger",
            TaskKind.MULTICLASS,
            2,
            320,
            0.1,
            PHOTO,
            splits=(11814, 999, 999),
            class_names=("no solar pv", "solar pv"),
        ),
        BenchmarkSet(
            "m-pv4ger-seg", TaskKind.SEGMENTATION, 2, 320, 0.1, PHOTO, class_names=("no solar pv", "solar pv")
        ),
        BenchmarkSet(
            "m-chesapeake",
            TaskKind.SEGMENTATION,
            7,
            256,
            1.0,
            {**PHOTO, "NearInfrared": "NIR"},
            unlabelled=6,
            class_names=CHESAPEAKE_CLASSES,
        ),
        BenchmarkSet(
            "m-NeonTree",
            TaskKind.SEGMENTATION,
            2,
            400,
            0.1,
            {**PHOTO, "Canopy Height Model": "canopy_height", "Neon": "hyperspectral"},
            class_names=("no tree", "tree"),
            traps=("`hyperspectral` is 369 bands in one; ask for the others",),
        ),
        BenchmarkSet("m-nz-cattle", TaskKind.SEGMENTATION, 2, 500, 0.1, PHOTO, class_names=("no cattle", "cattle")),
    )
}
