"""Remote: shards on servers (hf://datasets/..., https://..., whatever fsspec knows), read by byte range."""

import io
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, cast

from geomeld.core.errors import AuthError, DatasetError, MissingExtra, TransientError
from geomeld.core.retry import Retry
from geomeld.dataset.files import write_atomically

R = TypeVar("R")

CACHE = "GEOMELD_CACHE"
"""Variable that names the folder for indexes of remote shards; ~/.cache/geomeld without it."""
COMPANIONS = ("manifest.json", "statistics.json")
"""Small files of a dataset that are fetched when it is opened."""
ENDINGS = (".tar", ".packed")
ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}(?!/)(.+)")
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
PAGE = 1 << 14
"""Bytes that are fetched at once while a shard is indexed: a tar header with the start of its HDF5 file."""
PAGES_KEPT = 512
AT_ONCE = 8
"""Requests at the same time."""
GAP = 1 << 16
"""Arrays that lie closer than this are fetched in one request."""
RETRY = Retry(tries=5, first_wait_s=0.5, longest_wait_s=20.0)


def address_of(path: str | Path) -> str | None:
    """The address that was given as a path; None for a path on this machine.

    `pathlib` folds the two slashes of an address into one: `https:/host` is read as `https://host`.
    """
    found = ADDRESS.fullmatch(str(path))
    return f"{found[1]}://{found[2]}" if found else None


