"""Twenty losses of a small run as they were: a change of data order, masks, model, losses or optimiser shows here.

Made anew with `python tests/pretrain/test_golden.py`, after a change that is meant to change them.
"""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from small_model import RUN

from geomeld.pretrain.loop import pretrain
from geomeld.pretrain.run_log import rows_of
from geomeld.testing import tiny_dataset

GOLDEN = Path(__file__).with_name("golden_losses.txt")
TERMS = ("loss", "mpmae", "jepa", "itc")
TOLERANCE = 1e-3
"""Relative: what other machines' rounding comes to after twenty steps, and less than any change that matters."""


def losses(folder: Path) -> list[list[float]]:
    dataset = tiny_dataset(folder / "d", 9, captions=True)
    pretrain(replace(RUN, epochs=10, save_every=100), dataset, folder / "c")
    return [[row[term] for term in TERMS] for row in rows_of(folder / "c")]


def test_losses_are_as_they_were(tmp_path: Path) -> None:
    golden = [[float(word) for word in line.split()] for line in GOLDEN.read_text().splitlines()[1:]]
    found = losses(tmp_path)
    assert len(found) == len(golden) == 20
    for step, (now, then) in enumerate(zip(found, golden, strict=True)):
        assert now == pytest.approx(then, rel=TOLERANCE), step


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        rows = losses(Path(folder))
    lines = [" ".join(TERMS), *(" ".join(f"{v:.6f}" for v in row) for row in rows)]
    GOLDEN.write_text("\n".join(lines) + "\n")
