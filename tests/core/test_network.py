"""The guard of the test suite: loopback works, anything else is refused."""

import socket

import pytest


def test_other_machines_are_refused() -> None:
    with pytest.raises(OSError, match="mark it online"), socket.socket() as outside:
        outside.connect(("192.0.2.77", 80))
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
