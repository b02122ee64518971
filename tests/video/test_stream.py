"""Pipes and URLs: frames once and in order, without a length."""

import http.server
import io
import subprocess
import sys
import threading
from functools import partial
from types import SimpleNamespace

import pytest
from numbered import number, numbers

from vidseg.errors import VideoError
from vidseg.video import UnknownLengthError, open_video


@pytest.fixture
def pipe(make_video, monkeypatch):
    """Put a video on standard input."""

    def put(name="clip.mkv", **settings):
        content = make_video(name, **settings).read_bytes()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content)))

    return put


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.h264"])
def test_a_pipe_gives_every_frame_with_its_number_and_time(pipe, name):
    pipe(name, options={"bf": "3", "g": "12"})
    video = open_video("-")
    frames = list(video)
    assert numbers(frames) == [frame.index for frame in frames] == list(range(40))
    assert [frame.seconds for frame in frames] == pytest.approx([i / 25 for i in range(40)], abs=1e-3)
    assert (video.size, video.known_length, video.name, video.path) == ((48, 64), False, "standard input", None)


def test_a_real_pipe_works_while_it_is_still_being_written(make_video):
    content = make_video("clip.mkv", options={"bf": "0", "g": "12"}).read_bytes()
    program = "from vidseg.video import open_video; print(sum(1 for _ in open_video('-')))"
    process = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(content[: len(content) // 2])
    process.stdin.flush()
    process.stdin.write(content[len(content) // 2 :])
    assert process.communicate(timeout=60)[0].strip() == b"40"


def test_a_stream_has_no_length_no_indices_and_no_way_back(pipe):
    pipe(count=5)
    video = open_video("-")
    for act in (lambda: len(video), lambda: video[0], lambda: video[1:2], lambda: video.times, lambda: reversed(video)):
        with pytest.raises(UnknownLengthError, match=r"the length of standard input is not known; loop over it"):
            act()
    assert bool(video)
    assert numbers(list(video)) == [0, 1, 2, 3, 4]


def test_a_second_loop_goes_on_where_the_first_stopped(pipe):
    pipe()
    video = open_video("-")
    assert numbers(video.frames(stop=5)) == [0, 1, 2, 3, 4]
    assert numbers(video.frames(7, 10)) == [7, 8, 9]
    with pytest.raises(VideoError, match=r"frame 3 of standard input has passed \(it is at frame 10\)"):
        video.frames(3)
    assert number(next(iter(video)).image) == 10


def test_an_empty_pipe_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"")))
    with pytest.raises(VideoError, match=r"^standard input "):
        open_video("-")


def test_a_pipe_without_video_is_refused(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"nothing to see " * 1000)))
    with pytest.raises(VideoError, match=r"^standard input is not a video, or is damaged or incomplete"):
        open_video("-")


def test_an_mp4_whose_index_is_at_its_end_is_refused_with_the_remedy(pipe):
    pipe("clip.mp4", codec="mjpeg", pix_fmt="yuvj420p", size=(240, 320))  # longer than any buffer
    with pytest.raises(VideoError, match=r"^standard input has a video stream .*ffmpeg -i IN -c copy -movflags \+"):
        open_video("-")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that does not print every request."""

    def log_message(self, *message):
        pass


def test_a_url_is_a_stream(make_video):
    path = make_video("clip.mkv")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(path.parent)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with open_video(f"http://127.0.0.1:{server.server_port}/clip.mkv") as video:
            assert numbers(video) == list(range(40))
        with pytest.raises(VideoError, match=r"nothing.mkv cannot be opened \("):
            open_video(f"http://127.0.0.1:{server.server_port}/nothing.mkv")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_url_where_nothing_listens_is_said_in_one_line():
    with pytest.raises(VideoError, match=r"http://127.0.0.1:9/clip.mp4 cannot be opened \(Connection refused\)"):
        open_video("http://127.0.0.1:9/clip.mp4")
