"""`geomeld caption`: one verified sentence per tile, with its evidence."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro


@dataclass(frozen=True)
class Options:
    """Write a caption for every tile of a dataset, and keep the evidence for each claim."""

    dataset: Annotated[Path | None, tyro.conf.Positional] = None
    """Folder of the dataset."""
    writer: Literal["template", "noisy-template"] = "template"
    """Who drafts: the grounded grammar, or the same with injected errors (to measure the verifier)."""
    candidates: int = 4
    """Drafts per tile."""
    seed: int = 0
    """Of every draw."""
    limit: int | None = None
    """Only the first so many tiles."""
    show: int | None = None
    """Print caption, claims and evidence of one tile (by its id) instead."""
    draw: bool = False
    """Print the graph of agents (Mermaid) instead."""
    json: bool = False
    """Print the summary as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld caption")
    from geomeld.caption.config import CaptionConfig
    from geomeld.caption.graph import caption_graph
    from geomeld.caption.run import caption_dataset, read_captions
    from geomeld.core.config import to_json
    from geomeld.core.errors import UsageError

    if options.draw:
        print(caption_graph().get_graph().draw_mermaid())
        return 0
    if options.dataset is None:
        raise UsageError("Name the dataset's folder: geomeld caption DIR.")
    if options.show is not None:
        records = read_captions(options.dataset)
        if options.show not in records:
            raise UsageError(
                f"Tile {options.show} has no caption in {options.dataset}; it has {len(records)} captions."
            )
        _print_record(records[options.show])
        return 0
    config = CaptionConfig(writer=options.writer, candidates=options.candidates, seed=options.seed)
    summary = caption_dataset(options.dataset, config, limit=options.limit)
    if options.json:
        print(json.dumps(to_json(summary)))
        return 0
    print(f"{summary.tiles} tiles: " + ", ".join(f"{n} {s}" for s, n in sorted(summary.statuses.items())))
    print(f"{summary.claims:.1f} claims per caption; edits by rule: {summary.edits or 'none'}")
    for tile_id, record in list(read_captions(options.dataset).items())[:5]:
        print(f"  {tile_id}  {record['text']}")
    for tile_id, reason in summary.failures.items():
        print(f"  {tile_id}  no caption: {reason}")
    return 1 if summary.failures else 0


def _print_record(record: dict) -> None:
    print(record["text"], f"({record['status']})")
    claims = {c["claim_id"]: c for c in record["claims"]}
    for verdict in record["verdicts"]:
        claim = claims[verdict["claim_id"]]
        evidence = ", ".join(f"{k} = {v}" for k, v in verdict["evidence"].items())
        print(f"  {claim['text']!r:28} {verdict['rule']:5} {verdict['status']:12} {evidence}")
    for edit in record["edits"]:
        print(f"  edited by {edit['rule']}: {edit['before']!r} -> {edit['after']!r}")
