"""Frames come with the features that encoding them in turn gives, and no thread stays behind."""

import threading
from itertools import count

import numpy as np
import pytest
import torch
from golden import seeded_model

from vidseg import Frame
from vidseg.encode_ahead import encoded
from vidseg.errors import VideoError
from vidseg.picture import prepare


@pytest.fixture(scope="module")
def model():
    return seeded_model("tiny-test")


def frame(index):
    return Frame(index, index / 10, np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("threads", [1, 2])
def test_every_frame_has_its_own_features_but_those_to_skip(model, threads, use_threads):
    use_threads(threads)
    items = list(encoded(model, map(frame, range(4)), skip=lambda index: index == 2))
    assert [item.frame.index for item in items] == [0, 1, 2, 3]
    assert items[2].features is None
    for item in items[:2] + items[3:]:
        expected = model.encode_image(prepare(model, frame(item.frame.index).image)).vision
        torch.testing.assert_close(item.features.vision, expected, atol=1e-5, rtol=1e-5)


def test_what_fails_while_frames_are_made_is_raised_after_the_frames_before(model, use_threads):
    use_threads(2)

    def broken():
        yield frame(0)
        raise VideoError("the tail is broken")

    items = encoded(model, broken())
    assert next(items).frame.index == 0
    with pytest.raises(VideoError, match="the tail is broken"):
        next(items)


def test_closing_it_ends_its_thread_and_gives_the_cores_back(model, use_threads):
    use_threads(2)
    before = set(threading.enumerate())
    items = encoded(model, map(frame, count()))
    next(items)
    assert set(threading.enumerate()) > before
    items.close()
    assert set(threading.enumerate()) <= before
    assert torch.get_num_threads() == 2
