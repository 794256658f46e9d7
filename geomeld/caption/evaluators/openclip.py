"""The openclip evaluator: any open_clip checkpoint, from the disk or a hub, as a contrastive model."""

import hashlib
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geomeld.caption.evaluators.contrast import Contrast, Pair, Vectors, best_auc, prove
from geomeld.caption.images import SHOWN, picture_of
from geomeld.core.errors import CheckpointError, ConfigError, MissingExtra
from geomeld.dataset import Dataset

TEXTS = 256
"""Texts embedded at once."""


@dataclass(frozen=True, slots=True)
class Preset:
    """A published checkpoint of remote sensing."""

    arch: str
    repo: str = ""
    """On the Hugging Face hub; empty where the weights must be fetched by hand."""
    file: str = ""
    where: str = ""


_SKYSCRIPT = "the links in the README of github.com/wangzhecheng/SkyScript"
PRESETS: Mapping[str, Preset] = {
    "RemoteCLIP-RN50": Preset("RN50", "chendelong/RemoteCLIP", "RemoteCLIP-RN50.pt"),
    "RemoteCLIP-ViT-B-32": Preset("ViT-B-32", "chendelong/RemoteCLIP", "RemoteCLIP-ViT-B-32.pt"),
    "RemoteCLIP-ViT-L-14": Preset("ViT-L-14", "chendelong/RemoteCLIP", "RemoteCLIP-ViT-L-14.pt"),
    "GeoRSCLIP-ViT-B-32": Preset("ViT-B-32", "Zilun/GeoRSCLIP", "ckpt/RS5M_ViT-B-32.pt"),
    "GeoRSCLIP-ViT-L-14": Preset("ViT-L-14", "Zilun/GeoRSCLIP", "ckpt/RS5M_ViT-L-14.pt"),
    "GeoRSCLIP-ViT-H-14": Preset("ViT-H-14", "Zilun/GeoRSCLIP", "ckpt/RS5M_ViT-H-14.pt"),
    "SkyCLIP-ViT-B-32": Preset("ViT-B-32", where=_SKYSCRIPT),
    "SkyCLIP-ViT-L-14": Preset("ViT-L-14", where=_SKYSCRIPT),
}  # fmt: skip
"""By name; the paper's evaluator is RemoteCLIP-ViT-L-14 (paper 5.1)."""


class OpenClip:
    """An open_clip model that looks at the tiles of a dataset."""

    def __init__(self, network: Any, tokenizer: Any, dataset: Dataset, identity: Mapping[str, Any]) -> None:
        import torch

        self._torch = torch
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network = network.to(self._device).eval()
        self._tokenizer = tokenizer
        self._dataset = dataset
        self._identity = identity
        self._seen = lru_cache(maxsize=1024)(self._look)

    def identity(self) -> dict[str, Any]:
        """Architecture, hash of the weights and activation."""
        return {"backend": "openclip", **self._identity}

    def image(self, tile_id: int) -> Vectors | None:
        """(d,) of a tile's natural colour; None for one without."""
        return self._seen(tile_id)

    def _look(self, tile_id: int) -> Vectors | None:
        size = self._network.visual.image_size
        side = size if isinstance(size, int) else size[0]
        shown = picture_of(self._dataset.read(tile_id, [m.name for m in SHOWN]), side)
        return None if shown is None else self.pictures(_decoded(shown.data)[None])[0]

    def pictures(self, pictures: NDArray[np.uint8]) -> Vectors:
        """(n, d) of pictures (n, side, side, 3)."""
        torch, visual = self._torch, self._network.visual
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self._device).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(v, device=self._device).view(1, 3, 1, 1) for v in _colours(visual))
        with torch.no_grad():
            return _unit(self._network.encode_image((x - mean) / std))

    def texts(self, texts: Sequence[str]) -> tuple[Vectors, NDArray[np.bool_]]:
        """((n, d), which of them fill the model's window and may have been cut)."""
        tokens = self._tokenizer(list(texts))
        with self._torch.no_grad():
            found = [_unit(self._network.encode_text(part.to(self._device))) for part in tokens.split(TEXTS)]
        return np.concatenate(found), (tokens[:, -1] != 0).numpy()


def _unit(x: Any) -> Vectors:
    return (x / x.norm(dim=-1, keepdim=True)).float().cpu().numpy()


def _decoded(data: bytes) -> NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def _colours(visual: Any) -> tuple[Sequence[float], Sequence[float]]:
    from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    return getattr(visual, "image_mean", None) or OPENAI_DATASET_MEAN, getattr(
        visual, "image_std", None
    ) or OPENAI_DATASET_STD


