"""Run: captions of a whole dataset, chunk by chunk, with a ledger that no answer is lost from."""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm import tqdm

from geomeld import signals
from geomeld.caption.batch import WAITING, Batch
from geomeld.caption.config import CaptionConfig
from geomeld.caption.evaluators import Evaluator, identity_of, open_evaluator
from geomeld.caption.graph import caption_chunk, caption_graph
from geomeld.caption.ledger import Ledger, code_hash, key_of, settings_of
from geomeld.caption.state import ChunkState
from geomeld.caption.table import NAME as TABLE
from geomeld.caption.table import Row, append_rows, read_captions, table_writer
from geomeld.caption.writers import open_author
from geomeld.caption.writers.author import Author
from geomeld.core.config import to_json
from geomeld.core.errors import CaptionError, DatasetError
from geomeld.core.pool import Engine, in_order
from geomeld.dataset import Dataset, open_dataset, update_metadata
from geomeld.dataset.files import alone, atomic, remove_partials, write_atomically
from geomeld.dataset.index import load_index

LEDGER = ".captions.jsonl"
NOTE = ".captions.json"
"""Says of what the captions of a folder were made, once they are complete."""
GROUP = 512
"""Rows per group of the table: its bytes do not depend on how many tiles share a run of the graph."""
CHUNKS = 4
"""Chunks that an author writes at the same time, so that the last answers of one keep nobody waiting."""
EXAMPLES = 5
"""Captions that a summary shows."""


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
    """Tiles without a record, with the reason."""
    waiting: int
    """Tiles whose answers a batch has still to bring."""
    examples: dict[int, str]
    """The first few captions by tile."""
    evaluator: dict[str, Any] = field(default_factory=dict)
    """Of a contrastive model: its weights, and what it proved and counts for by ground sampling distance."""
    author: dict[str, Any] = field(default_factory=dict)
    """Of a model that writes: requests, stored answers, tokens and cost of this run, and what its server can do."""


def caption_dataset(
    path: str | Path,
    config: CaptionConfig = CaptionConfig(),
    *,
    limit: int | None = None,
    workers: int = 1,
    engine: Engine = "processes",
    batch: Batch | None = None,
) -> Summary:
    """Write a caption for every tile: into `captions.parquet` and into the shards' metadata. Run again after any
    interruption it goes on, and ends in the same bytes; nothing that is in the ledger is asked again, and a run that
    has nothing to do writes nothing.

    With a `batch` the openai writer speaks to no server: tiles whose answers are missing wait. `workers` processes, or
    the nodes of a Ray cluster, measure signals; processes rewrite the shards. Raises DatasetError for a folder that is
    no dataset or holds no tiles, CaptionError where no tile at all got a caption.
    """
    dataset = open_dataset(path)
    dataset.must_be_writable("Captions")
    wanted = dataset.tile_ids[:limit]
    if not wanted:
        raise DatasetError(f"{path} holds no tiles; build some first.")
    with alone(dataset.path):
        remove_partials(dataset.path)
        note, evaluator = dataset.path / NOTE, open_evaluator(config, dataset)
        ranked_by = identity_of(evaluator)
        if note.exists() and json.loads(note.read_text()) == _identity(dataset, config, wanted, ranked_by):
            return replace(_summary_of(dataset.path), evaluator=ranked_by)
        count, captions = _Counts(), dict[int, str | None]()
        with (
            open_author(config, dataset, batch) as author,
            Ledger(dataset.path / LEDGER) as ledger,
            atomic(dataset.path / TABLE) as file,
        ):
            rows = iter(
                _bar(_captioned(dataset, wanted, config, evaluator, author, ledger, workers, engine), len(wanted))
            )
            with table_writer(file) as table:
                while group := list(islice(rows, GROUP)):
                    append_rows(table, group)
                    captions.update({r.tile_id: (r.record or {}).get("text") or None for r in group})
                    count.add(group)
            if not any(captions.values()) and batch is None:
                reasons = Counter(count.failures.values()).most_common(1)
                raise CaptionError(f"No tile of {path} got a caption: {reasons[0][0] if reasons else 'no signals'}.")
        update_metadata(dataset.path, {t: {"caption": text} for t, text in captions.items()}, workers=workers)
        if not count.failures and not count.waiting:  # a later run looks at these tiles again
            write_atomically(note, json.dumps(_identity(open_dataset(path), config, wanted, ranked_by)).encode())
        return replace(count.summary(), evaluator=ranked_by, author=author.summary() if author else {})


def _identity(
    dataset: Dataset, config: CaptionConfig, wanted: Sequence[int], ranked_by: dict[str, Any]
) -> dict[str, Any]:
    """What captions in a folder depend on, the shards as they are included."""
    digest = hashlib.blake2b(json.dumps(list(wanted)).encode(), digest_size=16).hexdigest()
    shards = {s.name: load_index(s).sha256 for s in dataset.shards}
    made = {"settings": settings_of(config), "evaluator": ranked_by, "code": code_hash()}
    return {**made, "tiles": digest, "shards": shards}


def _bar(rows: Iterator[Row], total: int) -> tqdm:
    return tqdm(rows, total=total, desc="caption", unit="tile", dynamic_ncols=True)


