"""GeoMeld-FM: the vision encoder, a decoder per target, the JEPA predictor, the text encoder and what joins them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from geomeld.core.errors import UsageError
from geomeld.models.decoder import Decoder, lay_out
from geomeld.models.encoder import ConvNeXtV2, Size, initialise
from geomeld.models.predictor import Predictor
from geomeld.models.sites import Sites
from geomeld.models.spec import LayerSpec
from geomeld.models.text import TextConfig, TextEncoder, Tokenizer

MAX_SCALE = 100.0
"""Upper bound of 1 / temperature, as in CLIP."""


@dataclass(frozen=True)
class ModelConfig:
    """Everything that GeoMeldFM is built from, as stored in a checkpoint's config.json."""

    input: LayerSpec
    """What the encoder sees: Sentinel-2, with the statistics that make its z-scores."""
    targets: tuple[LayerSpec, ...]
    """What the decoders predict, one each."""
    size: Size = "atto"
    """Of the encoder."""
    patch: int = 16
    """Pixels of the input per token and side."""
    image_size: int = 128
    """Pixels per side of a training tile."""
    decoder_width: int | None = None
    """Channels of each decoder; None takes the encoder's own width, at most 512."""
    decoder_depth: int = 1
    """Blocks of each decoder."""
    predictor_width: int = 256
    predictor_depth: int = 3
    text: TextConfig = field(default_factory=TextConfig)
    embedding: int = 512
    """Dimensions that images and texts share."""
    temperature: float = 0.07
    """tau_c of eq. 14 before training."""

    @property
    def grid(self) -> tuple[int, int]:
        """Patches per column and row of a training tile."""
        return self.image_size // self.patch, self.image_size // self.patch

    @property
    def patches(self) -> int:
        """Patches of a training tile."""
        return self.grid[0] * self.grid[1]


