"""Run: a whole build, tile by tile over a process pool, resumable to the same bytes."""

import dataclasses
import fcntl
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geomeld.build.config import BuildConfig
from geomeld.build.plan import PlanRow, plan_tile, row_json
from geomeld.build.tile import build_tile
from geomeld.core.config import to_json
from geomeld.core.errors import DatasetError, MissingProduct, SourceError
from geomeld.core.modality import Timing
from geomeld.core.pool import Engine, in_order
from geomeld.core.tile import Anchor, Tile
from geomeld.dataset import Dataset
from geomeld.dataset import manifest as manifests
from geomeld.dataset.files import remove_partials, write_atomically
from geomeld.dataset.index import load_index
from geomeld.dataset.manifest import Failure, Manifest, ShardEntry
from geomeld.dataset.sample import encode
from geomeld.dataset.shard import ShardWriter, shard_name
from geomeld.dataset.statistics import save_statistics, statistics_of
from geomeld.modalities import MODALITIES
from geomeld.sources import Source

UNFINISHED = ".build.json"
"""File that marks a folder whose build has not finished, and says which build that is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one place: a sample, or a failure."""

    tile_id: int
    sample: bytes | None = None
    """The HDF5 file of the tile."""
    has_photograph: bool = False
    """Whether it holds a 1 m photograph: such tiles have shards of their own, as in the published files."""
    failure: Failure | None = None


def build(
    places: Sequence[Anchor] | Sequence[PlanRow],
    source: Source,
    out: Path,
    config: BuildConfig = BuildConfig(),
    *,
    workers: int = 1,
    engine: Engine = "processes",
) -> Manifest:
    """Build a dataset from anchors, or from a plan; run again after any interruption it ends in the same bytes.

    A tile that cannot be built is listed in the manifest with its reason; the others are built. Raises DatasetError
    where the folder is another build's, another process is at work in it, or no tile at all could be built.
    """
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file; give a folder for the dataset.")
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        identity = _identity(places, source, config)
        finished = _finished(out, identity)
        if finished is not None:
            return finished
        _prepare(out, identity)
        failures = _build_shards(places, source, out, config, workers, engine)
        if not any(out.glob("*.tar")):
            (out / UNFINISHED).unlink()
            reasons = Counter(f.reason for f in failures).most_common(3)
            said = "; ".join(f"{n} x {reason}" for reason, n in reasons)
            raise DatasetError(f"None of the {len(places)} tiles could be built: {said}.")
        dataset = Dataset(out)
        save_statistics(out, statistics_of(dataset, MODALITIES))
        manifest = _manifest(dataset, source, identity, failures)
        manifests.save_manifest(out, manifest)
        (out / UNFINISHED).unlink()
        return manifest


def plan(
    anchors: Sequence[Anchor],
    source: Source,
    config: BuildConfig,
    *,
    workers: int = 1,
    engine: Engine = "processes",
) -> list[PlanRow]:
    """Choose the scenes of all anchors, in their order."""
    work = partial(_plan_one, source=source, config=config)
    rows = in_order(work, anchors, min(workers, len(anchors)), preload=_modules(source), engine=engine)
    return list(tqdm(rows, desc="plan", total=len(anchors), unit="tile", dynamic_ncols=True))


def _plan_one(anchor: Anchor, *, source: Source, config: BuildConfig) -> PlanRow:
    try:
        return plan_tile(anchor, source, config)
    except MissingProduct:
        raise  # no other tile can escape it
    except SourceError as error:
        return PlanRow(anchor, reason=str(error))


def _build_one(place: Anchor | PlanRow, *, source: Source, config: BuildConfig) -> Outcome:
    """Plan and read one place. Both in one process, so that what the source keeps of a place serves twice."""
    row = _plan_one(place, source=source, config=config) if isinstance(place, Anchor) else place
    tile_id = row.anchor.tile_id
    if row.reason:
        return Outcome(tile_id, failure=Failure(tile_id, "plan", row.reason))
    try:
        tile = build_tile(row, source)
    except SourceError as error:
        return Outcome(tile_id, failure=Failure(tile_id, "read", str(error)))
    return Outcome(tile_id, encode(tile), _has_photograph(tile))


def _has_photograph(tile: Tile) -> bool:
    return any(MODALITIES[n].timing is Timing.ANCHOR for n in tile.layers)


def _modules(source: Source) -> tuple[str, ...]:
    return __name__, type(source).__module__


