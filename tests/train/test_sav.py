"""SA-V's videos and JSON masks become folders that are a source."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vidseg.errors import DataError
from vidseg.masks import rle
from vidseg.train.sources import VideoFolders
from vidseg.train.sources.sav import unpack_sav

SIZE = (96, 128)


def write_sav(folder: Path, name: str, *, frames=12, mask_size=SIZE) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(folder / f"{name}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 24, SIZE[::-1])
    for t in range(frames):
        image = np.full((*SIZE, 3), 90, np.uint8)
        image[20:60, 10 + t : 60 + t] = (30, 30, 220)
        writer.write(image)
    writer.release()
    steps = []
    for t in range(0, frames, 4):
        large, small = np.zeros(mask_size, bool), np.zeros(mask_size, bool)
        large[20:60, 10 + t : 60 + t] = True
        small[30:40, 20 + t : 30 + t] = True
        steps.append([rle.encode(small), rle.encode(large)])
    (folder / f"{name}_manual.json").write_text(json.dumps({"video_id": name, "masklet": steps}))


def test_annotated_frames_are_written_reduced_and_the_smaller_mask_is_on_top(tmp_path):
    write_sav(tmp_path / "sav_000", "sav_000001")
    folders, skips = unpack_sav(tmp_path, tmp_path / "out", short_side=48)
    assert [folder.name for folder in folders] == ["sav_000001"] and skips == ()
    assert sorted(path.name for path in folders[0].iterdir()) == ["00000.webp", "00004.webp", "00008.webp"]
    labels = np.array(Image.open(tmp_path / "out/Annotations/sav_000001/00004.png"))
    assert labels.shape == (48, 64)
    assert labels[17, 15] == 1 and labels[12, 10] == 2 and labels[40, 40] == 0


def test_what_was_unpacked_is_a_source(tmp_path):
    write_sav(tmp_path / "sav", "one")
    unpack_sav(tmp_path / "sav", tmp_path / "out", short_side=96)
    clip = VideoFolders(tmp_path / "out").clip(np.random.default_rng(0), frames=3, size=(48, 64), objects=2)
    assert clip.valid.all() and clip.masks[0].any(axis=(1, 2)).all()


def test_finished_videos_are_left_as_they_are(tmp_path):
    write_sav(tmp_path / "sav", "one")
    folders, _ = unpack_sav(tmp_path / "sav", tmp_path / "out")
    (folders[0] / "00000.webp").unlink()
    again, _ = unpack_sav(tmp_path / "sav", tmp_path / "out")
    assert again == folders and not (folders[0] / "00000.webp").exists()


def test_bad_videos_are_named_and_the_others_unpacked(tmp_path):
    write_sav(tmp_path / "sav", "good")
    write_sav(tmp_path / "sav", "other-size", mask_size=(96, 256))
    write_sav(tmp_path / "sav", "bare")
    (tmp_path / "sav/bare_manual.json").unlink()
    folders, skips = unpack_sav(tmp_path / "sav", tmp_path / "out")
    assert [folder.name for folder in folders] == ["good"]
    assert {(Path(skip.path).stem, skip.reason) for skip in skips} == {
        ("bare", "no bare_manual.json beside it"),
        ("other-size", "ValueError: a mask is (256, 96) and the video (128, 96) pixels"),
    }
    assert len(VideoFolders(tmp_path / "out")) == 1


def test_a_folder_without_sav_videos_is_refused(tmp_path):
    with pytest.raises(DataError, match="no video with masks below"):
        unpack_sav(tmp_path, tmp_path / "out")
