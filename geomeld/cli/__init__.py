"""The command line: a table from verb to function, imported on use so that `--help` answers at once."""

import importlib
import os
import signal
import sys

VERBS: dict[str, tuple[str, str]] = {
    "demo": ("geomeld.cli.demo", "the whole flow, small, on the simulated Earth, to one HTML report"),
    "simulate": (
        "geomeld.cli.simulate",
        "write a piece of the simulated Earth as STAC, COGs and a map extract",
    ),
    "anchors": ("geomeld.cli.anchors", "import or sample places and dates -> anchors.parquet"),
    "osm": ("geomeld.cli.osm", "an extract of OpenStreetMap -> GeoParquet"),
    "plan": ("geomeld.cli.plan", "choose the scenes of every anchor, no pixels -> plan.parquet"),
    "build": ("geomeld.cli.build", "anchors or a plan -> shards of aligned tiles"),
    "check": ("geomeld.cli.check", "hold a dataset against the contract; every violation, not the first"),
    "doctor": ("geomeld.cli.doctor", "wrong units, offsets, band orders, no-data: told by the pixels, and mended"),
    "stats": ("geomeld.cli.stats", "statistics and the dataset report with its figures"),
    "export": ("geomeld.cli.export", "a dataset -> shards and tables in the published form alone"),
    "caption": ("geomeld.cli.caption", "signals, captions and their evidence -> shards and captions.parquet"),
    "pack": ("geomeld.cli.pack", "a dataset in fewer bytes, made for training; the same tiles bit by bit"),
    "pretrain": ("geomeld.cli.pretrain", "recipe + shards -> checkpoint folder"),
    "evaluate": ("geomeld.cli.evaluate", "encoders x tasks x protocols -> scores.jsonl and a page"),
    "ablate": ("geomeld.cli.ablate", "the paper's table 3 in small: five variants, several seeds -> a table"),
    "geobench": ("geomeld.cli.geobench", "sets of GEO-Bench v1.0: fetch one, or see what lies on disk"),
    "embed": ("geomeld.cli.embed", "tiles -> an index of embeddings"),
    "search": ("geomeld.cli.search", "a text -> the tiles that fit it best"),
    "show": ("geomeld.cli.show", "describe any artefact: dataset, tile, plan, checkpoint, index"),
}
"""Verb -> (module with a function `main(argv)`, one line of help)."""


def usage() -> str:
    """The text of `geomeld --help`."""
    rows = "\n".join(f"  {verb:<10} {text}" for verb, (_, text) in VERBS.items())
    return (
        "usage: geomeld VERB [options]\n\n"
        "Aligned multi-sensor Earth observation tiles, verified captions and the GeoMeld-FM model.\n\n"
        f"verbs:\n{rows}\n\n"
        "`geomeld VERB --help` lists a verb's options. Progress goes to stderr, results to stdout (--json: machines).\n"
        "Exit code: 0 done, 1 the work failed, 2 the words were wrong, 130 interrupted; any verb can be run again.\n"
    )


def main(argv: list[str] | None = None) -> None:
    """Run one verb and exit with its code."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        sys.exit(0 if argv else 2)
    verb, rest = argv[0], argv[1:]
    if verb == "--version":
        from importlib.metadata import version

        print(version("geomeld"))
        sys.exit(0)
    if verb not in VERBS:
        import difflib

        close = difflib.get_close_matches(verb, VERBS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        print(f"geomeld: there is no verb {verb!r}{hint}\n\n{usage()}", file=sys.stderr)
        sys.exit(2)
    sys.exit(_run(verb, rest))


def _run(verb: str, argv: list[str]) -> int:
    from geomeld.core.errors import GeoMeldError

    try:
        code = importlib.import_module(VERBS[verb][0]).main(argv)
        sys.stdout.flush()
        return code or 0
    except GeoMeldError as error:
        print(f"geomeld {verb}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"geomeld {verb}: interrupted; run the same command again to go on.", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        name = error.filename2 or error.filename
        where = f" ({name})" if name else ""
        print(f"geomeld {verb}: {error.strerror or error}{where}", file=sys.stderr)
        return 1
