"""Encoder weights in timm's form, both ways, and the start of an encoder from ImageNet weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geomeld.core.errors import CheckpointError, ConfigError, MissingExtra
from geomeld.models.encoder import SIZES, ConvNeXtV2, Size
from geomeld.models.hub import check_hub, reason_of

IMAGENET = "imagenet:"
"""Start of `init`: what follows is a file of timm's weights, or a timm model whose weights its hub holds."""

FILES = (".safetensors", ".pth", ".pt", ".bin")
"""How a file of weights may end; any other name is one of timm's."""


def check_init(init: str) -> None:
    """Raises ConfigError where `init` is not imagenet:FILE or imagenet:MODEL."""
    if not init.startswith(IMAGENET) or init == IMAGENET:
        raise ConfigError(
            f"init is {init!r}; write {IMAGENET}FILE with timm's weights of a convnextv2 model "
            f"({', '.join(FILES)}), or {IMAGENET}MODEL for one from timm's hub, such as "
            f"{IMAGENET}convnextv2_tiny.fcmae_ft_in1k."
        )


def initialise_encoder(encoder: ConvNeXtV2, init: str, rgb: Sequence[int]) -> None:
    """Give `encoder` the weights that `init` names, from pictures of red, green and blue.

    All blocks are taken as they are. The stem is made to fit (`inflate_stem`); `rgb` are the places of red, green and
    blue among the encoder's bands. Raises ConfigError for an `init` of another form, CheckpointError for weights that
    cannot be had or belong to another network, and MissingExtra where a name needs timm and timm is not installed.
    """
    check_init(init)
    what = init.removeprefix(IMAGENET)
    state = encoder_state(read_weights(Path(what)) if what.endswith(FILES) else fetch_weights(what), what)
    stem = state["stem.0.weight"]
    if stem.shape[1] != encoder.in_channels or stem.shape[2] != encoder.patch // 8:
        state["stem.0.weight"] = inflate_stem(stem, encoder.patch, encoder.in_channels, rgb, what)
    _load(encoder, state, what)


def inflate_stem(weight: Tensor, patch: int, channels: int, rgb: Sequence[int], what: str = "the file") -> Tensor:
    """A stem (width, 3, 4, 4) for red, green and blue as (width, channels, k, k) for patches of `patch` = 8 k pixels.

    Bands: the `rgb` ones keep their kernels, the others take the mean of the three, all times 3 / channels, so that
    what is grey in every band is answered as the grey picture was. Pixels: each tap is the sum of the 4/k x 4/k taps
    that it stands for, so that the network answers as it did to the picture with every pixel enlarged 4/k times.
    Raises CheckpointError for other stems, and for patches other than 8, 16 and 32.
    """
    given, side = weight.shape[1:3]
    k = patch // 8
    if given != 3 or len(rgb) != 3:
        raise CheckpointError(
            f"The stem of {what} takes {given} channels; a start from pictures needs red, green and blue."
        )
    if side % k:
        raise CheckpointError(
            f"The stem of {what} has squares of {side} pixels, which do not divide into the {k} of patch {patch}."
        )
    kernels = weight.unflatten(3, (k, side // k)).unflatten(2, (k, side // k)).sum((3, 5))
    out = kernels.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1)
    out[:, list(rgb)] = kernels
    return out * (3 / channels)


def from_timm(state: Mapping[str, Tensor], what: str = "the state") -> ConvNeXtV2:
    """The encoder that timm's state dict of a convnextv2_* with a patch stem describes, with its weights.

    Size, channels and patch (8 times the stem's square) follow from the shapes; heads of classifiers are left out.
    Raises CheckpointError that says why for weights of another network.
    """
    found = encoder_state(state, what)
    width, channels, k, _ = found["stem.0.weight"].shape
    last = found["stages.3.blocks.0.conv_dw.weight"].shape[0]
    depths = tuple(len({n.split(".")[3] for n in found if n.startswith(f"stages.{i}.blocks.")}) for i in range(4))
    known = {(d, (w[0], w[-1])): size for size, (d, w) in SIZES.items()}
    if (depths, (width, last)) not in known:
        raise CheckpointError(
            f"{what} has {depths} blocks and widths {width} to {last}; no encoder has ({', '.join(SIZES)})."
        )
    size: Size = known[depths, (width, last)]  # type: ignore[assignment]
    with torch.device("meta"):
        encoder = ConvNeXtV2(size, channels, 8 * k)
    encoder.to_empty(device=found["stem.0.weight"].device)
    _load(encoder, found, what)
    return encoder


def to_timm(encoder: ConvNeXtV2) -> nn.Module:
    """timm's own network with the encoder's weights, in evaluation mode: `forward_features` gives the last map, calling
    it the pooled features. Its state dict is what `from_timm` reads. Raises MissingExtra without timm."""
    k, (depths, widths) = encoder.patch // 8, SIZES[encoder.size]
    shape = {"depths": depths, "dims": widths, "in_chans": encoder.in_channels, "patch_size": k, "num_classes": 0}
    model = _timm().create_model(f"convnextv2_{encoder.size}", pretrained=False, **shape)
    if k == 2:  # timm halves once more after a stem of stride 2; then a patch of 16 pixels would not be one token
        model.stages[0].downsample = nn.Identity()
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: tensor.view(shapes[name]) for name, tensor in encoder.state_dict().items()})
    return model.eval()


