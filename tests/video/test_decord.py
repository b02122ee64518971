"""The decord backend: the same frames as PyAV, bit for bit, and a sentence where it sees others."""

import sys

import numpy as np
import pytest
from numbered import number

from vidseg.errors import VideoError
from vidseg.video import open_video

pytest.importorskip("decord", reason="needs decord")


@pytest.mark.parametrize("options", [{"bf": "3", "g": "12"}, {"bf": "0", "g": "100"}])
def test_both_backends_give_equal_frames(make_video, options):
    path = make_video(options=options)
    ours, theirs = open_video(path, backend="pyav"), open_video(path, backend="decord")
    assert len(ours) == len(theirs) == 40
    for index in np.random.default_rng(0).permutation(40):
        mine, other = ours[int(index)], theirs[int(index)]
        assert np.array_equal(mine.image, other.image)
        assert (mine.index, mine.seconds) == (other.index, other.seconds)


def test_both_backends_give_equal_frames_of_a_real_clip(shared):
    path = shared / "data" / "clips" / "bedroom.mp4"
    ours, theirs = open_video(path, backend="pyav"), open_video(path, backend="decord")
    for index in (9, 20, 3):
        assert np.array_equal(ours[index].image, theirs[index].image)


def test_automatic_is_pyav_as_measured_and_does_not_import_decord(make_video, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    assert number(open_video(make_video())[30].image) == 30


def test_decord_missing_is_said_in_one_line(make_video, monkeypatch):
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(VideoError, match=r"decord is not installed; run: pip install decord"):
        open_video(make_video(), backend="decord")


def test_a_file_that_decord_sees_differently_is_refused(make_video):
    with pytest.raises(VideoError, match=r"decord finds .* in clip.mp4 where FFmpeg finds .*; use backend=\"pyav\""):
        open_video(make_video(rotation=90, count=3), backend="decord")


def test_an_unknown_backend_is_refused(make_video):
    with pytest.raises(VideoError, match=r"video backend 'opencv' is not known; choose one of auto, pyav, decord"):
        open_video(make_video(count=2), backend="opencv")
