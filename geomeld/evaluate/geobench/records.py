"""Records: what the benchmark's pickles say, without its package and without running a line of theirs."""

import ast
import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import CorruptFile
from geomeld.core.unpickle import Inert, plain

ROOTS: tuple[str, ...] = (
    "geobench.dataset",
    "geobench.label",
    "geobench.task",
    "geobench.io.dataset",
    "geobench.io.label",
)
ROOTS += ("geobench.io.task", "ccb.io.dataset", "ccb.io.label", "ccb.io.task", "ccb.dataset", "ccb.label", "ccb.task")
"""Modules that the package's classes have lived in."""

CLASSES: tuple[str, ...] = (
    "BandInfo",
    "SpectralBand",
    "Sentinel1",
    "Sentinel2",
    "Landsat8",
    "Mask",
    "CloudProbability",
    "ElevationBand",
)
CLASSES += ("MultiBand", "HyperSpectralBands", "LabelType", "SegmentationClasses", "Classification")
CLASSES += ("SemanticSegmentation", "MultiLabelClassification", "TaskSpecifications")


class _Array(Inert):
    """A NumPy array; its numbers are read from the bytes, and an array of objects is none."""

    def values(self) -> NDArray:
        _, shape, dtype, fortran, data = self.state
        return np.frombuffer(data, np.dtype(dtype)).reshape(shape, order="F" if fortran else "C")


NAMES: dict[tuple[str, str], Any] = {
    **{(root, name): type(name, (Inert,), {}) for root in ROOTS for name in CLASSES},
    ("affine", "Affine"): Inert,
    ("rasterio.crs", "CRS"): Inert,
    ("rasterio._crs", "CRS"): Inert,
    ("numpy", "ndarray"): Inert,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("datetime", "date"): dt.date,
    ("datetime", "datetime"): dt.datetime,
}
"""What may be named in a pickle, and what stands for it here."""


def attributes(text: Any, where: str) -> dict[str, Any]:
    """The attribute `pickle` of a sample: bands by name, `bands_order`, and `label` of images that have one.

    Raises CorruptFile for anything else, and for a pickle that asks for a name it has no business with.
    """
    try:
        data = ast.literal_eval(text.decode() if isinstance(text, bytes) else text)
    except (ValueError, SyntaxError, AttributeError, RecursionError, MemoryError):
        data = None
    if not isinstance(data, bytes):
        raise CorruptFile(f"{where}: its attribute `pickle` is not written bytes as GEO-Bench 1.0 has them; {AGAIN}.")
    record = _read(data, where)
    if not isinstance(record, dict):
        raise CorruptFile(f"{where}: its attribute `pickle` holds no mapping; {AGAIN}.")
    return record


AGAIN = "remove the set's folder and fetch it again with `geomeld geobench fetch`"


def _read(data: bytes, where: str) -> Any:
    try:
        return plain(data, where, CorruptFile, NAMES)
    except CorruptFile as error:
        raise CorruptFile(f"{str(error).rstrip('.')}; {AGAIN}.") from None


def label_of(record: dict[str, Any], where: str) -> NDArray[np.int64]:
    """The label of an image, () or (classes,). Raises CorruptFile where it has none that is made of whole numbers."""
    label = record.get("label")
    try:
        array = np.asarray(label.values() if isinstance(label, _Array) else label)
    except (TypeError, ValueError):
        array = np.empty(0, object)
    if array.dtype.kind not in "iub":
        raise CorruptFile(f"{where} has no label of whole numbers; {AGAIN}.")
    return array.astype(np.int64)


def task_specs(path: Path) -> dict[str, Any]:
    """`classes`, `class_names` (empty where unknown) and `bands` (names on disk) of task_specs.pkl."""
    specs = _read(path.read_bytes(), str(path))
    bands = specs.field("bands_info") if isinstance(specs, Inert) else None
    label = specs.field("label_type") if isinstance(specs, Inert) else None
    if not isinstance(bands, list) or not isinstance(label, Inert) or not all(isinstance(b, Inert) for b in bands):
        raise CorruptFile(f"{path} describes no task of GEO-Bench 1.0; {AGAIN}.")
    names = label.field("_class_names") or label.field("class_name") or label.field("class_names") or ()
    return {
        "classes": label.field("n_classes"),
        "class_names": tuple(str(n) for n in names),
        "bands": [str(b.field("name")) for b in bands],
    }
