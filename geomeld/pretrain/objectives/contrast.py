"""Image-text contrast: symmetric InfoNCE between tiles and their captions (paper eq. 14, 15)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from geomeld.core.draw import generator
from geomeld.core.errors import ConfigError
from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch


@dataclass(frozen=True)
class Contrast:
    """Caption contrast over the whole step, all parts of all ranks: L_ITC, the term "itc".

    Tiles without a caption take no part. 0 where fewer than two tiles have one: a single pair has nothing to be told
    apart from.
    """

    weight: float = 0.4
    """beta (paper 5.1); 0 leaves it out, and captions are not needed."""
    temperature: float = 0.07
    """tau_c of eq. 14 before training; it is learned, and stays above 0.01 (CLIP)."""
    spare_duplicates: bool = True
    """Tiles with the same caption (to the text encoder: the same tokens) are not told apart from each other: they are
    left out of each other's negatives. The paper is silent; False is eq. 14 to the letter."""

    def __post_init__(self) -> None:
        if not 0 <= self.weight < math.inf:
            raise ConfigError(f"The weight of contrast is {self.weight}; it is a number not below 0.")
        if not 0.01 <= self.temperature < math.inf:
            raise ConfigError(f"contrast.temperature is {self.temperature}; it is a number of at least 0.01.")

    @property
    def name(self) -> str:
        """Name of the loss in the log."""
        return "itc"

    def embed(self, learner: Learner, masked: MaskedBatch, tokens: Tensor) -> tuple[list[Tensor], Tensor]:
        """Images and texts (k, e) of unit length for the k captioned tiles, and a key (k, 2) per caption."""
        batch, model = masked.batch, learner.model
        captioned = [i for i, caption in enumerate(batch.captions) if caption]
        if batch.tokens is None or not captioned:
            none = tokens.new_zeros(0, model.config.embedding, dtype=torch.float32)
            return [none, none], torch.zeros(0, 2, dtype=torch.int64, device=tokens.device)
        rows = torch.tensor(captioned, device=tokens.device)
        ids = batch.tokens.index_select(0, rows)
        images = model.project_image(tokens.index_select(0, rows))
        return [images, model.project_text(ids)], caption_keys(ids)

    def parameters(self, learner: Learner) -> Sequence[Tensor]:
        """The temperature."""
        return [learner.model.log_scale]

    def joint_loss(self, learner: Learner, embeddings: Sequence[Tensor], keys: Tensor) -> Tensor:
        """Eq. 14 and 15."""
        images, texts = embeddings
        if len(keys) < 2:
            return (images.sum() + texts.sum() + learner.model.log_scale) * 0
        return info_nce(images, texts, learner.model.scale, same_caption(keys) if self.spare_duplicates else None)


def info_nce(images: Tensor, texts: Tensor, scale: Tensor, spared: Tensor | None = None) -> Tensor:
    """Eq. 14 and 15 for vectors (B, e) of unit length, row i of one belonging to row i of the other; float32.

    `scale` is 1 / tau_c. Pairs (i, j) where `spared` (B, B) is set are no negatives of each other.
    """
    with torch.autocast(images.device.type, enabled=False):
        s = scale.float() * images.float() @ texts.float().t()
        if spared is not None:
            s = s.masked_fill(spared, -torch.inf)
        diagonal = torch.arange(len(s), device=s.device)
        return (F.cross_entropy(s, diagonal) + F.cross_entropy(s.t(), diagonal)) / 2


def same_caption(keys: Tensor) -> Tensor:
    """(B, B) bool: other tiles with the same caption, from keys (B, m)."""
    _, group = keys.unique(dim=0, return_inverse=True)
    return (group[:, None] == group).fill_diagonal_(False)


def caption_keys(ids: Tensor) -> Tensor:
    """(B, 2) int64: equal for equal token ids (B, L), whatever the PAD after them; else different but by a chance of
    about 2^-126 per pair. Computed where the ids are, so that a GPU need not wait."""
    factors = generator(0, "caption-keys", 0).integers(2**63, size=(ids.shape[1], 2)) | 1
    return (ids[:, :, None] * torch.from_numpy(factors).to(ids.device)).sum(dim=1)  # PAD is 0 and adds nothing
