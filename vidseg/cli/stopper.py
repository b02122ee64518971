"""When a long run is to end with a checkpoint."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stopper(minutes: float | None) -> Iterator[Callable[[], bool]]:
    """True once the first Ctrl-C or SIGTERM came or the time is over; a second Ctrl-C interrupts at once.

    Signals mean again what they meant before when the block is left.
    """
    state = {"asked": False}

    def ask(number: int, frame: object) -> None:
        state["asked"] = True
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    end = None if minutes is None else time.monotonic() + 60 * minutes
    try:
        yield lambda: state["asked"] or (end is not None and time.monotonic() > end)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
