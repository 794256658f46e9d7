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
    """From this project's protocol of the same column, true of every row; what is true of some is in REMARKS."""


@dataclass(frozen=True)
class Column:
    """What a number is about."""

    task: str
    """A task's name here, such as "m-so2sat", or a retrieval's."""
    read_out: str
    """How the encoder is read: "fine-tuning", "linear probe", "U-Net", "segmentation probe", "kNN" or "retrieval"."""
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

    @property
    def remarks(self) -> list[str]:
        """What must be said of it beside what is true of its whole source."""
        other = [
            f"{SOURCES[p.source].title} has {100 * p.value:.1f} for the same encoder"
            for p in published(self.column)
            if p.source != self.source and {p.model, self.model} <= SAME
        ]
        return other + [remark.words for remark in REMARKS if remark.is_of(self)]

    @property
    def differs(self) -> str:
        """From this project's protocol of the same column."""
        return "; ".join([SOURCES[self.source].differs, *self.remarks])


@dataclass(frozen=True)
class Remark:
    """What must be said of some numbers of a source."""

    words: str
    source: str
    """Key of SOURCES."""
    models: tuple[str, ...] = ()
    """Words of which one stands in the model's name; of all models without any."""
    columns: tuple[Column, ...] = ()
    """Of all columns without any."""

    def is_of(self, number: Published) -> bool:
        """Whether it must be said of a number."""
        model = not self.models or any(words in number.model for words in self.models)
        return self.source == number.source and model and (not self.columns or number.column in self.columns)


BENCH = "github.com/torchgeo/torchgeo-bench results/all_results.csv at 0660813, bandspec_zscore"
TERRAFM = "github.com/mbzuai-oryx/TerraFM README.md at e186ad8"
ROWS = "27 of its 34 rows of all bands: left out are those by class token, and one with radar in dB"