def _captioned(
    dataset: Dataset,
    wanted: Sequence[int],
    config: CaptionConfig,
    evaluator: Evaluator,
    author: Author | None,
    ledger: Ledger,
    workers: int,
    engine: Engine,
) -> Iterator[Row]:
    """The rows of all tiles, in order; what is new goes into the ledger chunk by chunk."""
    graph, ranked_by = caption_graph(evaluator, author), identity_of(evaluator)
    chunks = [wanted[i : i + config.chunk] for i in range(0, len(wanted), config.chunk)]
    measure = in_order(
        partial(_measure, dataset), chunks, min(workers, len(chunks)), preload=(__name__,), engine=engine
    )
    threads, flying = ThreadPoolExecutor(CHUNKS), deque[_Chunk]()
    work = partial(caption_chunk, graph)
    start = partial(threads.submit, work) if author else partial(_at_once, work)
    try:
        for chunk, measured in zip(chunks, measure, strict=True):
            flying.append(_begun(chunk, measured, config, ranked_by, ledger, start))
            while len(flying) > (CHUNKS if author else 0):
                yield from _ended(flying.popleft(), config, ranked_by, ledger)
        while flying:
            yield from _ended(flying.popleft(), config, ranked_by, ledger)
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Tiles on their way through the graph."""

    tile_ids: Sequence[int]
    measured: list[dict[str, Any] | str]
    keys: list[str | None]
    known: dict[str, dict[str, Any] | None]
    """Records that the ledger has, by key."""
    todo: list[int]
    """Positions of the tiles that it lacks ..."""
    state: Future[ChunkState] | None
    """... and what becomes of those."""


def _begun(
    tile_ids: Sequence[int],
    measured: list[dict[str, Any] | str],
    config: CaptionConfig,
    ranked_by: dict[str, Any],
    ledger: Ledger,
    start: Callable[..., Future[ChunkState]],
) -> _Chunk:
    keys = [None if isinstance(m, str) else key_of(m, config, ranked_by) for m in measured]
    known = {k: ledger.record(k) for k in keys if k is not None}
    todo = [i for i, k in enumerate(keys) if k is not None and known[k] is None]
    state = start([measured[i] for i in todo], config) if todo else None
    return _Chunk(tile_ids, measured, keys, known, todo, state)


def _ended(chunk: _Chunk, config: CaptionConfig, ranked_by: dict[str, Any], ledger: Ledger) -> Iterator[Row]:
    """The rows of a chunk; its new records are in the ledger before the first of them."""
    errors: dict[int, str | None] = {i: m for i, m in enumerate(chunk.measured) if isinstance(m, str)}
    known = dict(chunk.known)
    if chunk.state is not None:
        state = chunk.state.result()
        errors |= dict(zip(chunk.todo, state["errors"], strict=True))
        for slot, i in enumerate(chunk.todo):
            record, key = state["records"][slot], chunk.keys[i]
            if record is not None and key is not None:
                known[key] = _signed(record, config, ranked_by, key, state["notes"][slot])
        ledger.append((key, r) for i in chunk.todo if (key := chunk.keys[i]) and (r := known[key]) is not None)
    for i, (tile_id, measured, key) in enumerate(zip(chunk.tile_ids, chunk.measured, chunk.keys, strict=True)):
        record = known[key] if key is not None else None
        yield Row(tile_id, None if isinstance(measured, str) else measured, record, errors.get(i))


def _at_once(work: Callable[..., ChunkState], *arguments: Any) -> Future[ChunkState]:
    """Like `Executor.submit`, without a thread."""
    done: Future[ChunkState] = Future()
    done.set_result(work(*arguments))
    return done


def _signed(
    record: dict[str, Any],
    config: CaptionConfig,
    ranked_by: dict[str, Any],
    key: str,
    notes: list[dict[str, Any]],
) -> dict[str, Any]:
    """The record with what made it."""
    made = {
        "writer": config.writer,
        "evaluator": {"name": config.evaluator, **ranked_by} if ranked_by else config.evaluator,
        "seed": config.seed,
        "code": code_hash(),
        "key": key,
    }
    answers = {"answers": notes} if notes else {}
    return {**record, "provenance": {**record["provenance"], **made, **answers}}


def _measure(dataset: Dataset, chunk: Sequence[int]) -> list[dict[str, Any] | str]:
    """Signals (JSON) of the tiles of a chunk; the reason, as text, of a tile that cannot be measured."""
    out: list[dict[str, Any] | str] = []
    for tile_id in chunk:
        try:
            tile = dataset.read(tile_id, signals.MEASURED)
            out.append(to_json(signals.measure(tile, dataset.layers_of(tile_id))))
        except Exception as error:  # one bad tile must not end the run
            out.append(f"{type(error).__name__}: {error}")
    return out


class _Counts:
    """Running totals of a run."""

    def __init__(self) -> None:
        self.tiles = self.records = self.claims = self.waiting = 0
        self.statuses: Counter[str] = Counter()
        self.edits: Counter[str] = Counter()
        self.failures: dict[int, str] = {}
        self.examples: dict[int, str] = {}

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.tiles += 1
            if row.error == WAITING:
                self.waiting += 1
                continue
            if row.record is None:
                self.failures[row.tile_id] = row.error or "no record"
                continue
            self.records += 1
            self.claims += len(row.record["claims"])
            self.statuses[row.record["status"]] += 1
            self.edits.update(e["rule"] for e in row.record["edits"])
            if len(self.examples) < EXAMPLES:
                self.examples[row.tile_id] = row.record["text"]

    def summary(self) -> Summary:
        claims = round(self.claims / max(self.records, 1), 3)
        edits = dict(self.edits.most_common())
        return Summary(self.tiles, dict(self.statuses), edits, claims, self.failures, self.waiting, self.examples)


def _summary_of(path: Path) -> Summary:
    """The summary of captions as they stand."""
    count = _Counts()
    count.add([Row(tile_id, None, record, None) for tile_id, record in read_captions(path).items()])
    return count.summary()
