"""`geomeld geobench`: the sets of GEO-Bench v1.0 and v2, fetched one at a time, and what lies on disk."""

import json as jsonlib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from geomeld.evaluate.geobench import GeoBench
    from geomeld.evaluate.geobench_v2 import GeoBenchV2

USAGE = """Sets of GEO-Bench v1.0 and v2, read without their packages.

geomeld geobench fetch NAME --out DIR [--hub ADDRESS],
geomeld geobench show DIR [--partition NAME] [--json], and
geomeld geobench simulate NAME --out DIR [--images 40 20 20] [--seed N]
"""


@dataclass(frozen=True)
class Fetch:
    """Download one set; run it again to go on where it broke off."""

    name: Annotated[str, tyro.conf.Positional]
    """Of the set: m-bigearthnet, m-so2sat, ... of version 1.0; benv2, so2sat, ... of version 2."""
    out: Path
    """Folder of the benchmark; the set comes to OUT/classification_v1.0/NAME, OUT/segmentation_v1.0/NAME or OUT/NAME
    (version 2)."""
    hub: str = "https://huggingface.co"
    """Address of the Hugging Face Hub, or of a mirror of it."""


@dataclass(frozen=True)
class Show:
    """Say what lies in a folder: one set, or several."""

    path: Annotated[Path, tyro.conf.Positional]
    """Folder of one set, or of the benchmark."""
    partition: str = "default"
    """Whose splits are counted in sets of version 1.0: default, 0.01x, 0.02x, 0.05x, 0.10x, 0.20x, 0.50x or 1.00x."""
    json: bool = False
    """Print it as JSON."""


@dataclass(frozen=True)
class Simulate:
    """Write a small set in the form of one of the benchmark, with images of the simulated Earth: to try things on."""

    name: Annotated[str, tyro.conf.Positional]
    """Of a set of Sentinel-2 at 10 m, e.g. m-so2sat, m-bigearthnet, m-cashew-plant."""
    out: Path
    """Folder of the benchmark; the set comes to OUT/classification_v1.0/NAME or OUT/segmentation_v1.0/NAME."""
    images: tuple[int, int, int] = (40, 20, 20)
    """Of train, valid and test."""
    seed: int = 0
    """Of the simulated Earth and its places."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    chosen = tyro.extras.subcommand_cli_from_dict(
        {"fetch": Fetch, "show": Show, "simulate": Simulate}, args=argv, prog="geomeld geobench", description=USAGE
    )
    if isinstance(chosen, Fetch):
        from geomeld.evaluate.geobench import Hub, fetch

        print(f"fetching {chosen.name} from {chosen.hub}", file=sys.stderr)
        print(fetch(chosen.name, chosen.out, Hub(address=chosen.hub.rstrip("/"))))
        return 0
    if isinstance(chosen, Simulate):
        print(_simulated(chosen))
        return 0
    told = _shown(chosen)
    if chosen.json:
        print(jsonlib.dumps(told))
        return 0
    print("\n\n".join(_text(one) for one in (told if isinstance(told, list) else [told])))
    return 0


def _shown(chosen: Show) -> dict[str, Any] | list[dict[str, Any]]:
    """What is to be told of one set, or of each that lies in a folder."""
    from geomeld.evaluate.geobench import SETS, open_set
    from geomeld.evaluate.geobench_v2 import open_set_v2, sets_in

    first = [p for pattern in ("m-*", "*_v1.0/m-*") for p in sorted(chosen.path.glob(pattern)) if p.name in SETS]
    second = list(sets_in(chosen.path).values())
    if chosen.path in second:
        return _told_v2(open_set_v2(chosen.path))
    if not first and not second:
        return _told(open_set(chosen.path, partition=chosen.partition))
    return [_told(open_set(p, partition=chosen.partition)) for p in first] + [_told_v2(open_set_v2(p)) for p in second]


def _simulated(chosen: Simulate) -> Path:
    from geomeld.core.errors import UsageError
    from geomeld.evaluate.geobench import SETS
    from geomeld.evaluate.geobench.sets import SURFACE
    from geomeld.testing.geobench import simulated_set

    fitting = [
        s.name for s in SETS.values() if s.gsd == 10 and len(set(s.bands.values()) & set(SURFACE.values())) >= 10
    ]
    if chosen.name not in fitting:
        raise UsageError(f"{chosen.name} cannot be simulated; {', '.join(fitting)} can.")
    if min(chosen.images) < 1:
        raise UsageError(f"--images {' '.join(map(str, chosen.images))}: each split needs at least one image.")
    folder = chosen.out / SETS[chosen.name].folder / chosen.name
    if folder.exists():
        raise UsageError(f"{folder} is there already; name another folder, or remove it.")
    return simulated_set(chosen.out, chosen.name, chosen.images, chosen.seed)


def _told(opened: "GeoBench") -> dict[str, Any]:
    from geomeld.evaluate.geobench import partitions_of

    record = opened.record
    return _set(opened, opened.path, record.splits if opened.partition == "default" else None) | {
        "partitions": list(partitions_of(opened.path)),
        "unit": "reflectance x 10000" if record.unit else "unknown",
        "unlabelled": record.unlabelled,
    }


def _told_v2(opened: "GeoBenchV2") -> dict[str, Any]:
    path = next(iter(opened.entries.values())).path
    told: dict[str, Any] = {"partitions": [], "unit": "reflectance x 10000", "unlabelled": None}
    return _set(opened, path, opened.record.splits) | told


def _set(opened: "GeoBench | GeoBenchV2", path: Path, published: tuple[int, int, int] | None) -> dict[str, Any]:
    """What both versions tell of a set; `published`: samples of train, valid and test, where they are known."""
    from geomeld.evaluate.task import SIMULATED

    first = next(names[0] for names in opened.names.values() if names)
    sample, scale = opened.sample(first), opened.own_scale()
    here = {split: len(names) for split, names in opened.names.items()}
    return {
        "path": str(path),
        "name": opened.name,
        "task": opened.kind.value,
        "classes": opened.classes,
        "class_names": opened.class_names,
        "size": opened.size,
        "gsd": opened.record.gsd,
        "splits": here,
        "as_published": SIMULATED not in opened.traps and published in (None, tuple(here.values())),
        "bands": opened.record.bands,
        "statistics": {b: (float(m), float(s)) for b, m, s in zip(scale.bands, scale.mean, scale.std, strict=True)},
        "first": {b: float(v.mean()) for b, v in zip(opened.bands, sample.values, strict=True)},
        "traps": opened.traps,
    }


def _text(told: dict[str, Any]) -> str:
    splits = ", ".join(f"{split} {n:,}" for split, n in told["splits"].items())
    lines = [
        f"{told['name']}: {told['task']}, {told['classes']} classes, {told['size']} px of {told['gsd']:g} m",
        f"  {splits}" + ("" if told["as_published"] else "  (not the published numbers)"),
        *([f"  partitions: {', '.join(told['partitions'])}"] if told["partitions"] else []),
        f"  values: {told['unit']}; first sample, then the set's own mean and deviation:",
    ]
    for band, (mean, std) in told["statistics"].items():
        lines.append(f"    {band:20} {told['first'][band]:10.2f} {mean:10.2f} {std:10.2f}")
    if told["class_names"]:
        lines.append(f"  classes: {', '.join(told['class_names'])}")
    return "\n".join(lines + [f"  note: {trap}" for trap in told["traps"]])