SOURCES: Mapping[str, Source] = {
    "table 2": Source(
        "GeoMeld paper, table 2",
        "arXiv 2604.10591, section 5.2",
        "50 epochs (U-Net: 100), 'following MMEarth'; one run, no interval; learning rate, batch, selection unsaid",
        "learning rate, batch and the choice of the epoch are ours, theirs are not said",
    ),
    "table 3": Source(
        "GeoMeld paper, table 3",
        "arXiv 2604.10591, section 5.3",
        "linear probe of 50 epochs, U-Net of 100, Recall@5; one run each, no interval",
        "learning rate, batch and the choice of the epoch are ours, theirs are not said",
    ),
    "TerraFM kNN": Source(
        "TerraFM, k-NN classification",
        TERRAFM,
        "kNN on frozen features; accuracy, and 'F1' for m-bigearthnet; one number, no interval. All 14 rows; left out "
        "are its columns of 1 % of the labels",
        "k, weights, input size, normalisation, kind of F1 are not said in that file; here validation chooses k",
    ),
    "TerraFM fine-tuning": Source(
        "TerraFM, GEO-Bench performance",
        TERRAFM,
        "All 13 rows; accuracy, 'F1' for m-bigearthnet; one number, no interval",
        "how the network is trained, for how long, and on what input size is not said in that file; the read-out is "
        "taken to be fine-tuning",
    ),
    "TerraFM pixels": Source(
        "TerraFM, GEO-Bench performance",
        TERRAFM,
        "All 13 rows; mean IoU; one number, no interval",
        "how the encoder is read for pixels (a decoder, a linear layer on frozen maps) is not said in that file, so "
        "these stand beside both",
    ),
    "torchgeo-bench": Source(
        "torchgeo-bench, L-BFGS linear probe",
        BENCH,
        f"Logistic regression by L-BFGS, C by validation, then fitted on training and validation together. {ROWS}",
        "features are not standardised, and the fit takes validation in",
    ),
    "torchgeo-bench kNN": Source(
        "torchgeo-bench, kNN of 5 neighbours",
        BENCH,
        f"The 5 nearest neighbours by distance, of equal weight, nothing chosen. {ROWS}",
        "by distance and of 5, here by cosine and of as many as validation chooses",
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
CASHEW_PROBE = Column("m-cashew-plant", "segmentation probe", JACCARD)
SA_CROP_PROBE = Column("m-SA-crop-type", "segmentation probe", JACCARD)
EUROSAT_FT = Column("m-eurosat", "fine-tuning", ACCURACY)
EUROSAT_KNN = Column("m-eurosat", "kNN", ACCURACY)
BRICKS_FT = Column("m-brick-kiln", "fine-tuning", ACCURACY)
BRICKS_KNN = Column("m-brick-kiln", "kNN", ACCURACY)
TO_TEXT = Column("image to text, same sentence", "retrieval", "R@5")
TO_IMAGE = Column("text to image, same sentence", "retrieval", "R@5")

SAME = {"MMEarth (MP-MAE)", "MMEarth atto"}
"""Names of one encoder."""
TABLE_2 = (BIGEARTHNET_FT, BIGEARTHNET_LP, SO2SAT_FT, SO2SAT_LP, CASHEW, SA_CROP)
TABLE_3 = (BIGEARTHNET_LP, SO2SAT_LP, CASHEW, SA_CROP, TO_TEXT, TO_IMAGE)

REMARKS = (
    Remark(
        "by MMEarth's script: 100 epochs",
        "table 2",
        ("MMEarth",),
        (BIGEARTHNET_FT, BIGEARTHNET_LP, SO2SAT_FT, SO2SAT_LP),
    ),
    Remark("by MMEarth's script: 200 epochs", "table 2", ("MMEarth",), (CASHEW, SA_CROP)),
    *(
        Remark("statistics likely divided by 10,000 once too often", table, columns=(SO2SAT_FT, SO2SAT_LP))
        for table in ("table 2", "table 3")
    ),
    *(
        Remark(
            "so far apart, the two are of different things and not to be ranked together", source, ("MMEarth",), columns
        )
        for source, columns in (("table 2", (CASHEW, SA_CROP)), ("TerraFM pixels", (CASHEW, SA_CROP)))
    ),
    Remark(
        "size of the gallery and counting of equal captions are not said; Recall@5 means little without",
        "table 3",
        columns=(TO_TEXT, TO_IMAGE),
    ),
    *(
        remark
        for source in ("torchgeo-bench", "torchgeo-bench kNN")
        for remark in (
            Remark("shown at the images' own size, radar of the set seen too", source, ("radar too",)),
            Remark("shown at the images' own size", source, ("optical bands",)),
            Remark("enlarged to 120 px, optical bands alone", source, ("CROMA",)),
            Remark("enlarged to 224 px, six optical bands", source, ("Clay", "Prithvi")),
            Remark("enlarged to 224 px, optical bands alone", source, ("TerraMind",)),
            Remark(
                "enlarged to 224 px, which bands of the set it is given is not plain",
                source,
                ("DOFA", "ResNet", "Panopticon"),
            ),
            Remark("no pretraining; radar of the set seen too", source, ("random", "statistics")),
        )
    ),
)


def _rows(
    source: str, columns: Sequence[Column | None], percent: Mapping[str, Sequence[float | None]]
) -> Iterator[Published]:
    """The numbers of a table, columns that are None passed over."""
    for model, values in percent.items():
        for column, value in zip(columns, values, strict=True):
            if column is not None and value is not None:
                yield Published(model, column, value / 100, source)


TERRAFM_KNN = {
    "SatMAE ViT-B": (50.6, 36.0, 84.1, 86.1),
    "SatMAE++ ViT-L": (50.8, 34.7, 82.7, 89.6),
    "CROMA ViT-B": (58.8, 48.8, 85.6, 92.6),
    "SoftCon ViT-S": (64.7, 51.1, 89.8, 89.2),
    "DOFA ViT-B": (49.4, 41.4, 82.8, 88.3),
    "Satlas Swin-T": (51.9, 36.6, 81.7, 88.2),
    "MMEarth atto": (58.3, 39.8, 81.7, 89.4),
    "DeCUR ViT-S": (63.8, 45.8, 89.0, 83.7),
    "AnySat ViT-B": (54.9, 39.8, 82.2, 85.3),
    "Galileo ViT-B": (59.0, 54.8, 93.0, 90.7),
    "Prithvi 2.0 ViT-L": (49.4, 29.5, 80.2, 87.9),
    "Copernicus-FM ViT-B": (53.8, 38.4, 76.0, 93.0),
    "TerraFM ViT-B": (68.7, 55.1, 94.2, 94.5),
    "TerraFM ViT-L": (69.4, 55.9, 95.1, 93.0),
}
"""m-bigearthnet, m-so2sat, m-eurosat, m-brick-kiln."""

TERRAFM_GEOBENCH = {
    "SatMAE ViT-L": (68.3, 57.2, 96.6, 98.4, 30.8, 24.8),
    "SatMAE++ ViT-L": (67.9, 56.0, 96.5, 98.6, 29.6, 25.7),
    "CROMA ViT-L": (71.9, 60.6, 96.6, 98.7, 31.8, 32.0),
    "SoftCon ViT-B": (70.3, 61.7, 97.5, 98.7, 29.6, 30.8),
    "DOFA ViT-L": (68.0, 58.7, 96.9, 98.6, 27.7, 25.4),
    "Satlas Swin-B": (72.8, 61.9, 97.5, 98.9, 25.1, 23.4),
    "MMEarth atto": (70.0, 57.2, 95.7, 98.9, 24.2, 22.2),
    "DeCUR ViT-S": (70.9, 61.7, 97.9, 98.7, 26.2, 21.5),
    "Prithvi 2.0 ViT-L": (69.0, 54.6, 96.5, 98.6, 26.7, 22.9),
    "AnySat ViT-B": (70.3, 51.8, 95.9, 98.6, 26.1, 27.1),
    "Galileo ViT-B": (70.7, 63.3, 97.7, 98.7, 33.0, 30.1),
    "TerraFM ViT-B": (72.6, 64.9, 98.1, 98.7, 34.1, 33.0),
    "TerraFM ViT-L": (73.1, 66.6, 98.6, 99.0, 37.2, 34.5),
}
"""m-bigearthnet, m-so2sat, m-eurosat, m-brick-kiln, m-cashew-plant, m-SA-crop-type."""

TORCHGEO_BENCH = {
    "TerraMind base": (73.9, 38.5),
    "OlmoEarth v1.1 base (radar too)": (72.8, 60.6),
    "OlmoEarth v1 base (radar too)": (72.0, 57.7),
    "TerraMind large": (71.2, 37.9),
    "OlmoEarth v1 base (optical bands)": (71.2, 57.6),
    "Clay 1.5 base": (70.6, 33.3),
    "OlmoEarth v1.1 tiny (radar too)": (69.3, 56.7),
    "OlmoEarth v1 large (radar too)": (68.9, 56.2),
    "Prithvi 2.0 600M": (67.8, 34.6),
    "OlmoEarth v1 large (optical bands)": (67.8, 56.0),
    "Prithvi 2.0 300M TL": (67.0, 36.5),
    "Prithvi 2.0 300M": (66.8, 34.5),
    "Prithvi 2.0 100M TL": (66.4, 34.8),
    "DOFA large": (66.4, 45.9),
    "OlmoEarth v1 tiny (radar too)": (65.6, 49.1),
    "CROMA base": (65.0, 39.5),
    "OlmoEarth v1.1 nano (radar too)": (64.8, 52.7),
    "OlmoEarth v1 tiny (optical bands)": (63.5, 50.6),
    "Prithvi 1.0 100M": (61.2, 34.0),
    "DOFA base": (60.4, 40.9),
    "OlmoEarth v1 nano (radar too)": (59.4, 46.9),
    "OlmoEarth v1 nano (optical bands)": (59.2, 47.2),
    "random convolutions": (48.8, 30.8),
    "statistics of the image": (38.5, 25.9),
    "CROMA large": (37.2, 25.6),
    "ResNet-50 MoCo": (35.9, 23.2),
    "Panopticon": (29.0, 18.7),
}
"""m-so2sat: linear probe, kNN."""

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
    *_rows("TerraFM kNN", (BIGEARTHNET_KNN, SO2SAT_KNN, EUROSAT_KNN, BRICKS_KNN), TERRAFM_KNN),
    *_rows("TerraFM fine-tuning", (BIGEARTHNET_FT, SO2SAT_FT, EUROSAT_FT, BRICKS_FT, None, None), TERRAFM_GEOBENCH),
    *_rows("TerraFM pixels", (None, None, None, None, CASHEW, SA_CROP), TERRAFM_GEOBENCH),
    *_rows("TerraFM pixels", (None, None, None, None, CASHEW_PROBE, SA_CROP_PROBE), TERRAFM_GEOBENCH),
    *_rows("torchgeo-bench", (SO2SAT_LP, None), TORCHGEO_BENCH),
    *_rows("torchgeo-bench kNN", (None, SO2SAT_KNN), TORCHGEO_BENCH),
)
"""What is printed elsewhere. m-bigearthnet of torchgeo-bench is left out: its micro mAP is no number of ours."""


def published(column: Column, source: str | None = None) -> list[Published]:
    """The printed numbers of a column, in the order of print; of one source, or of all."""
    return [p for p in PUBLISHED if p.column == column and source in (None, p.source)]
