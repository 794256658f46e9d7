"""`geomeld pretrain`: a recipe and a dataset to a checkpoint folder."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Where:
    """Train GeoMeld-FM: `geomeld pretrain [RECIPE] --data DATASET --out CHECKPOINT [--field value]`."""

    data: Path
    """Folder of the dataset, with captions."""
    out: Path
    """Folder of the checkpoint; a run that was interrupted goes on here."""
    device: str = "auto"
    """auto, cpu or cuda."""
    json: bool = False
    """Print the summary as JSON."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    from geomeld.core.errors import MissingExtra, UsageError

    try:
        from geomeld.recipes.pretraining import RECIPES
    except ImportError as error:
        raise MissingExtra(
            f"Pretraining needs torch ({error}); install it with: pip install 'geomeld[train]'"
        ) from None
    from geomeld.core.config import to_json
    from geomeld.dataset import open_dataset
    from geomeld.pretrain.config import PretrainConfig
    from geomeld.pretrain.loop import pretrain

    name = argv[0] if argv and not argv[0].startswith("-") else "geomeld_fm"
    rest = argv[1:] if argv and not argv[0].startswith("-") else argv
    if name not in RECIPES:
        raise UsageError(f"There is no recipe {name!r}; there are {', '.join(RECIPES)}.")

    def run(
        where: Annotated[Where, tyro.conf.arg(name="")],
        recipe: Annotated[PretrainConfig, tyro.conf.arg(name="")] = RECIPES[name](),
    ) -> int:
        summary = pretrain(recipe, open_dataset(where.data), where.out, device=where.device)
        if where.json:
            print(json.dumps(to_json(summary)))
        else:
            held = f" (held out {summary.held_out_loss['loss']:.4f})" if summary.held_out_loss else ""
            print(
                f"{summary.steps} steps on {summary.tiles} tiles ({summary.held_out} held out), "
                f"loss {summary.loss:.4f}{held}, "
                f"{summary.samples_per_second:.1f} tiles/s, {summary.parameters / 1e6:.1f} M parameters -> {where.out}"
            )
            if summary.skipped:
                print(f"{summary.skipped} tiles could not be read and were left out", file=sys.stderr)
        return 0

    text = f"recipes: {', '.join(RECIPES)} (default geomeld_fm). Any field of the recipe can be given as an option."
    return tyro.cli(run, args=rest, prog=f"geomeld pretrain {name}", description=text)
