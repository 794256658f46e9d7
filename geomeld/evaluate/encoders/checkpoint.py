"""Checkpoint: the encoder of a GeoMeld-FM checkpoint, with the bands and statistics that it was trained on."""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from torch import Tensor, nn

from geomeld.core.errors import CheckpointError, UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders.identity import DIGITS
from geomeld.evaluate.origin import origin_of, title_of
from geomeld.models.encoder import SIZES, Block, ConvNeXtV2
from geomeld.models.weights import TOKENIZER, WEIGHTS, load_model


class PatchEncoder(Encoder):
    """ConvNeXtV2 of patches, as GeoMeld-FM, a random start and a start from pictures have it."""

    masks_bands = True

    def __init__(
        self,
        network: ConvNeXtV2,
        title: str,
        identity: str,
        bands: Sequence[str],
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        """`mean` and `std` of the pretraining data, reflectance x 10000, one per band; empty where there are none."""
        super().__init__()
        self.network, self.title, self.identity = network, title, identity
        self.bands, self.mean, self.std = tuple(bands), tuple(mean), tuple(std)
        self.width, self.widths = network.width, SIZES[network.size][1]
        self.multiple = network.patch
        self.strides = tuple(network.patch >> halvings for halvings in (3, 2, 1, 0))

    def pooled(self, images: Tensor) -> Tensor:
        """Mean of the tokens, then their norm: (B, bands, H, W) to (B, width)."""
        return self.network.features(images)

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The maps of the four stages; of patch 16 at strides 2, 4, 8 and 16."""
        return self.network.maps(images)

    def depths(self) -> Sequence[Sequence[tuple[str, nn.Parameter]]]:
        """Stem, every block (a stage's first with its halving), the last norm; names as in `named_parameters`."""
        groups: dict[tuple[int, int], list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in self.named_parameters():
            groups.setdefault(_depth(name.split(".")[1:]), []).append((name, parameter))
        return [groups[key] for key in sorted(groups)]

    def blocks(self) -> Sequence[nn.Module]:
        """The blocks of all stages."""
        return [block for block in self.network.modules() if isinstance(block, Block)]


def _depth(path: Sequence[str]) -> tuple[int, int]:
    """(stage, block) of a parameter; the stem is before the first stage, the last norm behind the last."""
    match path:
        case ["stages", stage, "blocks", block, *_]:
            return int(stage), int(block)
        case ["stages", stage, *_]:
            return int(stage), 0
        case ["stem", *_]:
            return -1, 0
        case _:
            return len(SIZES["atto"][0]), 0


def open_checkpoint(folder: str, bands: Sequence[str] | None = None) -> PatchEncoder:
    """The encoder of a checkpoint folder, in evaluation mode; its identity is that of the file of weights.

    Raises UsageError where there is no such folder or `bands` are not its own, CheckpointError for one that is damaged
    or not whole.
    """
    path = Path(folder)
    if not path.is_dir():
        raise UsageError(f"There is no checkpoint folder {folder}, and no kind of encoder is spelt so.")
    model, origin = load_model(path), origin_of(path)
    if model.tokenizer is None and "ITC" in (origin.objectives or ()):
        raise CheckpointError(
            f"{folder} lacks {TOKENIZER}, though its run learned from captions: it is not whole; copy it again."
        )
    spec = model.config.input
    if bands is not None and tuple(bands) != spec.bands:
        raise UsageError(
            f"{folder} was trained on {', '.join(spec.bands)} and takes no other bands than these, in this order; a "
            "band that the images lack is masked. Leave the bands out."
        )
    try:
        identity = sha256((path / WEIGHTS).read_bytes()).hexdigest()[:DIGITS]
    except OSError as error:
        raise CheckpointError(f"{path / WEIGHTS} cannot be read: {error}.") from error
    title = title_of(model, origin)
    return PatchEncoder(model.encoder, title, identity, spec.bands, spec.mean, spec.std).eval()
