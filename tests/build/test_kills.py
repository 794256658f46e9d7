"""A build that is killed again and again, at moments drawn over its whole life, ends in the bytes of an undisturbed one."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from geomeld.build.ledger import NAME as LEDGER

KILLS = 25

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from geomeld.build.anchors import sampled_anchors
from geomeld.build.config import BuildConfig, Patience
from geomeld.build.ledger import NAME as LEDGER
from geomeld.build.run import build
from geomeld.core.draw import draw_words, unit
from geomeld.testing import FakeSource

folder, kills = Path(sys.argv[1]), int(sys.argv[2])
anchors = sampled_anchors([(10.0 + 3 * k, -50.0 + 11 * k, "") for k in range(9)], "test")
source = FakeSource(corrupt_south_of=-45.0, withheld=1, serves=frozenset({"sentinel2", "dynamic_world"}))
config, patience = BuildConfig(shard_size=2), Patience(tries=1, first_wait_s=0.01, longest_wait_s=0.01, rounds=2)


def run(out: Path, moment: float | None = None) -> bool:
    # In a child that has everything loaded; True where it was killed at the moment, in seconds from its start.
    child = os.fork()
    if not child:
        build(anchors, source, out, config, patience=patience)
        os._exit(0)
    begun = time.monotonic()
    while moment is not None and time.monotonic() - begun < moment:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.0005)
    if moment is not None:
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


build(anchors, source, folder / "whole", config, patience=patience)  # here, so that children find all loaded
start = time.monotonic()
run(folder / "timed")
whole, made, tries, found = time.monotonic() - start, 0, 0, []
while made < kills:
    out = folder / f"killed-{tries // 4}"
    made += run(out, unit(draw_words(0, "kill", tries)[0]) * whole)
    tries += 1
    found.append([p.name for p in out.glob("*.tar")] if out.exists() else [])
for out in folder.glob("killed-*"):
    run(out)
print(json.dumps({"kills": made, "shards": sorted({len(f) for f in found})}))
"""


def contents(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file() and p.name not in (".lock", LEDGER))
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


@pytest.mark.slow
def test_a_build_that_is_killed_25_times_ends_in_the_same_bytes(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path), str(KILLS)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["kills"] == KILLS
    assert len(told["shards"]) >= 3, "kills came at different stages"
    whole = contents(tmp_path / "whole")
    assert len([name for name in whole if name.endswith(".tar")]) == 5
    killed = sorted(tmp_path.glob("killed-*"))
    assert len(killed) >= KILLS // 4
    for folder in killed:
        assert contents(folder) == whole, folder.name
