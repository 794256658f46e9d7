"""Encoder forward + backward, visible patches only, against the same network run densely with masks after every layer.

Both run in this process on the same weights, image and mask, in turns; the smallest time of each counts. The dense
network is timed in both memory formats, with a ratio to each.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import tyro
from torch import Tensor

from geomeld.models.encoder import ConvNeXtV2, Size
from geomeld.models.sites import Sites
from geomeld.pretrain.masking import visible_patches
from geomeld.testing.dense_encoder import dense_masked


@dataclass(frozen=True)
class Options:
    """What to measure."""

    size: Size = "tiny"
    """Size of the encoder."""
    batch: int = 8
    """Images per pass."""
    threads: int = 0
    """Threads of torch, 0 for its default."""
    clock: Literal["wall", "cpu"] = "wall"
    """cpu counts the process's own processor time, for a machine that others use too (with one thread: waiting threads
    spin)."""
    rounds: int = 5
    """How often each is timed, after one that is not."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to run."""
    bf16: bool = False
    """Autocast to bfloat16."""
    compile: bool = False
    """Also time our encoder compiled."""
    json: bool = False
    """Print one JSON object."""


def main() -> None:
    """Measure and print."""
    options = tyro.cli(Options, description=__doc__)
    if options.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU; give --device cpu.")
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    encoder = ConvNeXtV2(options.size).to(options.device)
    image = torch.randn(options.batch, encoder.in_channels, 128, 128, device=options.device)
    visible = visible_patches(range(options.batch), 0).to(options.device)
    seen = Sites(visible, (8, 8), side=1)
    image_last = image.to(memory_format=torch.channels_last)
    ways: dict[str, Callable[[], Tensor]] = {
        "visible only": lambda: encoder(image, visible),
        "dense, contiguous": lambda: seen.gather(dense_masked(encoder, image, visible)),
        "dense, channels last": lambda: seen.gather(dense_masked(encoder, image_last, visible)),
    }
    if options.compile:
        compiled = torch.compile(encoder)
        ways["visible only, compiled"] = lambda: compiled(image, visible)
    with torch.no_grad():
        reference = ways["visible only"]()
        apart = {name: float((way() - reference).abs().max()) for name, way in ways.items()}
    seconds = dict.fromkeys(ways, float("inf"))
    for timed in range(options.rounds + 1):
        for name, way in ways.items():
            spent = _timed(way, encoder, options)
            seconds[name] = min(seconds[name], spent) if timed else seconds[name]
    ratios = {name: s / seconds["visible only"] for name, s in seconds.items()}
    result = {
        "benchmark": "encoder",
        "size": options.size,
        "batch": options.batch,
        "visible": visible.shape[1],
        "threads": torch.get_num_threads(),
        "device": options.device,
        "bf16": options.bf16,
        "clock": options.clock,
        "seconds": seconds,
        "largest_difference": apart,
        "ratio": ratios,
    }
    print(json.dumps(result) if options.json else _table(result))


def _timed(way: Callable[[], Tensor], encoder: ConvNeXtV2, options: Options) -> float:
    encoder.zero_grad()
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    start = clock()
    with torch.autocast(options.device, torch.bfloat16, enabled=options.bf16):
        out = way()
    out.float().sum().backward()
    if options.device == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def _table(result: dict) -> str:
    lines = [
        f"encoder {result['size']}, batch {result['batch']}, 128 x 128, {result['visible']} of 64 patches visible, "
        f"forward + backward, {'bfloat16' if result['bf16'] else 'float32'}, {result['device']}, "
        f"{result['threads']} threads, {result['clock']} time"
    ]
    for name, seconds in result["seconds"].items():
        lines.append(
            f"  {name:24s} {seconds:7.3f} s  {result['ratio'][name]:5.1f}x  "
            f"largest difference {result['largest_difference'][name]:.1e}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
