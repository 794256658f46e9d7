"""`geomeld ablate`: the variants of the paper's table 3 on one dataset, to a table with intervals."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

if TYPE_CHECKING:
    from geomeld.dataset import Dataset
    from geomeld.evaluate.ablation import Contender
    from geomeld.evaluate.ablation_table import AblationTable
    from geomeld.evaluate.protocols import Protocol
    from geomeld.evaluate.task import TaskKind
    from geomeld.pretrain.config import PretrainConfig
    from geomeld.recipes.series import Run

FLOORS = ("random", "mean spectrum")
"""Rows without pretraining: the same encoder with random weights, and no encoder at all."""


@dataclass(frozen=True)
class Options:
    """Pretrain the five variants of table 3 on a dataset of the simulated Earth, several seeds of each on the same
    samples, and hold them against one another on tasks made from the truth. What is in the folder is not computed
    again."""

    dataset: Annotated[str, tyro.conf.Positional]
    """Folder of the dataset, with captions."""
    out: Path
    """Folder: VARIANT-SEED/checkpoint, outcomes, scores.jsonl, table.html; an interrupted ablation goes on here."""
    seeds: int = 3
    """Of every variant: 0, 1, ..."""
    scale: Literal["small", "large"] = "small"
    """What the variants share: the demo's model for a CPU, or the paper's for a GPU (geomeld.recipes.ablation)."""
    variants: tuple[str, ...] = ()
    """Rows to run, by the names of their recipes; all without any."""
    epochs: int | None = None
    """Of pretraining; the scale's own if not given (5, 50)."""
    size: str | None = None
    """Of the encoder, instead of the scale's."""
    batch_size: int | None = None
    """Tiles per step, instead of the scale's."""
    lr: float | None = None
    """Learning rate, instead of the scale's."""
    unet_epochs: int = 0
    """Train a U-Net with the encoder for so many epochs on crops and boundaries; 0 probes the frozen maps instead,
    which takes a small part of the time."""
    workers: int = 2
    """Runs and read-outs side by side, each in a process of one thread; the numbers are the same for any. On a GPU
    they go one after another, and this is for the truth that tasks are made from."""
    device: str = "auto"
    """auto, cpu or cuda."""
    markdown: bool = False
    """Print the table as Markdown."""
    json: bool = False
    """Print the table as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld ablate")
    from geomeld.core.errors import MissingExtra

    try:
        from geomeld.recipes.ablation import ROWS
    except ImportError as error:
        raise MissingExtra(
            f"The ablation needs a package that is not here ({error}); install it with: pip install 'geomeld[evaluate]'"
        ) from None
    _check(options, list(ROWS))
    from geomeld.dataset import open_dataset
    from geomeld.dataset.files import alone, remove_partials
    from geomeld.evaluate.ablation_report import as_json, markdown, text, write_page
    from geomeld.evaluate.truth import earth_of
    from geomeld.recipes.series import run_all

    runs = _runs(options)
    dataset = open_dataset(options.dataset)
    earth_of(dataset)  # before hours of training, not after
    options.out.mkdir(parents=True, exist_ok=True)
    with alone(options.out):
        remove_partials(options.out)
        run_all(runs, dataset, _device(options.device), _side_by_side(options))
        table = _measured(options, runs, dataset)
        page = write_page(table, _said(options, runs), options.out / "table.html")
    if options.json:
        print(json.dumps(as_json(table)))
    else:
        print(f"{markdown(table) if options.markdown else text(table)}\n\n{table.sentence()}\n\npage -> {page}")
    return 0


def _said(options: Options, runs: "list[Run]") -> str:
    config = runs[0].config
    return (
        f"The variants of the paper's table 3 on {Path(options.dataset).name}: {config.size}, {config.epochs} epochs, "
        f"batches of {config.batch_size}, seeds per variant: {options.seeds}, all on the same samples."
    )


def _check(options: Options, names: list[str]) -> None:
    from geomeld.core.errors import UsageError

    if options.seeds < 1:
        raise UsageError(f"--seeds is {options.seeds}; give at least 1.")
    if options.workers < 1 or options.unet_epochs < 0:
        raise UsageError("--workers is at least 1, and --unet-epochs at least 0.")
    if strangers := [v for v in options.variants if v not in names]:
        raise UsageError(f"There is no variant {strangers[0]!r}; there are {', '.join(names)}.")


def _runs(options: Options) -> "list[Run]":
    """Seed by seed, so that a first table can be had after a part of the time."""
    from dataclasses import replace

    from geomeld.recipes.ablation import table3
    from geomeld.recipes.series import Run

    shared = _shared(options)
    runs = []
    for seed in range(options.seeds):
        for name, config in table3(replace(shared, seed=seed)).items():
            if not options.variants or name in options.variants:
                runs.append(Run(f"{name}-{seed}", config, options.out / f"{name}-{seed}" / "checkpoint"))
    return runs


def _shared(options: Options) -> "PretrainConfig":
    from dataclasses import replace

    from geomeld.core.errors import UsageError
    from geomeld.models.encoder import SIZES
    from geomeld.recipes.ablation import SCALES

    if options.size is not None and options.size not in SIZES:
        raise UsageError(f"There is no size {options.size!r}; there are {', '.join(SIZES)}.")
    shared = SCALES[options.scale]()
    given = {name: getattr(options, name) for name in ("epochs", "size", "batch_size")}
    shared = replace(shared, **{name: value for name, value in given.items() if value is not None})
    return shared if options.lr is None else replace(shared, optim=replace(shared.optim, lr=options.lr))


def _measured(options: Options, runs: "list[Run]", dataset: "Dataset") -> "AblationTable":
    from geomeld.evaluate.ablation import Contest, measure
    from geomeld.evaluate.ablation_table import AblationTable
    from geomeld.evaluate.held_out import HeldOut
    from geomeld.evaluate.results import Results
    from geomeld.evaluate.tasks import places_of, simulated_tasks
    from geomeld.recipes.ablation import ORDER, ROWS

    held_out = HeldOut(runs[0].config.split)
    results = Results(options.out)
    tasks = simulated_tasks(dataset, held_out, results.cache / "truth", workers=options.workers)
    contenders = _contenders(options, runs)
    test = places_of(dataset, held_out).test
    contest = Contest(tasks, _protocols(options), dataset, test, results, _device(options.device))
    measured = measure(contenders, contest, _side_by_side(options))
    rows = [*FLOORS, *ROWS]
    return AblationTable(measured, tuple(r for r in rows if any(c.variant == r for c in contenders)), ORDER)


def _contenders(options: Options, runs: "list[Run]") -> "list[Contender]":
    from functools import partial

    from geomeld.evaluate.ablation import Contender
    from geomeld.evaluate.encoders import open_encoder
    from geomeld.evaluate.encoders.starts import random_encoder
    from geomeld.evaluate.spectrum import Spectrum

    trained = []
    for run in runs:
        variant, _, seed = run.name.rpartition("-")
        folder = run.out if run.config.contrast is not None else None
        trained.append(Contender(variant, int(seed), partial(open_encoder, str(run.out)), folder))
    bands, size = trained[0].open().bands, runs[0].config.size
    random = [Contender("random", seed, partial(random_encoder, size, bands, seed)) for seed in range(options.seeds)]
    return [*random, Contender("mean spectrum", 0, partial(Spectrum, bands)), *trained]


def _protocols(options: Options) -> "dict[TaskKind, Protocol]":
    from geomeld.evaluate.protocols import open_protocol
    from geomeld.evaluate.task import TaskKind

    pixels = open_protocol("paper U-Net", options.unet_epochs) if options.unet_epochs else None
    return {
        TaskKind.MULTILABEL: open_protocol("lbfgs probe"),
        TaskKind.MULTICLASS: open_protocol("lbfgs probe"),
        TaskKind.SEGMENTATION: pixels or open_protocol("segmentation probe"),
    }


def _side_by_side(options: Options) -> int:
    return options.workers if _device(options.device) == "cpu" else 1


def _device(name: str) -> str:
    import torch

    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