def open_model(spec: str, dataset: Dataset, pairs: Sequence[Pair]) -> Contrast:
    """The evaluator of `spec`: NAME (a preset), NAME:FILE, ARCHITECTURE:FILE or ARCHITECTURE:TAG of open_clip, or
    hf-hub:OWNER/MODEL, proved on `pairs`.

    Weights in a file say nothing of the activation they were trained with: where open_clip loads both without a word,
    the pairs decide between QuickGELU and GELU. Raises MissingExtra without open_clip, ConfigError for an unknown name,
    CheckpointError for weights that cannot be had or do not fit.
    """
    open_clip = _open_clip()
    if spec.startswith("hf-hub:"):
        return _proved(_built(open_clip, spec, None), spec, dataset, pairs, {"arch": spec})
    name, _, where = spec.partition(":")
    arch = PRESETS[name].arch if name in PRESETS else name
    if arch not in open_clip.list_models():
        raise ConfigError(
            f"openclip knows neither a preset nor an architecture {name!r}; presets are {', '.join(PRESETS)}, "
            "architectures are those of open_clip.list_models()."
        )
    tags = open_clip.list_pretrained_tags_by_model(arch)
    if where in tags:
        return _proved(_built(open_clip, arch, where), arch, dataset, pairs, {"arch": arch, "tag": where})
    return _of_file(open_clip, name, arch, _file(name, where), dataset, pairs)


def _open_clip() -> Any:
    try:
        import open_clip
    except ImportError:
        raise MissingExtra(
            "The openclip evaluator needs open_clip; install it with: pip install 'geomeld[clip]'"
        ) from None
    return open_clip


def _built(open_clip: Any, arch: str, tag: str | None) -> Any:
    try:
        return open_clip.create_model(arch, pretrained=tag)
    except Exception as error:  # whatever a hub raises
        raise CheckpointError(f"The weights {arch} {tag or ''} cannot be had: {error}.") from error


def _file(name: str, where: str) -> Path:
    preset = PRESETS.get(name)
    if where:
        if not Path(where).is_file():
            raise CheckpointError(f"There is no file {where} with weights of {name}.")
        return Path(where)
    if preset is None or not preset.repo:
        hint = f"; get them from {preset.where}" if preset else ""
        raise ConfigError(f"Name the file with the weights: openclip:{name}:FILE{hint}.")
    try:
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(preset.repo, preset.file))
    except Exception as error:  # whatever a hub raises: no network, no such file, no permission
        raise CheckpointError(
            f"{preset.file} of {preset.repo} cannot be fetched from the hub ({type(error).__name__}); "
            f"download it and write openclip:{name}:FILE."
        ) from error


def _of_file(open_clip: Any, name: str, arch: str, file: Path, dataset: Dataset, pairs: Sequence[Pair]) -> Contrast:
    plain = arch.removesuffix("-quickgelu")
    weights = hashlib.sha256(file.read_bytes()).hexdigest()[:12]
    best: Contrast | None = None
    identity: dict[str, Any] = {}
    aucs: dict[str, float] = {}
    for quick in (True, False):  # a tie goes to QuickGELU, which OpenAI's weights and their heirs were trained with
        made = {"name": name, "arch": plain, "weights": weights, "quick_gelu": quick}
        found = _proved(_loaded(open_clip, plain, file, quick), plain, dataset, pairs, made)
        aucs["with" if quick else "without"] = round(best_auc(found.proofs), 4)
        if best is None or aucs["without"] > aucs["with"]:
            best, identity = found, made
    assert best is not None
    identity["quick_gelu_auc"] = aucs
    return best


def _loaded(open_clip: Any, arch: str, file: Path, quick: bool) -> Any:
    from open_clip.factory import load_state_dict

    # open_clip says that a model without weights is random: these come in the next line.
    logging.disable(logging.WARNING)
    try:
        network = open_clip.create_model(arch, force_quick_gelu=quick)
    finally:
        logging.disable(logging.NOTSET)
    try:
        network.load_state_dict(load_state_dict(str(file), weights_only=True), strict=True)
    except Exception as error:  # torch raises half a dozen kinds for files that are no weights
        raise CheckpointError(f"{file} holds no weights of {arch}: {error}") from error
    return network


def _proved(network: Any, arch: str, dataset: Dataset, pairs: Sequence[Pair], identity: Mapping[str, Any]) -> Contrast:
    model = OpenClip(network, _open_clip().get_tokenizer(arch), dataset, identity)
    return Contrast(model, prove(model, pairs))
