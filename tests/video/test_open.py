"""Opening sources: who gets what, and what a person is told when a source is no video."""

import shutil
import sys
from types import ModuleType
from unittest.mock import Mock

import av
import numpy as np
import pytest
from numbered import numbers
from PIL import Image

from vidseg.errors import VideoError
from vidseg.video import Video, file, open, open_video


@pytest.mark.parametrize("as_type", [str, lambda path: path])
def test_paths_and_strings_open_the_same_video(make_video, as_type):
    path = make_video(count=3)
    video = open_video(as_type(path))
    assert numbers(video) == [0, 1, 2]
    assert (video.name, video.path, video.size, video.fps) == ("clip.mp4", path, (48, 64), 25)
    assert video.known_length and isinstance(video, Video)


@pytest.mark.parametrize("name", ["we:ird #1 50% é.mp4", "take [1].mp4", "-.mp4", "1.mp4", "no suffix"])
def test_strange_names_are_names(make_video, name):
    path = make_video(count=3)
    assert numbers(open_video(str(shutil.move(path, path.with_name(name))))) == [0, 1, 2]


def test_a_single_picture_is_a_video_of_one_frame(tmp_path):
    Image.new("RGB", (64, 48), (10, 200, 30)).save(tmp_path / "photo.png")
    video = open_video(tmp_path / "photo.png")
    assert len(video) == 1
    assert (video[0].image == (10, 200, 30)).all()


def test_a_missing_file_is_said_so(tmp_path):
    with pytest.raises(VideoError, match=r"dance.mp4 does not exist; give a video file, a folder or pattern of images"):
        open_video(tmp_path / "dance.mp4")


def test_an_empty_file_is_said_so(tmp_path):
    (tmp_path / "dance.mp4").touch()
    with pytest.raises(VideoError, match=r"dance.mp4 is empty \(0 bytes\)"):
        open_video(tmp_path / "dance.mp4")


@pytest.mark.parametrize("name", ["dance.mp4", "dance.avi", "dance.bin"])
def test_random_bytes_are_no_video(tmp_path, name):
    (tmp_path / name).write_bytes(np.random.default_rng(0).bytes(20_000))
    with pytest.raises(VideoError, match=rf"{name} is not a video, or is damaged or incomplete \(Invalid data"):
        open_video(tmp_path / name)


def test_an_mp4_without_its_index_is_incomplete(make_video):
    path = make_video()
    path.write_bytes(path.read_bytes()[:-400])
    with pytest.raises(VideoError, match=r"clip.mp4 is not a video, or is damaged or incomplete"):
        open_video(path)


def test_a_text_file_is_no_video(tmp_path):
    (tmp_path / "notes.txt").write_text("FFmpeg would play this as a film of a terminal\n" * 50)
    with pytest.raises(VideoError, match=r"notes.txt is a text file, not a video"):
        open_video(tmp_path / "notes.txt")


def test_a_video_without_a_single_good_frame_is_refused(make_video):
    path = make_video(codec="mjpeg", pix_fmt="yuvj420p", count=3)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for offset, size in packets:
        content[offset : offset + size] = bytes(size)
    path.write_bytes(content)
    with pytest.raises(VideoError, match=r"clip.mp4 has a video stream but not one frame of it can be decoded"):
        open_video(path)


@pytest.mark.parametrize("with_cover", [False, True])
def test_music_is_no_video_even_with_a_cover_picture(tmp_path, with_cover):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        if with_cover:
            cover = container.add_stream("png", rate=1)
            cover.width, cover.height, cover.pix_fmt = 64, 48, "rgb24"
            cover.disposition = av.stream.Disposition.attached_pic
        sound = container.add_stream("aac", rate=48000, layout="mono")
        if with_cover:
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux([*cover.encode(picture), *cover.encode()])
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.rate = 48000
        container.mux([*sound.encode(frame), *sound.encode()])
    with pytest.raises(VideoError, match=r"song.mp4 has no video stream \(it holds: audio"):
        open_video(path)


@pytest.mark.parametrize("source", [None, 3.5, True, ["a.mp4"]])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(VideoError, match=rf"cannot open a {type(source).__name__} as a video; give a path, a URL"):
        open_video(source)


def test_a_new_reader_is_one_file_and_one_line(monkeypatch):
    reader = ModuleType("vidseg.video.tape")
    reader.accepts = lambda source: source == "tape"
    reader.open = Mock(return_value="the video")
    monkeypatch.setitem(sys.modules, "vidseg.video.tape", reader)
    monkeypatch.setattr(
        sys.modules["vidseg.video.open"], "READERS", ("tape", *sys.modules["vidseg.video.open"].READERS)
    )
    assert open_video("tape") == "the video"
    reader.open.assert_called_once_with("tape", backend="auto")


def test_the_last_reader_takes_what_is_left():
    assert open.READERS[-1] == "file"
    assert file.accepts("anything")


def test_importing_the_video_package_loads_neither_opencv_nor_decord_nor_torch():
    import subprocess

    program = "import sys, vidseg.video; print([m for m in ('cv2', 'decord', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
