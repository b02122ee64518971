"""Pieces of work done at the same time, each in a thread of its own on a share of the caller's.

The decision to know: on a CPU a small network gains little from several threads in one product, and much from several
products at a time, since threads that share a product wait for each other thousands of times a frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

import torch

from vidseg.threads import compute_on

__all__ = ["abreast"]

T = TypeVar("T")
R = TypeVar("R")


def abreast(work: Callable[[T], R], pieces: Sequence[T]) -> list[R]:
    """Return `work` of every piece, in their order; what one raises is raised when all have ended.

    Several pieces are begun at once and share out the threads that torch uses here, at least one for each.
    """
    if len(pieces) < 2:
        return [work(piece) for piece in pieces]
    threads, inference = torch.get_num_threads(), torch.is_inference_mode_enabled()
    share = threads // len(pieces)

    def there(piece: T) -> R:
        compute_on(share)
        with torch.inference_mode(inference):
            return work(piece)

    begun = [_pool(len(pieces) - 1).submit(there, piece) for piece in pieces[1:]]
    compute_on(share)
    try:
        first = work(pieces[0])
    finally:
        compute_on(threads)
        for one in begun:
            one.exception()  # waits
    return [first, *(one.result() for one in begun)]


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="vidseg-abreast")
