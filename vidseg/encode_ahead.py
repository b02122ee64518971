"""Frames with their features, encoded ahead of the tracker: what a frame looks like does not depend on the past.

The decision to know: on a CPU a small network spends as much time waiting for its own threads as computing. So the
next frame is encoded in a thread of its own, on a share of the cores, while this one is tracked on the others. Large
networks keep all cores busy by themselves, and a GPU computes in order anyway: there a frame is encoded in its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import NamedTuple

import torch

from vidseg.model import ImageFeatures, Sam2
from vidseg.picture import prepare
from vidseg.types import Frame
from vidseg.video import read_ahead

__all__ = ["Encoded", "encoded", "lanes", "pays"]

_SMALL = 512  # pixels of the input's long side up to which a network counts as small


class Encoded(NamedTuple):
    """A frame and its features, None where they are not wanted."""

    frame: Frame
    features: ImageFeatures | None


def encoded(
    model: Sam2, frames: Iterable[Frame], *, skip: Callable[[int], bool] = lambda index: False
) -> Generator[Encoded, None, None]:
    """Yield `frames` with their features, those whose index is to `skip` without; close it to stop the threads."""
    threads = torch.get_num_threads()
    if not pays(model):
        yield from _each(model, frames, skip)
        return
    torch.set_num_threads(threads - threads // 2)
    try:
        yield from read_ahead(_each(model, frames, skip, threads=threads // 2), depth=1)
    finally:
        torch.set_num_threads(threads)


def pays(model: Sam2) -> bool:
    """Whether frames are better encoded beside the tracking than in between."""
    return model.device.type == "cpu" and model.config.image_size <= _SMALL and torch.get_num_threads() > 1


def lanes(model: Sam2) -> int:
    """In how many lanes to follow objects beside such encoding (`tracker.Setting`): they get its cores, too, when it
    waits.
    """
    return torch.get_num_threads() if pays(model) else 1


def _each(
    model: Sam2, frames: Iterable[Frame], skip: Callable[[int], bool], *, threads: int | None = None
) -> Iterator[Encoded]:
    if threads is not None:
        torch.set_num_threads(threads)  # of the thread that this runs in
    for frame in frames:
        if skip(frame.index):
            yield Encoded(frame, None)
            continue
        with torch.inference_mode():
            features = model.encode_image(prepare(model, frame.image))
        yield Encoded(frame, features)
