"""Graph: what an expression of Earth Engine does to the pixels of assets, followed band by band."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any


class Refused(Exception):
    """What the double answers instead of a result: a code and words."""

    def __init__(self, code: int, told: str) -> None:
        super().__init__(told)
        self.code = code


@dataclass(frozen=True, slots=True)
class Band:
    """A band of a computed image: what becomes of the pixels of an asset, step by step."""

    name: str
    asset: str
    stored: str
    steep: bool = False
    """Whether it is the slope."""
    nodata: float | None = None
    within: float | None = None
    """What masked pixels of the product become."""
    kernel: str = "nearest"
    dtype: str = ""
    beyond: float | None = None
    """What masked pixels become everywhere, after all else."""


Bands = tuple[Band, ...]


def bands_of(expression: Mapping[str, Any]) -> Bands:
    """The bands that an expression graph makes. Raises Refused for one that the double does not follow."""

    def value(node: Any) -> Any:
        if "valueReference" in node:
            return value(expression["values"][node["valueReference"]])
        if "constantValue" in node:
            return node["constantValue"]
        if "arrayValue" in node:
            return [value(v) for v in node["arrayValue"]["values"]]
        call = node["functionInvocationValue"]
        work = FUNCTIONS.get(call["functionName"])
        if work is None:
            raise Refused(400, f"The double does not know {call['functionName']}.")
        return work({name: value(v) for name, v in call["arguments"].items()})

    bands: Bands = value(expression["values"][expression["result"]])
    return bands


def _load(given: Mapping[str, Any]) -> Bands:
    return (Band("*", given["id"], "*"),)


def _select(given: Mapping[str, Any]) -> Bands:
    bands, names = given["input"], given["bandSelectors"]
    labels = given.get("newNames", names)
    if bands[0].name == "*":
        return tuple(replace(bands[0], name=n, stored=s) for s, n in zip(names, labels, strict=True))
    known = {b.name: b for b in bands}
    return tuple(replace(known[s], name=n) for s, n in zip(names, labels, strict=True))


def _update_mask(given: Mapping[str, Any]) -> Bands:
    tested, value = given["mask"]
    if tested != given["image"]:
        raise Refused(400, "The double masks an image by its own values only.")
    return _early(given["image"], nodata=value)


def _unmask(given: Mapping[str, Any]) -> Bands:
    (value,) = given["value"] if isinstance(given["value"], list) else (given["value"],)
    if given.get("sameFootprint", True):
        return _early(given["input"], within=value)
    return tuple(replace(b, beyond=value) for b in given["input"])


def _early(bands: Bands, **changes: Any) -> Bands:
    """Changes that have to come before anything is resampled or filled."""
    if any(b.kernel != "nearest" or b.beyond is not None for b in bands):
        raise Refused(400, "Masks have to be set before an image is resampled.")
    return tuple(replace(b, **changes) for b in bands)


def _resampled(name: str, kernel: str) -> Callable[[Mapping[str, Any]], Bands]:
    def work(given: Mapping[str, Any]) -> Bands:
        bands = given["image"]
        if kernel == "bilinear" and given["mode"] != "bilinear":
            raise Refused(400, f"The double does not resample by {given['mode']}.")
        if any(b.dtype != "float32" for b in bands):
            raise Refused(400, f"{name} of whole numbers rounds; make them real first.")
        return tuple(replace(b, kernel=kernel) for b in _early(bands))

    return work


def _typed(dtype: str) -> Callable[[Mapping[str, Any]], Bands]:
    return lambda given: tuple(replace(b, dtype=dtype) for b in given["value"])


FUNCTIONS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "Image.load": _load,
    "ImageCollection.load": _load,
    "Collection.first": lambda given: given["collection"],
    "Image.select": _select,
    "Image.rename": lambda given: tuple(
        replace(b, name=n) for b, n in zip(given["input"], given["names"], strict=True)
    ),
    "Image.constant": lambda given: given["value"],
    "Image.neq": lambda given: (given["image1"], given["image2"]),
    "Image.updateMask": _update_mask,
    "Image.unmask": _unmask,
    "Image.toFloat": _typed("float32"),
    "Image.toByte": _typed("uint8"),
    "Image.toUint16": _typed("uint16"),
    "Image.round": lambda given: given["value"],
    "Image.resample": _resampled("Image.resample", "bilinear"),
    "Reducer.mean": lambda given: "mean",
    "Image.reduceResolution": _resampled("Image.reduceResolution", "average"),
    "Terrain.slope": lambda given: _early(given["input"], steep=True),
    "Image.addBands": lambda given: given["dstImg"] + given["srcImg"],
}
