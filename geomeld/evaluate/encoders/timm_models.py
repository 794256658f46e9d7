"""timm: any of its networks that gives maps of features, for any bands, behind the adapter."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from geomeld.core.errors import CheckpointError, MissingExtra, UsageError
from geomeld.evaluate.encoder import Encoder
from geomeld.evaluate.encoders.identity import identity_of
from geomeld.models.hub import check_hub, reason_of
from geomeld.models.timm_weights import FILES, read_weights

RGB = ("B4", "B3", "B2")
WHITE = 3000.0
"""Reflectance x 10000 that a picture shows as white. Nobody's standard: statistics of pictures (0..1) are taken times
this as those of an encoder trained on pictures."""
LEVELS = 4
"""Maps that are taken of a network whose maps all have one size, from blocks evenly spread over its depth."""


class TimmEncoder(Encoder):
    """A network of timm: its own pooled features, and its own intermediate maps.

    It is fed all its bands; of those that are not in `bands`, zeros. Networks of one resolution (plain vision
    transformers) have no pyramid: the tokens of four blocks are laid out as maps of one size and width.
    """

    masks_bands = False

    def __init__(
        self,
        network: nn.Module,
        title: str,
        own_bands: Sequence[str],
        bands: Sequence[str] | None = None,
        mean: Sequence[float] = (),
        std: Sequence[float] = (),
    ) -> None:
        """`own_bands`: what the network takes, in its order, with `mean` and `std`, reflectance x 10000, of each or of
        none. `bands`: those of them that it is fed. Raises UsageError for bands that it does not take."""
        super().__init__()
        self.network, self.title = network, title
        self.bands = tuple(own_bands if bands is None else bands)
        strangers = [band for band in self.bands if band not in own_bands]
        if strangers or len(set(self.bands)) < len(self.bands):
            raise UsageError(
                f"{title} takes the bands {', '.join(own_bands)}; {', '.join(strangers) or 'one that is named twice'} "
                "cannot be fed to it. Choose among these, each once."
            )
        self.own, self.places = len(own_bands), [list(own_bands).index(band) for band in self.bands]
        self.mean = tuple(mean[i] for i in self.places) if mean else ()
        self.std = tuple(std[i] for i in self.places) if std else ()
        self.identity = identity_of(network.state_dict(), title, *self.bands)
        reductions = [level["reduction"] for level in network.feature_info]  # type: ignore[union-attr]
        self.multiple = max(reductions)
        self.levels = list(range(len(reductions)))
        if len(set(reductions)) == 1 and len(reductions) > LEVELS:
            self.levels = [len(reductions) * (i + 1) // LEVELS - 1 for i in range(LEVELS)]
        self.eval()
        self._measure()

    @torch.no_grad()
    def _measure(self) -> None:
        """Widths and strides as they are, on an image of zeros: what networks say of themselves differs."""
        side = 2 * self.multiple
        image = torch.zeros(1, len(self.bands), side, side)
        maps = self.pyramid(image)
        self.width = self.pooled(image).shape[1]
        self.widths = tuple(m.shape[1] for m in maps)
        self.strides = tuple(side // m.shape[2] for m in maps)

    def pooled(self, images: Tensor) -> Tensor:
        """What timm's network gives without a classifier."""
        return self.network(self._fed(images))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """timm's intermediate maps, all of a pyramid or four of one size."""
        return list(
            self.network.forward_intermediates(  # type: ignore[operator]
                self._fed(images), indices=self.levels, intermediates_only=True
            )
        )

    def depths(self) -> Sequence[Sequence[tuple[str, nn.Parameter]]]:
        """The groups by which timm itself decays learning rates."""
        from timm.models import group_parameters

        own = dict(self.named_parameters())
        matcher = self.network.group_matcher(coarse=False)  # type: ignore[operator]
        groups = group_parameters(self.network, matcher)
        named = ([f"network.{name}" for name in groups[depth]] for depth in sorted(groups))
        return [[(name, own[name]) for name in group] for group in named]

    def _fed(self, images: Tensor) -> Tensor:
        if self.places == list(range(self.own)):
            return images
        fed = images.new_zeros(images.shape[0], self.own, *images.shape[2:])
        fed[:, self.places] = images
        return fed


def timm_encoder(what: str, bands: Sequence[str] | None = None) -> TimmEncoder:
    """timm's network with its pretrained weights. `what`: its name, or NAME@FILE with its weights in a file.

    `bands`: any, in any order, for which timm makes its first layer fit; red, green and blue without. Raises
    MissingExtra without timm, UsageError for a name that timm does not have or a network that takes one size of image
    only, CheckpointError for weights that cannot be had or do not fit.
    """
    timm = _timm()
    name, at, file = what.rpartition("@")
    if not at or not file.endswith(FILES):
        name, file = what, ""
    if not timm.is_model(name.partition(".")[0]) and ":" not in name:
        near = get_close_matches(name, timm.list_models(), 3)
        raise UsageError(f"timm {timm.__version__} has no network {name}; did you mean {', '.join(near) or 'another'}?")
    chosen = tuple(bands or RGB)
    options: dict[str, Any] = {"in_chans": len(chosen), "num_classes": 0}
    config = timm.get_pretrained_cfg(name)
    if config is not None and config.fixed_input_size:
        options["dynamic_img_size"] = True
    if file:
        options["pretrained_cfg_overlay"] = {"state_dict": read_weights(Path(file))}
    elif config is None or not config.has_weights:
        raise UsageError(
            f"timm has no weights of {name}; name some that it has ({', '.join(timm.list_pretrained(name + '*')[:3])})"
            f", or a file: timm:{name}@model.safetensors."
        )
    network = _created(timm, name, options, None if file else config.hf_hub_id)
    mean, std = _pictures(network) if chosen == RGB else ((), ())
    return TimmEncoder(network, f"timm {name}", chosen, None, mean, std)


def _created(timm: Any, name: str, options: dict[str, Any], repository: str | None) -> nn.Module:
    try:
        check_hub(repository)
        return timm.create_model(name, pretrained=True, **options)
    except TypeError as error:
        if "dynamic_img_size" not in str(error):
            raise
        raise UsageError(
            f"timm's {name} takes images of one size only, and tasks have others; take a convolutional network, a "
            "plain vision transformer (vit_*) or a Swin (swin*)."
        ) from None
    except Exception as error:  # whatever the hub's client or the weights raise, the user can do the same about it
        raise CheckpointError(
            f"The weights of {name} could not be had: {reason_of(error)}. Download them elsewhere and name the file: "
            f"timm:{name}@model.safetensors."
        ) from error


def _pictures(network: nn.Module) -> tuple[tuple[float, ...], tuple[float, ...]]:
    config: Any = network.pretrained_cfg
    return tuple(m * WHITE for m in config["mean"]), tuple(s * WHITE for s in config["std"])


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingExtra(f"This needs timm ({error}); install it with: pip install 'geomeld[timm]'") from None
    return timm
