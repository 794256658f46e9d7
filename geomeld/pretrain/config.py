"""PretrainConfig: everything that a training run depends on besides its data."""

from dataclasses import dataclass, field

from geomeld.core.errors import ConfigError
from geomeld.core.grid import TILE_METRES
from geomeld.loader import Augment, Split
from geomeld.modalities import MODALITIES, TARGETS
from geomeld.models.encoder import Size
from geomeld.models.text import TextConfig
from geomeld.models.timm_weights import check_init
from geomeld.pretrain.objectives import OBJECTIVES, Contrast, Jepa, Objective, Reconstruction
from geomeld.pretrain.optim import OptimConfig

TILE_PIXELS = round(TILE_METRES / 10)
"""Side of a whole tile in pixels of the encoder's input."""

COUNTS = (
    *("epochs", "batch_size", "accumulate", "save_every", "keep"),
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
    init: str | None = None
    """Start of the encoder: imagenet:FILE or imagenet:MODEL (timm's; docs/model.md), None for random weights."""
    targets: tuple[str, ...] = TARGETS
    """Modalities that the decoders predict (paper 4.2)."""
    mask_ratio: float = 0.7
    """Share of patches that the encoder does not see (paper 5.1)."""
    objectives: tuple[Objective, ...] = OBJECTIVES
    """What is learned: the loss is their weighted sum, with alpha 0.5 and beta 0.4 (paper eq. 8 and 5.1)."""
    epochs: int = 150
    """Passes over the training tiles (paper 5.1)."""
    batch_size: int = 4096
    """Tiles per step (paper 5.1)."""
    accumulate: int = 1
    """Parts that a step of a rank is computed in one after the other, to save memory; the gradient is that of the whole
    batch, of all objectives, and only its rounding differs."""
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
    strict: bool = False
    """A tile that cannot be read ends the run; without it such tiles are skipped, counted and reported."""
    save_every: int = 200
    """Steps between saved training states; the last one is always saved."""
    keep: int = 2
    """Saved training states that are kept: where the newest turns out damaged, the run goes on from the one before."""
    best_of: int = 256
    """Held-out tiles whose loss is taken at every save; the model that did best on them is kept in the folder best/.
    0 keeps none."""
    bf16: bool = True
    """Autocast to bfloat16 on a GPU; a CPU computes in float32."""
    compile: bool = False
    """Compile the model's parts with torch.compile at the first use; slower on a CPU, not measured on a GPU."""

    def __post_init__(self) -> None:
        unknown = [t for t in self.targets if t not in MODALITIES]
        if unknown:
            raise ConfigError(f"No modality {', '.join(unknown)}; targets are among {', '.join(MODALITIES)}.")
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise ConfigError(f"targets are {', '.join(self.targets) or 'none'}; give at least one, and each once.")
        self._check_objectives()
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ConfigError(f"{name} is {value}; it is at least 1.")
        for name in ("workers", "best_of"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is not below 0.")
        if self.patch < 8 or self.patch % 8:
            raise ConfigError(f"patch is {self.patch}; it is a multiple of 8 pixels.")
        if self.predictor_width % 4:
            raise ConfigError(f"predictor_width is {self.predictor_width}; it is a multiple of 4.")
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
        if self.init is not None:
            check_init(self.init)

    @property
    def reconstruction(self) -> Reconstruction | None:
        """The objective of this kind, if it is computed."""
        return next((o for o in self.objectives if isinstance(o, Reconstruction) and o.weight > 0), None)

    @property
    def jepa(self) -> Jepa | None:
        """The objective of this kind, if it is computed."""
        return next((o for o in self.objectives if isinstance(o, Jepa) and o.weight > 0), None)

    @property
    def contrast(self) -> Contrast | None:
        """The objective of this kind, if it is computed."""
        return next((o for o in self.objectives if isinstance(o, Contrast) and o.weight > 0), None)

    def _check_objectives(self) -> None:
        kinds = [type(o).__name__ for o in self.objectives]
        if len(set(kinds)) < len(kinds) or not any(o.weight > 0 for o in self.objectives):
            raise ConfigError(
                f"objectives are {', '.join(kinds) or 'none'}; give at least one with a weight above 0, and each once."
            )
        for objective in self.objectives:
            named = (*objective.lambdas, *objective.normalise) if isinstance(objective, Reconstruction) else ()
            unknown = sorted(set(named) - set(MODALITIES))
            if unknown:
                raise ConfigError(f"objectives name {', '.join(unknown)}; modalities are {', '.join(MODALITIES)}.")
