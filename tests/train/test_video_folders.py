"""Real video: every layout is understood, and masks stay where the colours are."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vidseg.errors import DataError
from vidseg.train import augment
from vidseg.train.sources import VideoFolders

RED, GREY = (220, 30, 30), (120, 120, 120)
SIZE = (72, 128)
SHAPE = {"frames": 3, "size": (48, 80), "objects": 2}


def _frame(t: int) -> tuple[np.ndarray, np.ndarray]:
    image, labels = np.full((*SIZE, 3), GREY, np.uint8), np.zeros(SIZE, np.uint8)
    image[20:50, 10 + 8 * t : 50 + 8 * t], labels[20:50, 10 + 8 * t : 50 + 8 * t] = RED, 1
    return image, labels


def write_video(
    images: Path, masks: Path, *, count=6, suffix=".jpg", every=1, value=1, per_object=False, extra_ids=()
) -> None:
    images.mkdir(parents=True, exist_ok=True)
    masks.mkdir(parents=True, exist_ok=True)
    for t in range(count):
        image, labels = _frame(t)
        Image.fromarray(image).save(images / f"{t:05d}{suffix}", quality=95)
        if t % every == 0:
            labels = labels * np.uint8(value)
            for i in extra_ids:
                labels[60:70, i : i + 10] = i
            target = masks / "000" if per_object else masks
            target.mkdir(exist_ok=True)
            Image.fromarray(labels).save(target / f"{t:05d}.png")


LAYOUTS = {
    "davis": lambda r: write_video(r / "JPEGImages/480p/bear", r / "Annotations/480p/bear"),
    "davis without 480p, 0/255": lambda r: write_video(r / "JPEGImages/bear", r / "Annotations/bear", value=255),
    "youtube-vos": lambda r: write_video(r / "train/JPEGImages/a", r / "train/Annotations/a", every=5, count=11),
    "mose": lambda r: write_video(r / "train/JPEGImages/0a1b", r / "train/Annotations/0a1b"),
    "sa-v": lambda r: write_video(
        r / "JPEGImages_24fps/v", r / "Annotations_6fps/v", every=4, count=12, per_object=True
    ),
    "plain": lambda r: write_video(r / "set/sequence", r / "set/sequence", suffix=".webp"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_is_read_and_masks_lie_on_the_object(tmp_path, monkeypatch, layout):
    monkeypatch.setattr(augment, "apply", lambda images, look, rng: images)
    LAYOUTS[layout](tmp_path)
    source = VideoFolders(tmp_path)
    assert len(source) == 1 and source.report() == ()
    inside = 0
    for seed in range(10):
        clip = source.clip(np.random.default_rng(seed), **SHAPE)
        assert clip.valid[0].all() and clip.masks[0].any()
        red = np.abs(clip.images.astype(int) - RED).max(-1) < 60
        for t in np.flatnonzero(clip.valid[:, 0]):
            inner = cv2.erode(clip.masks[t, 0].astype(np.uint8), np.ones((5, 5)), borderValue=0).astype(bool)
            outer = cv2.dilate(clip.masks[t, 0].astype(np.uint8), np.ones((5, 5))).astype(bool) | clip.ignore[t]
            assert red[t][inner].all() and not red[t][~outer].any()
            inside += inner.sum()
    assert inside > 3000


def test_frames_without_masks_are_not_valid_but_shown(tmp_path):
    LAYOUTS["youtube-vos"](tmp_path)
    source = VideoFolders(tmp_path)
    clips = [source.clip(np.random.default_rng(seed), **SHAPE) for seed in range(20)]
    assert any(not clip.valid.all() for clip in clips)
    assert any(clip.valid.all() for clip in clips)
    assert all(not clip.masks[~clip.valid].any() for clip in clips)


def test_255_is_ignored_where_there_are_other_objects(tmp_path):
    write_video(tmp_path / "s", tmp_path / "s", suffix=".webp", extra_ids=(255 - 255 + 2,))
    for path in (tmp_path / "s").glob("*.png"):
        labels = np.array(Image.open(path))
        labels[:10] = 255
        Image.fromarray(labels).save(path)
    source = VideoFolders(tmp_path)
    clips = [source.clip(np.random.default_rng(seed), **SHAPE) for seed in range(10)]
    assert any(clip.ignore[:, 2:6, 30:50].all() for clip in clips)
    assert not any((clip.masks.any(1) & clip.ignore).any() for clip in clips)


def test_the_same_generator_gives_the_same_clip(tmp_path):
    LAYOUTS["davis"](tmp_path)
    one, other = (VideoFolders(tmp_path).clip(np.random.default_rng(3), **SHAPE) for _ in range(2))
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.masks, other.masks)


def test_sequences_that_cannot_be_used_are_named(tmp_path):
    LAYOUTS["plain"](tmp_path)
    write_video(tmp_path / "JPEGImages/bare", tmp_path / "elsewhere")
    write_video(tmp_path / "set/short", tmp_path / "set/short", count=1, suffix=".webp")
    reasons = {Path(skip.path).name: skip.reason for skip in VideoFolders(tmp_path).report()}
    assert reasons == {
        "bare": "a sequence without masks",
        "short": "a sequence of fewer than two pictures",
        "elsewhere": "masks without pictures",
    }


def test_empty_folders_and_masks_without_a_picture_are_named(tmp_path):
    LAYOUTS["davis"](tmp_path)
    LAYOUTS["plain"](tmp_path)
    (tmp_path / "nothing").mkdir()
    (tmp_path / "set/sequence/00001.webp").unlink()
    tree = tmp_path / "Annotations/480p/gone"
    write_video(tmp_path / "JPEGImages/480p/gone", tree)
    for path in (tmp_path / "JPEGImages/480p/gone").iterdir():
        path.unlink()
    assert {(Path(skip.path).name, skip.reason) for skip in VideoFolders(tmp_path).report()} == {
        ("nothing", "an empty folder"),
        ("gone", "an empty folder"),
        ("gone", "masks without pictures"),
        ("00001.png", "mask without a picture"),
    }


def test_broken_frames_are_skipped_and_named(tmp_path):
    LAYOUTS["plain"](tmp_path)
    (tmp_path / "set/sequence/00002.webp").write_bytes(b"no picture")
    Image.fromarray(np.ones((5, 5), np.uint8)).save(tmp_path / "set/sequence/00004.png")
    source = VideoFolders(tmp_path)
    for seed in range(8):
        source.clip(np.random.default_rng(seed), **{**SHAPE, "frames": 2})
    assert {(Path(skip.path).name, skip.reason) for skip in source.report()} == {
        ("00002.webp", "cannot be decoded as an image"),
        ("00004.webp", "image is 128x72 and mask 5x5, expected equal sizes"),
    }


def test_a_sequence_whose_masks_are_all_empty_is_refused_when_used(tmp_path):
    write_video(tmp_path / "s", tmp_path / "s", suffix=".webp", value=0)
    with pytest.raises(DataError, match="no object was visible in 20 random places"):
        VideoFolders(tmp_path).clip(np.random.default_rng(0), **SHAPE)


def test_a_folder_without_video_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no sequence with masks below .*; skipped 1 item: 1 x an empty folder"):
        VideoFolders(tmp_path)


def test_real_training_videos_give_clips(shared):
    source = VideoFolders(shared / "data" / "train-videos")
    assert len(source) == 64
    for seed in range(5):
        assert source.clip(np.random.default_rng(seed), **SHAPE).masks[0].any(axis=(1, 2)).all()


def test_touching_objects_count_as_one_where_merging_is_certain(tmp_path):
    write_video(tmp_path / "s", tmp_path / "s", suffix=".webp")
    for path in (tmp_path / "s").glob("*.png"):
        labels = np.array(Image.open(path))
        labels[50:70][labels[30:50] == 1] = 2
        Image.fromarray(labels).save(path)
    counts = [
        {VideoFolders(tmp_path, merge=merge).clip(np.random.default_rng(s), **SHAPE).masks.shape[1] for s in range(12)}
        for merge in (0.0, 1.0)
    ]
    assert counts[0] >= {2} and counts[1] == {1}


def test_object_masks_of_unequal_sizes_are_named(tmp_path):
    LAYOUTS["sa-v"](tmp_path)
    other = tmp_path / "Annotations_6fps/v/001"
    other.mkdir()
    Image.fromarray(np.ones((7, 9), np.uint8)).save(other / "00004.png")
    source = VideoFolders(tmp_path)
    for seed in range(8):
        source.clip(np.random.default_rng(seed), **{**SHAPE, "frames": 2})
    assert [skip.reason for skip in source.report()] == ["the masks of its objects have unequal sizes"]


def test_a_check_finds_broken_frames_and_sequences_without_objects(tmp_path):
    LAYOUTS["plain"](tmp_path)
    write_video(tmp_path / "empty", tmp_path / "empty", suffix=".webp", value=0)
    (tmp_path / "set/sequence/00003.webp").write_bytes(b"no picture")
    assert {(Path(skip.path).name, skip.reason) for skip in VideoFolders(tmp_path).check()} == {
        ("empty", "a sequence whose masks hold no object"),
        ("00003.webp", "cannot be decoded as an image"),
    }
