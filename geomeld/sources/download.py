"""Download: files of the web kept on disk, fetched once for all processes, resumed where they broke off, checked."""

import base64
import fcntl
import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geomeld.core.errors import AuthError, CorruptAsset, MissingAsset, SourceError, TransientError
from geomeld.dataset.files import sync_folder, write_atomically
from geomeld.sources import pace
from geomeld.sources.web import failure

TIMEOUT_S = 60.0
"""Seconds without a byte after which a connection is given up."""

CHUNK = 2**20


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of files that were fetched. Beside each lies its SHA-256 in the form that `sha256sum -c` reads."""

    folder: Path
    token: str = ""
    """Environment variable with the bearer token that the server asks for; the token itself is kept nowhere."""

    def file(self, href: str) -> Path:
        """The whole file behind an address, fetched unless it is here; other processes wait for the one that fetches.

        Raises MissingAsset where the server has none, AuthError where it refuses, TransientError where it fails (what
        has come stays, and the next call goes on from there), CorruptAsset where the bytes are not those promised.
        """
        path = self.folder / href.rpartition("/")[2]
        if path.exists():
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                self._fetch(href, path)
        return path

    def damaged(self, path: Path) -> bool:
        """Whether a kept file's bytes are no longer those that were fetched; such a file is removed."""
        try:
            with path.open("rb") as file:
                whole = hashlib.file_digest(file, "sha256").hexdigest() == _digest_beside(path).read_text()[:64]
        except OSError:
            whole = False
        if not whole:
            path.unlink(missing_ok=True)
        return not whole

    def _fetch(self, href: str, path: Path) -> None:
        partial, about = path.with_name(f".{path.name}.part"), path.with_name(f".{path.name}.part.json")
        promised = self._append(href, partial, about)
        size = partial.stat().st_size
        if size < promised.size:
            raise TransientError(
                f"{href} broke off after {size} of {promised.size} bytes. Try again: it goes on there."
            )
        digests = {name: hashlib.new(name) for name in ("md5", "sha256")}
        with partial.open("rb") as file:
            while chunk := file.read(CHUNK):
                for digest in digests.values():
                    digest.update(chunk)
            os.fsync(file.fileno())
        about.unlink(missing_ok=True)
        if size > promised.size or promised.md5 not in ("", digests["md5"].hexdigest()):
            partial.unlink()
            raise CorruptAsset(f"{href} came with other bytes than its server promised; fetch it again.")
        write_atomically(_digest_beside(path), f"{digests['sha256'].hexdigest()}  {path.name}\n".encode())
        partial.replace(path)
        sync_folder(path.parent)

    def _append(self, href: str, partial: Path, about: Path) -> "_Promise":
        """Fetch what is lacking of a file; returns what its server says of the whole."""
        have, version = _begun(partial, about)
        headers = {"Range": f"bytes={have}-", "If-Range": version} if have else {}
        with _answer(href, headers, self.token) as answer:
            have = have if answer.status == 206 else 0
            promise = _Promise.of(href, answer.headers, have)
            write_atomically(about, json.dumps({"version": promise.version}).encode())
            with partial.open("ab") as file:
                file.truncate(have)
                try:
                    while chunk := answer.read(CHUNK):
                        file.write(chunk)
                except (http.client.HTTPException, OSError) as error:
                    if isinstance(error, OSError) and error.filename:
                        raise  # the disk, not the network
                    return promise
        return promise


def exists(href: str, token: str = "") -> bool:
    """Whether a server has a file. Raises AuthError where it refuses, TransientError where it fails."""
    try:
        with _answer(href, {"Range": "bytes=0-0"}, token):
            return True
    except MissingAsset:
        return False


@dataclass(frozen=True, slots=True)
class _Promise:
    size: int
    version: str
    """What names this version of the file, for `If-Range`; empty where nothing does."""
    md5: str
    """Hexadecimal; empty where the server states none."""

    @classmethod
    def of(cls, href: str, headers: Mapping[str, str], have: int) -> "_Promise":
        if not headers.get("Content-Length"):
            raise SourceError(
                f"{href} comes without its length, so that nobody can tell a whole file from half of one."
            )
        etag = headers.get("ETag") or ""
        version = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified") or ""
        return cls(have + int(headers["Content-Length"]), version, _md5(headers))


def _md5(headers: Mapping[str, str]) -> str:
    """The MD5 of a whole file, where a server states it: Google's stores, and Amazon's for files sent in one piece."""
    for part in (headers.get("x-goog-hash") or "").split(","):
        name, _, code = part.strip().partition("=")
        if name == "md5":
            return base64.b64decode(code).hex()
    etag = (headers.get("ETag") or "").strip('"')
    amazon = "amazon" in (headers.get("Server") or "").lower() or "x-amz-request-id" in headers
    plain = len(etag) == 32 and all(c in "0123456789abcdef" for c in etag)
    return etag if amazon and plain and "kms" not in (headers.get("x-amz-server-side-encryption") or "") else ""


def _begun(partial: Path, about: Path) -> tuple[int, str]:
    """(bytes to go on from, version of the file that they are of); (0, "") where it cannot be gone on with."""
    try:
        version = str(json.loads(about.read_text())["version"])
        # The last byte is asked for once more: so a file that is all here needs no case of its own.
        return (max(partial.stat().st_size - 1, 0), version) if version else (0, "")
    except (OSError, ValueError, KeyError):
        return 0, ""


def _answer(href: str, headers: Mapping[str, str], token: str) -> Any:
    """An open answer of a server; its refusals and failures come out as this project's errors."""
    request = urllib.request.Request(href, headers=dict(headers))
    if token:
        # Not for the store that a server may point to: it has an address with a signature, and refuses both at once.
        request.add_unredirected_header("Authorization", f"Bearer {bearer(token, href)}")
    pace.take(href)
    try:
        return urllib.request.urlopen(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        with error:
            code, told = error.code, dict(error.headers.items())
        raise failure(code, f"{href} answered {code}", href, told) from None
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"{href} did not answer: {getattr(error, 'reason', error)}. Try again later.") from None


def bearer(name: str, href: str) -> str:
    """The token in an environment variable. Raises AuthError where there is none."""
    token = os.environ.get(name, "").strip()
    if not token:
        raise AuthError(f"{href} asks for a login: put a bearer token into the environment variable {name}.")
    return token


def _digest_beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")
