"""Several processes as one: who am I, and sums over all. Without `torchrun` every function does nothing.

Gradients are summed here rather than by DistributedDataParallel: the losses are divided by the counts of all
processes, so a sum is what is needed, and parts of the network that a batch does not use need no special care.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Place(NamedTuple):
    """This process's number, how many there are, and its number on its own machine."""

    rank: int = 0
    world: int = 1
    local: int = 0


def join() -> Place:
    """Join the processes that `torchrun` started (gloo on CPUs, NCCL on GPUs); alone without it."""
    if "RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Place()
    place = Place(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), int(os.environ.get("LOCAL_RANK", "0")))
    if torch.cuda.is_available():
        torch.cuda.set_device(place.local)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    return place


def leave() -> None:
    """Take leave of the others, if there are any."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def summed(values: Tensor) -> Tensor:
    """The sum of `values` over all processes, without gradient."""
    if not (dist.is_available() and dist.is_initialized()):
        return values.detach()
    total = values.detach().clone()
    dist.all_reduce(total)
    return total


def sum_gradients(parameters: Iterable[Tensor]) -> None:
    """Replace every gradient by its sum over all processes; a missing one counts as zero."""
    if not (dist.is_available() and dist.is_initialized()):
        return
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in trained:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([parameter.grad.flatten() for parameter in trained if parameter.grad is not None])
    dist.all_reduce(flat)
    start = 0
    for parameter in trained:
        assert parameter.grad is not None
        parameter.grad.copy_(flat[start : start + parameter.numel()].view_as(parameter))
        start += parameter.numel()


def anyone(flag: bool, device: torch.device) -> bool:
    """True where `flag` is true in any process; asks the device, so not for every step on a GPU."""
    if not (dist.is_available() and dist.is_initialized()):
        return flag
    return bool(summed(torch.tensor(float(flag), device=device)) > 0)
