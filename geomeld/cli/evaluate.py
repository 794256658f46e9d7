"""`geomeld evaluate`: encoders x tasks x protocols, to scores.jsonl and a page beside printed numbers."""

import json as jsonlib
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

USAGE = """Hold encoders against tasks, each number with its interval and beside what others print.

On sets of GEO-Bench (--geobench): by protocols; without --protocols, those that run on frozen features, in minutes.
On a dataset (--data): what a checkpoint makes of the tiles that its training held out; with --tasks or --protocols, a
dataset of the simulated Earth is asked about its truth as well. What is in OUT already is not computed again.
"""

SCALES: Mapping[str | None, tuple[Literal["own", "pretraining"], ...]] = {
    None: (),
    "own": ("own",),
    "pretraining": ("pretraining",),
    "both": ("own", "pretraining"),
}
"""What --scale says -> the statistics that are asked for; none where each protocol chooses."""


@dataclass(frozen=True)
class Options:
    """What is evaluated, on what, and how."""

    encoders: Annotated[tuple[str, ...], tyro.conf.Positional]
    """Each the folder of a checkpoint, or KIND:NAME such as random:atto, imagenet:atto, timm:resnet18."""
    out: Path
    """Folder for scores.jsonl and evaluation.html; an interrupted evaluation goes on here."""
    data: str | None = None
    """Folder or address of a dataset."""
    geobench: Path | None = None
    """Folder of GEO-Bench v1.0, or of one of its sets."""
    tasks: tuple[str, ...] = ()
    """Names, e.g. m-so2sat m-bigearthnet; without any, every task that is found."""
    protocols: tuple[str, ...] = ()
    """Names, e.g. "linear probe" fine-tuning U-Net knn zero-shot, or a family: frozen, paper, mmearth;
    docs/protocols.md has them all."""
    seeds: int = 1
    """Of protocols that draw anything: 0, 1, ... up to this many."""
    scale: Literal["own", "pretraining", "both"] | None = None
    """Whose statistics normalise the images: the set's own, those of the encoder's pretraining, or one after the other.
    Without it, both for read-outs of kept features (the family frozen), as far as there are both, and the set's own for
    protocols that train. Zero-shot and what is read off tiles know those of pretraining alone."""
    partition: str = "default"
    """Of GEO-Bench v1.0 sets: default, 0.01x, 0.02x, 0.05x, 0.10x, 0.20x, 0.50x or 1.00x of the training split."""
    epochs: int | None = None
    """Instead of the protocols' own; stands in the protocol's name."""
    neighbours: bool = False
    """Let B2 and B8A stand in for the B1 and B9 that m-so2sat lacks, as MMEarth's evaluation does; otherwise they are
    masked."""
    held_out: float | None = None
    """On a dataset: share that was held out of pretraining, 0 to 1, where no run.json beside the weights tells: for a
    checkpoint that was copied without it, and for encoders of others to be tested on the tiles of a checkpoint."""
    held_out_by: Literal["cell", "tile"] | None = None
    """What was drawn for --held-out: 1-degree cells (without a word) or single tiles."""
    held_out_seed: int | None = None
    """Seed of the draw for --held-out; 0 without a word."""
    robustness: bool = False
    """On a dataset: how scores fall with bands dropped, noise, haze, another resolution."""
    device: str = "auto"
    """auto, cpu or cuda; models are loaded there, and features made."""
    json: bool = False
    """Print the scores as JSON lines."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld evaluate", description=USAGE)
    from geomeld.core.errors import MissingExtra, UsageError

    if not options.encoders:
        raise UsageError("Name at least one encoder, e.g. runs/mine/checkpoint or random:atto.")
    if options.seeds < 1:
        raise UsageError(f"--seeds is {options.seeds}; give at least 1.")
    if options.geobench is not None and not options.geobench.is_dir():
        raise UsageError(
            f"There is no folder {options.geobench}. Fetch a set with `geomeld geobench fetch m-so2sat --out DIR`."
        )
    if options.out.exists() and not options.out.is_dir():
        raise UsageError(f"--out {options.out} is a file; give a folder.")
    try:
        from geomeld.evaluate.report import PAGE
        from geomeld.evaluate.results import Results
        from geomeld.evaluate.run import evaluate
        from geomeld.evaluate.score_table import score_lines
    except ImportError as error:
        raise MissingExtra(
            f"Evaluation needs torch and scikit-learn ({error}); install them with: pip install 'geomeld[evaluate]'"
        ) from None
    try:
        scores = evaluate(_request(options), options.out)
    except OSError as error:
        if error.filename is None and error.errno is not None:  # a full disk names no file
            raise OSError(error.errno, error.strerror, str(options.out)) from None
        raise
    results = Results(options.out)
    if options.json:
        for score in scores:
            print(jsonlib.dumps(asdict(score)))
    else:
        print("\n".join(score_lines(scores, results.encoders(), results.cards())))
        print(f"\npage -> {options.out / PAGE}", file=sys.stderr)
    for each in results.left_out():
        if each.partly:
            print(f"geomeld evaluate: {each}", file=sys.stderr)
    broken = dict.fromkeys((each.task, each.why) for each in results.left_out() if each.broken)
    for task, why in broken:
        print(f"geomeld evaluate: {task} could not be evaluated: {why}", file=sys.stderr)
    if broken:
        print("Then run the same command again; what is there already is not computed again.", file=sys.stderr)
    return 1 if broken else 0


def _request(options: Options):  # type: ignore[no-untyped-def]
    from geomeld.dataset import open_dataset
    from geomeld.evaluate.run import Request

    return Request(
        encoders=options.encoders,
        geobench=options.geobench,
        dataset=None if options.data is None else open_dataset(options.data),
        tasks=options.tasks,
        protocols=options.protocols,
        scales=SCALES[options.scale],
        seeds=options.seeds,
        epochs=options.epochs,
        partition=options.partition,
        neighbours=options.neighbours,
        split=_split(options),
        robustness=options.robustness,
        device=_device(options.device),
    )


def _split(options: Options):  # type: ignore[no-untyped-def]
    from geomeld.core.errors import UsageError
    from geomeld.loader import Split

    if options.held_out is not None:
        return Split(options.held_out, options.held_out_by or "cell", options.held_out_seed or 0)
    for word, given in (("--held-out-by", options.held_out_by), ("--held-out-seed", options.held_out_seed)):
        if given is not None:
            raise UsageError(f"{word} says how the share of --held-out was drawn: give that as well, or leave it out.")
    return None


def _device(name: str) -> str:
    import torch

    from geomeld.core.errors import UsageError

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name in ("auto", "cpu"):
        return "cuda" if name == "auto" and there else "cpu"
    if not re.fullmatch(r"cuda(:\d+)?", name):
        raise UsageError(f"--device is {name!r}; give auto, cpu or cuda (cuda:1 for the second of several).")
    if not there:
        raise UsageError("There is no CUDA device here that torch can use; leave --device out or give cpu.")
    if int(name.partition(":")[2] or 0) >= there:
        raise UsageError(f"--device is {name!r}; torch sees CUDA devices 0 to {there - 1} here.")
    return name
