"""What an objective is: a mean over things that can be counted, or one number over all tiles of a step at once."""

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from torch import Tensor

from geomeld.pretrain.learner import Learner
from geomeld.pretrain.masked import MaskedBatch


@runtime_checkable
class Additive(Protocol):
    """A mean over pixels or tokens: sums over any parts of a batch, divided by counts that are known beforehand.

    So the parts of a step may be computed one after the other, or on several ranks, and still give the mean over all
    of them, not a mean of means.
    """

    @property
    def name(self) -> str:
        """Name of the loss in the log."""

    @property
    def weight(self) -> float:
        """Factor of the loss; an objective of weight 0 is not computed at all."""

    def counts(self, learner: Learner, masked: MaskedBatch) -> dict[str, Tensor]:
        """How many things each term is a mean over, from the data alone, as scalars."""

    def sums(self, learner: Learner, masked: MaskedBatch, tokens: Tensor) -> dict[str, Tensor]:
        """What is summed over the parts of a step: each term of `counts` as a scalar in float32 with its graph, and
        perhaps more that `row` makes numbers of. `tokens` (B, n, d) are the encoder's at visible patches."""

    def loss(self, learner: Learner, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor], share: Tensor) -> Tensor:
        """The unweighted loss of one part, such that those of all parts add up to the loss of the step: `counts` are
        of the whole step, `share` is the part's share of the step's tiles."""

    def row(self, sums: Mapping[str, Tensor], counts: Mapping[str, Tensor]) -> dict[str, float]:
        """Numbers for the log, from the sums and counts of the whole step."""


@runtime_checkable
class Joint(Protocol):
    """A loss in which every tile of the step meets every other: computed from embeddings of all parts of all ranks."""

    @property
    def weight(self) -> float:
        """Factor of the loss; an objective of weight 0 is not computed at all."""

    @property
    def name(self) -> str:
        """Name of the loss in the log."""

    def embed(self, learner: Learner, masked: MaskedBatch, tokens: Tensor) -> tuple[list[Tensor], Tensor]:
        """Embeddings (k, e) in float32 with their graph for k tiles of the part, and int64 keys (k, m) of theirs."""

    def parameters(self, learner: Learner) -> Sequence[Tensor]:
        """Weights that `joint_loss` uses besides the embeddings."""

    def joint_loss(self, learner: Learner, embeddings: Sequence[Tensor], keys: Tensor) -> Tensor:
        """The unweighted loss, from the embeddings of all parts of all ranks, in the order of the batch."""
