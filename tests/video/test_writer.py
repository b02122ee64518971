"""The overlay video: times, size and sound of the source, and a whole file or none."""

import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest
from numbered import numbers, picture, write_video

from vidseg.errors import VideoError
from vidseg.video import OverlayWriter, open_video

SIZE = (48, 64)


def write_copy(source, target, *, start=0, stop=None, audio=None):
    """Write the frames of a video with their own times."""
    video = open_video(source)
    with OverlayWriter(target, video.size, fps=video.fps, audio=audio) as writer:
        for frame in video.frames(start, stop):
            writer.write(frame.image, frame.seconds)
    return open_video(target)


def with_sound(path, *, codec="aac", seconds=2.0, name="sound.mp4"):
    """Return a copy of a video with a rising tone beside it."""
    joined = path.with_name(name)
    with av.open(str(path)) as source, av.open(str(joined), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream(codec, rate=48000, layout="mono")
        tone = np.sin(np.linspace(0, 4000, int(48000 * seconds)) ** 1.3).astype(np.float32)
        samples = (tone * 20000).astype(np.int16)[None] if codec.startswith("pcm") else tone[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16" if codec.startswith("pcm") else "fltp", layout="mono")
        frame.rate, frame.pts = 48000, 0
        packets = [packet for packet in source.demux(video=0) if packet.size]
        for packet in packets:
            packet.stream = video
            target.mux(packet)
        target.mux(sound.encode(frame))
        target.mux(sound.encode(None))
    return joined


def sound_packets(path):
    """Return (seconds, data) of the sound's packets."""
    with av.open(str(path)) as container:
        return [(float(p.pts * p.time_base), bytes(p)) for p in container.demux(audio=0) if p.size]


def test_frame_times_of_the_source_are_kept(make_video, tmp_path):
    times = [Fraction(0), *(Fraction(int(t), 600) for t in np.random.default_rng(0).integers(5, 60, 29).cumsum())]
    source = make_video(count=30, times=times, options={"bf": "3"})
    result = write_copy(source, tmp_path / "overlay.mp4")
    assert result.size == SIZE
    assert numbers(result) == list(range(30))
    assert result.times == pytest.approx([float(time) for time in times], abs=1 / 90_000)


def test_the_result_is_h264_that_browsers_play(tmp_path):
    with OverlayWriter(tmp_path / "overlay.mp4", SIZE, fps=25) as writer:
        writer.write(picture(1, SIZE))
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
    head = (tmp_path / "overlay.mp4").read_bytes()
    assert head.index(b"moov") < head.index(b"mdat")  # playable before it is all there


def test_colours_survive(tmp_path):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :32], image[:, 32:64], image[:, 64:] = (200, 30, 30), (30, 200, 30), (30, 30, 200)
    with OverlayWriter(tmp_path / "overlay.mp4", (64, 96), fps=25) as writer:
        writer.write(image)
    result = open_video(tmp_path / "overlay.mp4")[0].image.astype(int)
    for column, expected in ((16, (200, 30, 30)), (48, (30, 200, 30)), (80, (30, 30, 200))):
        assert np.abs(result[32, column] - expected).max() <= 6


def test_an_odd_size_is_padded_and_said(tmp_path):
    with OverlayWriter(tmp_path / "overlay.mp4", (47, 61), fps=25) as writer:
        assert writer.encoded_size == (48, 62)
        writer.write(np.full((47, 61, 3), 200, np.uint8))
    result = open_video(tmp_path / "overlay.mp4")[0].image
    assert result.shape == (48, 62, 3)
    assert result.min() > 190


def test_without_times_the_rate_or_the_given_times_count(tmp_path):
    for name, settings in (("rate.mp4", {"fps": 10}), ("times.mp4", {"times": [0, 0.1, 0.2]})):
        with OverlayWriter(tmp_path / name, SIZE, **settings) as writer:
            for index in range(3):
                writer.write(picture(index, SIZE))
        assert open_video(tmp_path / name).times == pytest.approx([0, 0.1, 0.2], abs=1e-4)


def test_sound_is_copied_bit_for_bit_at_its_time(make_video, tmp_path):
    source = with_sound(make_video(count=50))
    write_copy(source, tmp_path / "overlay.mp4", audio=source)
    before, after = sound_packets(source), sound_packets(tmp_path / "overlay.mp4")
    assert len(after) > 90
    assert after == [(pytest.approx(seconds, abs=1e-4), data) for seconds, data in before[: len(after)]]


def test_an_excerpt_starts_at_zero_with_its_own_sound(make_video, tmp_path):
    source = with_sound(make_video(count=100), seconds=4.0)
    result = write_copy(source, tmp_path / "overlay.mp4", start=50, stop=75, audio=source)
    assert numbers(result) == list(range(50, 75))
    assert result.times[[0, -1]] == pytest.approx([0, 24 / 25], abs=1e-4)
    before = {data: seconds for seconds, data in sound_packets(source)}
    after = sound_packets(tmp_path / "overlay.mp4")
    assert len(after) >= 40
    for seconds, data in after:
        assert before[data] - 2.0 == pytest.approx(seconds, abs=1e-3)


def test_sound_that_mp4_cannot_hold_is_left_out_with_a_warning(make_video, tmp_path):
    source = with_sound(make_video("clip.mkv", count=5, options={"bf": "0"}), codec="pcm_u8", name="sound.mkv")
    with pytest.warns(UserWarning, match=r"the sound of sound.mkv is left out: mp4 cannot hold pcm_u8"):
        result = write_copy(source, tmp_path / "overlay.mp4", audio=source)
    assert len(result) == 5


def test_a_source_without_sound_gives_a_file_without_sound(make_video, tmp_path):
    source = make_video(count=5)
    write_copy(source, tmp_path / "overlay.mp4", audio=source)
    with av.open(str(tmp_path / "overlay.mp4")) as container:
        assert not container.streams.audio


def test_an_error_while_writing_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match=r"^mine$"), OverlayWriter(tmp_path / "overlay.mp4", SIZE) as writer:
        writer.write(picture(0, SIZE))
        assert (tmp_path / "overlay.mp4.part").exists()
        raise RuntimeError("mine")
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_an_older_file_as_it_was(tmp_path):
    old = write_video(tmp_path / "overlay.mp4", count=3)
    content = old.read_bytes()
    with pytest.raises(RuntimeError, match=r"^mine$"), OverlayWriter(old, SIZE) as writer:
        writer.write(picture(0, SIZE))
        raise RuntimeError("mine")
    assert old.read_bytes() == content


