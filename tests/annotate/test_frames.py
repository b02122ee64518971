"""Cursors: exact frames in any order, and no seeking while frames are asked for more or less in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import shapes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vidseg.annotate import Project, Refused
from vidseg.annotate.frames import Cursor, Frames, encode
from vidseg.errors import VideoError
from vidseg.types import Frame
from vidseg.video import Video
from vidseg.video.video import Lost


class Counted(Video):
    """24 one-pixel frames whose colour is their number; counts how often reading begins anew; frame 7 is broken."""

    name, size, fps = "counted", (2, 2), 24.0

    def __init__(self) -> None:
        self.begun = 0

    def _measure(self) -> np.ndarray:
        return np.arange(24) / 24

    def _frame(self, index: int) -> Frame | Lost:
        return (
            Lost(index, "frame 7 is broken") if index == 7 else Frame(index, 0.0, np.full((2, 2, 3), index, np.uint8))
        )

    def _forward(self, start: int, stop: int | None) -> Iterator[Frame | Lost]:
        self.begun += 1
        for index in range(start, 24 if stop is None else stop):
            yield self._frame(index)

    def _read(self, index: int) -> Frame | Lost:
        return self._frame(index)

    def _backward(self, start: int, stop: int) -> Iterator[Frame | Lost]:
        self.begun += 1
        for index in range(stop - 1, start - 1, -1):
            yield self._frame(index)


def read(cursor: Cursor, index: int) -> int:
    frame = cursor.read(index)
    assert frame.index == index
    return int(frame.image[0, 0, 0])


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 23).filter(lambda n: n != 7), max_size=20))
def test_frames_are_exact_in_any_order(order: list[int]) -> None:
    cursor = Cursor(Counted())
    assert [read(cursor, index) for index in order] == order


@pytest.mark.parametrize("order", [range(24), [1, 0, 3, 2, 6, 5, 4, 8, 9, 12, 11, 10], [0, 4, 8, 12]])
def test_playing_seeks_once_even_if_requests_overtake_each_other(order: list[int]) -> None:
    video = Counted()
    cursor = Cursor(video)
    cursor.read(0)
    for index in order:
        if index != 7:
            read(cursor, index)
    assert video.begun == 1


def test_stepping_back_decodes_on_backwards() -> None:
    video = Counted()
    cursor = Cursor(video)
    assert [read(cursor, index) for index in range(23, 12, -1)] == list(range(23, 12, -1))
    assert video.begun == 2


def test_a_broken_frame_is_an_error_when_it_is_asked_for_and_not_before() -> None:
    cursor = Cursor(Counted())
    assert [read(cursor, index) for index in (5, 6, 8, 9)] == [5, 6, 8, 9]
    with pytest.raises(VideoError, match="frame 7 is broken"):
        cursor.read(7)
    assert read(cursor, 8) == 8


def test_reading_ahead_gives_the_same_frames() -> None:
    cursor = Cursor(Counted(), ahead=3)
    assert [read(cursor, index) for index in (0, 1, 2, 9, 10, 3, 2, 1)] == [0, 1, 2, 9, 10, 3, 2, 1]
    cursor.close()


def test_a_video_that_is_gone_is_unavailable(tmp_path: Path) -> None:
    clip = shapes.write(tmp_path / "clip", frames=3)
    with Project.open(tmp_path / "p.vidseg", create=True) as project:
        project.add_video(clip)
        clip.rename(tmp_path / "moved")
        frames = Frames(project)
        with pytest.raises(Refused, match="is not there any more") as caught:
            frames.picture(1, 0)
        assert caught.value.code == "unavailable"
        project.relink(1, tmp_path / "moved")
        assert frames.picture(1, 0).startswith(b"\xff\xd8")
        frames.close()


def test_a_picture_is_never_enlarged() -> None:
    image = shapes.draw(0)
    assert len(encode(image, form="png", width=9999)) == len(encode(image, form="png"))
