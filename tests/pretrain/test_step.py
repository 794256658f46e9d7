"""A step is exact: the same whatever its parts and ranks; what is not finite is traced to its tiles."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from one_rank import gradient_of
from small_model import RUN
from torch.nn.utils import get_total_norm

from geomeld.core.errors import TrainingError
from geomeld.dataset import open_dataset
from geomeld.pretrain.loop import LOG, pretrain
from geomeld.pretrain.ranks import Ranks
from geomeld.testing import tiny_dataset

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def one_shot():
    return gradient_of(Ranks(), None)


def torchrun(tmp_path, *words):
    """Start two ranks and wait for them."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{HERE}{os.pathsep}{HERE.parents[1]}"}
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)


def assert_same(found, wanted, tolerance):
    (row, gradient), (wanted_row, wanted_gradient) = found, wanted
    assert row == pytest.approx(wanted_row, rel=tolerance)
    assert gradient.keys() == wanted_gradient.keys()
    differences = [(g - wanted_gradient[name]).norm() for name, g in gradient.items()]
    assert torch.stack(differences).norm() <= tolerance * get_total_norm(wanted_gradient.values())
    for name, g in gradient.items():
        assert (g - wanted_gradient[name]).norm() <= 10 * tolerance * wanted_gradient[name].norm() + 1e-9, name


@pytest.mark.parametrize("part_size", [1, 3])
def test_a_step_in_parts_has_the_gradient_of_the_whole(one_shot, part_size):
    assert_same(gradient_of(Ranks(), part_size), one_shot, 1e-5)


def test_two_ranks_are_one_process(one_shot, tmp_path):
    done = torchrun(tmp_path, str(HERE / "one_rank.py"), str(tmp_path))
    assert done.returncode == 0, done.stderr
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for part_size, tolerance in ((None, 1e-6), (2, 1e-5)):
        assert_same(first["known"][part_size], one_shot, tolerance)
        assert first["known"][part_size][0] == second["known"][part_size][0]
        gradients = [known["known"][part_size][1] for known in (first, second)]
        assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])
    assert first["errors"][0] == "TrainingError: Rank 1 of 2 could not go on: No tile of step 3 can be read."
    assert second["errors"][0] == "DatasetError: No tile of step 3 can be read."
    at_fault = "TrainingError: Step 0: mpmae/aster, mpmae is not finite; at fault is tile 5 of 7."
    assert first["errors"][1] == second["errors"][1] == at_fault


def test_what_is_not_finite_names_term_step_and_tiles():
    with pytest.raises(TrainingError, match=r"Step 0: mpmae/aster, mpmae is not finite; at fault is tile 3 of 7\."):
        gradient_of(Ranks(), 2, poison=3)


@pytest.mark.slow
def test_the_command_line_under_torchrun_learns_what_one_process_learns(tmp_path):
    tiny_dataset(tmp_path / "d", 9, captions=True)
    line = (
        "pretrain mp_mae d --out c --device cpu --size atto --targets sentinel2 aster --epochs 2 --batch-size 4 "
        "--decoder-width 16 --predictor-width 16 --predictor-depth 1 --augment.crop 32 --split.by tile --best-of 4 "
        "--optim.clip 1.0 --text.width 32 --text.depth 1 --text.heads 2"
    )
    words = line.split()
    done = torchrun(tmp_path, "-m", "geomeld", *words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("steps on") == 1
    one = subprocess.run(
        [sys.executable, "-m", "geomeld", *(w if w != "c" else "one" for w in words)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert one.returncode == 0, one.stderr
    both, single = (
        [json.loads(line) for line in (tmp_path / out / LOG).read_text().splitlines()] for out in ("c", "one")
    )
    assert len(both) == len(single) == 2 * (len(single) // 2) > 0
    for row, wanted in zip(both, single, strict=True):
        assert row == pytest.approx(wanted, rel=1e-4)


def test_a_run_in_parts_has_the_losses_of_the_whole(tmp_path):
    dataset = tiny_dataset(tmp_path / "d", 9, captions=True)
    logs = []
    for parts in (1, 2):
        pretrain(replace(RUN, epochs=1, accumulate=parts), open_dataset(dataset.path), tmp_path / str(parts))
        logs.append([json.loads(line) for line in (tmp_path / str(parts) / LOG).read_text().splitlines()])
    for row, wanted in zip(*logs, strict=True):
        assert row == pytest.approx(wanted, rel=1e-4)
