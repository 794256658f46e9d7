"""Batch: requests for a model as files in OpenAI's batch form, and its answers taken from such files."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from geomeld.core.errors import CaptionError, ConfigError
from geomeld.dataset.files import atomic

if TYPE_CHECKING:
    from geomeld.caption.ledger import Ledger

LINES, BYTES = 50_000, 180_000_000
"""Most requests and bytes of one file (OpenAI's limits: 50,000 and 200 MB)."""
WAITING = "waits for answers of a batch"
"""Why a tile has no caption yet in a run that speaks to no server."""
ADDRESS = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Batch:
    """A run that speaks to no server: stored answers are used, and what is missing is left for others to ask."""

    requests: Path | None = None
    """Folder for files of missing requests, `requests-00000.jsonl` and on; None to write none."""
    responses: tuple[Path, ...] = ()
    """Files of answers to take in first."""


class Outbox:
    """Files of requests, each under its name when it is full or the run ends."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError where the folder holds requests already."""
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigError(f"{folder} is not empty; give a new folder for the requests.")
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.requests = folder, 0
        self._files = self._lines = self._bytes = 0
        self._known: set[str] = set()
        self._open: BinaryIO | None = None
        self._stack = ExitStack()

    def add(self, key: str, body: Mapping[str, Any]) -> None:
        """One request under the key of its answer, once."""
        if key in self._known:
            return
        line = json.dumps({"custom_id": key, "method": "POST", "url": ADDRESS, "body": dict(body)}).encode() + b"\n"
        if self._open is None or self._lines == LINES or self._bytes + len(line) > BYTES:
            self._stack.close()
            self._open = self._stack.enter_context(atomic(self.folder / f"requests-{self._files:05d}.jsonl"))
            self._files, self._lines, self._bytes = self._files + 1, 0, 0
        self._open.write(line)
        self._known.add(key)
        self._lines, self._bytes, self.requests = self._lines + 1, self._bytes + len(line), self.requests + 1

    def close(self) -> None:
        """Put the last file under its name."""
        self._stack.close()


def take_in(files: Iterable[Path], store: "Ledger") -> dict[str, int]:
    """Store the answers of batch files under the keys of their requests; returns counts: "stored", "known" (there
    already), "failed" (the service's own errors, to be asked for again).

    Raises CaptionError for a file that cannot be read or holds a line of another form; what stands before it is kept.
    """
    counts: Counter[str] = Counter(stored=0, known=0, failed=0)
    for file in files:
        for key, answer in _answers(file):
            if answer is None:
                counts["failed"] += 1
            elif key in store:
                counts["known"] += 1
            else:
                store.append([(key, answer)])
                counts["stored"] += 1
    return dict(counts)


def _answers(file: Path) -> Iterator[tuple[str, dict[str, Any] | None]]:
    from openai.types.chat import ChatCompletion
    from pydantic import ValidationError

    from geomeld.caption.writers.answer import record_of

    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    told = json.loads(line)
                    key, response = told["custom_id"], told.get("response") or {}
                    if len(key) != 32 or set(key) - set("0123456789abcdef"):
                        raise ValueError("a custom_id that no request of ours has")
                    if told.get("error") or response.get("status_code") != 200:
                        yield key, None
                    else:
                        yield key, record_of(ChatCompletion.model_validate(response["body"]))
                except (ValueError, TypeError, KeyError, AttributeError, ValidationError) as error:
                    raise CaptionError(
                        f"{file}, line {number}, is no answer of a batch: {type(error).__name__}: {str(error)[:120]}"
                    ) from None
    except OSError as error:
        raise CaptionError(f"{file} cannot be read: {error.strerror}.") from None
