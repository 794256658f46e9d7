"""Image-text contrast: symmetric InfoNCE between tiles and their captions (paper eq. 14, 15)."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from geomeld.models.geomeld_fm import GeoMeldFM

if TYPE_CHECKING:
    from geomeld.batch import Batch


def contrast_loss(model: GeoMeldFM, tokens: Tensor, batch: "Batch") -> Tensor:
    """L_ITC between pooled context tokens (B, n, d) and captions; tiles without a caption take no part.

    0 with zero gradient where fewer than two tiles have one: a single pair has nothing to be told apart from.
    """
    captioned = [i for i, caption in enumerate(batch.captions) if caption]
    if batch.tokens is None or len(captioned) < 2:
        return (tokens * 0).sum().float()
    rows = torch.tensor(captioned, device=tokens.device)
    images = model.project_image(tokens.index_select(0, rows))
    texts = model.project_text(batch.tokens.index_select(0, rows))
    return info_nce(images, texts, model.scale)


def info_nce(images: Tensor, texts: Tensor, scale: Tensor) -> Tensor:
    """Eq. 14 and 15 for vectors (B, e) of unit length, row i of one belonging to row i of the other; float32.

    `scale` is 1 / tau_c.
    """
    with torch.autocast(images.device.type, enabled=False):
        s = scale.float() * images.float() @ texts.float().t()
        diagonal = torch.arange(len(s), device=s.device)
        return (F.cross_entropy(s, diagonal) + F.cross_entropy(s.t(), diagonal)) / 2
