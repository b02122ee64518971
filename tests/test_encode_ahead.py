"""Frames come with the features that encoding them in turn gives, and no thread stays behind."""

import threading
from itertools import count

import numpy as np
import pytest
import torch
from golden import seeded_model

from vidseg import Frame
from vidseg.encode_ahead import Windows, encoded
from vidseg.errors import VideoError
from vidseg.picture import prepare
from vidseg.second_look import look
from vidseg.window import Window


@pytest.fixture(scope="module")
def model():
    return seeded_model("tiny-test")


def frame(index):
    return Frame(index, index / 10, np.random.default_rng(index).integers(0, 255, (48, 64, 3), dtype=np.uint8))


def told(windows):
    windows.after(())
    return True


@pytest.mark.parametrize("threads", [1, 2])
def test_every_frame_has_its_own_features_but_those_to_skip(model, threads, use_threads):
    use_threads(threads)
    windows = Windows((None,))
    found = encoded(model, map(frame, range(4)), windows, skip=lambda index: index == 2)
    items = [item for item in found if told(windows)]
    assert [item.frame.index for item in items] == [0, 1, 2, 3]
    assert items[2].view is None
    for item in items[:2] + items[3:]:
        expected = model.encode_image(prepare(model, frame(item.frame.index).image)).vision
        torch.testing.assert_close(item.view.features.vision, expected, atol=1e-5, rtol=1e-5)


def test_what_fails_while_frames_are_made_is_raised_after_the_frames_before(model, use_threads):
    use_threads(2)

    def broken():
        yield frame(0)
        raise VideoError("the tail is broken")

    items = encoded(model, broken(), Windows((None, None)))
    assert next(items).frame.index == 0
    with pytest.raises(VideoError, match="the tail is broken"):
        next(items)


def test_closing_it_ends_its_thread_and_gives_the_cores_back(model, use_threads):
    use_threads(2)
    before = set(threading.enumerate())
    items = encoded(model, map(frame, count()), Windows((None, None)))
    next(items)
    assert set(threading.enumerate()) > before
    items.close()
    assert set(threading.enumerate()) <= before
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize("threads", [1, 2])
def test_a_frame_is_seen_through_the_window_that_was_told_for_it(model, threads, use_threads):
    use_threads(threads)
    windows, given = Windows((None,)), [Window(n, n, n + 32, n + 24) for n in range(6)]
    seen = []
    for number, item in enumerate(encoded(model, map(frame, range(5)), windows)):
        seen.append(item.view.window)
        expected = look(model, item.frame.image, item.view.window, like=(48, 64)).features.vision
        torch.testing.assert_close(item.view.features.vision, expected, atol=1e-5, rtol=1e-5)
        windows.after(given[number : number + 2], waits=number == 1)
    assert seen == [Window(0, 0, 64, 48), *given[:2], given[2], given[3]]


def test_the_window_after_a_prompted_frame_waits_for_its_answer():
    windows, (a, b, c, d) = Windows((None,)), (Window(n, n, 9, 9) for n in range(4))
    windows.after((a, b))
    assert [*windows.told] == [None, a, b]
    windows.after((b, c), waits=True)
    assert [*windows.told] == [None, a, b]
    windows.after((d, d))
    assert [*windows.told] == [None, a, b, d, d]
