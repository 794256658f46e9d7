"""Service: a real server, started for the length of a block under a user of its own, and ended with it."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from geomeld.core.errors import GeoMeldError

PLACES = ("/usr/sbin", "/usr/local/sbin", *(str(p / "bin") for p in sorted(Path("/usr/lib/postgresql").glob("*"))))
"""Where Debian keeps servers, beside the path."""

STARTS_IN_S = 90.0
"""Seconds that a server may take until it answers."""

ENDS_IN_S = 10.0
"""Seconds that a server may take to end when it is asked to."""

LESS_THAN_ROOT = ("postgres", "nobody")
"""Users that a server which refuses to be root runs under, the first that there is."""


def program(name: str) -> str | None:
    """Path of an installed server; None where it is not."""
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), *PLACES]))


def lacking(*names: str) -> str:
    """Why tests with these servers are left out; empty where all are installed."""
    absent = [name for name in names if program(name) is None]
    return f"{', '.join(absent)} not installed: `make services` as root brings them" if absent else ""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers_on(port: int) -> bool:
    """Whether somebody listens on a port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def other_user() -> str | None:
    """Who a server that refuses to be root runs as; None where this process is not root."""
    if os.geteuid() != 0:
        return None
    there = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in LESS_THAN_ROOT if name in there)


@contextmanager
def private_folder(user: str | None = None) -> Iterator[Path]:
    """A new folder, owned by a user, removed with everything in it at the end."""
    folder = Path(tempfile.mkdtemp(prefix="geomeld-service-"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_user(command: Sequence[str], user: str | None) -> list[str]:
    """A command that runs as a user, and that the kernel interrupts when the process that started it is gone."""
    change = [] if user is None else [f"--reuid={user}", f"--regid={pwd.getpwnam(user).pw_gid}", "--clear-groups"]
    guard = ["setpriv", "--pdeathsig", "INT", *change] if shutil.which("setpriv") else []
    return [*guard, *command]


@contextmanager
def running(
    command: Sequence[str],
    log: Path,
    ready: Callable[[], bool],
    *,
    user: str | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run a server until the block is left; the block begins when `ready` says so.

    Raises GeoMeldError, with the end of its log, where it ends before that or takes longer than `STARTS_IN_S`.
    """
    with log.open("wb") as out:
        process = subprocess.Popen(
            as_user(command, user),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=log.parent,
        )
    try:
        _wait(process, command[0], log, ready)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDS_IN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], name: str, log: Path, ready: Callable[[], bool]) -> None:
    until = time.monotonic() + STARTS_IN_S
    while not ready():
        ended = process.poll() is not None
        if ended or time.monotonic() > until:
            how = f"ended with {process.returncode}" if ended else f"did not answer within {STARTS_IN_S:.0f} s"
            raise GeoMeldError(f"{name} {how}: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.05)
