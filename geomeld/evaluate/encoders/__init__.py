"""Encoders: ours and peers' by one spelling, each behind the adapter that every protocol runs on."""

from collections.abc import Callable, Sequence

from geomeld.core.errors import UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders.checkpoint import open_checkpoint
from geomeld.evaluate.encoders.starts import imagenet_encoder, random_encoder

Bands = Sequence[str] | None

KINDS: dict[str, Callable[[str, Bands], Encoder]] = {
    "random": random_encoder,
    "imagenet": imagenet_encoder,
}
"""What stands before the colon -> what opens the rest; a name without one of these is a checkpoint's folder."""

EXAMPLES = "runs/mine/checkpoint, random:atto, imagenet:atto"


def open_encoder(spec: str, bands: Bands = None) -> Encoder:
    """The encoder that `spec` names, in evaluation mode, on the CPU.

    `spec`: the folder of a checkpoint, or "random:SIZE", "imagenet:SIZE" or "imagenet:FILE". `bands`: what it is fed,
    by this project's names, for encoders that leave a choice; None takes their own.

    Raises UsageError for a name that is none, bands that do not fit and a package that is not installed, and
    CheckpointError for weights that are damaged or cannot be had; each says what to do.
    """
    kind, colon, rest = spec.partition(":")
    if not colon or kind not in KINDS:
        return open_checkpoint(spec, bands)
    if not rest:
        raise UsageError(f"{spec!r} names no encoder; write for example {EXAMPLES}.")
    return KINDS[kind](rest, bands)


__all__ = ["KINDS", "open_encoder"]
