"""`geomeld caption`: one verified sentence per tile, with its evidence."""

import gc
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from geomeld.caption.endpoint import Endpoint


@dataclass(frozen=True)
class Options:
    """Write a caption for every tile of a dataset, and keep the evidence for each claim."""

    dataset: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of the dataset."""
    writer: Literal["template", "noisy-template", "openai", "tags", "recorded"] = "template"
    """Who drafts: the grounded grammar, the same with injected errors (to measure the verifier), a model behind an
    OpenAI-compatible endpoint, map features strung together (a baseline), or a file."""
    evaluator: str = "signals"
    """Who ranks: signals, random (a control), openclip:NAME, openclip:NAME:FILE or geomeld:FOLDER; openclip knows
    RemoteCLIP-ViT-L-14, GeoRSCLIP-ViT-L-14, SkyCLIP-ViT-L-14 and every architecture of open_clip."""
    candidates: int = 4
    """Drafts per tile."""
    revise: bool = True
    """Let the openai writer's model rewrite a caption that no edit of ours could save."""
    error_rate: float = 0.3
    """Share of drafts that the noisy writer spoils."""
    endpoint: Endpoint = field(default_factory=Endpoint)
    """Of the openai writer."""
    recorded: str = ""
    """File of the recorded writer: lines of {"tile_id": 1, "text": "..."}."""
    export_requests: Path | None = None
    """Speak to no server: write what the openai writer would ask as OpenAI batch files into this new folder."""
    import_responses: tuple[Path, ...] = ()
    """Speak to no server: take the openai writer's answers from these files, which a batch service has written."""
    seed: int = 0
    """Of every draw."""
    limit: int | None = None
    """Only the first so many tiles."""
    workers: int = 1
    """Processes that measure signals."""
    engine: Literal["processes", "ray"] = "processes"
    """Where signals are measured: processes of this machine, or the Ray cluster that RAY_ADDRESS names (a local one
    without it); all nodes see the same files."""
    evaluate: Path | None = None
    """Write the quality report to this folder instead: captions of a simulated dataset against its truth."""
    draw: bool = False
    """Print the graph of agents (Mermaid) instead."""
    json: bool = False
    """Print the summary as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld caption")
    gc.disable()  # what is imported stays: looking for garbage in it would take longer than captioning a hundred tiles
    from geomeld.caption.batch import Batch
    from geomeld.caption.config import CaptionConfig
    from geomeld.caption.graph import caption_graph
    from geomeld.caption.run import caption_dataset
    from geomeld.core.config import to_json
    from geomeld.core.errors import UsageError

    if options.draw:
        author: Any = object() if options.writer == "openai" else None  # a model's graph has one agent more
        print(caption_graph(author=author).get_graph().draw_mermaid())
        return 0
    if options.dataset is None:
        raise UsageError("Name the dataset's folder: geomeld caption DIR.")
    if options.limit is not None and options.limit < 1:
        raise UsageError(f"--limit is {options.limit}; caption at least one tile.")
    caption_graph()
    gc.freeze()
    gc.enable()
    config = CaptionConfig(
        writer=options.writer,
        evaluator=options.evaluator,
        candidates=options.candidates,
        revise=options.revise,
        error_rate=options.error_rate,
        endpoint=options.endpoint,
        recorded=options.recorded,
        seed=options.seed,
    )
    if options.evaluate is not None:
        from geomeld.cli.caption_quality import print_report, report

        found = report(options.dataset, config, options.evaluate, options.limit)
        print(json.dumps(found["gates"])) if options.json else print_report(found, options.evaluate)
        return 0
    offline = options.export_requests is not None or options.import_responses
    batch = Batch(options.export_requests, options.import_responses) if offline else None
    summary = caption_dataset(
        options.dataset, config, limit=options.limit, workers=options.workers, engine=options.engine, batch=batch
    )
    if options.json:
        print(json.dumps(to_json(summary)))
    else:
        _print_summary(summary)
    return 1 if summary.failures else 0


def _print_summary(summary: Any) -> None:
    print(f"{summary.tiles} tiles: " + ", ".join(f"{n} {s}" for s, n in sorted(summary.statuses.items())))
    edits = ", ".join(f"{rule} {n}" for rule, n in summary.edits.items())
    print(f"{summary.claims:.1f} claims per caption; edits by rule: {edits or 'none'}")
    for gsd, test in summary.evaluator.get("tests", {}).items():
        auc = "no AUC" if test["auc"] is None else f"AUC {test['auc']:.2f}"
        counts = f"counts {test['weight']:.2f} of a score" if test["weight"] else "counts for nothing"
        print(f"evaluator at {gsd}: {auc} of matched against shuffled pairs on {test['tiles']} tiles; it {counts}")
    if summary.author:
        _print_author(summary.author)
    if summary.waiting:
        print(f"{summary.waiting} tiles wait for answers; {summary.author['left_for_batch']} requests were written")
    for tile_id, text in summary.examples.items():
        print(f"  {tile_id}  {text}")
    for tile_id, reason in summary.failures.items():
        print(f"{tile_id}  no caption: {reason}", file=sys.stderr)


def _print_author(author: dict[str, Any]) -> None:
    cost = f", cost {author['cost']:.4f}" if author["cost"] else ""
    print(
        f"{author['model']}: {author['asked']} requests and {author['stored']} stored answers, "
        f"{author['prompt_tokens']} + {author['completion_tokens']} tokens{cost}"
    )
    lacks = [name for name, can in author["capabilities"].items() if not can]
    if lacks:
        print(f"its server gives no {', '.join(lacks)}", file=sys.stderr)
