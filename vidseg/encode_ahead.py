"""Frames with their features, encoded ahead of the tracker: what is seen through a window does not depend on the past.

The decision to know: on a CPU a small network spends as much time waiting for its own threads as computing. So the
next frame is encoded in a thread of its own, on a share of the cores, while this one is tracked on the others. Large
networks keep all cores busy by themselves, and a GPU computes in order anyway: there a frame is encoded in its turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch

from vidseg.model import Sam2
from vidseg.second_look import View
from vidseg.threads import compute_on
from vidseg.tracker import look_at
from vidseg.types import Frame
from vidseg.window import Window

__all__ = ["Encoded", "Windows", "encoded", "lanes", "pays"]

_SMALL = 512  # pixels of the input's long side up to which a network counts as small


class Encoded(NamedTuple):
    """A frame and what is seen of it, None where that is not wanted."""

    frame: Frame
    view: View | None


class Windows:
    """The windows through which to look at coming frames, one for each, None for all of it: `after` a frame they are
    told, and `encoded` takes them.
    """

    def __init__(self, first: Sequence[Window | None]) -> None:
        self.told = deque(first)
        self._ahead = len(first)

    def after(self, gaze: Sequence[Window], *, waits: bool = False) -> None:
        """A frame was tracked: tell the windows of `gaze` (see `TrackerState`) that were not told.

        With `waits` no more than that of the next frame, which has a prompt: the answer decides where to look after it.
        """
        coming: Sequence[Window | None] = gaze or (None, None)
        fresh = coming[self._ahead - 1 : 1 if waits else 2]
        self.told.extend(fresh)
        self._ahead += len(fresh) - 1


def encoded(
    model: Sam2, frames: Iterable[Frame], windows: Windows, *, skip: Callable[[int], bool] = lambda index: False
) -> Generator[Encoded, None, None]:
    """Yield `frames` with what is seen of them through `windows`, which are told after each; those whose index is to
    `skip` without. Close it to stop the threads.
    """
    source, threads = iter(frames), torch.get_num_threads()

    def see(window: Window | None) -> Encoded | None:
        frame = next(source, None)
        if frame is None:
            return None
        return Encoded(frame, None if skip(frame.index) else look_at(model, frame, window))

    if not pays(model):
        while (item := see(windows.told.popleft())) is not None:
            yield item
        return

    def see_beside(window: Window | None) -> Encoded | None:
        compute_on(threads // 2)
        return see(window)

    compute_on(threads - threads // 2)
    pool, begun = ThreadPoolExecutor(1, thread_name_prefix="vidseg-encode"), deque[Future[Encoded | None]]()
    try:
        while True:
            while windows.told:
                begun.append(pool.submit(see_beside, windows.told.popleft()))
            item = begun.popleft().result()
            if item is None:
                return
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
        compute_on(threads)
        if isinstance(source, Generator):
            source.close()


def pays(model: Sam2) -> bool:
    """Whether frames are better encoded beside the tracking than in between."""
    return model.device.type == "cpu" and model.config.image_size <= _SMALL and torch.get_num_threads() > 1


def lanes(model: Sam2) -> int:
    """In how many lanes to follow objects beside such encoding (`tracker.Setting`): they get its cores, too, when it
    waits.
    """
    return torch.get_num_threads() if pays(model) else 1
