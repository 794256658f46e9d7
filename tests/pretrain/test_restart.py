"""A run that is killed anywhere and started again has the losses and weights of one that never was, bit by bit."""

import multiprocessing
import os
import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from small_model import RUN, SPECK

from geomeld.core.errors import CheckpointError, Terminated
from geomeld.dataset import files, open_dataset
from geomeld.models.encoder import SIZES
from geomeld.pretrain import loop, states
from geomeld.pretrain.states import States
from geomeld.testing import tiny_dataset

CONFIG = replace(RUN, targets=("sentinel2",), epochs=35, save_every=3, keep=2, best_of=2)
"""Seventy steps, saved every three."""


LATE_IMPORTS = ("torch._dynamo", "torch.distributed.fsdp")
"""What torch imports at the first step, for seconds; here it is imported once and not in every process."""


@pytest.fixture(scope="module", autouse=True)
def speck() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "atto", SPECK)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data") / "d", 9, captions=True).path


@pytest.fixture(scope="module")
def unbroken(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run") / "c"
    loop.pretrain(CONFIG, open_dataset(data), out)
    return out


class Onlooker:
    """Does something after a step."""

    def __init__(self, at: int, action) -> None:
        self.at, self.action = at, action

    def start(self, run, steps, held_out) -> None:
        pass

    def step(self, step, row, batch) -> None:
        if step == self.at:
            self.action()

    def close(self) -> None:
        pass


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def train_and_die(data: Path, out: Path, step: int, where: str) -> None:
    """Runs in a process of its own: SIGKILL after a step, in the middle of writing a state, or when it is written."""
    SIZES["atto"] = SPECK
    whole = files.atomic

    @contextmanager
    def dying(path: Path) -> Iterator:
        with whole(path) as file:
            if where == "while writing":
                write = file.write
                file.write = lambda data: die() if len(data) > 1000 else write(data)
            yield file
        if where == "before naming":
            die()

    action = die if where == "after a step" else lambda: setattr(states, "atomic", dying)
    loop.pretrain(replace(CONFIG, workers=1), open_dataset(data), out, watch=Onlooker(step, action))


def test_thirty_kills_change_no_bit(data: Path, unbroken: Path, tmp_path: Path) -> None:
    out, draw = tmp_path / "c", random.Random(5)
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["geomeld.pretrain.loop", "geomeld.testing", *LATE_IMPORTS])
    places = ["after a step"] * 20 + ["while writing"] * 5 + ["before naming"] * 5
    draw.shuffle(places)
    for where in places:
        kept = States(out / loop.STATES).newest()
        done = 0 if kept is None else kept["step"]
        at = draw.randrange(done, done + 4)
        child = server.Process(target=train_and_die, args=(data, out, at, where))
        child.start()
        child.join(600)
        assert child.exitcode == -signal.SIGKILL, (where, at)
    loop.pretrain(CONFIG, open_dataset(data), out)
    assert (out / loop.LOG).read_bytes() == (unbroken / loop.LOG).read_bytes()
    for name in ("model.safetensors", f"{loop.BEST}/model.safetensors"):
        assert (out / name).read_bytes() == (unbroken / name).read_bytes()
    assert len(list((out / loop.STATES).iterdir())) == CONFIG.keep


def test_a_damaged_state_is_passed_over_for_the_one_before(data: Path, unbroken: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "c"
    with pytest.raises(KeyboardInterrupt):
        loop.pretrain(CONFIG, open_dataset(data), out, watch=Onlooker(7, lambda: signal.raise_signal(signal.SIGINT)))
    older, newer = sorted((out / loop.STATES).iterdir())
    assert [p.name[:13] for p in (older, newer)] == ["step-00000006", "step-00000009"]
    flip_a_bit(newer)
    loop.pretrain(CONFIG, open_dataset(data), out)
    assert f"{newer} is damaged" in capsys.readouterr().err
    assert (out / loop.LOG).read_bytes() == (unbroken / loop.LOG).read_bytes()
    for path in (out / loop.STATES).iterdir():
        flip_a_bit(path)
    with pytest.raises(CheckpointError, match=r"No saved state of this run can be used.*checksum.*Delete the folder"):
        loop.pretrain(CONFIG, open_dataset(data), out)


def test_sigterm_saves_and_ends_with_143(data: Path, unbroken: Path, tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    out = tmp_path / "c"
    with pytest.raises(Terminated, match="step 8 is saved, run the same command again") as stopped:
        loop.pretrain(CONFIG, open_dataset(data), out, watch=Onlooker(6, lambda: signal.raise_signal(signal.SIGTERM)))
    assert stopped.value.exit_code == 143
    assert signal.getsignal(signal.SIGTERM) is before
    assert States(out / loop.STATES).newest()["step"] == 8
    assert (out / loop.LOG).read_bytes().splitlines() == (unbroken / loop.LOG).read_bytes().splitlines()[:8]


def flip_a_bit(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
