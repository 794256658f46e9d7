"""A caption run that dies at any of its renames ends in the same bytes, and in a dataset without a fault."""

from pathlib import Path
from shutil import copytree

import pytest

from geomeld.caption import run
from geomeld.dataset.check import check
from geomeld.testing import tiny_dataset


class Killed(BaseException):
    """Nothing catches it by mistake."""


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in (".lock", run.LEDGER)}


def test_a_run_that_dies_at_any_rename_ends_in_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = tiny_dataset(tmp_path / "fresh", 2, shard_size=1).path
    whole = copytree(fresh, tmp_path / "whole")
    rename = Path.replace
    left = 10**6

    def deadly(self: Path, target: Path) -> Path:
        nonlocal left
        left -= 1
        if left < 0 and after:
            rename(self, target)
        if left < 0:
            raise Killed
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", deadly)
    run.caption_dataset(whole)
    steps = 10**6 - left
    assert steps >= 6  # table, two shards, two indexes, manifest
    for when in range(steps):
        for after in (False, True):
            path, left = copytree(fresh, tmp_path / f"{when}{after}"), when
            with pytest.raises(Killed):
                run.caption_dataset(path)
            (path / "geomeld-00000.tar.1.partial").write_bytes(b"half")  # what a killed writer leaves behind
            left = 10**6
            run.caption_dataset(path)
            assert check(path) == [], (when, after)
            assert contents(path) == contents(whole), (when, after)
