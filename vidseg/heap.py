"""What libraries keep for themselves: few heaps for all threads, and no more prepared programs than are in use."""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import suppress

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1  # of glibc's malloc.h
_LARGE, _SPARE = 1 << 25, 1 << 28  # bytes: 32 MiB is the most that is taken for the threshold
_HEAPS = 5
_PROGRAMS = 320  # with 192 three objects are followed as fast as with 1024, with 128 a frame takes half as long again


def share_heaps() -> None:
    """Let all threads allocate from five heaps, which keep what is freed; call it before there are any.

    glibc gives each thread a heap of its own and keeps in each what was freed there, in pieces of the size of feature
    maps. Following three objects of 854x480, with two threads that follow, one that encodes ahead and some more that
    decode and write, that is 585 to 590 MB. With one heap it is 552 to 560, but those three threads take a quarter more
    processor time; with five it is 564 to 569 at nearly the speed of many.

    And glibc gives larger pieces back to the system at once, which clears every page of them when they are asked for
    again in the next layer: of three objects that are followed as one batch, a tenth of a frame. Without glibc nothing
    happens.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):
            library = ctypes.CDLL(None)
            library.mallopt(_ARENA_MAX, _HEAPS)
            library.mallopt(_MMAP_THRESHOLD, _LARGE)
            library.mallopt(_TRIM_THRESHOLD, _SPARE)


def keep_few_programs() -> None:
    """Let oneDNN keep 320 of the programs that it makes instead of 1024; call it before anything is computed.

    It makes one for every shape of a product, of up to 0.8 MB in bfloat16 with AMX, and regions and memories come in
    many shapes: 29 MB of 516 after 120 frames with three objects, and more with every new shape.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_PROGRAMS))
