"""Published: numbers that others have printed, each with its source, its protocol and what differs from ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """A table somewhere, and how its numbers were made."""

    title: str
    where: str
    """Paper, section or file; at a commit where it is a file."""
    protocol: str
    """As far as it is said."""
    differs: str
    """From this project's protocol of the same column; never empty, for no two are the same."""


@dataclass(frozen=True)
class Column:
    """What a number is about."""

    task: str
    """A task's name here, such as "m-so2sat", or a retrieval's."""
    read_out: str
    """How the encoder is read: "fine-tuning", "linear probe", "U-Net", "kNN" or "retrieval"."""
    metric: str
    """By this project's name."""


@dataclass(frozen=True)
class Published:
    """One printed number."""

    model: str
    column: Column
    value: float
    """0..1."""
    source: str
    """Key of SOURCES."""


BENCH = "github.com/torchgeo/torchgeo-bench results/all_results.csv at 0660813, bandspec_zscore"
TERRAFM = "github.com/mbzuai-oryx/TerraFM README.md at e186ad8"

SOURCES: Mapping[str, Source] = {
    "table 2": Source(
        "GeoMeld paper, table 2",
        "arXiv 2604.10591, section 5.2",
        "50 epochs (U-Net: 100), 'following MMEarth'; one run, no interval; learning rate, batch, selection unsaid",
        "the MMEarth row is of 100 and 200 epochs; So2Sat's statistics are likely divided by 10,000 once too often",
    ),
    "table 3": Source(
        "GeoMeld paper, table 3",
        "arXiv 2604.10591, section 5.3",
        "linear probe of 50 epochs, U-Net of 100, Recall@5; one run each, no interval",
        "the size of the gallery and the counting of equal captions are not said; Recall@5 means little without",
    ),
    "TerraFM kNN": Source(
        "TerraFM, k-NN classification",
        TERRAFM,
        "kNN on frozen features, whole training split; accuracy, and 'F1' for m-bigearthnet; one number, no interval",
        "k, weights, input size, normalisation, kind of F1 are not said in that file; here validation chooses k",
    ),
    "TerraFM fine-tuning": Source(
        "TerraFM, GEO-Bench performance",
        TERRAFM,
        "fine-tuning of the whole network; accuracy, and 'F1' for m-bigearthnet; one number, no interval",
        "epochs, learning rates and input size are not said in that file",
    ),
    "torchgeo-bench": Source(
        "torchgeo-bench, L-BFGS linear probe",
        BENCH,
        "logistic regression by L-BFGS, C chosen on validation, then fitted on training and validation together",
        "images of 224 px (OlmoEarth: native), features not standardised, radar of So2Sat seen too unless said",
    ),
    "torchgeo-bench kNN": Source(
        "torchgeo-bench, kNN of 5 neighbours",
        BENCH,
        "5 nearest neighbours of equal weight, nothing chosen",
        "images of 224 px (OlmoEarth: native), radar of So2Sat seen too unless said; here validation chooses k",
    ),
}

F1, ACCURACY, JACCARD = "micro F1", "overall accuracy", "macro Jaccard"
BIGEARTHNET_FT = Column("m-bigearthnet", "fine-tuning", F1)
BIGEARTHNET_LP = Column("m-bigearthnet", "linear probe", F1)
BIGEARTHNET_KNN = Column("m-bigearthnet", "kNN", F1)
SO2SAT_FT = Column("m-so2sat", "fine-tuning", ACCURACY)
SO2SAT_LP = Column("m-so2sat", "linear probe", ACCURACY)
SO2SAT_KNN = Column("m-so2sat", "kNN", ACCURACY)
CASHEW = Column("m-cashew-plant", "U-Net", JACCARD)
SA_CROP = Column("m-SA-crop-type", "U-Net", JACCARD)
TO_TEXT = Column("image to text, same sentence", "retrieval", "R@5")
TO_IMAGE = Column("text to image, same sentence", "retrieval", "R@5")

TABLE_2 = (BIGEARTHNET_FT, BIGEARTHNET_LP, SO2SAT_FT, SO2SAT_LP, CASHEW, SA_CROP)
TABLE_3 = (BIGEARTHNET_LP, SO2SAT_LP, CASHEW, SA_CROP, TO_TEXT, TO_IMAGE)


def _rows(source: str, columns: Sequence[Column], percent: Mapping[str, Sequence[float | None]]) -> Iterator[Published]:
    for model, values in percent.items():
        for column, value in zip(columns, values, strict=True):
            if value is not None:
                yield Published(model, column, value / 100, source)