@dataclass(frozen=True)
class RemoteFile:
    """A shard on a server: what a path is to a shard on this machine, as far as reading goes."""

    address: str
    size: int
    """Bytes."""
    cached: Path
    """Where its companions lie on this machine, under its own name and its server's version of it."""
    sha256: str = ""
    """Checksum, where the server tells it."""

    def __str__(self) -> str:
        return self.address

    @property
    def name(self) -> str:
        """The file's name."""
        return self.address.rpartition("/")[2]

    @property
    def suffix(self) -> str:
        """The ending of its name, with the dot."""
        return Path(self.name).suffix

    def read(self, offset: int, size: int) -> bytes:
        """Bytes of the file. Raises TransientError when the server fails several times in a row."""

        def once() -> bytes:
            with (
                _explained(self.address),
                _open(self.address, size=self.size, cache_type="none", block_size=PAGE) as file,
            ):
                file.seek(offset)
                data = file.read(size)
            if len(data) != size:
                raise TransientError(f"{self.address}: {len(data)} of {size} bytes came. Try again later.")
            return data

        size = max(min(size, self.size - offset), 0)
        return _patiently(once, self.address) if size else b""

    def read_bytes(self) -> bytes:
        """The whole file."""
        return self.read(0, self.size)

    def open(self, mode: str = "rb") -> io.BufferedReader:
        """The file for reading here and there, page by page."""
        return io.BufferedReader(_Pages(self), PAGE)

    def companion(self, ending: str) -> str:
        """Address of a file beside it: its name with another ending."""
        plain, mark, query = self.address.partition("?")
        return plain.rpartition(".")[0] + ending + mark + query

    def spans(self, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Several (offset, size) parts, neighbours in one request."""
        parts: dict[tuple[int, int], bytes] = {}
        for group in _neighbours(sorted(set(spans))):
            start, end = group[0][0], max(offset + size for offset, size in group)
            data = self.read(start, end - start)
            parts |= {(o, s): data[o - start : o - start + s] for o, s in group}
        return [parts[span] for span in spans]


def _neighbours(spans: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
    group: list[tuple[int, int]] = []
    for offset, size in spans:
        if group and offset > max(o + s for o, s in group) + GAP:
            yield group
            group = []
        group.append((offset, size))
    if group:
        yield group


class _Pages(io.RawIOBase):
    """A remote file of which the pages last read are kept, and those fetched that will be wanted next."""

    def __init__(self, file: RemoteFile) -> None:
        self._file, self._at = file, 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()
        self.stride = 0
        """Bytes from one tile to the next, where that is known: the tiles of a shard are read at the same places."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        page, inside = divmod(self._at, PAGE)
        data = self._page(page)[inside : inside + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def _page(self, number: int) -> bytes:
        if number not in self._kept:
            ahead = range(1, AT_ONCE) if self.stride else ()
            numbers = {number, *((number * PAGE + k * self.stride) // PAGE for k in ahead)} - self._kept.keys()
            wanted = sorted(n for n in numbers if n * PAGE < self._file.size)
            with ThreadPoolExecutor(AT_ONCE) as pool:
                self._kept |= zip(wanted, pool.map(lambda n: self._file.read(n * PAGE, PAGE), wanted), strict=True)
            while len(self._kept) > PAGES_KEPT:
                self._kept.popitem(last=False)
        return self._kept[number]


def remote_shards(address: str) -> tuple[Path, list[RemoteFile]]:
    """(folder of the cache, shards) of an address: a folder, a shard, or several by `*` or `{00000..00012}`.

    The dataset's manifest and statistics are fetched into that folder, where the server has them. Raises DatasetError
    where there is nothing to read, TransientError where the server does not answer, MissingExtra without fsspec.
    """
    folder = _cache(address)
    names = list(_expanded(address))
    if len(names) == 1 and "*" not in address and not address.endswith(ENDINGS):
        for companion in COMPANIONS:
            fetch(f"{address.rstrip('/')}/{companion}", folder / companion)
        names = _listed(address.rstrip("/"), folder)
    elif "*" in address:
        names = [name for pattern in names for name in _globbed(pattern)]
    if not names:
        raise DatasetError(
            f"{address} holds no shards (*.tar or *.packed) that may be seen; name its folder or the shards, and log "
            "in if it is private (HF_TOKEN)."
        )
    return folder, [_remote_file(name, folder) for name in names]


def fetch(address: str, path: Path) -> bool:
    """Copy a small file of a server; False where there is none."""
    try:
        data = _remote_file(address, path.parent).read_bytes()
    except DatasetError:
        path.unlink(missing_ok=True)
        return False
    write_atomically(path, data)
    return True


def _cache(address: str) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    root = Path(os.environ.get(CACHE) or Path(home) / "geomeld")
    readable = re.sub(r"[^A-Za-z0-9.]+", "-", address.partition("://")[2].partition("?")[0]).strip("-")[-60:]
    folder = root / "remote" / f"{readable}-{blake2b(address.encode(), digest_size=6).hexdigest()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _expanded(address: str) -> Iterator[str]:
    """The addresses that `{00000..00012}` stands for, as in WebDataset."""
    found = BRACES.search(address)
    if found is None:
        yield address
        return
    first, last = found.groups()
    for number in range(int(first), int(last) + 1):
        yield from _expanded(f"{address[: found.start()]}{number:0{len(first)}d}{address[found.end() :]}")


def _listed(address: str, folder: Path) -> list[str]:
    """The shards of a remote folder: as its manifest says, else as its server lists them."""
    from geomeld.dataset.manifest import load_manifest

    if (folder / COMPANIONS[0]).exists():
        return [f"{address}/{shard.name}" for shard in load_manifest(folder).shards]
    for pattern in ("*", "**/*"):
        if found := [name for ending in ENDINGS for name in _globbed(f"{address}/{pattern}{ending}")]:
            return found
    return []


def _globbed(pattern: str) -> list[str]:
    def once() -> list[str]:
        with _explained(pattern):
            system, path = _filesystem(pattern)
            return [system.unstrip_protocol(name) for name in sorted(system.glob(path))]

    try:
        return _patiently(once, pattern)
    except DatasetError:
        return []


def _remote_file(address: str, folder: Path) -> RemoteFile:
    def once() -> dict[str, Any]:
        with _explained(address):
            system, path = _filesystem(address)
            return cast(dict[str, Any], system.info(path))

    info = _patiently(once, address)
    if info.get("type") == "directory" or info.get("size") is None:
        raise DatasetError(f"{address} is no file that can be read in parts: its server does not say how long it is.")
    sha256 = str((info.get("lfs") or {}).get("sha256") or "")
    known = [str(info[k]) for k in ("blob_id", "ETag", "etag", "Last-Modified", "LastModified", "mtime") if info.get(k)]
    version = blake2b(f"{known}|{info['size']}|{sha256}".encode(), digest_size=4).hexdigest()
    name = address.partition("?")[0].rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return RemoteFile(address, int(info["size"]), folder / f"{stem}.{version}{dot}{ending}", sha256)


def _filesystem(address: str) -> tuple[Any, str]:
    """fsspec's file system for an address, and the path in it."""
    try:
        import fsspec
    except ImportError:
        raise MissingExtra(f"Reading {address} needs fsspec: pip install 'geomeld[remote]'") from None
    try:
        return cast(tuple[Any, str], fsspec.url_to_fs(address))
    except (ImportError, ValueError) as error:
        raise MissingExtra(f"{address} cannot be read ({error}): pip install 'geomeld[remote]'") from None


def _open(address: str, **how: Any) -> BinaryIO:
    system, path = _filesystem(address)
    return cast(BinaryIO, system.open(path, "rb", **how))


def _patiently(work: Callable[[], R], address: str) -> R:
    return RETRY.call(work, address)[0]


@contextmanager
def _explained(address: str) -> Iterator[None]:
    """Turn what file systems raise into this project's errors."""
    try:
        yield
    except FileNotFoundError:
        raise DatasetError(f"There is no {address}, or it may not be seen without a login (HF_TOKEN).") from None
    except PermissionError as error:
        raise AuthError(f"{address} was refused: {error}. Log in (hf auth login, or HF_TOKEN).") from None
    except (TimeoutError, OSError, EOFError) as error:
        raise _by_status(address, error) from None
    except Exception as error:  # HTTP clients have trees of their own: aiohttp, httpx, botocore
        if type(error).__module__.partition(".")[0] not in CLIENTS:
            raise
        raise _by_status(address, error) from None


CLIENTS = ("aiohttp", "httpx", "httpx2", "httpcore", "huggingface_hub", "botocore", "requests", "urllib3")


def _by_status(address: str, error: Exception) -> Exception:
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    said = f"{type(error).__name__}: {error}".rstrip(": ")
    match status:
        case 401 | 403:
            return AuthError(f"{address} was refused ({said}). Log in (hf auth login, or HF_TOKEN).")
        case 404 | 410:
            return DatasetError(f"There is no {address} ({said}).")
        case _:
            return TransientError(f"{address} cannot be read at present ({said}). Try again later.")
