"""Batches of clips, made in worker processes, in an order that nothing but the seed decides.

Batch k is made from generators seeded with (seed, k, position), whoever makes it: with or without workers, first run or
resumed at `start=k`, the data are the same. Workers are spawned, get the source by pickling, and send finished batches
through a pipe; a pipe whose other end is gone ends the worker, so none outlives a killed training run.
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

import cv2
import numpy as np

from vidseg.errors import DataError, VidsegError
from vidseg.train.clip import Clip, Skip, Source


@dataclass(frozen=True, slots=True)
class Plan:
    """The shape of every batch: B clips of T frames of (H, W) with at most `objects` objects, and the seed.

    `first` is the position of the first clip in the whole batch, where several processes share one.
    """

    seed: int
    batch: int
    frames: int
    size: tuple[int, int]
    objects: int
    first: int = 0


def make_batch(source: Source, number: int, plan: Plan) -> list[Clip]:
    """Batch `number` (from 0) of `source`: a pure function of its arguments."""
    return [
        source.clip(
            np.random.default_rng([plan.seed, number, position]),
            frames=plan.frames,
            size=plan.size,
            objects=plan.objects,
        )
        for position in range(plan.first, plan.first + plan.batch)
    ]


def clips(
    source: Source,
    *,
    seed: int,
    batch: int,
    frames: int,
    size: tuple[int, int],
    objects: int,
    workers: int = 0,
    start: int = 0,
    first: int = 0,
    ahead: int = 4,
) -> Iterator[list[Clip]]:
    """Batches `start`, `start` + 1, ... of `source`, without end.

    Args:
        source: what makes the clips; must pickle when `workers` > 0.
        seed, batch, frames, size, objects, first: see `Plan`.
        workers: processes that make batches; 0 makes them here.
        start: number of the first batch; a resumed run passes the step it had reached.
        ahead: finished batches kept waiting, besides one in each worker.

    Closing the iterator (or dropping it) ends the workers.

    Raises:
        DataError: a worker died, or the source has nothing left to give.
    """
    plan = Plan(seed, batch, frames, size, objects, first)
    if workers <= 0:
        return (make_batch(source, number, plan) for number in _count(start))
    return _from_workers(source, plan, workers=workers, start=start, ahead=ahead)


def _count(start: int) -> Iterator[int]:
    while True:
        yield start
        start += 1


def _from_workers(source: Source, plan: Plan, *, workers: int, start: int, ahead: int) -> Iterator[list[Clip]]:
    context = multiprocessing.get_context("spawn")
    connections: list[Connection] = []
    processes = []
    ready: queue.Queue = queue.Queue(maxsize=max(1, ahead))
    stop = threading.Event()
    try:
        for worker in range(workers):
            here, there = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(source, plan, start + worker, workers, there), daemon=True)
            process.start()
            there.close()
            connections.append(here)
            processes.append(process)
        reader = threading.Thread(target=_collect, args=(connections, ready, stop), daemon=True)
        reader.start()
        while True:
            batch, skips, error = ready.get()
            source.note(skips)
            if error is not None:
                raise error
            yield batch
    finally:
        stop.set()
        for process in processes:
            process.terminate()
        for process in processes:
            process.join()
        for connection in connections:
            with suppress(OSError):
                connection.close()


def _collect(connections: list[Connection], ready: queue.Queue, stop: threading.Event) -> None:
    """Take batches from the workers in turn, so that their order is the order of the numbers."""
    turn = 0
    while not stop.is_set():
        try:
            message = connections[turn].recv()
        except (EOFError, OSError, TypeError):
            message = ([], (), DataError("a data worker ended unexpectedly; use fewer workers or a smaller cache"))
        while not stop.is_set():
            with suppress(queue.Full):
                ready.put(message, timeout=0.2)
                break
        if message[2] is not None:
            return
        turn = (turn + 1) % len(connections)


def _work(source: Source, plan: Plan, number: int, step: int, connection: Connection) -> None:
    """Make batches `number`, `number` + `step`, ... and send each with the skips met since the last."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)
    known = 0
    while True:
        batch: list[Clip] = []
        error: VidsegError | None = None
        try:
            batch = make_batch(source, number, plan)
        except VidsegError as problem:
            error = problem
        except Exception as problem:
            error = DataError(f"{source.name}: batch {number} failed with {type(problem).__name__}: {problem}")
        report: tuple[Skip, ...] = source.report()
        try:
            connection.send((batch, report[known:], error))
        except (BrokenPipeError, OSError):
            return
        if error is not None:
            return
        known = len(report)
        number += step
