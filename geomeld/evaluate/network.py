"""Network: an encoder with a head for a task on it, trained apart or together."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from geomeld.core.draw import draw_words
from geomeld.evaluate.encoder import Encoder, cropped, padded
from geomeld.evaluate.task import TaskKind
from geomeld.models.unet import UNet


class Network(nn.Module):
    """Images, or features that an encoder has computed before, to scores."""

    def __init__(self, encoder: Encoder | None, head: nn.Module) -> None:
        """Without an encoder it is given features. The encoder is frozen until `thaw`."""
        super().__init__()
        self.encoder, self.head, self.encoder_trains = encoder, head, False
        if encoder is not None:
            encoder.requires_grad_(False).eval()

    def forward(self, given: Tensor) -> Tensor:
        """Images (B, bands, H, W) or features (B, width) to scores (B, classes) or (B, classes, H, W)."""
        if self.encoder is None:
            return self.head(given)
        if isinstance(self.head, UNet):
            images = padded(given, self.encoder.multiple)
            with self._gradient():
                maps = self.encoder.pyramid(images)
            return cropped(self.head(images, maps), (given.shape[-2], given.shape[-1]))
        with self._gradient():
            features = self.encoder(given)
        return self.head(features)

    def thaw(self) -> None:
        """Let the encoder train, in those of its parameters that `depths` names."""
        assert self.encoder is not None
        self.encoder_trains = True
        for names in self.encoder.depths():
            for _, parameter in names:
                parameter.requires_grad_(True)

    def train(self, mode: bool = True) -> "Network":
        """A frozen encoder stays in evaluation mode: what it gives never changes."""
        super().train(mode)
        if self.encoder is not None and not self.encoder_trains:
            self.encoder.eval()
        return self

    def own_state(self, *, encoder: bool) -> dict[str, Tensor]:
        """A copy of the weights, of an encoder that never trains without them."""
        kept = self.state_dict() if encoder else {f"head.{k}": v for k, v in self.head.state_dict().items()}
        return {name: value.detach().cpu().clone() for name, value in kept.items()}

    def load_own_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `own_state` gave. Raises RuntimeError for the weights of another network."""
        differs = self.load_state_dict(state, strict=False)
        lost = [name for name in differs.missing_keys if name.startswith("head.")]
        if differs.unexpected_keys or lost:
            raise RuntimeError(f"it holds the weights of another network: {[*differs.unexpected_keys, *lost][:3]}")

    @contextmanager
    def _gradient(self) -> Iterator[None]:
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.encoder_trains):
            yield


class MeanMap(Encoder):
    """An encoder whose features are the plain mean of its coarsest map, without a norm that pretraining left.

    MP-MAE's checkpoints hold none: its evaluation puts a new one there.
    """

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.inner = encoder
        self.title, self.bands, self.mean, self.std = encoder.title, encoder.bands, encoder.mean, encoder.std
        self.identity = sha256(f"{encoder.identity} mean of the last map".encode()).hexdigest()[:12]
        self.width, self.widths, self.strides = encoder.widths[-1], encoder.widths, encoder.strides
        self.multiple, self.masks_bands = encoder.multiple, encoder.masks_bands

    def pooled(self, images: Tensor) -> Tensor:
        """(B, bands, H, W) to (B, widths[-1])."""
        return self.inner.pyramid(images)[-1].mean(dim=(2, 3))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """Those of the encoder."""
        return self.inner.pyramid(images)

    def depths(self) -> Sequence[Sequence[tuple[str, nn.Parameter]]]:
        """Those of the encoder."""
        return self.inner.depths()

    def blocks(self) -> Sequence[nn.Module]:
        """Those of the encoder."""
        return self.inner.blocks()


def linear_head(width: int, classes: int, std: float, *, new_norm: bool) -> nn.Module:
    """Features (B, width) to scores (B, classes), behind a LayerNorm that starts as the identity where `new_norm`.

    Weights are drawn with deviation `std`, biases are 0.
    """
    linear = nn.Linear(width, classes)
    nn.init.trunc_normal_(linear.weight, std=std)
    nn.init.zeros_(linear.bias)
    return nn.Sequential(nn.LayerNorm(width, eps=1e-6), linear) if new_norm else linear


def unet_head(encoder: Encoder, classes: int, std: float) -> UNet:
    """U-Net on an encoder's maps; the weights of its last layer are drawn with deviation `std`."""
    unet = UNet(len(encoder.bands), encoder.widths, encoder.strides, classes)
    nn.init.trunc_normal_(unet.head.weight, std=std)
    return unet


def loss_of(kind: TaskKind, scores: Tensor, labels: Tensor, smoothing: float, *, doubled: bool = False) -> Tensor:
    """Mean loss: cross-entropy over classes, of images or pixels, or binary cross-entropy where there may be several.

    Smoothing s moves targets from 0 and 1 to s / n and 1 - s + s / n of n classes, of a yes or no to s / 2 and
    1 - s / 2; `doubled` makes these s and 1 - s.
    """
    if kind is not TaskKind.MULTILABEL:
        return F.cross_entropy(scores, labels, label_smoothing=smoothing)
    low = smoothing if doubled else smoothing / 2
    return F.binary_cross_entropy_with_logits(scores, low + labels * (1 - 2 * low))


@contextmanager
def dropping(encoder: Encoder | None, rate: float) -> Iterator[None]:
    """Drop path: in each image, every residual block is skipped at random, from 0 in the first to `rate` in the last.

    What is not skipped is enlarged so that the mean stays. Draws from torch's generator; see `seeded`.
    """
    blocks = encoder.blocks() if encoder is not None and rate > 0 else ()
    rates = torch.linspace(0, rate, len(blocks)).tolist()
    handles = [b.register_forward_hook(partial(_skip, r)) for b, r in zip(blocks, rates, strict=True) if r > 0]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _skip(rate: float, block: nn.Module, given: Any, out: Tensor) -> Tensor:
    x = given[0]
    taken = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) >= rate
    return x + (out - x) * taken / (1 - rate)


@contextmanager
def seeded(seed: int, stream: str, key: int | str, device: torch.device) -> Iterator[None]:
    """Within it torch draws what belongs to (seed, stream, key) alone; its generators are then as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(draw_words(seed, stream, key)[0] >> 1)
        yield
