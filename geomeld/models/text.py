"""The caption encoder: a Transformer from scratch and the tokenizer that was trained with it (paper eq. 5)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import tokenizers
import torch
from torch import Tensor, nn

from geomeld.core.errors import ConfigError
from geomeld.models.encoder import initialise
from geomeld.models.transformer import TransformerBlock

PAD = 0
"""Token that fills the end of short captions; nothing looks at it."""

END = 1
"""Token after the last of a caption, so that even an empty text has one."""

BYTES = 256 + 2
"""Tokens that every tokenizer has: all bytes, PAD and END."""


class Tokenizer:
    """Byte-level BPE: any text has tokens, and none is unknown."""

    def __init__(self, bpe: tokenizers.Tokenizer) -> None:
        self._bpe = bpe

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return self._bpe.get_vocab_size()

    def encode(self, texts: Sequence[str], max_length: int = 128) -> Tensor:
        """(B, L) token ids, each text ended by END and filled with PAD; L is the longest, at most `max_length`."""
        ids = [[*e.ids[: max_length - 1], END] for e in self._bpe.encode_batch(list(texts), add_special_tokens=False)]
        out = torch.full((len(ids), max(map(len, ids), default=1)), PAD, dtype=torch.long)
        for row, tokens in zip(out, ids, strict=True):
            row[: len(tokens)] = torch.tensor(tokens)
        return out

    def decode(self, ids: Iterable[int]) -> str:
        """The text of token ids, without PAD and END."""
        return self._bpe.decode([int(i) for i in ids], skip_special_tokens=True)

    def to_json(self) -> str:
        """The whole tokenizer in the `tokenizers` library's own JSON."""
        return self._bpe.to_str()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`. Raises ValueError for other text."""
        try:
            return cls(tokenizers.Tokenizer.from_str(text))
        except Exception as error:  # the library raises bare Exception
            raise ValueError(f"This is no tokenizer: {error}") from error


def train_tokenizer(captions: Iterable[str], vocab_size: int = 4096) -> Tokenizer:
    """A tokenizer of at most `vocab_size` (>= 258) tokens, a pure function of the captions."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.NFC(), tokenizers.normalizers.Lowercase(), tokenizers.normalizers.Strip()]
    )
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<pad>", "<end>"],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(captions, trainer)
    return Tokenizer(bpe)


@dataclass(frozen=True)
class TextConfig:
    """Shape of the text encoder (the paper leaves it open; six layers of 512)."""

    vocab_size: int = 4096
    """At least as many as the tokenizer has."""
    width: int = 512
    depth: int = 6
    heads: int = 8
    max_length: int = 128
    """Longest caption, tokens with the end; what is longer is cut."""

    def __post_init__(self) -> None:
        if self.vocab_size < BYTES:
            raise ConfigError(f"text.vocab_size is {self.vocab_size}; bytes and marks alone are {BYTES} tokens.")
        for name in ("width", "depth", "heads", "max_length"):
            if getattr(self, name) < 1:
                raise ConfigError(f"text.{name} is {getattr(self, name)}; it is at least 1.")
        if self.width % self.heads:
            raise ConfigError(f"text.width {self.width} does not divide into {self.heads} heads.")


class TextEncoder(nn.Module):
    """Token and learned position embeddings, pre-norm Transformer, LayerNorm, mean over the caption's tokens."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab_size, config.width)
        self.position = nn.Parameter(torch.empty(config.max_length, config.width))
        self.blocks = nn.ModuleList(TransformerBlock(config.width, config.heads) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.apply(initialise)
        nn.init.normal_(self.embed.weight, std=0.02)
        nn.init.normal_(self.position, std=0.01)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, L) ids, L <= max_length, to (B, width); PAD changes nothing."""
        present = tokens != PAD
        x = self.embed(tokens) + self.position[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, present)
        x = self.norm(x)
        weight = present.to(x.dtype)[:, :, None]
        return (x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
