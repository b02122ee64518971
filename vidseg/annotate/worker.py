"""The one thread that owns the model: gestures first, then hovers, and propagation in between, a frame at a time."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")

GESTURE, HOVER = 0, 1
"""Priorities: the lower one goes first."""


class Worker:
    """A thread that runs what is submitted, by priority, and calls `idle` while nothing is.

    `idle()` does a small piece of background work and returns True, or returns False when there is none: the thread
    then sleeps until something is submitted or `wake` is called, at most `patience` seconds.
    """

    def __init__(self, idle: Callable[[], bool], *, patience: float = 0.2) -> None:
        self._idle = idle
        self._patience = patience
        self._queue: queue.PriorityQueue[tuple[int, int, Callable[[], Any] | None, Future[Any] | None]]
        self._queue = queue.PriorityQueue()
        self._order = itertools.count()
        self._thread = threading.Thread(target=self._run, name="vidseg-worker", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[], Result], *, priority: int = GESTURE) -> Future[Result]:
        """Run `work()` on the thread as soon as nothing more urgent waits."""
        future: Future[Result] = Future()
        self._queue.put((priority, next(self._order), work, future))
        return future

    def call(self, work: Callable[[], Result], *, priority: int = GESTURE) -> Result:
        """Run `work()` on the thread and return what it returns; from the thread itself, at once."""
        if threading.current_thread() is self._thread:
            return work()
        return self.submit(work, priority=priority).result()

    def wake(self) -> None:
        """Let the thread look for background work now."""
        self._queue.put((HOVER, next(self._order), None, None))

    def stop(self) -> None:
        """End the thread after the present piece of work; what still waits is cancelled."""
        if self._thread.is_alive():
            self._queue.put((-1, next(self._order), None, None))
            self._thread.join()

    def _run(self) -> None:
        busy = True
        while True:
            try:
                priority, _, work, future = self._queue.get(block=not busy, timeout=self._patience)
            except queue.Empty:
                busy = self._idle()
                continue
            if priority < 0:
                break
            busy = True
            if work is not None and future is not None and future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:
                    future.set_exception(error)
        while not self._queue.empty():
            future = self._queue.get()[3]
            if future is not None:
                future.cancel()
