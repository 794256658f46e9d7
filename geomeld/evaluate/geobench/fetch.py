"""Fetch: one set of GEO-Bench v1.0 from the Hugging Face Hub, resumed where it broke off, checked, then unpacked."""

import json
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from geomeld.core.errors import CorruptAsset, MissingAsset, SourceError, UsageError
from geomeld.core.retry import Retry
from geomeld.dataset.files import sync_folder
from geomeld.evaluate.geobench.sets import SETS, BenchmarkSet
from geomeld.sources.download import Kept
from geomeld.sources.web import get


@dataclass(frozen=True)
class Hub:
    """Where the benchmark is kept."""

    address: str = "https://huggingface.co"
    repository: str = "recursix/geo-bench-1.0"
    revision: str = "main"
    retry: Retry = field(default_factory=Retry)
    """What is done when the server fails; a later run goes on from the bytes that came."""

    def archive(self, record: BenchmarkSet) -> tuple[str, str, int]:
        """(address, SHA-256, bytes) of the archive of a set, by the Hub's list. Raises SourceError and its kinds."""
        listing = f"{self.address}/api/datasets/{self.repository}/tree/{self.revision}/{record.folder}"
        body, _ = self.retry.call(lambda: get(listing).body, listing)
        wanted = f"{record.folder}/{record.name}.zip"
        try:
            entries = {entry["path"]: entry for entry in json.loads(body)}
            if wanted not in entries:
                held = ", ".join(sorted(p for p in entries if p.endswith(".zip"))) or "no archive"
                raise MissingAsset(f"{listing} lists no {wanted}; it has {held}. Check the repository and revision.")
            stored = entries[wanted]["lfs"]
            href = f"{self.address}/datasets/{self.repository}/resolve/{self.revision}/{wanted}"
            return href, str(stored["oid"]).removeprefix("sha256:"), int(stored["size"])
        except (ValueError, TypeError, KeyError) as error:
            raise SourceError(f"{listing} gave no list of files with their checksums ({error!r}).") from None


def fetch(name: str, out: Path, hub: Hub | None = None) -> Path:
    """Bring one set to `out`/FOLDER/NAME and return that folder; at once where it is there already.

    The folder appears when all of it is there. Raises UsageError for a set that does not exist, SourceError and its
    kinds where the Hub fails, CorruptAsset where the bytes are not those it lists; run it again to go on.
    """
    hub = hub or Hub()
    if name not in SETS:
        raise UsageError(f"There is no set {name!r} in GEO-Bench 1.0; there are {', '.join(SETS)}.")
    record = SETS[name]
    folder = out / record.folder / name
    if folder.is_dir():
        return folder
    href, sha256, size = hub.archive(record)
    kept = Kept(out / ".fetch")
    archive, _ = hub.retry.call(lambda: kept.file(href), href)
    came = archive.with_name(f"{archive.name}.sha256").read_text()[:64]
    if came != sha256 or archive.stat().st_size != size or kept.damaged(archive):
        archive.unlink(missing_ok=True)
        raise CorruptAsset(f"{href} came with other bytes than the Hub lists (SHA-256 {sha256}); run it again.")
    _unpack(archive, folder)
    for left in kept.folder.glob(f"*{archive.name}*"):
        left.unlink()
    return folder


def _unpack(archive: Path, folder: Path) -> None:
    """Every file of an archive straight into the folder of its set, whatever folders the archive puts it in: sets are
    flat, and so nothing can be written beside it."""
    beside = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [m for m in packed.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX")]
            names = [PurePosixPath(m.filename).name for m in members]
            if len(set(names)) < len(names) or not {"task_specs.pkl", "band_stats.json"} <= set(names):
                raise CorruptAsset(
                    f"{archive} is no set of GEO-Bench 1.0: it holds no task_specs.pkl and band_stats.json, or a file "
                    "twice. Remove it and fetch again."
                )
            for member, name in zip(members, names, strict=True):
                with packed.open(member) as source, (beside / name).open("wb") as target:
                    shutil.copyfileobj(source, target, 2**20)
    except (zipfile.BadZipFile, EOFError) as error:
        archive.unlink()
        raise CorruptAsset(f"{archive} cannot be unpacked ({error}); it was removed, run it again.") from None
    sync_folder(beside)
    beside.replace(folder)
    sync_folder(folder.parent)
