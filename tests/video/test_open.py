"""Opening sources: what a person may name as a video, and what they are told when it is none."""

import av
import numpy as np
import pytest

from vidseg.errors import VideoError
from vidseg.video import OverlayWriter, open_video


@pytest.fixture
def clip(tmp_path):
    """A video of 20 frames whose brightness tells the index."""
    path = tmp_path / "clip.mp4"
    with OverlayWriter(path, (48, 64), fps=10) as writer:
        for index in range(20):
            writer.write(np.full((48, 64, 3), 10 * index, np.uint8))
    return path


def test_a_video_file_is_a_sequence_of_frames(clip):
    video = open_video(clip)
    assert len(video) == 20
    assert [round(float(frame.image.mean()) / 10) for frame in video] == list(range(20))
    assert round(float(video[-3].image.mean()) / 10) == 17


def test_an_index_past_the_end_says_how_many_frames_there_are(clip):
    with pytest.raises(VideoError, match=r"frame 812 is past the end of clip.mp4 \(20 frames, 0-19\)"):
        open_video(clip)[812]


def test_a_file_without_video_is_refused(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"sound.wav has no video stream"):
        open_video(path)
