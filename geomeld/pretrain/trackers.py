"""Trackers: where the numbers and pictures of a run are shown; log.jsonl stays the truth."""

import json
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from geomeld.core.errors import MissingExtra, UsageError

TrackerName = Literal["tensorboard", "wandb", "trackio"]
PROJECT = "geomeld"
SENT = "trackers.json"
"""What services that cannot forget have been told: their run's name there, and the last step."""


class Tracker(Protocol):
    """One place that shows a run."""

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Show numbers of a step; every step comes once."""

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """Show a picture (rows, columns, 3)."""

    def close(self) -> None:
        """Finish."""


def open_tracker(name: TrackerName, out: Path, config: Mapping[str, Any], start: int) -> Tracker:
    """A tracker for the run in the folder `out`, which goes on at step `start`.

    Raises MissingExtra where its package is not installed, UsageError where it does not let the run in.
    """
    try:
        return TRACKERS[name](out, config, start)
    except ImportError as error:
        extra = "train" if name == "tensorboard" else name
        raise MissingExtra(
            f"--trackers {name} needs a package that is not here ({error}); install it with: "
            f"pip install 'geomeld[{extra}]', or give --trackers without it."
        ) from None


class TensorBoard:
    """Event files in the folder tensorboard/ of the run: `tensorboard --logdir RUN`."""

    def __init__(self, out: Path, config: Mapping[str, Any], start: int) -> None:
        """Steps from `start` on that an earlier process wrote are purged."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(out / "tensorboard"), purge_step=start, flush_secs=10)
        self._writer.add_text("config", f"```json\n{json.dumps(config, indent=1)}\n```", start)

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """One chart per name."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """One slider per name."""
        self._writer.add_image(name, pixels, step, dataformats="HWC")

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class WeightsAndBiases:
    """A run on wandb; offline with WANDB_MODE=offline."""

    def __init__(self, out: Path, config: Mapping[str, Any], start: int) -> None:
        """The run is named after the folder."""
        import wandb

        self._sent = _Sent(out, "wandb")
        try:
            self._run = wandb.init(
                project=PROJECT, name=out.resolve().name, id=self._sent.run, dir=str(out), config=dict(config),
                resume="allow",
            )  # fmt: skip
        except wandb.Error as error:
            raise UsageError(
                f"wandb does not take the run: {error}. Log in with `wandb login`, or set WANDB_MODE=offline."
            ) from None
        self._picture = wandb.Image

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Steps that were sent before are left out: wandb cannot take them back."""
        if self._sent.is_new(step):
            self._run.log(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """One panel per name."""
        if step >= self._sent.step:
            self._run.log({name: self._picture(pixels)}, step=step)

    def close(self) -> None:
        """Wait until everything is sent."""
        self._run.finish()


class Trackio:
    """A run on trackio, on this machine."""

    def __init__(self, out: Path, config: Mapping[str, Any], start: int) -> None:
        """The run is named after the folder, with a suffix that keeps folders of one name apart."""
        import trackio

        self._trackio, self._sent = trackio, _Sent(out, "trackio")
        trackio.init(
            project=PROJECT, name=f"{out.resolve().name}-{self._sent.run}", config=dict(config), resume="allow"
        )

    def numbers(self, step: int, values: Mapping[str, float]) -> None:
        """Steps that were sent before are left out: they would be there twice."""
        if self._sent.is_new(step):
            self._trackio.log(dict(values), step=step)

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """One panel per name."""
        if step >= self._sent.step:
            self._trackio.log({name: self._trackio.Image(pixels)}, step=step)

    def close(self) -> None:
        """Wait until everything is stored."""
        self._trackio.finish()


class _Sent:
    """The last step that a service was told, kept in the run's folder, so that a run that goes on repeats none."""

    def __init__(self, out: Path, service: str) -> None:
        self._path, self._service = out / SENT, service
        known = self._read().get(service, {})
        self.run = str(known.get("run") or secrets.token_hex(4))
        self.step = int(known.get("step", -1))
        self._write()

    def is_new(self, step: int) -> bool:
        if step <= self.step:
            return False
        self.step = step
        self._write()
        return True

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return {}

    def _write(self) -> None:
        # Renamed but not synced: after a power cut a step may come twice, and no step waits for the disk.
        beside = self._path.with_suffix(".partial")
        beside.write_text(json.dumps(self._read() | {self._service: {"run": self.run, "step": self.step}}))
        beside.replace(self._path)


TRACKERS: dict[str, Callable[[Path, Mapping[str, Any], int], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "trackio": Trackio,
}
"""By the name that `--trackers` takes."""
