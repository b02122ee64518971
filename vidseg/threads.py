"""How many threads a thread of ours computes on.

The decision to know: torch counts threads for each thread by itself, but a thread that computes for the first time
begins with what was set last anywhere, whatever it had set for itself before. So it is asked for its count first.
"""

from __future__ import annotations

import torch

__all__ = ["compute_on"]


def compute_on(count: int) -> None:
    """Let what this thread computes from here on be shared by `count` threads, at least one, whatever others set."""
    torch.get_num_threads()
    torch.set_num_threads(max(1, count))