def encoder_state(state: Mapping[str, Tensor], what: str) -> dict[str, Tensor]:
    """timm's weights as the encoder names and shapes them: 1x1 convolutions as matrices, no classifier.

    A file that ends before the head's norm (pretraining without labels has none) gets one that changes no scale.
    Raises CheckpointError for other networks and other stems.
    """
    if "stages.0.downsample.1.weight" in state:
        raise CheckpointError(
            f"{what} halves the map in its first stage, after a stem of stride 2: its tokens are 32 pixels wide where "
            "this encoder's are 16. Use weights with the usual stem of 4 x 4, or with patch_size=1."
        )
    stem = state.get("stem.0.weight")
    if stem is None or stem.ndim != 4 or "stages.3.blocks.0.mlp.grn.weight" not in state or "stem.2.weight" in state:
        raise CheckpointError(
            f"{what} holds no convnextv2 network with a patch stem (timm's names), but {_some(state)}."
        )
    if "stem.1.weight" not in state or stem.shape[2] != stem.shape[3]:
        raise CheckpointError(f"The stem of {what} is no patch stem (one convolution on squares, one norm).")
    out = {n: t.flatten(1) if n.endswith(("fc1.weight", "fc2.weight")) else t for n, t in state.items()}
    out = {n: t.detach() for n, t in out.items() if not n.startswith(("head.fc.", "head.pre_logits."))}
    width = out["stages.3.blocks.0.norm.weight"]
    return {"head.norm.weight": torch.ones_like(width), "head.norm.bias": torch.zeros_like(width), **out}


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dict from a file, plain or under "model" or "state_dict"; never code. Raises CheckpointError."""
    if not path.is_file():
        raise CheckpointError(f"There is no file of weights {path}.")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path} cannot be read as weights: {str(error).splitlines()[0]}") from error
    except Exception as error:  # torch's refusal of pickled code is of a class of its own in every version
        raise CheckpointError(f"{path} holds more than weights, and is not opened: {type(error).__name__}.") from error
    state = next((state[key] for key in ("model", "state_dict") if key in state), state)
    return {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}


def fetch_weights(name: str) -> dict[str, Tensor]:
    """The pretrained weights of one of timm's models, from its hub or from the local cache. Raises CheckpointError."""
    timm = _timm()
    if name not in timm.list_pretrained("convnextv2_*"):
        named = ", ".join(timm.list_pretrained("convnextv2_*.fcmae_ft_in1k"))
        raise CheckpointError(
            f"There is no file {name}, and timm has no pretrained convnextv2 of that name; it has {named}."
        )
    try:
        check_hub(timm.get_pretrained_cfg(name).hf_hub_id)
        return timm.create_model(name, pretrained=True).state_dict()
    except Exception as error:  # whatever the hub's client raises, the user can do the same about it
        raise CheckpointError(
            f"The weights of {name} could not be fetched: {reason_of(error)}. Download them elsewhere and name the "
            f"file: {IMAGENET}model.safetensors."
        ) from error


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise MissingExtra(f"This needs timm ({error}); install it with: pip install 'geomeld[timm]'") from None
    return timm


def _load(encoder: ConvNeXtV2, state: Mapping[str, Tensor], what: str) -> None:
    wanted = encoder.state_dict()
    faults = [f"{n} is missing" for n in wanted if n not in state] + [
        f"{n} is unexpected" for n in state if n not in wanted
    ]
    faults += [
        f"{n} is {tuple(state[n].shape)}, not {tuple(t.shape)}"
        for n, t in wanted.items()
        if n in state and state[n].shape != t.shape
    ]
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise CheckpointError(
            f"{what} does not fit an encoder of size {encoder.size!r}: {'; '.join(faults[:3])}{more}."
        )
    encoder.load_state_dict(state)


def _some(state: Mapping[str, Tensor]) -> str:
    names = list(state)
    return f"{len(names)} tensors, the first {', '.join(names[:3])}" if names else "nothing"
