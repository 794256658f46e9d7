"""`geomeld demo`: the whole flow, small, on the simulated Earth, to one HTML report."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

QUERIES = (
    "a river winding through dense forest",
    "cropland and farm fields on flat land",
    "bare ground on mountainous land",
    "a large lake surrounded by grassland",
    "houses and streets among green fields",
)


@dataclass(frozen=True)
class Options:
    """Simulated Earth -> anchors -> plan -> build -> caption -> pretrain -> evaluate -> embed -> report."""

    out: Path = Path("runs/demo")
    """Folder; an interrupted demo goes on here."""
    tiles: int = 192
    """Places."""
    seed: int = 0
    """Of the Earth and every draw."""
    epochs: int = 14
    """Of pretraining."""
    workers: int = 0
    """Processes of the build; 0 takes one per core."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld demo")
    seconds: dict[str, float] = {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        print(f"--- {name}", file=sys.stderr)
        began = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - began
        return result

    report = _run(options, step, seconds)
    print(f"report -> {report}   ({sum(seconds.values()):.0f} s)")
    return 0


def _run(options: Options, step: Callable[[str, Callable[[], Any]], Any], seconds: dict[str, float]) -> Path:
    from dataclasses import replace

    from geomeld.build.anchors import read_anchors, write_anchors
    from geomeld.build.config import BuildConfig
    from geomeld.build.run import build
    from geomeld.caption.config import CaptionConfig
    from geomeld.caption.run import caption_dataset
    from geomeld.cli.anchors import anchors_from
    from geomeld.dataset import open_dataset
    from geomeld.evaluate.run import Request, evaluate
    from geomeld.pretrain.loop import pretrain
    from geomeld.pretrain.watch import Watch, WatchConfig
    from geomeld.recipes.pretraining import demo
    from geomeld.search.index import embed
    from geomeld.sources import open_source

    out, data, model = options.out, options.out / "dataset", options.out / "checkpoint"
    anchors = out / "anchors.parquet"
    step("anchors", lambda: write_anchors(anchors, anchors_from(None, options.tiles, options.seed)))
    source = open_source(f"simulated:{options.seed}")
    config = BuildConfig(seed=options.seed, shard_size=16)
    step(
        "plan and build",
        lambda: build(read_anchors(anchors), source, data, config, workers=options.workers or os.cpu_count() or 1),
    )
    step("caption", lambda: caption_dataset(data, CaptionConfig(seed=options.seed)))
    recipe = replace(demo(), epochs=options.epochs, seed=options.seed)
    built = open_dataset(data)
    watch = Watch(WatchConfig(trackers=()), recipe, built, model)
    step("pretrain", lambda: pretrain(recipe, built, model, watch=watch))
    scores = step("evaluate", lambda: evaluate(Request((str(model),), dataset=open_dataset(data)), out / "scores"))
    index = step("embed", lambda: embed(open_dataset(data), model, out / "index"))
    return step("report", lambda: _report(options, scores, index, seconds))


def _report(options: Options, scores: Any, index: Any, seconds: dict[str, float]) -> Path:
    from dataclasses import asdict

    import numpy as np

    from geomeld.caption.table import read_captions
    from geomeld.dataset import open_dataset
    from geomeld.evaluate.report import PAGE as SCORES_PAGE
    from geomeld.figures.demo_page import DemoRun, read_log, write_demo_page
    from geomeld.pretrain.loop import EXAMPLES, LOG
    from geomeld.pretrain.watch import PAGE
    from geomeld.sources.simulated.landscape import is_land

    out = options.out
    lon, lat = np.meshgrid(np.arange(-179.5, 180), np.arange(89.5, -90, -1))
    with np.load(out / "checkpoint" / EXAMPLES) as stored:
        examples = {k: stored[k] for k in stored.files}
    run = DemoRun(
        dataset=open_dataset(out / "dataset"),
        captions=read_captions(out / "dataset"),
        log=read_log(out / "checkpoint" / LOG),
        run_page=f"checkpoint/{PAGE}",
        examples=examples,
        scores=[asdict(s) for s in scores if s.baseline is not None and "/" not in s.metric],
        scores_page=f"scores/{SCORES_PAGE}",
        queries={text: index.nearest(index.encode(text), 5) for text in QUERIES},
        seconds=seconds,
        land=is_land(options.seed, lon, lat),
        commands=(
            f"geomeld anchors --sample {options.tiles} --seed {options.seed} --out {out}/anchors.parquet",
            f"geomeld build --anchors {out}/anchors.parquet --source simulated:{options.seed} --seed {options.seed} "
            f"--shard-size 16 --out {out}/dataset",
            f"geomeld caption {out}/dataset",
            f"geomeld pretrain demo {out}/dataset --epochs {options.epochs} --out {out}/checkpoint",
            f"geomeld evaluate {out}/checkpoint --data {out}/dataset --out {out}/scores",
            f"geomeld embed {out}/dataset --model {out}/checkpoint --out {out}/index",
            f'geomeld search {out}/index "{QUERIES[0]}"',
        ),
    )
    return write_demo_page(run, out / "report.html")
