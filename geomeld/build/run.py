"""Run: a whole build, planned once, shard by shard over a process pool, resumable to the same bytes."""

import fcntl
import json
import multiprocessing
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geomeld.build.config import BuildConfig
from geomeld.build.plan import PlanRow, plan_tile, read_plan, write_plan
from geomeld.build.tile import build_tile
from geomeld.core.config import to_json
from geomeld.core.errors import DatasetError, MissingProduct, SourceError
from geomeld.core.tile import Anchor, Tile
from geomeld.dataset import Dataset
from geomeld.dataset import manifest as manifests
from geomeld.dataset.files import remove_partials, write_atomically
from geomeld.dataset.index import load_index
from geomeld.dataset.manifest import Failure, Manifest, ShardEntry
from geomeld.dataset.shard import shard_name, write_shard
from geomeld.dataset.statistics import save_statistics, statistics_of
from geomeld.modalities import MODALITIES
from geomeld.sources import Source

WORK = ".build"
"""Folder inside the dataset for what only an unfinished build needs."""


@dataclass(frozen=True, slots=True)
class Unit:
    """The work of one process: one shard."""

    name: str
    rows: tuple[PlanRow, ...]


def build(
    anchors: Sequence[Anchor], source: Source, out: Path, config: BuildConfig = BuildConfig(), *, workers: int = 1
) -> Manifest:
    """Build a dataset; run again after any interruption it ends in the same bytes.

    A tile that cannot be built is listed in the manifest with its reason; the others are built. Raises DatasetError
    where the folder is another build's, another process is at work in it, or no tile at all could be built.
    """
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out} is a file; give a folder for the dataset.")
    out.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        identity = _identity(anchors, source, config)
        finished = _finished(out, identity)
        if finished is not None:
            return finished
        work = _prepared(out, identity)
        rows = _planned(anchors, source, config, work, workers)
        units = list(_units(rows, config.shard_size))
        _build_units(units, source, out, work, workers)
        manifest = _manifest(units, rows, source, out, work, identity)
        if not manifest.tiles:
            reasons = Counter(f.reason for f in manifest.failures).most_common(3)
            shutil.rmtree(work)
            said = "; ".join(f"{n} x {reason}" for reason, n in reasons)
            raise DatasetError(f"None of the {len(anchors)} tiles could be built: {said}.")
        dataset = Dataset(out)
        save_statistics(out, statistics_of(dataset, MODALITIES))
        manifests.save_manifest(out, manifest)
        shutil.rmtree(work)
        return manifest


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the folder; the lock ends with the process, however that ends."""
    with (out / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DatasetError(f"Another build is at work in {out}; wait for it, or give another folder.") from None
        yield


def _identity(anchors: Sequence[Anchor], source: Source, config: BuildConfig) -> dict[str, Any]:
    """What the bytes of a dataset depend on."""
    listing = json.dumps([to_json(a) for a in anchors], sort_keys=True)
    digest = blake2b(listing.encode(), digest_size=16).hexdigest()
    return {"build": to_json(config), "source": source.name, "anchors": len(anchors), "anchors_hash": digest}


def _finished(out: Path, identity: dict[str, Any]) -> Manifest | None:
    if not (out / manifests.NAME).exists():
        return None
    manifest = manifests.load_manifest(out)
    if manifest.config != identity:
        raise DatasetError(f"{out} holds a dataset of another build (see {manifests.NAME}); give another folder.")
    shutil.rmtree(out / WORK, ignore_errors=True)
    return manifest


def _prepared(out: Path, identity: dict[str, Any]) -> Path:
    work = out / WORK
    known = work / "identity.json"
    if known.exists():
        if json.loads(known.read_text()) != identity:
            raise DatasetError(f"{out} holds an unfinished build with other settings; finish it, or remove the folder.")
    elif any(out.glob("*.tar")):
        raise DatasetError(f"{out} holds shards that no build of this folder wrote; give an empty folder.")
    work.mkdir(exist_ok=True)
    write_atomically(known, json.dumps(identity).encode())
    for folder in (out, work):
        remove_partials(folder)
    return work


def _planned(anchors: Sequence[Anchor], source: Source, config: BuildConfig, work: Path, workers: int) -> list[PlanRow]:
    stored = work / "plan.parquet"
    if stored.exists():
        return read_plan(stored)
    rows = plan(anchors, source, config, workers=workers)
    write_plan(stored, rows)
    return rows


def plan(anchors: Sequence[Anchor], source: Source, config: BuildConfig, *, workers: int = 1) -> list[PlanRow]:
    """Choose the scenes of all anchors, in their order."""
    jobs = [(a, source, config) for a in anchors]
    return _in_order(_plan_one, jobs, workers, "plan", [1] * len(jobs))


def _plan_one(job: tuple[Anchor, Source, BuildConfig]) -> PlanRow:
    anchor, source, config = job
    try:
        return plan_tile(anchor, source, config)
    except SourceError as error:
        if isinstance(error, MissingProduct):
            raise  # no other tile can escape it
        return PlanRow(anchor, reason=str(error))


def _units(rows: Sequence[PlanRow], size: int) -> Iterator[Unit]:
    """Shards in anchor order; tiles with photographs apart, as in the published files."""
    for with_photograph in (False, True):
        part = [r for r in rows if not r.reason and r.has_photograph is with_photograph]
        for number, start in enumerate(range(0, len(part), size)):
            yield Unit(shard_name(number, with_photograph), tuple(part[start : start + size]))


def _build_units(units: Sequence[Unit], source: Source, out: Path, work: Path, workers: int) -> None:
    jobs = [(unit, source, out, work) for unit in units if not _failures_path(work, unit.name).exists()]
    done = sum(len(u.rows) for u in units) - sum(len(j[0].rows) for j in jobs)
    _in_order(_build_unit, jobs, workers, "build", [len(j[0].rows) for j in jobs], done)


def _build_unit(job: tuple[Unit, Source, Path, Path]) -> None:
    """Write one shard, then the record of what failed in it; the record says that the shard is done."""
    unit, source, out, work = job
    failures: list[Failure] = []

    def tiles() -> Iterator[Tile]:
        for row in unit.rows:
            try:
                yield build_tile(row, source)
            except SourceError as error:
                failures.append(Failure(row.anchor.tile_id, "read", str(error)))

    shard = out / unit.name
    index = write_shard(shard, tiles())
    if not index.members:
        shard.unlink()
        shard.with_name(shard.name.removesuffix(".tar") + ".index.json").unlink(missing_ok=True)
    write_atomically(_failures_path(work, unit.name), json.dumps(to_json(failures)).encode())


def _failures_path(work: Path, name: str) -> Path:
    return work / f"{name}.failures.json"


def _manifest(
    units: Sequence[Unit], rows: Sequence[PlanRow], source: Source, out: Path, work: Path, identity: dict[str, Any]
) -> Manifest:
    failures = [Failure(r.anchor.tile_id, "plan", r.reason) for r in rows if r.reason]
    entries = []
    for unit in units:
        failures += [Failure(**f) for f in json.loads(_failures_path(work, unit.name).read_text())]
        if (out / unit.name).exists():
            index = load_index(out / unit.name)
            entries.append(ShardEntry(unit.name, len(index.members), index.size, index.sha256))
    products: dict[str, Counter[str]] = {}
    if entries:
        dataset = Dataset(out)
        for tile_id in dataset.tile_ids:
            for name, layer in dataset.metadata(tile_id)["layers"].items():
                products.setdefault(name, Counter())[layer["product"]] += 1
    counted = {n: dict(sorted(c.items())) for n, c in sorted(products.items())}
    return Manifest(
        source=source.name, config=identity, shards=tuple(entries), failures=tuple(failures), products=counted
    )


def _in_order(
    work: Callable[[Any], Any], jobs: Sequence[Any], workers: int, title: str, sizes: Sequence[int], done: int = 0
) -> list[Any]:
    """Results of `work` over `jobs` in their order, with progress on stderr. In this process for one worker."""
    total = sum(sizes) + done
    with tqdm(total=total, initial=done, desc=title, unit="tile", disable=not jobs, dynamic_ncols=True) as bar:
        if workers <= 1 or len(jobs) <= 1:
            results = []
            for job, size in zip(jobs, sizes, strict=True):
                results.append(work(job))
                bar.update(size)
            return results
        context = multiprocessing.get_context("forkserver")
        with ProcessPoolExecutor(min(workers, len(jobs)), context, initializer=_quiet_interrupts) as pool:
            futures: dict[Future[Any], int] = {
                pool.submit(work, job): size for job, size in zip(jobs, sizes, strict=True)
            }
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update(futures[future])
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                for process in list(pool._processes.values()):
                    process.terminate()
                raise
            return [future.result() for future in futures]


def _quiet_interrupts() -> None:
    """Ctrl-C belongs to the parent, which ends its workers itself."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
