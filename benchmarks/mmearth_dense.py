"""MMEarth's published pretraining model in its dense form, from a user's checkout, with what it lacks stubbed."""

import importlib
import sys
import types
from argparse import Namespace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from unittest.mock import patch
from warnings import catch_warnings, simplefilter

import torch
from torch import Tensor, nn

PACKAGE = "mmearth_checkout"
TARGETS = ("sentinel2", "sentinel1", "aster", "canopy_height_eth", "dynamic_world", "esa_worldcover")
"""The six of its twelve output modalities that GeoMeld-FM has too."""


def mmearth_dense(checkout: Path, size: str, side: int, mask_ratio: float) -> nn.Module:
    """Its model as its scripts build it (patch 16, decoder of 512 x 1, uncertainty weights), with six targets.

    `sparse=False`: its own dense encoder, which masks the input only; the sparse one needs MinkowskiEngine and a GPU.
    """
    if not (checkout / "models" / "fcmae.py").is_file():
        raise SystemExit(f"{checkout} is no checkout of MMEarth-train: it lacks models/fcmae.py.")
    spec = spec_from_file_location(PACKAGE, checkout / "__init__.py", submodule_search_locations=[str(checkout)])
    assert spec is not None
    assert spec.loader is not None
    with patch.dict(sys.modules, _missing_parts()), catch_warnings():
        simplefilter("ignore")
        sys.modules[PACKAGE] = package = module_from_spec(spec)
        spec.loader.exec_module(package)
        fcmae, table, losses = (
            importlib.import_module(f"{PACKAGE}.{name}") for name in ("models.fcmae", "MODALITIES", "custom_loss")
        )
    wanted = {name: table.OUT_MODALITIES[name] for name in TARGETS}
    arguments = Namespace(
        inp_modalities=table.INP_MODALITIES,
        out_modalities=wanted,
        modalities=wanted,
        modalities_full=table.MODALITIES_FULL,
        use_orig_stem=False,
        loss_aggr="uncertainty",
    )
    return getattr(fcmae, f"convnextv2_{size}")(
        mask_ratio=mask_ratio,
        decoder_depth=1,
        decoder_embed_dim=512,
        norm_pix_loss=True,
        patch_size=16,
        img_size=side,
        args=arguments,
        loss_fn=losses.UncertaintyWeightingStrategy(len(wanted)),
        sparse=False,
    )


def mmearth_batch(values: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under its names; it changes the dictionary and Sentinel-2 in place, so both are copies."""
    batch = {theirs: values[theirs.removesuffix("_eth")] for theirs in TARGETS}
    return {name: tensor.clone() if name == "sentinel2" else tensor for name, tensor in batch.items()}


class _WholeImage(nn.Module):
    """kornia's RandomCrop where the crop is the whole image: nothing to do."""

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()

    def generate_parameters(self, shape: torch.Size) -> None:
        """No parameters."""

    def apply_transform(self, image: Tensor, parameters: None, flags: None) -> Tensor:
        """The image itself."""
        return image


def _missing_parts() -> dict[str, types.ModuleType]:
    """What it imports and the dense model never calls."""
    engine = ("Convolution", "DepthwiseConvolution", "Linear", "GELU")
    parts: dict[str, dict[str, object]] = {
        "MinkowskiEngine": {f"Minkowski{n}": type(n, (nn.Module,), {}) for n in engine} | {"SparseTensor": object},
        "MinkowskiOps": {"to_sparse": None},
        "torchmetrics": {"Dice": object},
        "kornia": {},
        "kornia.augmentation": {"RandomCrop": _WholeImage},
    }
    modules = {}
    for name, members in parts.items():
        modules[name] = module = types.ModuleType(name)
        vars(module).update(members)
    return modules
