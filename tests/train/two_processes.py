"""Run by test_distributed in two processes: a few steps on given clips, the numbers written to a file by rank 0."""

from __future__ import annotations

import sys
from dataclasses import replace

import torch

from vidseg.train import distributed
from vidseg.train.clip import Clip, stack
from vidseg.train.config import OptimiserConfig, SourceConfig, StageConfig, TrainConfig
from vidseg.train.data import build_source, fixed_clips
from vidseg.train.run import start, step
from vidseg.train.user import PromptConfig

CONFIG = TrainConfig(
    model="tiny-test",
    sources=(SourceConfig("scenes"),),
    stages=(StageConfig(3, (64, 64), 3, 2, 3),),
    optimiser=OptimiserConfig(warmup=0, ema=0.5),
    prompts=PromptConfig(correct=1.0),
    dtype="float32",
)


def clips(number: int) -> list[Clip]:
    """The four clips of batch `number`; they have unequal numbers of objects, and one has frames unannotated."""
    source = build_source(CONFIG.sources, ".")
    four = fixed_clips(source, 4, seed=number, frames=3, size=(64, 64), objects=3)
    valid = four[0].valid.copy()
    valid[1:] = False
    return [replace(four[0], valid=valid), *four[1:]]


def numbers(place: distributed.Place) -> dict:
    """Losses of three steps and the weights after them."""
    torch.manual_seed(0)
    run = start(CONFIG, torch.device("cpu"))
    share = 4 // place.world
    losses = []
    for number in range(3):
        mine = clips(number)[place.rank * share : (place.rank + 1) * share]
        losses.append(step(run, CONFIG, CONFIG.stages[0], iter([stack(mine)]), place))
    return {"losses": torch.stack(losses), "weights": dict(run.model.named_parameters())}


if __name__ == "__main__":
    torch.set_num_threads(1)
    where = distributed.join()
    found = numbers(where)
    if where.rank == 0:
        torch.save(found, sys.argv[1])
    distributed.leave()
