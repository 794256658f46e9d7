"""Run: captions of a whole dataset, chunk by chunk, with a ledger that no answer is lost from."""

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from geomeld import signals
from geomeld.caption.config import CaptionConfig
from geomeld.caption.graph import caption_chunk, caption_graph
from geomeld.core.config import to_json
from geomeld.core.errors import CaptionError, DatasetError
from geomeld.dataset import Dataset, open_dataset, update_metadata
from geomeld.dataset.files import remove_partials

LEDGER = ".captions.jsonl"
TABLE = "captions.parquet"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a run has done."""

    tiles: int
    statuses: dict[str, int]
    edits: dict[str, int]
    """By rule."""
    claims: float
    """Per caption, on average."""
    failures: dict[int, str]


def caption_dataset(path: str | Path, config: CaptionConfig = CaptionConfig(), *, limit: int | None = None) -> Summary:
    """Write a caption for every tile: into `captions.parquet` and into the shards' metadata. Run again after any
    interruption it goes on, and ends in the same bytes; nothing that is in the ledger is asked again.

    Raises DatasetError for a folder that is no dataset, CaptionError where no tile at all got a caption.
    """
    dataset = open_dataset(path)
    wanted = dataset.tile_ids[:limit]
    with _alone(dataset.path):
        remove_partials(dataset.path)
        known = _read_ledger(dataset.path / LEDGER)
        graph = caption_graph()
        rows: dict[int, dict[str, Any]] = {}
        with (dataset.path / LEDGER).open("a", encoding="utf-8") as ledger:
            bar = tqdm(total=len(wanted), desc="caption", unit="tile", dynamic_ncols=True)
            for chunk in _chunks(wanted, config.chunk):
                for row in _caption_chunk(dataset, chunk, config, graph, known, ledger):
                    rows[row["tile_id"]] = row
                bar.update(len(chunk))
            bar.close()
        written = [rows[t] for t in wanted if rows[t]["record"] is not None]
        if not written:
            reasons = Counter(str(r["error"]) for r in rows.values()).most_common(1)
            raise CaptionError(f"No tile of {path} got a caption: {reasons[0][0] if reasons else 'it has no tiles'}.")
        _write_table(dataset.path / TABLE, written)
        update_metadata(
            dataset.path, {r["tile_id"]: {"caption": r["record"]["text"]} for r in written if r["record"]["text"]}
        )
        return _summary(rows)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DatasetError(f"Another process is at work in {folder}; wait for it.") from None
        yield


def _chunks(items: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    return (items[i : i + size] for i in range(0, len(items), size))


def _caption_chunk(
    dataset: Dataset, chunk: Sequence[int], config: CaptionConfig, graph: Any, known: dict[str, dict], ledger: Any
) -> list[dict[str, Any]]:
    measured, failed = zip(*(_measured(dataset, t) for t in chunk), strict=True)
    keys = [_key(m, config) if m is not None else "" for m in measured]
    todo = [i for i, key in enumerate(keys) if key and key not in known]
    if todo:
        state = caption_chunk(graph, [measured[i] for i in todo], config)
        lines = []
        for slot, i in enumerate(todo):
            record = state["records"][slot]
            if record is not None:
                record["provenance"] = {
                    "writer": config.writer,
                    "evaluator": config.evaluator,
                    "seed": config.seed,
                    "key": keys[i],
                }
            known[keys[i]] = {"key": keys[i], "record": record, "error": state["errors"][slot]}
            lines.append(json.dumps(known[keys[i]], sort_keys=True))
        ledger.write("\n".join(lines) + "\n")
        ledger.flush()
        os.fsync(ledger.fileno())
    unmeasured = [{"record": None, "error": error} for error in failed]
    found = [known[key] if key else row for key, row in zip(keys, unmeasured, strict=True)]
    return [{"tile_id": t, "signals": m, **row} for t, m, row in zip(chunk, measured, found, strict=True)]


def _measured(dataset: Dataset, tile_id: int) -> tuple[dict[str, Any] | None, str | None]:
    """(signals, None), or (None, error): a tile that cannot be read or measured is not in the ledger, so that a later
    run looks at it again."""
    try:
        return to_json(signals.measure(dataset[tile_id])), None
    except Exception as error:  # one tile must not end the others
        return None, f"{type(error).__name__}: {error}"


def _key(measured: dict[str, Any], config: CaptionConfig) -> str:
    """Hash of everything that a caption depends on: signals, settings, and the code that writes and verifies."""
    settings = {k: v for k, v in to_json(config).items() if k != "chunk"}
    text = json.dumps([measured, settings, code_hash()], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


@cache
def code_hash() -> str:
    """Hash of the sources of the caption stage, so that a changed rule or frame writes captions anew."""
    digest = hashlib.blake2b(digest_size=8)
    root = resources.files("geomeld.caption")
    for folder in ("", "writers", "evaluators", "agents"):
        for file in sorted((root / folder if folder else root).iterdir(), key=lambda f: f.name):
            if file.name.endswith(".py"):
                digest.update(file.read_bytes())
    return digest.hexdigest()


def _read_ledger(path: Path) -> dict[str, dict[str, Any]]:
    """Finished work by key; the last line of a killed run may be cut off and is left out."""
    known: dict[str, dict[str, Any]] = {}
    if not path.exists():
        return known
    text = path.read_bytes()
    whole = text[: text.rfind(b"\n") + 1]
    if len(whole) < len(text):
        with path.open("r+b") as file:
            file.truncate(len(whole))
    for line in whole.decode("utf-8").splitlines():
        try:
            entry = json.loads(line)
            known[entry["key"]] = entry
        except (ValueError, KeyError):
            continue
    return known


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    table = pa.table(
        {
            "tile_id": pa.array([r["tile_id"] for r in rows], pa.int64()),
            "caption": [r["record"]["text"] for r in rows],
            "status": [r["record"]["status"] for r in rows],
            "record": [json.dumps(r["record"], sort_keys=True, ensure_ascii=False) for r in rows],
            "signals": [json.dumps(r["signals"], sort_keys=True) for r in rows],
        }
    )
    part = path.with_name(f"{path.name}.{os.getpid()}.partial")
    pq.write_table(table, part)
    part.replace(path)


def read_captions(path: Path) -> dict[int, dict[str, Any]]:
    """Caption records of a dataset by tile id. Raises DatasetError where it has none."""
    try:
        table = pq.read_table(path / TABLE, columns=["tile_id", "record"]).to_pylist()
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} has no readable {TABLE}; run `geomeld caption {path}` first ({error}).") from None
    return {r["tile_id"]: json.loads(r["record"]) for r in table}


def _summary(rows: dict[int, dict[str, Any]]) -> Summary:
    records = [r["record"] for r in rows.values() if r["record"] is not None]
    return Summary(
        tiles=len(rows),
        statuses=dict(Counter(r["status"] for r in records)),
        edits=dict(Counter(e["rule"] for r in records for e in r["edits"])),
        claims=sum(len(r["claims"]) for r in records) / max(len(records), 1),
        failures={t: str(r["error"]) for t, r in rows.items() if r["record"] is None},
    )
