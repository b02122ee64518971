"""Cameras: live frames by OpenCV, here with a device that is played."""

import cv2
import numpy as np
import pytest
from numbered import numbers, picture

from vidseg.errors import VideoError
from vidseg.video import UnknownLengthError, open_video


class PlayedCapture:
    """What a camera that gives `count` frames looks like to OpenCV; its pictures are BGR."""

    def __init__(self, count):
        self.images = [picture(i, (48, 64)) for i in range(count)]
        for image in self.images:
            image[0, 0] = (1, 2, 3)
        self.opened = None
        self.released = False

    def open(self, number):
        self.opened = number
        return True

    def read(self):
        return (True, self.images.pop(0)) if self.images else (False, None)

    def release(self):
        self.released = True


@pytest.fixture
def camera(monkeypatch):
    def connect(count):
        capture = PlayedCapture(count)
        monkeypatch.setattr(cv2, "VideoCapture", lambda: capture)
        return capture

    return connect


@pytest.mark.parametrize("source", [1, "1"])
def test_a_camera_gives_frames_until_it_is_closed(camera, source):
    capture = camera(6)
    with open_video(source) as video:
        assert (video.name, video.size, video.known_length, capture.opened) == ("camera 1", (48, 64), False, 1)
        frames = list(video.frames(stop=2)) + list(video)
    assert [frame.index for frame in frames] == numbers(frames) == [0, 1, 2, 3, 4, 5]
    assert frames[0].seconds == 0
    assert all(np.diff([frame.seconds for frame in frames]) >= 0)
    assert capture.released


def test_colours_come_as_rgb(camera):
    camera(1)
    assert next(iter(open_video(0))).image[0, 0].tolist() == [3, 2, 1]


def test_a_camera_has_no_length(camera):
    camera(2)
    with pytest.raises(UnknownLengthError, match=r"the length of camera 0 is not known"):
        len(open_video(0))


def test_a_camera_without_a_picture_is_refused(camera):
    capture = camera(0)
    with pytest.raises(VideoError, match=r"camera 0 is open but gives no picture"):
        open_video(0)
    assert capture.released


def test_a_missing_camera_is_said_in_one_line_and_nothing_else(capfd):
    with pytest.raises(VideoError, match=r"camera 97 cannot be opened; is it connected"):
        open_video(97)
    assert capfd.readouterr() == ("", "")
