"""A folder or pattern of images as a video."""

import numpy as np
import pytest
from numbered import number, numbers, picture
from PIL import Image

from vidseg.errors import VideoError
from vidseg.video import open_video

SIZE = (48, 64)


@pytest.fixture
def folder(tmp_path):
    """Frames 0 to 11 with numbers of different lengths, and files that are no frames."""
    path = tmp_path / "frames"
    path.mkdir()
    for index in range(12):
        Image.fromarray(picture(index, SIZE)).save(path / f"frame{index}.{'png' if index % 2 else 'PNG'}")
    (path / "notes.txt").write_text("not a frame")
    (path / ".hidden.png").write_bytes(b"")
    return path


def test_images_are_frames_in_natural_order(folder):
    video = open_video(folder)
    assert (len(video), video.size, video.name, video.path) == (12, SIZE, "frames", folder)
    assert numbers(video) == list(range(12))
    assert numbers(reversed(video)) == list(range(11, -1, -1))
    assert number(video[-2].image) == 10
    assert numbers(video[3:6]) == [3, 4, 5]


def test_frames_are_a_twenty_fourth_of_a_second_apart(folder):
    video = open_video(folder)
    assert video.fps == 24
    assert video.times == pytest.approx([i / 24 for i in range(12)])
    assert [frame.seconds for frame in video] == pytest.approx(list(video.times))


def test_a_pattern_selects_images(folder):
    assert numbers(open_video(str(folder / "frame1?.*"))) == [10, 11]


def test_a_folder_with_brackets_in_its_name_is_a_folder(folder):
    renamed = folder.rename(folder.with_name("take [1]"))
    assert len(open_video(str(renamed))) == 12


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "I;16", "CMYK"])
def test_every_kind_of_image_becomes_rgb(tmp_path, mode):
    grey = picture(37, SIZE)
    if mode == "I;16":
        image = Image.fromarray(grey[..., 0].astype(np.uint16) << 8)
    else:
        image = Image.fromarray(grey).convert(mode, dither=Image.Dither.NONE)
    image.save(tmp_path / ("0.tif" if mode == "CMYK" else "0.png"))
    frame = open_video(tmp_path)[0]
    assert frame.image.shape == (*SIZE, 3) and frame.image.dtype == np.uint8
    assert number(frame.image) == 37


def test_the_orientation_tag_is_applied(tmp_path):
    tags = Image.Exif()
    tags[0x0112] = 6  # stored lying on its left side
    Image.fromarray(np.rot90(picture(5, SIZE))).save(tmp_path / "0.jpg", exif=tags)
    video = open_video(tmp_path)
    assert video.size == SIZE
    assert number(video[0].image) == 5


def test_a_damaged_image_is_reported_and_skipped(folder):
    file = folder / "frame5.png"
    file.write_bytes(file.read_bytes()[:60])
    lost = []
    frames = list(open_video(folder).frames(on_error=lambda index, message: lost.append((index, message))))
    assert numbers(frames) == [frame.index for frame in frames] == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert lost[0][0] == 5 and lost[0][1].startswith("frame 5 of frames (frame5.png) cannot be decoded (")
    with pytest.raises(VideoError, match=r"frame 5 of frames \(frame5.png\) cannot be decoded"):
        open_video(folder)[5]


def test_an_image_that_changes_its_size_later_is_reported(folder):
    video = open_video(folder)
    Image.new("RGB", (10, 10)).save(folder / "frame5.png")
    with pytest.raises(VideoError, match=r"frame5.png\) has changed its size"):
        video[5]


def test_images_of_different_sizes_are_refused(folder):
    Image.new("RGB", (32, 20)).save(folder / "frame7.png")
    with pytest.raises(VideoError, match=r"frame7.png is 32x20 but frame0.PNG is 64x48; all images of a video must"):
        open_video(folder)


def test_a_folder_without_images_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing here")
    with pytest.raises(VideoError, match=r"holds no images \(.jpg, .jpeg, .png"):
        open_video(tmp_path)


def test_a_folder_of_broken_images_is_refused(tmp_path):
    (tmp_path / "0.png").write_bytes(b"no image")
    with pytest.raises(VideoError, match=r"none of the 1 images can be read; 0.png: "):
        open_video(tmp_path)


def test_a_pattern_without_matches_is_refused(tmp_path):
    with pytest.raises(VideoError, match=r"no file matches .*\*.png; give a pattern of images"):
        open_video(str(tmp_path / "*.png"))
