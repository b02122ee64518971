"""One thread that does tasks in order behind a bounded queue, for work that need not hold up the caller."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType

__all__ = ["Worker"]


class Worker:
    """A context manager: `put` tasks, which run one after the other in a thread.

    Leaving the block waits for all tasks, also when the block raises, so that finished work is not lost. The first
    task that raises ends the work: later tasks are dropped, and its error is raised by the next `put` or at the end.
    """

    def __init__(self, depth: int = 4) -> None:
        self._tasks: queue.Queue[Callable[[], object] | None] = queue.Queue(depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="vidseg-worker", daemon=True)

    def put(self, task: Callable[[], object]) -> None:
        """Add a task; waits while `depth` tasks are waiting already."""
        if self._error is not None:
            raise self._error
        self._tasks.put(task)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            if self._error is None:
                try:
                    task()
                except BaseException as error:
                    self._error = error

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.put(None)
        self._thread.join()
        if self._error is not None and self._error is not error:
            raise self._error
