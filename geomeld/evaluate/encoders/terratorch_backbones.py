"""TerraTorch: any backbone of its registry, whether it gives maps or sequences of tokens, behind the adapter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from geomeld.core.errors import CheckpointError, MissingExtra, UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders.identity import identity_of
from geomeld.evaluate.encoders.timm_models import LEVELS
from geomeld.modalities import SENTINEL2_BANDS
from geomeld.models.hub import reason_of

SIDE = 224
"""Pixels of the image of zeros that a backbone is measured on: most were trained on it, and it is a multiple of all
usual patches and strides."""


@dataclass(frozen=True)
class Pretraining:
    """What the backbones of one family were trained on, where their registry does not tell."""

    bands: tuple[str, ...]
    mean: tuple[float, ...] = ()
    """Reflectance x 10000, one per band; empty where unknown."""
    std: tuple[float, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    """What the registry must be told to build it for these bands."""


HLS = ("B2", "B3", "B4", "B8A", "B11", "B12")
FAMILIES: dict[str, Pretraining] = {
    "prithvi_eo_v1": Pretraining(
        HLS,
        (775.2290, 1080.9928, 1228.5855, 2497.2023, 2204.2139, 1610.8325),
        (1281.5261, 1270.0298, 1399.4803, 1368.3446, 1291.6764, 1154.5057),
    ),
    "prithvi_eo_v2": Pretraining(
        HLS, (1087.0, 1342.0, 1433.0, 2734.0, 1958.0, 1363.0), (2248.0, 2179.0, 2178.0, 1850.0, 1242.0, 1049.0)
    ),
    "terramind_v1": Pretraining(
        SENTINEL2_BANDS,
        (
            *(1390.458, 1503.317, 1718.197, 1853.910, 2199.100, 2779.975),
            *(2987.011, 3083.234, 3132.220, 3162.988, 2424.884, 1857.648),
        ),
        (
            *(2106.761, 2141.107, 2038.973, 2134.138, 2085.321, 1889.926),
            *(1820.257, 1871.918, 1753.829, 1797.379, 1434.261, 1334.311),
        ),
        {"modalities": ["S2L2A"]},
    ),
}
"""How the names of a family begin -> what its authors state. Of other backbones the bands must be named."""


class TerraTorchEncoder(Encoder):
    """A backbone of TerraTorch: what its registry builds gives a list of maps, or of token sequences.

    Tokens are laid out as maps of one size and width, of four blocks; leading tokens that stand for no patch are left
    out. Its features are the mean of the last map, since the registry knows of no others.
    """

    masks_bands = False

    def __init__(
        self, network: nn.Module, title: str, bands: Sequence[str], mean: Sequence[float], std: Sequence[float]
    ) -> None:
        """`bands`: what the network takes, in its order. Raises UsageError for a network that gives anything else."""
        super().__init__()
        self.network, self.title, self.bands = network, title, tuple(bands)
        self.mean, self.std = tuple(mean), tuple(std)
        self.identity = identity_of(network.state_dict(), title, *self.bands)
        self.channels = [int(c) for c in network.out_channels]  # type: ignore[union-attr]
        self.patch = _patch_of(network)
        self.levels = list(range(len(self.channels)))
        self.eval()
        self._measure()

    @torch.no_grad()
    def _measure(self) -> None:
        maps = self._maps(torch.zeros(1, len(self.bands), SIDE, SIDE))
        sides = [m.shape[-1] for m in maps]
        if len(set(sides)) == 1 and len(maps) > LEVELS:
            self.levels = [len(maps) * (i + 1) // LEVELS - 1 for i in range(LEVELS)]
        self.strides = tuple(SIDE // sides[i] for i in self.levels)
        self.widths = tuple(maps[i].shape[1] for i in self.levels)
        self.width, self.multiple = self.widths[-1], max(*self.strides, self.patch)

    def pooled(self, images: Tensor) -> Tensor:
        """Mean of the last map."""
        return self._maps(images)[-1].mean((2, 3))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """The maps that the backbone gives, or tokens laid out as such."""
        maps = self._maps(images)
        return [maps[i] for i in self.levels]

    def depths(self) -> Sequence[Sequence[tuple[str, nn.Parameter]]]:
        """By the first number in a parameter's name, in the order in which the network registers its parts."""
        groups: dict[str, list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in self.named_parameters():
            path = name.split(".")
            numbered = next((i for i, part in enumerate(path) if part.isdigit()), 1)
            groups.setdefault(".".join(path[: numbered + 1]), []).append((name, parameter))
        return list(groups.values())

    def _maps(self, images: Tensor) -> list[Tensor]:
        given = self.network(images)
        if not isinstance(given, list | tuple) or len(given) != len(self.channels):
            raise UsageError(f"{self.title} gives no list of {len(self.channels)} features, as a backbone must.")
        height, width = images.shape[-2:]
        return [
            self._as_map(features, channels, height, width)
            for features, channels in zip(given, self.channels, strict=True)
        ]

    def _as_map(self, features: Tensor, channels: int, height: int, width: int) -> Tensor:
        if features.ndim == 4:
            return features if features.shape[1] == channels else features.permute(0, 3, 1, 2)
        rows, columns = height // self.patch, width // self.patch
        leading = features.shape[1] - rows * columns if features.ndim == 3 else -1
        if leading < 0:
            raise UsageError(
                f"{self.title} gives features of shape {tuple(features.shape)}, neither maps nor one token for each "
                f"of {rows} x {columns} patches; it needs an adapter of its own."
            )
        return features[:, leading:].transpose(1, 2).unflatten(2, (rows, columns))


def terratorch_encoder(name: str, bands: Sequence[str] | None = None) -> TerraTorchEncoder:
    """A backbone of TerraTorch's registry with its pretrained weights.

    `bands`: what it takes, in its order; needed where `FAMILIES` does not tell. Raises MissingExtra without
    TerraTorch, UsageError for bands that are not its own or not named, CheckpointError where it cannot be built.
    """
    known = next((f for prefix, f in FAMILIES.items() if name.removeprefix("terratorch_").startswith(prefix)), None)
    if known is None and bands is None:
        raise UsageError(
            f"Nobody says which bands {name} takes; name them in its order, e.g. terratorch:{name}:B4,B3,B2. They "
            f"are known of {', '.join(FAMILIES)}."
        )
    if known is not None and bands is not None and tuple(bands) != known.bands:
        raise UsageError(f"{name} takes {', '.join(known.bands)}, in this order, and no others. Leave the bands out.")
    stated = known or Pretraining(tuple(bands or ()))
    network = _built(name, dict(stated.options))
    return TerraTorchEncoder(network, f"terratorch {name}", stated.bands, stated.mean, stated.std)


def _built(name: str, options: dict[str, Any]) -> nn.Module:
    try:
        import terratorch  # noqa: F401  (registers the backbones)
        from terratorch.registry import BACKBONE_REGISTRY
    except ImportError as error:
        raise MissingExtra(
            f"This needs TerraTorch ({error}), which asks for older packages than others here: install it with "
            "pip install 'geomeld[terratorch]' in an environment of its own."
        ) from None
    try:
        return BACKBONE_REGISTRY.build(name, pretrained=True, **options)
    except Exception as error:  # whatever the registry, the hub or the backbone raise, the user can do the same
        raise CheckpointError(
            f"TerraTorch built no {name}: {reason_of(error)}. Look for the name with `terratorch list`, and fetch the "
            "weights where there is a network: they are kept in the Hugging Face cache, which can be copied."
        ) from error


def _patch_of(network: nn.Module) -> int:
    """Pixels per token, of the first part that states it; 1 where none does, as for networks of maps."""
    for part in network.modules():
        stated = getattr(part, "patch_size", None)
        if isinstance(stated, int):
            return stated
        if isinstance(stated, Sequence) and stated and all(isinstance(side, int) for side in stated):
            return int(stated[-1])
    return 1
