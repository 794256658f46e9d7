"""Postgres: a private PostgreSQL cluster on a free port of this machine, empty at first and gone at the end."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from geomeld.core.errors import GeoMeldError
from geomeld.testing.service import as_user, free_port, lacking, other_user, private_folder, program, running

OWNER = "geomeld"

HASTE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "jit=off", "max_wal_size=1GB")
"""Nothing here outlives the block, so nothing need reach a disk."""


@contextmanager
def postgres() -> Iterator[int]:
    """A cluster of its own until the block is left; yields the port. Its one database is `postgres`, its one user
    `OWNER`, without a password, reached from this machine alone. PostgreSQL refuses to be root: another user runs it.

    Raises GeoMeldError where PostgreSQL is not installed or does not start.
    """
    initdb, server, user = program("initdb"), program("postgres"), other_user()
    if initdb is None or server is None:
        raise GeoMeldError(f"{lacking('initdb', 'postgres')}.")
    with private_folder(user) as folder:
        data, port = folder / "data", free_port()
        _make(as_user([initdb, "-D", str(data), "-A", "trust", "-U", OWNER, "-E", "UTF8"], user), str(folder))
        listen = ["-h", "127.0.0.1", "-p", str(port), "-k", str(folder)]
        settings = [word for setting in HASTE for word in ("-c", setting)]
        command = [server, "-D", str(data), *listen, *settings]
        with running(command, folder / "log.txt", lambda: _is_ready(data), user=user):
            yield port


def _is_ready(data: Path) -> bool:
    """Whether the server takes connections: it listens earlier, and says so in the last line of its lock file."""
    lock = data / "postmaster.pid"
    return lock.exists() and lock.read_text().rstrip().endswith("ready")


def _make(command: list[str], folder: str) -> None:
    done = subprocess.run(
        [*command, "--locale=C.UTF-8", "--no-sync"], capture_output=True, text=True, timeout=60, cwd=folder, check=False
    )
    if done.returncode:
        raise GeoMeldError(f"initdb failed: {done.stderr[-2000:]}")
