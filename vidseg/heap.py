"""The C library's heap: one for all threads, so that what one of them gave back another can take."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

_ARENA_MAX = -8  # M_ARENA_MAX of glibc's malloc.h


def share_heap() -> None:
    """Let all threads allocate from one heap; call it before there are any.

    glibc gives each thread a heap of its own and keeps in each what was freed there, in pieces of the size of feature
    maps. Following three objects of 854x480, with a thread each to decode, to encode ahead, to follow and to write,
    that was 80 MB of 740 at the same speed. Elsewhere than on Linux with glibc nothing happens.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)