def test_no_frame_is_no_video(tmp_path):
    with pytest.raises(VideoError, match=r"no frame was written to .*overlay.mp4"):
        OverlayWriter(tmp_path / "overlay.mp4", SIZE).close()
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_said_in_one_line(tmp_path):
    with pytest.raises(VideoError, match=r"overlay.mp4 cannot be written \(No such file or directory\)"):
        OverlayWriter(tmp_path / "nowhere" / "overlay.mp4", SIZE)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "overlay.mp4.part").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 256, (40, 240, 320, 3), dtype=np.uint8)
    with (
        pytest.raises(VideoError, match=r"overlay.mp4 cannot be written \(No space left on device\)") as caught,
        OverlayWriter(tmp_path / "overlay.mp4", (240, 320)) as writer,
    ):
        for image in noise:
            writer.write(image)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on the size of files")
def test_a_disk_that_fills_up_at_the_very_end_leaves_nothing(tmp_path):
    program = f"""
import resource, numpy as np
from vidseg.errors import VideoError
from vidseg.video import OverlayWriter
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
try:
    with OverlayWriter({str(tmp_path / "overlay.mp4")!r}, (48, 64)) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
except VideoError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "overlay.mp4 cannot be written (File too large)" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("image", "seconds", "message"),
    [
        (
            np.zeros((40, 64, 3), np.uint8),
            1.0,
            r"a frame of shape \(40, 64, 3\) uint8 for overlay.mp4; expected",
        ),
        (np.zeros((48, 64, 3), np.float32), 1.0, r"a frame of shape \(48, 64, 3\) float32 for overlay.mp4"),
        (
            np.zeros((48, 64, 3), np.uint8),
            0.5,
            r"a frame at 0.500 s after one at 0.500 s; write frames in order",
        ),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(tmp_path, image, seconds, message):
    with pytest.raises(VideoError, match=message), OverlayWriter(tmp_path / "overlay.mp4", SIZE) as writer:
        writer.write(picture(0, SIZE), 0.5)
        writer.write(image, seconds)


def test_more_frames_than_times_are_refused(tmp_path):
    message = r"frame 1 of overlay.mp4 has no time: 1 times were given"
    with pytest.raises(VideoError, match=message), OverlayWriter(tmp_path / "overlay.mp4", SIZE, times=[0.0]) as writer:
        writer.write(picture(0, SIZE))
        writer.write(picture(1, SIZE))