def _build_shards(
    places: Sequence[Anchor] | Sequence[PlanRow],
    source: Source,
    out: Path,
    config: BuildConfig,
    workers: int,
    engine: Engine,
) -> list[Failure]:
    """Write all shards that are not there yet; returns what failed, in the order of the places."""
    there = {shard.name: load_index(shard) for shard in sorted(out.glob("*.tar"))}
    done = {member.tile_id for index in there.values() for member in index.members}
    left = [p for p in places if _anchor(p).tile_id not in done]
    work = partial(_build_one, source=source, config=config)
    outcomes = in_order(work, left, min(workers, len(left)), preload=_modules(source), engine=engine)
    with tqdm(total=len(places), initial=len(places) - len(left), desc="build", unit="tile", dynamic_ncols=True) as bar:
        return _write_shards(_counted(outcomes, bar), out, config.shard_size, set(there))


def _counted(outcomes: Iterable[Outcome], bar: tqdm) -> Iterator[Outcome]:
    for outcome in outcomes:
        yield outcome
        bar.update()


def _write_shards(outcomes: Iterable[Outcome], out: Path, size: int, there: set[str]) -> list[Failure]:
    """Tiles into shards in the order in which they come, tiles with photographs apart.

    Shards that are there are whole, so the tiles that are left fill the free numbers in the same way as at first.
    """
    failures = []
    free = {kind: _free_names(kind, there) for kind in (False, True)}
    growing: dict[bool, ShardWriter] = {}
    try:
        for outcome in outcomes:
            if outcome.failure is not None:
                failures.append(outcome.failure)
                continue
            kind = outcome.has_photograph
            if kind not in growing:
                growing[kind] = ShardWriter(out / next(free[kind]))
            assert outcome.sample is not None
            growing[kind].add(outcome.tile_id, outcome.sample)
            if growing[kind].tiles == size:
                growing.pop(kind).finish()
        for kind in sorted(growing):
            growing.pop(kind).finish()
    finally:
        for shard in growing.values():
            shard.abandon()
    return failures


def _free_names(has_photograph: bool, there: set[str]) -> Iterator[str]:
    names = (shard_name(number, has_photograph) for number in count())
    return (name for name in names if name not in there)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder; the lock ends with the process, however that ends."""
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DatasetError(f"Another build is at work in {out}; wait for it, or give another folder.") from None
        yield


def _anchor(place: Anchor | PlanRow) -> Anchor:
    return place if isinstance(place, Anchor) else place.anchor


def _identity(places: Sequence[Anchor] | Sequence[PlanRow], source: Source, config: BuildConfig) -> dict[str, Any]:
    """What the bytes of a dataset depend on."""
    listing = json.dumps([to_json(p) if isinstance(p, Anchor) else row_json(p) for p in places], sort_keys=True)
    digest = blake2b(listing.encode(), digest_size=16).hexdigest()
    settings = to_json(source) if dataclasses.is_dataclass(source) else source.name
    return {"build": to_json(config), "source": settings, "places": len(places), "places_hash": digest}


def _finished(out: Path, identity: dict[str, Any]) -> Manifest | None:
    """The manifest of this very build, if there is one and no shard is gone: a damaged one is deleted to be rebuilt.

    Raises CorruptFile for a shard that is cut short.
    """
    if not (out / manifests.NAME).exists():
        return None
    manifest = manifests.load_manifest(out)
    if manifest.config != identity:
        raise DatasetError(f"{out} holds a dataset of another build (see {manifests.NAME}); give another folder.")
    if not all((out / s.name).exists() for s in manifest.shards):
        return None
    for shard in manifest.shards:
        load_index(out / shard.name)
    (out / UNFINISHED).unlink(missing_ok=True)
    return manifest


def _prepare(out: Path, identity: dict[str, Any]) -> None:
    """Mark the folder as this build's, and clear away what an interrupted run left."""
    known = out / UNFINISHED
    begun = any(out.glob("*.tar"))  # the mark of a build without a shard claims nothing
    if begun and known.exists():
        if json.loads(known.read_text()) != identity:
            raise DatasetError(f"{out} holds an unfinished build with other settings; finish it, or remove the folder.")
    elif begun and not (out / manifests.NAME).exists():
        raise DatasetError(f"{out} holds shards that no build of this folder wrote; give an empty folder.")
    write_atomically(known, json.dumps(identity).encode())
    remove_partials(out)


def _manifest(dataset: Dataset, source: Source, identity: dict[str, Any], failures: Sequence[Failure]) -> Manifest:
    indexes = [(shard.name, load_index(shard)) for shard in dataset.shards]
    products: dict[str, Counter[str]] = {}
    for tile_id in dataset.tile_ids:
        for name, layer in dataset.metadata(tile_id)["layers"].items():
            products.setdefault(name, Counter())[layer["product"]] += 1
    return Manifest(
        source=source.name,
        config=identity,
        shards=tuple(ShardEntry(name, len(x.members), x.size, x.sha256) for name, x in indexes),
        failures=tuple(failures),
        products={n: dict(sorted(c.items())) for n, c in sorted(products.items())},
    )