class GeoMeldFM(nn.Module):
    """The foundation model of paper section 4, with everything that its training needs but the EMA teacher."""

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer | None = None) -> None:
        """Weights are drawn from torch's generator; seed it first. `encode_text` needs the tokenizer."""
        super().__init__()
        self.config = config
        self.tokenizer = tokenizer
        self.encoder = ConvNeXtV2(config.size, len(config.input.bands), config.patch)
        d, shared = self.encoder.width, config.embedding
        width = config.decoder_width or min(512, d)
        metres = config.patch * config.input.gsd
        self.decoders = nn.ModuleDict(
            {t.name: Decoder(d, t, metres, width, config.decoder_depth) for t in config.targets}
        )
        self.predictor = Predictor(d, config.predictor_width, config.predictor_depth)
        self.text = TextEncoder(config.text)
        self.image_head = _projection(d, shared)
        self.text_head = _projection(config.text.width, shared)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / config.temperature)))

    # --- use ---

    @torch.no_grad()
    def encode_image(self, pixels: NDArray[np.number] | Tensor, bands: Sequence[str] | None = None) -> Tensor:
        """Embeddings (B, 512) of unit length, comparable with `encode_text`; see `prepare` for what it takes."""
        return self.project_image(self.encoder(self.prepare(pixels, bands)))

    @torch.no_grad()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Embeddings (B, 512) of unit length. Raises UsageError without a tokenizer."""
        return self.project_text(self.tokenize(texts))

    def features(self, image: Tensor) -> Tensor:
        """Pooled encoder features (B, width) of z-scored images (B, C, H, W), as `prepare` or a loader gives them."""
        return self.encoder.features(image)

    def prepare(self, pixels: NDArray[np.number] | Tensor, bands: Sequence[str] | None = None) -> Tensor:
        """Pixels (B, C, H, W) or (C, H, W) in the input's unit (reflectance x 10000) to z-scores (B, 12, H, W).

        `bands` names the channels in their order, default all of the input's. A band that is not there and a pixel
        that is not finite become 0, the mean. Raises UsageError for unknown or repeated bands and shapes that do not
        fit.
        """
        spec = self.config.input
        names = tuple(spec.bands if bands is None else bands)
        x = pixels if isinstance(pixels, Tensor) else _as_tensor(pixels)
        x = x[None] if x.ndim == 3 else x
        self._check_pixels(x, names)
        device = self.log_scale.device
        where = [spec.bands.index(name) for name in names]
        mean, std = (torch.tensor([v[i] for i in where], device=device)[:, None, None] for v in (spec.mean, spec.std))
        x = (x.to(device, torch.float32) - mean) / std
        out = x.new_zeros(x.shape[0], len(spec.bands), *x.shape[2:])
        out[:, where] = torch.where(torch.isfinite(x), x, 0.0)
        return out

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Token ids (B, L) on the model's device. Raises UsageError without a tokenizer."""
        if isinstance(texts, str):
            raise UsageError("encode_text takes a list of texts, not one text: write [text].")
        strange = [t for t in texts if not isinstance(t, str)]
        if strange:
            raise UsageError(f"encode_text takes a list of texts; {strange[0]!r} is none.")
        if self.tokenizer is None:
            raise UsageError("This model has no tokenizer; train one on the captions, or load a checkpoint that has.")
        return self.tokenizer.encode(texts, self.config.text.max_length).to(self.log_scale.device)

    # --- training ---

    def decode(self, tokens: Tensor, visible: Tensor, grid: tuple[int, int]) -> dict[str, Tensor]:
        """Tokens (B, n, d) at `visible` (B, n) patches of `grid` to a map (B, channels, H, W) per target."""
        return {name: lay_out(squares, grid) for name, squares in self.decode_at(None, tokens, visible, grid).items()}

    def decode_at(
        self, wanted: Tensor | None, tokens: Tensor, visible: Tensor, grid: tuple[int, int]
    ) -> dict[str, Tensor]:
        """The patches `wanted` (B, m) of these maps, None for all: squares (B, m, channels, side, side) per target.

        Losses need no more than the hidden patches, and so neither the other predictions nor a map to lay them on.
        """
        patches = torch.arange(grid[0] * grid[1], device=tokens.device).expand(tokens.shape[0], -1)
        everywhere = Sites(patches, grid, side=1)
        return {name: decoder(tokens, visible, everywhere, wanted) for name, decoder in self.decoders.items()}

    def project_image(self, tokens: Tensor) -> Tensor:
        """g_v(Pool(Z)), unit length (eq. 6, 7): encoder tokens (B, n, d) to (B, 512)."""
        return F.normalize(self.image_head(self.encoder.pool(tokens)).float(), dim=-1)

    def project_text(self, ids: Tensor) -> Tensor:
        """g_t(T(c)), unit length (eq. 5, 7): token ids (B, L) to (B, 512)."""
        return F.normalize(self.text_head(self.text(ids)).float(), dim=-1)

    @property
    def scale(self) -> Tensor:
        """1 / tau_c, learned, at most 100."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)

    def _check_pixels(self, x: Tensor, names: tuple[str, ...]) -> None:
        spec, patch = self.config.input, self.config.patch
        unknown = [n for n in names if n not in spec.bands]
        if unknown or len(set(names)) < len(names):
            what = f"The model knows no band {', '.join(map(repr, unknown))}" if unknown else "A band is named twice"
            raise UsageError(f"{what} (given {', '.join(names)}); its bands are {', '.join(spec.bands)}.")
        if not names or (x.ndim == 4 and not len(x)):
            raise UsageError(f"There is nothing to encode: {len(names)} bands, pixels of shape {tuple(x.shape)}.")
        if x.ndim != 4 or x.shape[1] != len(names):
            raise UsageError(
                f"Pixels have shape {tuple(x.shape)} for {len(names)} bands; give (B, {len(names)}, H, W) "
                f"or ({len(names)}, H, W), or name the bands that there are with bands=."
            )
        if not x.shape[2] or not x.shape[3] or x.shape[2] % patch or x.shape[3] % patch:
            raise UsageError(f"Pixels are {x.shape[2]} x {x.shape[3]}; both sides must be multiples of {patch}.")


def _as_tensor(pixels: NDArray[np.number]) -> Tensor:
    """A copy as float32, whatever the array's type, byte order or strides. Raises UsageError for what is no number."""
    given = np.asarray(pixels)
    if given.dtype.kind not in "biuf":
        raise UsageError(f"Pixels are of type {given.dtype}; give an array of numbers.")
    with np.errstate(over="ignore"):  # what float32 cannot hold is not finite, and so missing
        return torch.from_numpy(given.astype(np.float32, order="C"))


def _projection(width: int, embedding: int) -> nn.Sequential:
    """A projection head: a two-layer MLP (paper eq. 7)."""
    head = nn.Sequential(nn.Linear(width, embedding), nn.GELU(), nn.Linear(embedding, embedding))
    return head.apply(initialise)
