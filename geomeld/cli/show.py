"""`geomeld show`: describe any artefact."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Options:
    """Describe a dataset, one of its tiles, a plan, anchors, a checkpoint, scores or an index."""

    path: Annotated[Path, tyro.conf.Positional]
    """Folder or file; a dataset also by its address on a server."""
    tile: int | None = None
    """Id of one tile of a dataset."""
    caption: bool = False
    """Print the caption of the tile (the first one without --tile), its claims and the evidence for each."""
    panel: Path | None = None
    """Write a picture of the tile (the first one without --tile) to this PNG."""


def main(argv: list[str]) -> int:
    """Run the verb."""
    options = tyro.cli(Options, args=argv, prog="geomeld show")
    from geomeld.core.errors import UsageError
    from geomeld.dataset.remote import address_of

    path = options.path
    if address_of(path) is not None:
        _show_dataset(options)
        return 0
    if not path.exists():
        raise UsageError(f"There is no {path}.")
    if (path / "meta.json").exists():
        print((path / "meta.json").read_text(), end="")
    elif (path / "model.safetensors").exists() or (path / "run.json").exists():
        _show_checkpoint(path)
    elif path.suffix == ".parquet":
        _show_table(path)
    elif (path / "scores.jsonl").exists():
        _show_scores(path)
    elif path.suffix == ".jsonl":
        print(path.read_text(), end="")
    else:
        _show_dataset(options)
    return 0


def _show_checkpoint(path: Path) -> None:
    for name in ("config.json", "run.json"):
        if (path / name).exists():
            print(name)
            print((path / name).read_text(), end="")


def _show_scores(path: Path) -> None:
    from geomeld.evaluate.results import Results
    from geomeld.evaluate.score import read_scores
    from geomeld.evaluate.score_table import score_lines

    results = Results(path)
    print("\n".join(score_lines(read_scores(path), results.encoders(), results.cards())))
    for each in results.left_out():
        print(f"left out: {each}")


def _show_table(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from geomeld.core.errors import DatasetError

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise DatasetError(f"{path} is no readable Parquet file: {error}.") from None
    print(f"{path.name}: {table.num_rows} rows, columns {', '.join(table.column_names)}")
    for row in table.slice(0, 10).to_pylist():
        shown = {k: v for k, v in row.items() if k not in ("geometry", "scenes", "record", "signals")}
        print("  " + ", ".join(f"{k} {v}" for k, v in shown.items()))


def _show_dataset(options: Options) -> None:
    from geomeld.core.errors import UsageError
    from geomeld.dataset import open_dataset

    dataset = open_dataset(options.path)
    tile_id = options.tile if options.tile is not None else dataset.tile_ids[0]
    if tile_id not in dataset:
        raise UsageError(f"{options.path} has no tile {tile_id}; `geomeld show {options.path}` lists its tiles.")
    if options.caption:
        from geomeld.caption.table import NAME, read_caption
        from geomeld.figures.captions import caption_text

        dataset.companion(NAME)
        record = read_caption(dataset.path, tile_id)
        if record is None:
            raise UsageError(
                f"Tile {tile_id} has no caption in {options.path}; captions.parquet lists those that have."
            )
        print(caption_text(record))
    if options.panel is not None:
        from geomeld.dataset.files import atomic
        from geomeld.figures.panels import tile_panel

        options.panel.parent.mkdir(parents=True, exist_ok=True)
        with atomic(options.panel) as file:
            tile_panel(dataset[tile_id]).savefig(file, format="png")
        print(f"tile {tile_id} -> {options.panel}")
    elif options.tile is not None and not options.caption:
        _show_tile(dataset[tile_id])
    elif not options.caption:
        print(f"{dataset.address or options.path}: {len(dataset)} tiles in {len(dataset.shards)} shards")
        for i in dataset.tile_ids[:20]:
            facts = dataset.metadata(i)
            place = f"{facts['lat']:9.4f} {facts['long']:10.4f}  {facts['acquisition_date']}"
            print(f"  {i:<20} {place}  {len(dataset.layers_of(i))} layers  {facts.get('caption') or ''}")
        if len(dataset) > 20:
            print(f"  ... and {len(dataset) - 20} more")


def _show_tile(tile) -> None:  # type: ignore[no-untyped-def]
    for name, layer in tile.layers.items():
        dates = ", ".join(sorted({f"{t:%Y-%m-%d}" for t in layer.acquired}))
        print(f"{name:15} {layer.values.shape!s:18} {100 * layer.valid.mean():5.1f} % valid  {layer.product}  {dates}")
        for i, band in enumerate(layer.bands):
            if layer.valid[i].any():
                values = layer.values[i][layer.valid[i]]
                print(f"    {band:10} {values.min():10.4g} .. {values.max():10.4g}, mean {values.mean():10.4g}")
    facts = {k: v for k, v in tile.metadata.items() if k not in ("layers", "band_names")}
    print(json.dumps(facts, indent=1, ensure_ascii=False))
