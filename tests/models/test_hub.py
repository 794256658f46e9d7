"""Whether weights can be had is told after one question, and is not asked where they are kept."""

import time

import huggingface_hub
import pytest

from geomeld.core.errors import CheckpointError
from geomeld.models.hub import check_hub, reason_of
from geomeld.models.timm_weights import fetch_weights
from geomeld.testing.hub import serve_hub

NAME = "convnextv2_atto.fcmae"


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A cache without anything, and nobody who waits to try again."""

    def waits(seconds: float) -> None:
        raise AssertionError(f"it waits {seconds} s to try again")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(time, "sleep", waits)
    return tmp_path


def test_a_hub_out_of_reach_is_told_at_once_with_the_file_to_name(empty) -> None:
    with pytest.raises(CheckpointError, match=r"cannot be reached \([^.]+.*\)\. Download them .*: imagenet:model"):
        fetch_weights(NAME)


def test_what_is_kept_is_not_asked_for(empty) -> None:
    folder = empty / "models--owner--name"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / "model.safetensors").write_bytes(b"weights")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")
    check_hub("owner/name")
    with pytest.raises(CheckpointError, match="cannot be reached"):
        check_hub("owner/other")
    check_hub(None)


def test_a_hub_that_answers_is_asked_by_its_own_client(empty, monkeypatch) -> None:
    with serve_hub(empty) as hub:
        monkeypatch.setattr(huggingface_hub, "hf_hub_url", lambda *names: "/".join([hub.endpoint, *names]))
        check_hub("owner/without-such-a-file")
        assert hub.asked


def test_reasons_stand_within_a_sentence() -> None:
    assert reason_of(OSError("no network.\n Try again..")) == "no network. Try again"
    assert reason_of(KeyError()) == "KeyError"