PUBLISHED: tuple[Published, ...] = (
    *_rows(
        "table 2",
        TABLE_2,
        {
            "ImageNet": (55.7, 25.9, 36.6, 24.0, 77.1, 26.7),
            "MMEarth (MP-MAE)": (67.1, 43.3, 54.6, 43.8, 79.8, 38.2),
            "GeoMeld-S2": (66.8, 38.3, 50.8, 35.6, 80.8, 37.5),
            "GeoMeld-FM (full)": (71.8, 49.6, 59.8, 50.2, 83.2, 42.7),
        },
    ),
    *_rows(
        "table 3",
        TABLE_3,
        {
            "S2-MAE baseline": (38.3, 35.6, 80.8, 37.5, None, None),
            "+ MP-MAE": (44.8, 45.2, 81.3, 39.6, None, None),
            "+ MP-MAE + JEPA": (46.1, 46.9, 82.4, 40.8, None, None),
            "+ MP-MAE + ITC": (45.4, 45.8, 81.9, 40.1, 31.4, 33.8),
            "GeoMeld-FM (full)": (49.6, 50.2, 83.2, 42.7, 37.8, 39.6),
        },
    ),
    *_rows(
        "TerraFM kNN",
        (BIGEARTHNET_KNN, SO2SAT_KNN),
        {
            "SatMAE ViT-B": (50.6, 36.0),
            "CROMA ViT-B": (58.8, 48.8),
            "SoftCon ViT-S": (64.7, 51.1),
            "DOFA ViT-B": (49.4, 41.4),
            "Satlas Swin-T": (51.9, 36.6),
            "MMEarth atto": (58.3, 39.8),
            "DeCUR ViT-S": (63.8, 45.8),
            "AnySat ViT-B": (54.9, 39.8),
            "Galileo ViT-B": (59.0, 54.8),
            "Prithvi 2.0 ViT-L": (49.4, 29.5),
            "Copernicus-FM ViT-B": (53.8, 38.4),
            "TerraFM ViT-B": (68.7, 55.1),
            "TerraFM ViT-L": (69.4, 55.9),
        },
    ),
    *_rows(
        "TerraFM fine-tuning",
        (BIGEARTHNET_FT, SO2SAT_FT),
        {
            "SatMAE ViT-L": (68.3, 57.2),
            "CROMA ViT-L": (71.9, 60.6),
            "SoftCon ViT-B": (70.3, 61.7),
            "DOFA ViT-L": (68.0, 58.7),
            "Satlas Swin-B": (72.8, 61.9),
            "MMEarth atto": (70.0, 57.2),
            "DeCUR ViT-S": (70.9, 61.7),
            "Prithvi 2.0 ViT-L": (69.0, 54.6),
            "AnySat ViT-B": (70.3, 51.8),
            "Galileo ViT-B": (70.7, 63.3),
            "TerraFM ViT-B": (72.6, 64.9),
            "TerraFM ViT-L": (73.1, 66.6),
        },
    ),
    *_rows(
        "torchgeo-bench",
        (SO2SAT_LP,),
        {
            "TerraMind base": (73.9,),
            "OlmoEarth v1 base (optical bands)": (71.2,),
            "Clay 1.5 base": (70.6,),
            "Prithvi 2.0 300M": (66.8,),
            "CROMA base": (65.0,),
            "DOFA base": (60.4,),
            "OlmoEarth v1 nano (optical bands)": (59.2,),
            "random convolutions": (48.8,),
            "statistics of the image": (38.5,),
        },
    ),
    *_rows(
        "torchgeo-bench kNN",
        (SO2SAT_KNN,),
        {
            "OlmoEarth v1 base (optical bands)": (57.6,),
            "OlmoEarth v1 nano (optical bands)": (47.2,),
            "DOFA base": (40.9,),
            "CROMA base": (39.5,),
            "TerraMind base": (38.5,),
            "Prithvi 2.0 300M": (34.5,),
            "Clay 1.5 base": (33.3,),
            "random convolutions": (30.8,),
            "statistics of the image": (25.9,),
        },
    ),
)
"""What is printed elsewhere. m-bigearthnet of torchgeo-bench is left out: its micro mAP is no number of ours."""


def published(column: Column, source: str | None = None) -> list[Published]:
    """The printed numbers of a column, in the order of print; of one source, or of all."""
    return [p for p in PUBLISHED if p.column == column and source in (None, p.source)]
