"""Pseudo-videos: the masks are where the colours are, whatever moves over them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vidseg.errors import ConfigError, DataError
from vidseg.train import augment
from vidseg.train.sources import Recipe, Stills, stills
from vidseg.train.sources.still import neighbour

RED, BLUE, GREY = (220, 30, 30), (30, 30, 220), (120, 120, 120)
CALM = Recipe(extras=0, leave=0, shadow=0, smear=0)
SHAPE = {"frames": 4, "size": (48, 80), "objects": 2}


def write_still(
    folder: Path, name: str, *, size=(90, 140), objects=((20, 20, 60, 60, RED), (80, 30, 115, 75, BLUE))
) -> None:
    image = np.full((*size, 3), GREY, np.uint8)
    labels = np.zeros(size, np.uint8)
    for number, (x1, y1, x2, y2, colour) in enumerate(objects, 1):
        image[y1:y2, x1:x2], labels[y1:y2, x1:x2] = colour, number
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(folder / f"{name}.webp", lossless=True)
    Image.fromarray(labels, mode=None).save(folder / f"{name}.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        write_still(tmp_path / "set", f"{number}")
    return tmp_path


@pytest.fixture
def plain_camera(monkeypatch) -> None:
    monkeypatch.setattr(augment, "apply", lambda images, look, rng: images)


def inner(mask: np.ndarray, width: int = 5) -> np.ndarray:
    """`mask` (H, W) bool without its edge."""
    return cv2.erode(np.pad(mask, 1).astype(np.uint8), np.ones((width, width)))[1:-1, 1:-1].astype(bool)


def many(source: Stills, count: int, **changes):
    return [source.clip(np.random.default_rng(seed), **{**SHAPE, **changes}) for seed in range(count)]


@pytest.mark.parametrize(
    "kind", [{"whole": 1.0, "apart": 0.0}, {"whole": 0.0, "apart": 1.0}, {"whole": 0.0, "apart": 0.0}]
)
def test_pixels_inside_a_mask_have_the_colour_of_the_object(folder, plain_camera, kind):
    source = Stills(folder, recipe=replace(CALM, **kind))
    seen = 0
    for clip in many(source, 10):
        for t in range(len(clip.images)):
            for mask in clip.masks[t]:
                colours = clip.images[t][inner(mask)].astype(int)
                red_or_blue = np.minimum(
                    np.abs(colours - RED).max(1, initial=0), np.abs(colours - BLUE).max(1, initial=0)
                )
                assert (red_or_blue < 12).all()
                seen += len(colours)
    assert seen > 2000


def test_in_a_whole_picture_every_red_pixel_is_in_the_mask(folder, plain_camera):
    for clip in many(Stills(folder, recipe=replace(CALM, whole=1.0, apart=0.0)), 10):
        pure = (
            (np.abs(clip.images.astype(int) - RED).max(-1) < 3) | (np.abs(clip.images.astype(int) - BLUE).max(-1) < 3)
        ) & ~clip.ignore
        if clip.masks.shape[1] == 2:
            assert (clip.masks.any(axis=1) | ~pure).all()


def test_the_same_generator_gives_the_same_clip_whatever_was_made_before(folder):
    fresh, used = Stills(folder), Stills(folder)
    many(used, 5)
    for one, other in zip(many(fresh, 3), many(used, 3), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.masks, other.masks)


def test_every_object_is_visible_on_the_first_frame_and_no_pixel_is_in_two_masks(folder):
    for clip in many(Stills(folder), 25):
        assert clip.masks[0].any(axis=(1, 2)).all()
        assert (clip.masks.sum(axis=1) <= 1).all()
        assert not (clip.masks.any(axis=1) & clip.ignore).any()
        assert clip.valid.all()


def test_objects_that_leave_are_absent_in_some_frame_and_come_back_in_some_clip(folder):
    source = Stills(folder, recipe=Recipe(whole=0, apart=0, leave=1.0, extras=0, fast=0.2))
    visible = [clip.masks[:, 0].any(axis=(1, 2)) for clip in many(source, 30, frames=6, objects=1)]
    assert any(not seen.all() for seen in visible)
    assert any((~seen[:-1] & seen[1:]).any() for seen in visible)


def test_clips_have_the_asked_shape(folder):
    clip = Stills(folder).clip(np.random.default_rng(0), frames=5, size=(30, 50), objects=1)
    assert clip.images.shape == (5, 30, 50, 3)
    assert clip.masks.shape == (5, 1, 30, 50)


def test_bad_files_are_skipped_and_named(folder):
    write_still(folder, "unequal")
    Image.fromarray(np.ones((5, 5), np.uint8)).save(folder / "unequal.png")
    write_still(folder, "broken")
    (folder / "broken.webp").write_bytes(b"no picture")
    write_still(folder, "empty", objects=())
    write_still(folder, "lonely")
    (folder / "lonely.png").unlink()
    source = Stills(folder)
    many(source, 40)
    reasons = {Path(skip.path).name: skip.reason for skip in source.report()}
    assert reasons == {
        "unequal.webp": "image is 140x90 and mask 5x5, expected equal sizes",
        "broken.webp": "cannot be decoded as an image",
        "empty.webp": "the mask holds no object of 24 pixels or more",
        "lonely.webp": "picture without a mask",
    }


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"no picture with an index PNG of the same name below .*: 1 x an empty folder"):
        Stills(tmp_path)


def test_a_folder_of_broken_files_is_refused_when_used(tmp_path):
    write_still(tmp_path, "broken")
    (tmp_path / "broken.webp").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"found no usable still .*: 1 x cannot be decoded as an .*: .*broken[.]webp"):
        Stills(tmp_path).clip(np.random.default_rng(0), **SHAPE)


def test_255_is_ignored_in_stills(tmp_path):
    write_still(tmp_path, "one")
    labels = np.array(Image.open(tmp_path / "one.png"))
    labels[:, :10] = 255
    Image.fromarray(labels).save(tmp_path / "one.png")
    source = Stills(tmp_path, recipe=replace(CALM, whole=1.0, apart=0.0))
    assert any(clip.ignore[0][:, :2].all() or clip.ignore.any() for clip in many(source, 5))
    assert max(clip.masks.shape[1] for clip in many(source, 5, objects=5)) == 2


def test_touching_objects_count_as_one_now_and_then(tmp_path, plain_camera):
    write_still(tmp_path, "pair", objects=((30, 20, 60, 60, RED), (60, 20, 90, 60, BLUE)))
    merging = replace(CALM, whole=1.0, apart=0.0, merge=1.0)
    for clip in many(Stills(tmp_path, recipe=merging), 6):
        inside = clip.images[0][inner(clip.masks[0, 0])].astype(int)
        assert clip.masks.shape[1] == 1
        assert all((np.abs(inside - colour).max(1) < 12).any() for colour in (RED, BLUE))


def test_only_objects_that_touch_are_neighbours():
    labels = np.zeros((30, 60), np.uint8)
    labels[5:25, 5:20], labels[5:25, 21:35], labels[5:25, 50:60] = 1, 2, 3
    assert neighbour(labels, 1) == 2 and neighbour(labels, 2) == 1 and neighbour(labels, 3) is None


def test_objects_too_small_for_the_clips_are_an_error_and_not_a_search_for_ever(folder, monkeypatch):
    monkeypatch.setattr(stills, "min_area_px", lambda size: 10**6)
    with pytest.raises(DataError, match="no object stays visible on the first frame at 80x48"):
        many(Stills(folder), 1)


def test_masks_in_colours_are_named(folder):
    write_still(folder, "coloured")
    Image.fromarray(np.zeros((90, 140, 3), np.uint8)).save(folder / "coloured.png")
    source = Stills(folder)
    many(source, 15)
    assert [skip.reason for skip in source.report()] == ["is a mask of mode RGB, expected an index image (P or L)"]


def test_a_check_finds_all_bad_files_and_leaves_good_ones_alone(folder):
    for number in range(3):
        write_still(folder, f"broken{number}")
        (folder / f"broken{number}.webp").write_bytes(b"no picture")
    names = [Path(skip.path).stem for skip in Stills(folder).check()]
    assert names == ["broken0", "broken1", "broken2"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"leave": 1.5}, "leave is 1.5; expected a share from 0 to 1"),
        ({"slow": 3.0}, "slow is 3.0 and fast 2.0; expected 0 < slow <= fast"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Recipe(**changes)


def test_the_kinds_of_a_recipe_are_shares_whatever_the_rounding():
    assert Recipe(whole=0.7, apart=0.3).kinds[2] >= 0
    assert Recipe(whole=1.0).kinds == (1, 0, 0)
    assert sum(Recipe().kinds) == pytest.approx(1)
