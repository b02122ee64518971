"""Decode ahead of whoever uses the frames: one thread, a bounded queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")
POLL_SECONDS = 0.05  # how soon a thread whose queue is full notices that nobody reads any more


def read_ahead(items: Iterable[T], depth: int = 4) -> Iterator[T]:
    """Yield the items of `items`, made in a thread up to `depth` ahead of the consumer.

    The thread starts with the first `next`. It ends when the items do, or when the consumer closes or drops the
    generator; a generator given as `items` is then closed too, in that thread. An exception in `items` is raised here,
    after the items before it.

    Args:
        items: what to read ahead, for instance `video.frames()`.
        depth: items kept ready, at least 1; each costs its memory (2.8 MB for a frame of 720p).
    """
    if depth < 1:
        raise ValueError(f"a queue of depth {depth} holds nothing; give at least 1")
    return _consume(items, depth)


def _consume(items: Iterable[T], depth: int) -> Iterator[T]:
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    stopped = threading.Event()
    thread = threading.Thread(target=_produce, args=(items, ready, stopped), name="vidseg-read-ahead", daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stopped.set()
        thread.join()


def _produce(items: Iterable[Any], ready: queue.Queue[tuple[str, Any]], stopped: threading.Event) -> None:
    """Fill the queue until the items end or the consumer has stopped."""
    iterator: Iterator[Any] = iter(())
    try:
        iterator = iter(items)
        for item in iterator:
            if not _put(ready, ("item", item), stopped):
                return
        _put(ready, ("end", None), stopped)
    except BaseException as error:
        _put(ready, ("error", error), stopped)
    finally:
        close = getattr(iterator, "close", None)
        if close is not None:
            close()


def _put(ready: queue.Queue[tuple[str, Any]], entry: tuple[str, Any], stopped: threading.Event) -> bool:
    """Put an entry in the queue; False when the consumer stopped first."""
    while not stopped.is_set():
        try:
            ready.put(entry, timeout=POLL_SECONDS)
            return True
        except queue.Full:
            continue
    return False
