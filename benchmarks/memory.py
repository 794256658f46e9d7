"""Peak memory of the encoder's forward + backward pass, visible patches only, against the same network run densely.

Each way runs in a process of its own. On a CPU the figure is the growth of the process's largest resident set over what
it holds once weights, gradients and images are there; on a GPU, of the memory that torch has allocated.
"""

import json
import resource
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import Literal

import torch
import tyro

from geomeld.models.encoder import ConvNeXtV2, Size
from geomeld.models.sites import Sites
from geomeld.pretrain.masking import visible_patches
from geomeld.testing.dense_encoder import dense_masked

WAYS = ("visible only", "dense, masks after every layer")


@dataclass(frozen=True)
class Options:
    """What to measure."""

    size: Size = "tiny"
    """Size of the encoder."""
    batch: int = 64
    """Images per pass."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to run."""
    json: bool = False
    """Print one JSON object."""
    way: str = ""
    """For the processes that this one starts."""


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options, description=__doc__)
    if options.way:
        print(_growth(options))
        return
    bytes_ = {way: _in_a_process(options, way) for way in WAYS}
    ratio = bytes_[WAYS[0]] / bytes_[WAYS[1]]
    result = {"benchmark": "memory", **asdict(options), "bytes": bytes_, "ratio": ratio}
    result.pop("way")
    lines = [f"encoder {options.size}, batch {options.batch}, 128 x 128, forward + backward, peak on {options.device}"]
    lines += [f"  {way:32s} {size / 2**30:7.2f} GiB" for way, size in bytes_.items()]
    print(json.dumps(result) if options.json else "\n".join([*lines, f"  {ratio:.2f}x of dense"]))


def _in_a_process(options: Options, way: str) -> int:
    settings = ["--size", options.size, "--batch", str(options.batch), "--device", options.device, "--way", way]
    done = subprocess.run([sys.executable, __file__, *settings], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{way!r} ended with {done.returncode}: too little memory? Try a smaller --batch.")
    return int(done.stdout)


def _growth(options: Options) -> int:
    torch.manual_seed(0)
    encoder = ConvNeXtV2(options.size).to(options.device)
    image = torch.randn(options.batch, encoder.in_channels, 128, 128, device=options.device)
    visible = visible_patches(range(options.batch), 0).to(options.device)
    few = 1  # a first pass of one image: what is compiled, loaded or kept for good is there before the measurement
    _pass(options.way, encoder, image[:few], visible[:few])
    before = _peak(options.device)
    _pass(options.way, encoder, image, visible)
    return _peak(options.device) - before


def _pass(way: str, encoder: ConvNeXtV2, image: torch.Tensor, visible: torch.Tensor) -> None:
    if way == WAYS[0]:
        tokens = encoder(image, visible)
    else:
        tokens = Sites(visible, (8, 8), side=1).gather(dense_masked(encoder, image, visible))
    tokens.sum().backward()


def _peak(device: str) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
