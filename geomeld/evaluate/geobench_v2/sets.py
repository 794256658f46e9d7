"""THE TABLE of GEO-Bench v2: one record per set of single images of Sentinel-2; reader and fixtures follow from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from geomeld.evaluate.task import TaskKind
from geomeld.modalities import SENTINEL2_BANDS


@dataclass(frozen=True)
class TortillaSet:
    """One set of the benchmark, as it lies in its tortilla."""

    name: str
    """As the benchmark calls it, e.g. "benv2"; its file is geobench_NAME.tortilla."""
    kind: TaskKind
    class_names: tuple[str, ...]
    """In order; labels are these or their places."""
    image: int
    """Which of a sample's files is the optical image."""
    bands: tuple[str, ...]
    """Of that file, in its order."""
    unit: float
    """What values are multiplied by to be surface reflectance x 10000."""
    gsd: float = 10.0
    """Pixel size, metres."""
    mask: int | None = None
    """Which of a sample's files holds the classes of its pixels."""
    label: str = ""
    """Column that holds the label of an image."""
    missing: int | None = None
    """Value of the mask's pixels without a label; they are made the last class."""
    doubtful: Mapping[str, str] = field(default_factory=dict)
    """Band that may hold what it should not -> its name if it holds reflectance, which is nowhere below 0."""
    beyond: int = 0
    """How many more bands may stand behind `bands` in the file; they are not read."""
    pixels: int = 0
    """Rows and columns of the image as it was taken, where the file holds it blown up; 0 where it does not."""
    splits: tuple[int, int, int] | None = None
    """Samples of train, valid and test in the published file, as those who have read it tell; None where nobody did."""
    traps: tuple[str, ...] = ()
    """What one should know before believing a score."""

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"geobench_{self.name}.tortilla"


BIGEARTHNET = (
    "Urban fabric",
    "Industrial or commercial units",
    "Arable land",
    "Permanent crops",
    "Pastures",
    "Complex cultivation patterns",
    "Land principally occupied by agriculture, with significant areas of natural vegetation",
    "Agro-forestry areas",
    "Broad-leaved forest",
    "Coniferous forest",
    "Mixed forest",
    "Natural grassland and sparsely vegetated areas",
    "Moors, heathland and sclerophyllous vegetation",
    "Transitional woodland, shrub",
    "Beaches, dunes, sands",
    "Inland wetlands",
    "Coastal wetlands",
    "Inland waters",
    "Marine waters",
)
CLIMATE_ZONES = (
    "Compact high-rise",
    "Compact middle-rise",
    "Compact low-rise",
    "Open high-rise",
    "Open middle-rise",
    "Open low-rise",
    "Lightweight low-rise",
    "Large low-rise",
    "Sparsely built",
    "Heavy industry",
    "Dense Trees",
    "Scattered trees",
    "Bush, scrub",
    "Low plants",
    "Bare rock or paved",
    "Bare soil or sand",
    "Water",
)
TREES = (
    *("Abies", "Acer", "Alnus", "Betula", "Cleared", "Fagus", "Fraxinus", "Larix"),
    *("Picea", "Pinus", "Populus", "Prunus", "Pseudotsuga", "Quercus", "Tilia"),
)

SETS_V2: dict[str, TortillaSet] = {
    s.name: s
    for s in (
        TortillaSet(
            "benv2",
            TaskKind.MULTILABEL,
            BIGEARTHNET,
            image=1,
            bands=SENTINEL2_BANDS,
            unit=1.0,
            label="labels",
            splits=(20_000, 4_000, 4_000),
            traps=("19 labels and other images than m-bigearthnet of version 1.0",),
        ),
        TortillaSet(
            "so2sat",
            TaskKind.MULTICLASS,
            CLIMATE_ZONES,
            image=1,
            bands=("B2", "B3", "B4", "B5", "B6", "radar_or_B7", "B8", "B8A", "B11", "B12"),
            unit=1e4,
            label="labels",
            doubtful={"radar_or_B7": "B7"},
            splits=(19_992, 986, 986),
            traps=(
                "has no B1 and no B9",
                "the recipe that wrote it puts a band of radar (07 - VH.LEE Filtered.Real) where B7 is said to be: it "
                "is taken for B7 only where the first image of train has no value below 0 in it, as radar has",
                "32 px: an encoder of patch 16 sees 2 x 2 patches",
            ),
        ),
        TortillaSet(
            "treesatai",
            TaskKind.MULTILABEL,
            TREES,
            image=2,
            bands=("B2", "B3", "B4", "B8", "B5", "B6", "B7", "B8A", "B11", "B12", "B1", "B9"),
            unit=1.0,
            label="species_labels",
            pixels=6,
            splits=(4_000, 1_000, 2_000),
            traps=(
                "the file holds images of 6 x 6 pixels of 10 m, blown up to 304 x 304 by nearest neighbour and still "
                "called 10 m: the 6 x 6 are read here, and scores on the 304 x 304 are of another protocol",
                "the labels were drawn on aerial images, which see far more",
            ),
        ),
        TortillaSet(
            "cloudsen12",
            TaskKind.SEGMENTATION,
            ("clear", "thick cloud", "thin cloud", "cloud shadow"),
            image=0,
            bands=SENTINEL2_BANDS,
            unit=1.0,
            mask=1,
            beyond=2,
            splits=(4_000, 535, 975),
            traps=("three scenes are said to have samples in more than one split",),
        ),
        TortillaSet(
            "burn_scars",
            TaskKind.SEGMENTATION,
            ("background", "burn scar", "no data"),
            image=0,
            bands=("B2", "B3", "B4", "B8A", "B11", "B12"),
            unit=1e4,
            gsd=30.0,
            mask=1,
            missing=-1,
            traps=(
                "harmonised Landsat and Sentinel-2 at 30 m: another pixel size than encoders of Sentinel-2 know",
                "pixels without a label (-1) are a class of their own here, trained on and scored like any other",
            ),
        ),
    )
}
"""Left out: sets without Sentinel-2, series of images (pastis, dynamic_earthnet), regression (biomassters), boxes."""
