"""Batches are the same with and without workers, and from any start."""

import multiprocessing
import os

import numpy as np
import pytest

from vidseg.errors import DataError
from vidseg.train.clip import Clip, Skip, from_labels
from vidseg.train.loader import clips

SHAPE = {"batch": 2, "frames": 3, "size": (16, 24), "objects": 1}


class Noise:
    """Random pixels with a square; fails on demand."""

    name = "noise"

    def __init__(self, *, fail_at: int | None = None) -> None:
        self.made, self.fail_at, self.skips = 0, fail_at, []

    def __len__(self) -> int:
        return 1

    def clip(self, rng: np.random.Generator, *, frames: int, size: tuple[int, int], objects: int) -> Clip:
        self.made += 1
        if self.fail_at is not None and self.made > self.fail_at:
            raise ValueError("out of noise")
        self.skips.append(Skip(f"item {len(self.skips)}", "made up"))
        labels = np.zeros((frames, *size), np.uint8)
        labels[:, 2:6, 2:6] = 1
        return from_labels(rng.integers(0, 256, (frames, *size, 3), dtype=np.uint8), labels, [1])

    def report(self) -> tuple[Skip, ...]:
        return tuple(self.skips)

    def note(self, skips) -> None:
        self.skips.extend(skips)


def _take(count: int, **changes) -> list[np.ndarray]:
    stream = clips(Noise(), seed=5, **{**SHAPE, **changes})
    try:
        return [clip.images for _ in range(count) for clip in next(stream)]
    finally:
        stream.close()


def test_two_workers_give_what_no_workers_give():
    np.testing.assert_array_equal(_take(5), _take(5, workers=2))


def test_a_resumed_stream_goes_on_where_the_first_stopped():
    np.testing.assert_array_equal(_take(4)[4:], _take(2, start=2))


def test_batches_differ_from_one_another():
    first, _, third, _ = _take(2)
    assert (first != third).any()


def test_what_a_worker_skips_reaches_the_source_of_the_caller():
    source = Noise()
    stream = clips(source, seed=0, workers=1, **SHAPE)
    next(stream)
    stream.close()
    assert len(source.report()) == 2


def test_an_error_in_a_worker_is_raised_here_and_ends_the_stream():
    stream = clips(Noise(fail_at=2), seed=0, workers=1, **SHAPE)
    next(stream)
    with pytest.raises(DataError, match="noise: batch 1 failed with ValueError: out of noise"):
        next(stream)


class Dying(Noise):
    """Takes its process with it."""

    def clip(self, rng, **shape) -> Clip:
        os._exit(1)


def test_a_worker_that_dies_is_an_error_and_not_a_wait_for_ever():
    with pytest.raises(DataError, match="a data worker ended unexpectedly"):
        next(clips(Dying(), seed=0, workers=1, **SHAPE))


def test_closing_the_stream_ends_the_workers():
    stream = clips(Noise(), seed=0, workers=2, **SHAPE)
    next(stream)
    assert len(multiprocessing.active_children()) == 2
    stream.close()
    assert multiprocessing.active_children() == []
