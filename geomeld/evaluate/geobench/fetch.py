"""Fetch: one set of GEO-Bench, v1.0 or v2, from the Hugging Face Hub, resumed where it broke off, and checked."""

import json
import shutil
import zipfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from geomeld.core.errors import CorruptAsset, MissingAsset, SourceError, UsageError
from geomeld.core.retry import Retry
from geomeld.dataset.files import sync_folder
from geomeld.evaluate.geobench.sets import SETS
from geomeld.evaluate.geobench_v2.sets import SETS_V2
from geomeld.sources.download import Kept
from geomeld.sources.web import get


@dataclass(frozen=True)
class Hub:
    """Where the benchmark is kept."""

    address: str = "https://huggingface.co"
    repository: str = "recursix/geo-bench-1.0"
    """Of version 1.0, all of it."""
    owner: str = "aialliance"
    """Of the repositories of version 2, one per set."""
    revision: str = "main"
    retry: Retry = field(default_factory=Retry)
    """What is done when the server fails; a later run goes on from the bytes that came."""

    def stored(self, repository: str, path: str) -> tuple[str, str, int]:
        """(address, SHA-256, bytes) of a file, by the Hub's list. Raises SourceError and its kinds."""
        folder = path.rpartition("/")[0]
        listing = f"{self.address}/api/datasets/{repository}/tree/{self.revision}/{folder}".rstrip("/")
        body, _ = self.retry.call(lambda: get(listing).body, listing)
        try:
            entries = {entry["path"]: entry for entry in json.loads(body)}
            if path not in entries:
                large = ", ".join(sorted(name for name, entry in entries.items() if "lfs" in entry)) or "no such file"
                raise MissingAsset(f"{listing} lists no {path}; it has {large}. Check the repository and revision.")
            held = entries[path]["lfs"]
            href = f"{self.address}/datasets/{repository}/resolve/{self.revision}/{path}"
            return href, str(held["oid"]).removeprefix("sha256:"), int(held["size"])
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SourceError(f"{listing} gave no list of files with their checksums ({error!r}).") from None


def fetch(name: str, out: Path, hub: Hub | None = None) -> Path:
    """Bring one set to `out`/FOLDER/NAME (version 1.0) or `out`/NAME/geobench_NAME.tortilla (version 2) and return that
    path; at once where it is there already.

    It appears when all of it is there. Raises UsageError for a set that does not exist, SourceError and its kinds where
    the Hub fails, CorruptAsset where the bytes are not those it lists; run it again to go on.
    """
    hub = hub or Hub()
    if name not in SETS and name not in SETS_V2:
        raise UsageError(
            f"There is no set {name!r} in GEO-Bench; there are {', '.join(SETS)} of version 1.0 and "
            f"{', '.join(SETS_V2)} of version 2."
        )
    if name in SETS:
        path = out / SETS[name].folder / name
        asset = hub.repository, f"{SETS[name].folder}/{name}.zip"
    else:
        path = out / name / SETS_V2[name].file
        asset = f"{hub.owner}/{name}", SETS_V2[name].file
    if path.exists():
        return path
    came = _checked(hub, *asset, Kept(out / ".fetch"))
    path.parent.mkdir(parents=True, exist_ok=True)
    if name in SETS:
        _unpack(came, path)
    else:
        came.replace(path)
        sync_folder(path.parent)
    for left in came.parent.glob(f"*{came.name}*"):
        left.unlink()
    return path


def _checked(hub: Hub, repository: str, asset: str, kept: Kept) -> Path:
    """A file of the Hub, kept, with the bytes that the Hub lists."""
    href, sha256, size = hub.stored(repository, asset)
    path, _ = hub.retry.call(lambda: kept.file(href), href)
    came = path.with_name(f"{path.name}.sha256").read_text()[:64]
    if came != sha256 or path.stat().st_size != size or kept.damaged(path):
        path.unlink(missing_ok=True)
        raise CorruptAsset(f"{href} came with other bytes than the Hub lists (SHA-256 {sha256}); run it again.")
    return path


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
