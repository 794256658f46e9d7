"""Tests reach no network beyond this machine, unless they are marked online, and draw the same examples every time."""

import ipaddress
import os
import socket

# One thread each, in tests and in the programs that they start: sums over several threads depend on their number, and
# threads that wait for one another cost more than they bring on tiny models. Before torch is imported.
os.environ["OMP_NUM_THREADS"] = "1"

import pytest
from hypothesis import settings

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

connect = socket.socket.connect


def _is_here(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return host in ("localhost", "")
    if address.is_loopback or address.is_unspecified:
        return True
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6) as probe:
        try:
            probe.bind((host, 0))  # only an address of this machine can be bound
        except OSError:
            return False
    return True


@pytest.fixture(autouse=True)
def this_machine_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse every connection to another machine."""

    def guarded(self: socket.socket, address: object) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(str(address[0])):  # type: ignore[index]
            raise OSError(f"A test tried to reach {address}; mark it online, or serve the data on loopback.")
        connect(self, address)  # type: ignore[arg-type]

    if "online" not in request.keywords:
        monkeypatch.setattr(socket.socket, "connect", guarded)
