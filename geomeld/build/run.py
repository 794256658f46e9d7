"""Run: a whole build over processes or a cluster, resumable to the same bytes, with every tile accounted for."""

import dataclasses
import fcntl
import json
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from geomeld.build.attempt import Attempt
from geomeld.build.config import BuildConfig, Patience
from geomeld.build.ledger import NAME as LEDGER
from geomeld.build.ledger import Ledger
from geomeld.build.order import spatial_order
from geomeld.build.plan import PlanRow, row_json
from geomeld.build.rounds import Rounds
from geomeld.build.status import UNFINISHED
from geomeld.build.survey import survey
from geomeld.build.units import take_stock
from geomeld.core.config import to_json
from geomeld.core.errors import DatasetError
from geomeld.core.pool import Engine
from geomeld.core.tile import Anchor
from geomeld.dataset import manifest as manifests
from geomeld.dataset.files import remove_partials, write_atomically
from geomeld.dataset.index import load_index
from geomeld.dataset.manifest import Failure, Manifest, ShardEntry
from geomeld.dataset.map_table import write_map_table
from geomeld.dataset.statistics import save_statistics
from geomeld.sources import Source
from geomeld.sources.pace import Pace, parsed_rates

WORK = ".work"
"""Folder of what a build needs only until it is finished: samples that wait for their shard, the pace of hosts."""

Places = Sequence[Anchor] | Sequence[PlanRow]


def build(
    places: Places,
    source: Source,
    out: Path,
    config: BuildConfig = BuildConfig(),
    *,
    patience: Patience = Patience(),
    workers: int = 1,
    engine: Engine = "processes",
    retry_failed: bool = False,
) -> Manifest:
    """Build a dataset from anchors, or from a plan; run again after any interruption it ends in the same bytes.

    Tiles lie in the order of `spatial_order`, whatever the order of the places. A tile that cannot be built is listed
    in the manifest and in the ledger with its reason; the others are built. `retry_failed` tries those of an earlier
    run again. Raises DatasetError where the folder is another build's, another process is at work in it, it cannot be
    written to, or no tile at all could be built; SourceError where servers fail too often in a row.
    """
    with _alone(out):
        digest = blake2b(digest_size=16)
        order, tile_ids = spatial_order(_hashed(places, digest))
        identity = _identity(len(order), digest.hexdigest(), source, config)
        finished = _finished(out, identity)
        if finished is not None and not retry_failed:
            return finished
        _prepare(out, identity)
        work = (out / WORK).resolve()
        attempt = Attempt(source, config, patience.retry(), work / "tiles", _pace(work, patience))
        with Ledger(out / LEDGER, _digest(identity)) as ledger:
            take_stock(out, ledger, tile_ids, config.shard_size)
            if retry_failed:
                ledger.forget(ledger.positions_of("failed"))
            rounds = Rounds(places, order, tile_ids, out, attempt, patience, ledger)
            rounds.run(ledger.incomplete() if retry_failed else [], workers, engine)
            failures = ledger.failures()
        if not any(out.glob("*.tar")):
            raise _nothing(out, failures)
        statistics, products = survey(out, workers, engine)
        save_statistics(out, statistics)
        write_map_table(out, workers, engine)
        manifest = _manifest(out, source, identity, failures, products)
        manifests.save_manifest(out, manifest)
        _clear(out)
        return manifest


def _pace(work: Path, patience: Patience) -> Pace:
    return Pace(work / "hosts", parsed_rates(patience.rate))


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder; the lock ends with the process, however that ends."""
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file; give a folder for the dataset.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".lock").open("w")
    except OSError as error:
        raise DatasetError(f"{out} cannot be written to ({error.strerror}); give another folder.") from None
    with lock:
        if not any(_locked(lock) for _ in range(5)):
            raise DatasetError(f"Another build is at work in {out}; wait for it, or give another folder.")
        yield


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except OSError:
        time.sleep(0.1)  # `--status` takes a look at the lock, and no longer than this
        return False


def _hashed(places: Places, digest: blake2b) -> Iterator[Anchor]:
    """The anchors of all places; the digest takes in all that is known of each."""
    for place in places:
        row = to_json(place) if isinstance(place, Anchor) else row_json(place)
        digest.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        yield place if isinstance(place, Anchor) else place.anchor


def _identity(places: int, digest: str, source: Source, config: BuildConfig) -> dict[str, Any]:
    """What the bytes of a dataset depend on."""
    settings = to_json(source) if dataclasses.is_dataclass(source) else source.name
    return {"build": to_json(config), "source": settings, "places": places, "places_hash": digest}


def _digest(identity: dict[str, Any]) -> str:
    return blake2b(json.dumps(identity, sort_keys=True).encode(), digest_size=16).hexdigest()


def _finished(out: Path, identity: dict[str, Any]) -> Manifest | None:
    """The manifest of this very build, if it is finished and no shard is gone: a damaged one is deleted to be rebuilt.

    Raises CorruptFile for a shard that is cut short, DatasetError where the folder is another build's.
    """
    if not (out / manifests.NAME).exists():
        return None
    manifest = manifests.load_manifest(out)
    if manifest.config != identity:
        raise DatasetError(f"{out} holds a dataset of another build (see {manifests.NAME}); give another folder.")
    if (out / UNFINISHED).exists() or not all((out / s.name).exists() for s in manifest.shards):
        return None
    for shard in manifest.shards:
        load_index(out / shard.name)
    return manifest


def _prepare(out: Path, identity: dict[str, Any]) -> None:
    """Mark the folder as this build's, and clear away what an interrupted run left."""
    known = out / UNFINISHED
    begun = any(out.glob("*.tar"))
    same = known.exists() and json.loads(known.read_text()) == identity
    if begun and known.exists() and not same:
        raise DatasetError(f"{out} holds an unfinished build with other settings; finish it, or remove the folder.")
    if begun and not known.exists() and not (out / manifests.NAME).exists():
        raise DatasetError(f"{out} holds shards that no build of this folder wrote; give an empty folder.")
    if not begun and not same:  # a build without a shard claims nothing
        _clear(out)
        (out / LEDGER).unlink(missing_ok=True)
    write_atomically(known, json.dumps(identity).encode())
    remove_partials(out)


def _nothing(out: Path, failures: Sequence[Failure]) -> DatasetError:
    """Leave the folder to another build, and say why."""
    _clear(out)
    (out / LEDGER).unlink()
    reasons = Counter(f.reason for f in failures).most_common(3)
    said = "; ".join(f"{n} x {reason}" for reason, n in reasons)
    return DatasetError(f"None of the {len(failures)} tiles could be built: {said}.")


def _clear(out: Path) -> None:
    """Take away what only an unfinished build needs."""
    shutil.rmtree(out / WORK, ignore_errors=True)
    (out / UNFINISHED).unlink(missing_ok=True)


def _manifest(
    out: Path,
    source: Source,
    identity: dict[str, Any],
    failures: Sequence[Failure],
    products: dict[str, dict[str, int]],
) -> Manifest:
    indexes = [(shard.name, load_index(shard)) for shard in sorted(out.glob("*.tar"))]
    return Manifest(
        source=source.name,
        config=identity,
        shards=tuple(ShardEntry(name, len(x.members), x.size, x.sha256) for name, x in indexes),
        failures=tuple(failures),
        products=products,
    )
