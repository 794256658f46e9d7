"""Ablation recipes: the five variants of the paper's table 3, equal in everything but what they learn from."""

from collections.abc import Callable
from dataclasses import replace

from geomeld.loader import Split
from geomeld.pretrain.config import PretrainConfig
from geomeld.pretrain.optim import OptimConfig
from geomeld.recipes.pretraining import demo, geomeld_fm, mp_mae, mp_mae_itc, mp_mae_jepa, s2_mae

ROWS = {r.__name__: r for r in (s2_mae, mp_mae, mp_mae_jepa, mp_mae_itc, geomeld_fm)}
"""Table 3's rows in its order: S2-MAE, +MP, +MP+JEPA, +MP+ITC, GeoMeld-FM."""

ORDER = (
    ("s2_mae", "mp_mae"),
    ("mp_mae", "mp_mae_jepa"),
    ("mp_mae", "mp_mae_itc"),
    ("mp_mae_jepa", "geomeld_fm"),
    ("mp_mae_itc", "geomeld_fm"),
)
"""What table 3 says: (lower, higher)."""


def small(epochs: int = 5, seed: int = 0) -> PretrainConfig:
    """What the variants share at small scale: the demo's model, and one tile in four held out, by tile."""
    return replace(
        demo(),
        epochs=epochs,
        batch_size=16,
        optim=OptimConfig(lr=2e-3, warmup=0.1, clip=1.0),
        split=Split(held_out=0.25, by="tile"),
        seed=seed,
        best_of=0,
        save_every=100,
        workers=1,
    )


def large(epochs: int = 50, seed: int = 0) -> PretrainConfig:
    """What they share at large scale, on a GPU: the paper's model (tiny, its text encoder), and one 1-degree cell in
    ten held out.

    Result: not run.
    """
    return PretrainConfig(
        size="tiny",
        epochs=epochs,
        batch_size=256,
        optim=OptimConfig(lr=1.5e-4, lr_per=256, warmup=0.1, clip=1.0),
        split=Split(held_out=0.1, by="cell"),
        seed=seed,
        best_of=0,
        save_every=200,
        workers=8,
    )


SCALES: dict[str, Callable[[], PretrainConfig]] = {"small": small, "large": large}
"""What the variants may share, by the name that the command line takes."""


def table3(shared: PretrainConfig | None = None) -> dict[str, PretrainConfig]:
    """The five variants by name, in the paper's order; each is `shared` (`small()` unless given) with the targets and
    the objectives of its recipe. All see the same samples in the same order.

    Command: `geomeld ablate DATASET --out DIR`.
    Cost: 2,000 tiles, 5 epochs and three seeds of each: see docs/ablation.md.
    Result: in docs/results.md, section "The ablation, small"; `geomeld ablate --markdown` prints it.
    """
    shared = shared or small()
    return {name: replace(shared, targets=row().targets, objectives=row().objectives) for name, row in ROWS.items()}
