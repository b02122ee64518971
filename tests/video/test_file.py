"""Video files: exact numbers and times whatever the codec, the container and the order of reading."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numbered import number, numbers, picture, write_video

from vidseg.errors import VideoError
from vidseg.types import Frame
from vidseg.video import FrameIndexError, file, open_video
from vidseg.video.container import Clock
from vidseg.video.picture import Converter

B_FRAMES = {"bf": "3", "g": "12"}
OPEN_GOP = {**B_FRAMES, "x264-params": "open-gop=1:b-pyramid=2:scenecut=0"}
IRREGULAR = [Fraction(0), *(Fraction(int(t), 600) for t in np.random.default_rng(0).integers(5, 60, 39).cumsum())]
KINDS = {
    "B-frames": ("clip.mp4", {"options": B_FRAMES}),
    "open groups": ("clip.mp4", {"options": OPEN_GOP}),
    "open groups in a transport stream": ("clip.ts", {"options": OPEN_GOP}),
    "open groups in Matroska": ("clip.mkv", {"options": OPEN_GOP}),
    "a keyframe every second frame": ("clip.mp4", {"options": {"bf": "2", "g": "2"}}),
    "variable frame rate": ("clip.mp4", {"options": B_FRAMES, "times": IRREGULAR}),
    "B-frames in AVI, which has no times": ("clip.avi", {"codec": "mpeg4", "options": {"bf": "2", "g": "12"}}),
    "H.264 in AVI": ("clip.avi", {"options": {"bf": "2", "g": "12"}, "time_base": Fraction(1, 25)}),
    "MPEG-2 program stream": ("clip.mpg", {"codec": "mpeg2video", "options": {"bf": "2", "g": "12"}}),
    "no container": ("clip.h264", {"options": B_FRAMES}),
    "invisible VP8 frames": (
        "clip.webm",
        {
            "codec": "libvpx",
            "size": (96, 128),
            "options": {"auto-alt-ref": "1", "lag-in-frames": "20", "g": "20", "cpu-used": "5"},
        },
    ),
    "HEVC": ("clip.mp4", {"codec": "libx265", "options": {"x265-params": "log-level=none:keyint=12:open-gop=1"}}),
    "fragmented mp4": (
        "clip.mp4",
        {"options": B_FRAMES, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    ),
    "10 bits": ("clip.mp4", {"pix_fmt": "yuv420p10le"}),
    "grey": ("clip.mp4", {"pix_fmt": "gray"}),
    "odd size": ("clip.mkv", {"codec": "ffv1", "size": (47, 61)}),
    "alpha": ("clip.mov", {"codec": "qtrle", "pix_fmt": "argb", "size": (47, 61)}),
    "palette": ("clip.gif", {"codec": "gif", "pix_fmt": "rgb8", "time_base": Fraction(1, 100)}),
    "motion JPEG": ("clip.avi", {"codec": "mjpeg", "pix_fmt": "yuvj420p"}),
}


@pytest.fixture(scope="module", params=KINDS, ids=list(KINDS))
def kind(request, tmp_path_factory):
    name, settings = KINDS[request.param]
    return write_video(tmp_path_factory.mktemp("kind") / name, **settings), settings


def test_every_order_of_reading_gives_the_same_numbered_frames(kind):
    path, settings = kind
    with open_video(path) as video:
        assert video.size == settings.get("size", (48, 64))
        assert len(video) == 40
        assert numbers(video) == list(range(40))
        assert numbers(reversed(video)) == list(range(39, -1, -1))
        shuffled = np.random.default_rng(1).permutation(40)
        assert [number(video[int(i)].image) for i in shuffled] == list(shuffled)
        assert numbers(video.frames(17, 23)) == list(range(17, 23))


def test_every_frame_has_the_index_and_time_that_were_written(kind):
    path, settings = kind
    times = settings.get("times", [Fraction(i, 25) for i in range(40)])
    with open_video(path) as video:
        assert [frame.index for frame in video] == list(range(40))
        assert [frame.seconds for frame in video] == pytest.approx([float(time) for time in times], abs=1e-6)
        assert video.times == pytest.approx([frame.seconds for frame in reversed(video)][::-1])
        assert video[31].seconds == pytest.approx(video.times[31])


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_video_is_upright(make_video, degrees):
    video = open_video(make_video(rotation=degrees, count=2))
    assert video.size == ((48, 64) if degrees == 180 else (64, 48))
    turns = {90: 3, 180: 2, 270: 1}[degrees]  # quarter turns anticlockwise that undo the rotation
    assert numbers([Frame(f.index, f.seconds, np.rot90(f.image, turns)) for f in video]) == [0, 1]


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((-1, 0, 0, -1), lambda image: image[::-1, ::-1]),
        ((0, 1, 1, 0), lambda image: image.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda image: image[::-1, ::-1].transpose(1, 0, 2)),
        ((0, 1, -1, 0), lambda image: np.rot90(image, -1)),
        ((0, -1, 1, 0), np.rot90),
    ],
)
def test_every_display_matrix_is_applied(make_video, matrix, upright):
    """All seven were compared with the pictures of the ffmpeg program, and were equal bit for bit."""
    if not hasattr(av.VideoStream, "set_display_matrix"):
        pytest.skip("needs a PyAV that can write a display matrix")
    stored = open_video(make_video("stored.mp4", count=1))[0].image
    shown = open_video(make_video("shown.mp4", count=1, matrix=matrix))[0].image
    assert np.array_equal(shown, upright(stored))


def test_a_picture_of_another_size_in_mid_stream_is_scaled_to_the_first(make_video):
    small, large = (av.VideoFrame.from_ndarray(picture(9, size), format="rgb24") for size in ((48, 64), (96, 128)))
    converter = Converter(small, "clip", Clock(0.04, 0.0, 25.0))
    assert converter.image(large).shape == (48, 64, 3)
    assert number(converter.image(large)) == 9


def test_a_picture_track_that_starts_late_keeps_its_delay(make_video, tmp_path):
    path = make_video("late.mp4", options={"bf": "0"}, times=[Fraction(i, 25) + Fraction(1, 2) for i in range(5)])
    joined = tmp_path / "joined.mkv"
    with_sound(path, joined)
    assert open_video(joined).times[:2] == pytest.approx([0.5, 0.54], abs=2e-3)


def test_a_file_that_starts_late_as_a_whole_starts_at_zero(make_video):
    assert open_video(make_video("late.ts", times=[Fraction(i + 250, 25) for i in range(5)])).times[0] == 0


def test_a_damaged_frame_is_reported_and_the_others_keep_their_numbers(make_video):
    path = make_video("clip.mp4", size=(240, 320), codec="mjpeg", pix_fmt="yuvj420p", count=20)
    damage_packet(path, 7)
    video, lost = open_video(path), []
    frames = list(video.frames(on_error=lambda index, message: lost.append((index, message))))
    assert [frame.index for frame in frames] == [i for i in range(20) if i != 7]
    assert numbers(frames) == [frame.index for frame in frames]
    assert lost[0][0] == 7 and lost[0][1].startswith("frame 7 of clip.mp4 cannot be decoded (")
    assert len(video) == 20


def test_a_damaged_frame_warns_when_nobody_asked_for_errors(make_video):
    path = make_video("clip.mp4", size=(240, 320), codec="mjpeg", pix_fmt="yuvj420p", count=10)
    damage_packet(path, 7)
    video = open_video(path)
    with pytest.warns(UserWarning, match=r"frame 7 of clip.mp4 cannot be decoded"):
        assert len(list(video[5:9])) == 3


def test_a_damaged_frame_raises_when_it_is_asked_for(make_video):
    path = make_video("clip.mp4", size=(240, 320), codec="mjpeg", pix_fmt="yuvj420p", count=10)
    damage_packet(path, 7)
    with pytest.raises(VideoError, match=r"frame 7 of clip.mp4 cannot be decoded"):
        open_video(path)[7]


@pytest.mark.parametrize("name", ["clip.mkv", "clip.ts", "clip.mp4"])
def test_a_broken_tail_loses_only_the_tail(make_video, name):
    movflags = {"movflags": "faststart"} if name.endswith("mp4") else {}
    path = make_video(name, size=(240, 320), options=B_FRAMES, container_options=movflags)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.7)])
    video, lost = open_video(path), []
    frames = list(video.frames(on_error=lambda index, message: lost.append(index)))
    assert 20 < len(frames) < 40
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert numbers(frames[:-1]) == list(range(len(frames) - 1))  # the cut frame itself may be patched up
    assert len(frames) + len(lost) == len(video)
    backwards = list(video.frames(reverse=True, on_error=lambda index, message: None))
    assert [frame.index for frame in backwards] == [frame.index for frame in frames][::-1]


def test_reading_backwards_holds_a_bounded_number_of_pictures(make_video, monkeypatch):
    monkeypatch.setattr(file, "REVERSE_BYTES", 10 * 48 * 64 * 3)
    video = open_video(make_video(options={"g": "100", "sc_threshold": "0"}))
    assert video._runs(3, 40) == [(3, 13), (13, 23), (23, 33), (33, 40)]
    assert numbers(video.frames(3, 40, reverse=True)) == list(range(39, 2, -1))


def test_a_wrong_keyframe_index_costs_time_but_not_exactness(make_video, monkeypatch):
    video = open_video(make_video(options=B_FRAMES))
    assert len(video) == 40
    monkeypatch.setattr("vidseg.video.seek.Seeker._seek", lambda self, index, position: None)
    assert numbers([video[30], video[2]]) == [30, 2]


def test_neighbours_and_repeats_are_exact_too(make_video):
    video = open_video(make_video(options=B_FRAMES))
    order = [5, 5, 6, 9, 9, 8, 11, 12, 13, 35, 36, 39, 39, 0]
    assert [number(video[i].image) for i in order] == order


def test_a_loop_and_single_frames_do_not_disturb_each_other(make_video):
    video = open_video(make_video(options=B_FRAMES))
    for frame in video:
        assert number(frame.image) == frame.index
        assert number(video[39 - frame.index].image) == 39 - frame.index


def test_a_slice_is_a_lazy_sequence_that_keeps_frame_numbers(make_video):
    part = open_video(make_video())[10:30]
    assert len(part) == 20 and part.size == (48, 64)
    assert part[0].index == 10 and part[-1].index == 29
    assert numbers(part[5:0:-2]) == [15, 13, 11]
    assert numbers(part[3:6]) == [13, 14, 15]
    assert numbers(reversed(part)) == list(range(29, 9, -1))
    assert part.times[0] == pytest.approx(0.4)
    assert list(part[5:5]) == []


def test_indices_behave_as_those_of_a_list(make_video):
    video = open_video(make_video(count=5))
    assert video[-1].index == 4
    assert video[np.int64(2)].index == 2
    with pytest.raises(FrameIndexError, match=r"frame 5 is past the end of clip.mp4 \(5 frames, 0-4\)"):
        video[5]
    with pytest.raises(IndexError, match=r"frame -6 is before the start of clip.mp4"):
        video[-6]
    with pytest.raises(IndexError, match=r"frame 9 is outside this slice of clip.mp4 \(2 frames\)"):
        video[1:3][9]


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        (50, None, r"frame 50 is past the end of clip.mp4 \(5 frames, 0-4\)"),
        (-1, None, r"frames of clip.mp4 cannot start at -1; frame numbers start at 0"),
        (3, 2, r"frames 3 to 2 of clip.mp4 are no range"),
    ],
)
def test_an_impossible_range_is_refused(make_video, start, stop, message):
    with pytest.raises(VideoError, match=message):
        open_video(make_video(count=5)).frames(start, stop)


def test_an_empty_range_is_empty_in_both_directions(make_video):
    video = open_video(make_video(count=5))
    assert list(video.frames(2, 2)) == list(video.frames(0, 0)) == list(video.frames(2, 2, reverse=True)) == []


def test_opening_and_looping_leave_no_file_open(make_video):
    descriptors = Path("/proc/self/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc to see open files")
    path = make_video()

    def opened() -> int:  # this file alone: what other tests left may be closed at any time
        return sum(os.path.realpath(one) == os.path.realpath(path) for one in descriptors.iterdir())

    with open_video(path) as video:
        next(iter(video)), video[3], list(video[3:6])
        assert opened()
    assert not opened()


def test_real_clips_are_the_same_forwards_backwards_and_at_random(shared):
    video = open_video(shared / "data" / "clips" / "bedroom.mp4")
    forward = {frame.index: frame.image for frame in video.frames(20, 30)}
    for frame in video.frames(20, 30, reverse=True):
        assert np.array_equal(frame.image, forward[frame.index])
    for index in (29, 24):
        assert np.array_equal(video[index].image, forward[index])


def damage_packet(path, position):
    """Overwrite the data of one packet, leaving the container whole."""
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    offset, size = packets[position]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = bytes(size)
    path.write_bytes(content)


def with_sound(path, joined):
    """Put a second of silence that starts at 0 beside the pictures of `path`."""
    with av.open(str(path)) as source, av.open(str(joined), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.rate, frame.pts = 8000, 0
        target.mux(sound.encode(frame))
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
