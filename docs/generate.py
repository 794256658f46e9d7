"""Writes the parts of the documentation that follow from the code: the command line and the table of modalities."""

import os
import subprocess
import sys
from pathlib import Path

from geomeld.cli import VERBS, usage
from geomeld.core.modality import Categorical, Modality
from geomeld.modalities import MODALITIES

DOCS = Path(__file__).parent
BEGIN, END = "<!-- begin: modalities -->", "<!-- end: modalities -->"


def modality_table() -> str:
    """Every modality as a row of a Markdown table."""
    head = "| key | bands | GSD | dtype | no data | values |\n|---|---|---|---|---|---|\n"
    return head + "\n".join(_row(m) for m in MODALITIES.values())


def _row(m: Modality) -> str:
    values = "classes " + " ".join(map(str, m.kind.codes)) if isinstance(m.kind, Categorical) else m.kind.unit
    no_data = "NaN" if m.no_data != m.no_data else f"{m.no_data:g}"
    name = f"`{m.name}`" + ("" if m.published else " (addition)")
    return f"| {name} | {' '.join(m.bands)} | {m.gsd:g} m | {m.dtype} | {no_data} | {values} |"


def format_page() -> str:
    """docs/format.md with its table renewed."""
    text = (DOCS / "format.md").read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{modality_table()}\n{END}{rest.split(END)[1]}"


def command_line_page() -> str:
    """docs/cli.md: `--help` of the command and of every verb, as a user sees it."""
    parts = ["# Command line\n\nThis page is written by `docs/generate.py` from the program itself.\n", block(usage())]
    for verb in VERBS:
        parts.append(f"## geomeld {verb}\n\n{block(_help(verb))}")
    return "\n".join(parts)


def block(text: str) -> str:
    """Text as a fenced block."""
    return f"```text\n{text.strip()}\n```\n"


def _help(verb: str) -> str:
    plain = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run([sys.executable, "-m", "geomeld", verb, "--help"], capture_output=True, text=True, env=plain)
    return "\n".join(line.rstrip() for line in done.stdout.splitlines())


if __name__ == "__main__":
    (DOCS / "format.md").write_text(format_page(), encoding="utf-8")
    (DOCS / "cli.md").write_text(command_line_page(), encoding="utf-8")
