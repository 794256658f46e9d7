"""Identity: the name under which an encoder's features are cached and its scores kept."""

from collections.abc import Mapping
from hashlib import sha256

import torch
from torch import Tensor

DIGITS = 12


def identity_of(state: Mapping[str, Tensor], *said: str) -> str:
    """First 12 digits of a SHA-256 over tensors by name, type, shape and bytes, and whatever else is `said`."""
    digest = sha256("\0".join(said).encode())
    for name, tensor in sorted(state.items()):
        held = tensor.detach().cpu().contiguous()
        digest.update(f"\0{name} {held.dtype} {tuple(held.shape)}\0".encode())
        digest.update(held.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:DIGITS]
