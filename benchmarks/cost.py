"""What tiles cost in requests, bytes and seconds, counted on loopback, and what 2.5 million would (computed)."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

from geomeld.build.status import Status, status_of
from geomeld.cli import simulate
from geomeld.testing.http import Request, serve

PLACES = 3
MANY = 2_500_000
STATIC = ("aster-gdem", "eth-canopy-height", "esa-worldcover", "jrc-gsw")
"""Collections that local mosaics can stand in for."""


def main() -> None:
    """Print a table by collection and the totals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--piece", type=Path, help="folder of `geomeld simulate --places 3`; made when absent")
    given = parser.parse_args().piece
    with tempfile.TemporaryDirectory() as name:
        piece = given or Path(name) / "piece"
        if not (piece / "catalog.json").exists():
            simulate.main(["--places", str(PLACES), "--days", "12", "--seed", "3", "--out", str(piece)])
        with serve(piece) as server:
            words = ["--anchors", str(piece / "anchors.parquet"), "--source", f"stac:{server.url}/catalog.json"]
            out = Path(name) / "built"
            command = [
                sys.executable,
                "-m",
                "geomeld",
                "build",
                *words,
                "--out",
                str(out),
                "--workers",
                "1",
                "--no-naip",
            ]
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "no_proxy": "127.0.0.1"})
            pixels = [r for r in server.asked if r.path.endswith(".tif")]
        told(status_of(out), piece, pixels)


def told(status: Status, piece: Path, pixels: list[Request]) -> None:
    """Print what was counted and what follows."""
    requests = Counter(r.path.split("/")[0] for r in pixels)
    sent: Counter[str] = Counter()
    for request in pixels:
        sent[request.path.split("/")[0]] += length(request, piece)
    tiles = status.stored
    print(f"{tiles} tiles of {status.bytes / tiles / 1e6:.2f} MB, {status.seconds / tiles:.2f} s each")
    for name in sorted(requests):
        print(f"  {name:20} {requests[name] / tiles:6.1f} requests and {sent[name] / tiles / 1e6:6.2f} MB a tile")
    every, static = sum(requests.values()), sum(requests[n] for n in STATIC)
    for words, count in (("all from STAC", every), ("static products local", every - static)):
        print(f"  {words:22} {count / tiles:6.1f} requests a tile, {count / tiles * MANY:.2e} for {MANY:,}")
    print(f"  stored: {status.bytes / status.stored * MANY / 1e12:.1f} TB for {MANY:,} tiles")


def length(request: Request, piece: Path) -> int:
    """Bytes of an answer."""
    size = (piece / request.path).stat().st_size
    first, _, last = (request.range or "bytes=0-").removeprefix("bytes=").partition("-")
    return max(min(int(last or size), size - 1) - int(first) + 1, 0)


if __name__ == "__main__":
    main()
