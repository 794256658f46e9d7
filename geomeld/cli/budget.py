"""The budget of a build: what a service that counts will be asked for, shown before it is."""

import sys

from geomeld.core.errors import UsageError
from geomeld.sources import Source


def agree(source: Source, tiles: int, yes: bool) -> None:
    """Say what a build will ask of its source, and go on only with `yes` or when somebody at the terminal says so; at
    once where nobody counts.

    Raises UsageError where nobody agrees.
    """
    budget = getattr(source, "budget", None)
    told = budget(tiles) if budget else None
    if not told:
        return
    print(told, file=sys.stderr)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("Nobody is here to agree to this; give --yes to go on.")
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError("Not started.")
