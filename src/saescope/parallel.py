"""World: which of how many processes this is, and collectives that are the identity on one process.

Code calls the collectives always and never asks whether it is distributed. Under torchrun the environment says how many
processes there are; gloo carries CPU tensors, nccl CUDA tensors.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist

from saescope.errors import ConfigError
from saescope.shapes import Tensor


@dataclass(frozen=True)
class World:
    """One process among `size`; `rank` counts from 0, and rank 0 commits artifacts."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def all_reduce(self, tensor: Tensor, how: Literal["sum", "max"] = "sum") -> Tensor:
        """Sum or maximum over processes, equal on all; a new tensor."""
        result = tensor.clone()
        if self.size > 1:
            dist.all_reduce(result, op=dist.ReduceOp.SUM if how == "sum" else dist.ReduceOp.MAX)
        return result

    def all_gather(self, tensor: Tensor) -> list[Tensor]:
        """Every process's tensor (all of one shape), in the order of ranks."""
        if self.size == 1:
            return [tensor]
        gathered = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(gathered, tensor.contiguous())
        return gathered

    def broadcast(self, tensor: Tensor, source: int = 0) -> Tensor:
        """The tensor of rank `source`, on every process; a new tensor."""
        result = tensor.clone()
        if self.size > 1:
            dist.broadcast(result, src=source)
        return result

    def barrier(self) -> None:
        """Return once every process is here."""
        if self.size > 1:
            dist.barrier()


def world(environ: Mapping[str, str] = os.environ, *, timeout_s: float = 300) -> World:
    """The world that torchrun describes in RANK and WORLD_SIZE, joined on the first call; a world of one without them.

    Raises: ConfigError if the two variables make no sense.
    """
    given = {name: environ.get(name, default) for name, default in (("RANK", "0"), ("WORLD_SIZE", "1"))}
    if not all(value.isdigit() for value in given.values()) or not int(given["RANK"]) < int(given["WORLD_SIZE"]):
        named = f"RANK={given['RANK']} and WORLD_SIZE={given['WORLD_SIZE']}"
        raise ConfigError(f"{named} name no process: 0 <= RANK < WORLD_SIZE is expected. Start with torchrun, or unset both.")
    rank, size = int(given["RANK"]), int(given["WORLD_SIZE"])
    if size > 1 and not dist.is_initialized():
        cuda = torch.cuda.is_available()
        if cuda:
            torch.cuda.set_device(int(environ.get("LOCAL_RANK", "0")))
        dist.init_process_group("nccl" if cuda else "gloo", rank=rank, world_size=size, timeout=timedelta(seconds=timeout_s))
    return World(rank, size)
