"""Ranks: the processes of one run, as torchrun starts them, and what they say to each other."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from geomeld.core.errors import GeoMeldError, TrainingError, UsageError

PATIENCE = timedelta(hours=1)
"""How long a rank waits for the others; rank 0 writes files meanwhile."""

BUCKET = 1 << 24
"""Values of gradients that are sent at once."""


@dataclass(frozen=True)
class Ranks:
    """This process among those of its run; a run without torchrun is one rank, and says nothing to anyone."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this rank is the one that writes."""
        return self.rank == 0

    def sum(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Tensors of the same names and shapes on every rank, added up over ranks, in float64."""

        def add_up(flat: Tensor) -> Tensor:
            if self.size > 1:
                dist.all_reduce(flat)
            return flat

        return as_one(values, add_up)

    def gather(self, rows: Tensor) -> tuple[Tensor, int]:
        """Rows (k, ...) of all ranks one below the other, in rank order, and where this rank's begin; k may differ."""
        if self.size == 1:
            return rows, 0
        counts = [torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(self.size)]
        dist.all_gather(counts, torch.tensor([len(rows)], device=self.device))
        lengths = [int(c) for c in counts]
        padded = rows.new_zeros(max(lengths), *rows.shape[1:])
        padded[: len(rows)] = rows
        everyone = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(everyone, padded)
        return torch.cat([e[:n] for e, n in zip(everyone, lengths, strict=True)]), sum(lengths[: self.rank])

    def sum_gradients(self, module: torch.nn.Module) -> None:
        """Add up the gradients of all ranks in place; a gradient that only some ranks have is 0 on the others."""
        if self.size == 1:
            return
        parameters = [p for p in module.parameters() if p.requires_grad]
        has = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=self.device)
        dist.all_reduce(has, dist.ReduceOp.MAX)
        learning = [p for p, h in zip(parameters, has.tolist(), strict=True) if h]
        for parameter in learning:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        for bucket in _buckets([p.grad for p in learning if p.grad is not None]):
            flat = torch.cat([g.flatten() for g in bucket])
            dist.all_reduce(flat)
            for grad, summed in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
                grad.copy_(summed.view_as(grad))

    def share(self, value: Any) -> Any:
        """Any object of rank 0, on every rank."""
        box = [value]
        if self.size > 1:
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def collect(self, value: Any) -> list[Any]:
        """Any object of every rank, in rank order, on every rank."""
        if self.size == 1:
            return [value]
        box: list[Any] = [None] * self.size
        dist.all_gather_object(box, value)
        return box

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is done here is done by all ranks or by none: an error of one is raised on all, and names the rank."""
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            error = caught
        if self.largest(error is not None):
            said = self.collect(None if error is None else f"{error}" or repr(error))
            if error is None:
                rank, words = next((i, w) for i, w in enumerate(said) if w is not None)
                raise TrainingError(f"Rank {rank} of {self.size} could not go on: {words}")
        if error is not None:
            raise error

    def largest(self, number: int) -> int:
        """The largest number that a rank gives, on every rank."""
        if self.size == 1:
            return number
        flag = torch.tensor([number], dtype=torch.int32, device=self.device)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return int(flag.item())


def as_one(values: Mapping[str, Tensor], change: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Do something to all the values at once, in float64: one message, one wait, instead of many."""
    if not values:
        return {}
    flat = change(torch.cat([v.detach().double().flatten() for v in values.values()]))
    parts = flat.split([v.numel() for v in values.values()])
    return {name: part.view(v.shape) for (name, v), part in zip(values.items(), parts, strict=True)}


def is_first() -> bool:
    """Whether this process is the one of its run that writes and speaks."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def ranks(device: str) -> Iterator[Ranks]:
    """Join the run that torchrun started this process for (WORLD_SIZE, RANK, LOCAL_RANK), if it did.

    Gradients and messages go through nccl between GPUs, gloo between CPUs. `device` is auto, cpu or cuda; each rank
    takes the GPU of its LOCAL_RANK. Raises UsageError for a device that there is not, TrainingError where another rank
    went away.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    where = _device(device, int(os.environ.get("LOCAL_RANK", "0")) if size > 1 else None)
    if size == 1:
        yield Ranks(where)
        return
    if where.type == "cuda":
        torch.cuda.set_device(where)
    try:
        dist.init_process_group("nccl" if where.type == "cuda" else "gloo", timeout=PATIENCE)
    except (dist.DistError, ValueError) as error:
        raise TrainingError(f"The {size} ranks of this run do not find each other: {error}") from None
    try:
        yield Ranks(where, dist.get_rank(), size)
    except GeoMeldError:
        raise
    except (dist.DistError, RuntimeError) as error:
        if _is_about_others(error):
            raise TrainingError(f"Another rank went away (see its own message): {error}") from None
        raise
    finally:
        dist.destroy_process_group()


def _device(name: str, local_rank: int | None) -> torch.device:
    if name not in ("auto", "cpu", "cuda"):
        raise UsageError(f"There is no device {name!r}; give auto, cpu or cuda.")
    if name == "cuda" and not torch.cuda.is_available():
        raise UsageError("torch finds no GPU; give --device cpu, or leave it out.")
    if name == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank is None:
        return torch.device("cuda")
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"This machine has {torch.cuda.device_count()} GPUs; start as many processes "
            f"(torchrun --nproc-per-node {torch.cuda.device_count()})."
        )
    return torch.device("cuda", local_rank)


def _is_about_others(error: Exception) -> bool:
    words = str(error).lower()
    return isinstance(error, dist.DistError) or any(w in words for w in ("gloo", "nccl", "connection", "peer"))


def _buckets(grads: list[Tensor]) -> Iterator[list[Tensor]]:
    bucket: list[Tensor] = []
    for grad in grads:
        if bucket and sum(g.numel() for g in bucket) + grad.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(grad)
    if bucket:
        yield bucket
