"""PretrainConfig: everything that a training run depends on besides its data."""

from dataclasses import dataclass, field

from geomeld.core.errors import ConfigError
from geomeld.core.grid import TILE_METRES
from geomeld.loader import Augment, Split
from geomeld.modalities import MODALITIES, TARGETS
from geomeld.models.encoder import Size
from geomeld.models.text import TextConfig
from geomeld.pretrain.objectives import ObjectiveWeights
from geomeld.pretrain.optim import OptimConfig

TILE_PIXELS = round(TILE_METRES / 10)
"""Side of a whole tile in pixels of the encoder's input."""

COUNTS = (
    *("epochs", "batch_size", "accumulate", "save_every"),
    *("decoder_width", "decoder_depth", "predictor_width", "predictor_depth"),
)
"""Fields that are at least 1 where they are given."""


@dataclass(frozen=True)
class PretrainConfig:
    """A whole run; stored in the checkpoint folder."""

    size: Size = "tiny"
    """Of the encoder (the paper names ConvNeXtV2 and no size)."""
    patch: int = 16
    """Pixels per token and side (the paper is silent; 64 tokens of a 128 px tile)."""
    targets: tuple[str, ...] = TARGETS
    """Modalities that the decoders predict (paper 4.2)."""
    mask_ratio: float = 0.7
    """Share of patches that the encoder does not see (paper 5.1)."""
    weights: ObjectiveWeights = field(default_factory=ObjectiveWeights)
    """alpha 0.5 and beta 0.4 (paper 5.1)."""
    tau: float = 0.996
    """Momentum of the EMA teacher (paper 5.1)."""
    epochs: int = 150
    """Passes over the training tiles (paper 5.1)."""
    batch_size: int = 4096
    """Tiles per step (paper 5.1)."""
    accumulate: int = 1
    """Parts that a step is computed in one after the other, to save memory; the contrast then tells apart the captions
    of one part only."""
    optim: OptimConfig = field(default_factory=OptimConfig)
    decoder_width: int | None = None
    decoder_depth: int = 1
    predictor_width: int = 256
    predictor_depth: int = 3
    text: TextConfig = field(default_factory=TextConfig)
    """Six layers from scratch, 512 wide (paper 5.1)."""
    split: Split = field(default_factory=Split)
    """Which tiles are held out."""
    augment: Augment = field(default_factory=Augment)
    seed: int = 0
    workers: int = 2
    """Threads that read ahead."""
    save_every: int = 200
    """Steps between saved training states; the last one is always saved."""
    bf16: bool = True
    """Autocast to bfloat16 on a GPU; a CPU computes in float32."""

    def __post_init__(self) -> None:
        unknown = [t for t in self.targets if t not in MODALITIES]
        if unknown:
            raise ConfigError(f"No modality {', '.join(unknown)}; targets are among {', '.join(MODALITIES)}.")
        unweighted = sorted(set(self.weights.modality) - set(MODALITIES))
        if unweighted:
            raise ConfigError(
                f"weights.modality names {', '.join(unweighted)}; modalities are {', '.join(MODALITIES)}."
            )
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it is at least 1.")
        if self.workers < 0:
            raise ConfigError(f"workers is {self.workers}; give 0 or more threads.")
        if self.patch < 8 or self.patch % 8:
            raise ConfigError(f"patch is {self.patch}; it is a multiple of 8 pixels.")
        if self.predictor_width % 4:
            raise ConfigError(f"predictor_width is {self.predictor_width}; it is a multiple of 4.")
        if not 0 <= self.tau <= 1:
            raise ConfigError(f"tau is {self.tau}; it lies between 0 and 1.")
        if not -(2**63) <= self.seed < 2**63:
            raise ConfigError(f"seed is {self.seed}; it is a whole number of 64 bits.")
        side = TILE_PIXELS if self.augment.crop is None else self.augment.crop
        if not 0 < side <= TILE_PIXELS or side % self.patch:
            raise ConfigError(
                f"Squares of {side} pixels (augment.crop) do not divide into patches of {self.patch}, "
                f"or are larger than a tile of {TILE_PIXELS}."
            )
        if side < 2 * self.patch:
            raise ConfigError(f"A square of {side} pixels is one patch of {self.patch}: none could be hidden.")
        if not 0 < self.mask_ratio < 1:
            raise ConfigError(f"mask_ratio is {self.mask_ratio}; it lies between 0 and 1.")
