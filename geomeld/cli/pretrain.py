"""`geomeld pretrain`: a recipe and a dataset to a checkpoint folder."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

if TYPE_CHECKING:
    from geomeld.pretrain.config import PretrainConfig
    from geomeld.pretrain.loop import Summary

DEFAULT = "geomeld_fm"


@dataclass(frozen=True)
class Where:
    """What is trained on, and where it goes."""

    dataset: Annotated[str | None, tyro.conf.Positional] = None
    """Folder or address of the dataset, with captions."""
    data: str | None = None
    """The same as DATASET."""
    out: Path | None = None
    """Folder of the checkpoint, runs/RECIPE if not given; a run that was interrupted goes on here."""
    device: str = "auto"
    """auto, cpu or cuda."""
    dry_run: bool = False
    """Say what the run would cost, on a speed that is measured now, and check the dataset; write nothing."""
    json: bool = False
    """Print the summary as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    from geomeld.core.errors import MissingExtra

    try:
        from geomeld.recipes.pretraining import RECIPES
    except ImportError as error:
        raise MissingExtra(
            f"Pretraining needs torch ({error}); install it with: pip install 'geomeld[train]'"
        ) from None
    from geomeld.cli.objectives import REGISTRY
    from geomeld.pretrain.config import PretrainConfig
    from geomeld.pretrain.watch import WatchConfig

    name, rest = _recipe(argv, RECIPES)

    def run(
        where: Annotated[Where, tyro.conf.arg(name="")],
        recipe: Annotated[PretrainConfig, tyro.conf.arg(name="")] = RECIPES[name](),
        watch: Annotated[WatchConfig, tyro.conf.arg(name="")] = WatchConfig(),
    ) -> int:
        dataset = _dataset(where)
        if where.dry_run:
            return _dry_run(recipe, dataset, where)
        return _train(recipe, watch, dataset, where.out or Path("runs") / name, where)

    text = f"Train GeoMeld-FM by a recipe ({DEFAULT} if none is named); any of its fields is an option.\n\nrecipes:\n"
    text += "\n".join(f"  {n:<12} {_first_line(r)}" for n, r in RECIPES.items())
    with REGISTRY:
        return tyro.cli(run, args=rest, prog=f"geomeld pretrain {name}", description=text)


def _recipe(argv: list[str], recipes: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The recipe's name and the other words. Raises UsageError for a first word that is no recipe."""
    import difflib

    from geomeld.core.errors import UsageError

    if not argv or argv[0].startswith("-"):
        return DEFAULT, argv
    if argv[0] not in recipes:
        close = difflib.get_close_matches(argv[0], recipes, n=1)
        hint = f" Did you mean {close[0]}?" if close else " Usage: geomeld pretrain RECIPE DATASET."
        raise UsageError(f"There is no recipe {argv[0]!r}; there are {', '.join(recipes)}.{hint}")
    return argv[0], argv[1:]


def _first_line(recipe: Callable[[], object]) -> str:
    return (recipe.__doc__ or "").strip().split("\n")[0]


def _dataset(where: Where) -> str:
    from geomeld.core.errors import UsageError

    given = [d for d in (where.dataset, where.data) if d is not None]
    if len(given) != 1:
        raise UsageError("Give one dataset: geomeld pretrain RECIPE DATASET.")
    return given[0]


def _dry_run(recipe: "PretrainConfig", dataset: str, where: Where) -> int:
    from geomeld.core.config import to_json
    from geomeld.dataset import open_dataset
    from geomeld.pretrain.cost import cost_of
    from geomeld.pretrain.readiness import readiness_of

    opened = open_dataset(dataset)
    readiness = readiness_of(recipe, opened)
    cost = cost_of(recipe, opened, device=where.device) if readiness.can_run else None
    if where.json:
        print(json.dumps({"cost": to_json(cost), "dataset": to_json(readiness)}))
    else:
        print(readiness.text() if cost is None else f"{cost.text()}\n\n{readiness.text()}")
    return 0 if readiness.can_run else 1


def _train(recipe: "PretrainConfig", watch: Any, dataset: str, out: Path, where: Where) -> int:
    from geomeld.core.config import to_json
    from geomeld.dataset import open_dataset
    from geomeld.pretrain.loop import pretrain
    from geomeld.pretrain.ranks import is_first
    from geomeld.pretrain.watch import Watch

    opened = open_dataset(dataset)
    evaluate = _evaluation(recipe, opened) if watch.evaluate_every else None
    onlooker = Watch(watch, recipe, opened, out, evaluate)
    summary = pretrain(recipe, opened, out, device=where.device, watch=onlooker)
    if not is_first():
        return 0
    print(json.dumps(to_json(summary)) if where.json else _said(summary, out))
    if summary.skipped and not where.json:
        print(f"{summary.skipped} tiles could not be read and were left out", file=sys.stderr)
    return 0


def _evaluation(recipe: "PretrainConfig", dataset: Any) -> Any:
    from geomeld.core.errors import MissingExtra

    try:
        from geomeld.evaluate.in_loop import InLoop
    except ImportError as error:
        raise MissingExtra(
            f"--evaluate-every needs a package that is not here ({error}); install it with: "
            "pip install 'geomeld[evaluate]', or leave it out."
        ) from None
    return InLoop(dataset, recipe.split)


def _said(summary: "Summary", out: Path) -> str:
    from geomeld.pretrain.watch import PAGE

    held = f" (held out {summary.held_out_loss['loss']:.4f})" if summary.held_out_loss else ""
    return (
        f"{summary.steps} steps on {summary.tiles} tiles ({summary.held_out} held out), loss {summary.loss:.4f}{held}, "
        f"{summary.samples_per_second:.1f} tiles/s, {summary.parameters / 1e6:.1f} M parameters -> {out}\n"
        f"curves and pictures: {out / PAGE}"
    )
