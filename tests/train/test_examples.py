"""Clips of a few masked frames: each shows its object where the mask says, and real frames come in order."""

import numpy as np
import pytest

from vidseg.errors import DataError
from vidseg.train import augment
from vidseg.train.sources import Example, Examples

RED, GREY = (220, 30, 30), (120, 120, 120)
SIZE = (64, 96)


def picture(left: int, grey: int = 120) -> tuple[np.ndarray, np.ndarray]:
    image, mask = np.full((96, 144, 3), grey, np.uint8), np.zeros((96, 144), bool)
    mask[30:70, left : left + 40] = True
    image[mask] = RED
    return image, mask


@pytest.fixture(autouse=True)
def plain_camera(monkeypatch) -> None:
    monkeypatch.setattr(augment, "apply", lambda images, look, rng: images)


def clips(source: Examples, count: int, frames: int = 3):
    return [source.clip(np.random.default_rng(n), frames=frames, size=SIZE, objects=1) for n in range(count)]


def redness(clip):
    """Mean over the frames of the share of clearly red pixels under the mask, and of masked among clearly red ones."""
    red = (clip.images[..., 0].astype(int) - clip.images[..., 1]) > 100
    mask = clip.masks[:, 0]
    return (red & mask).sum() / max(1, mask.sum()), (red & mask).sum() / max(1, red.sum())


def test_one_frame_makes_moving_pictures_with_the_mask_on_the_object():
    source = Examples([Example(*picture(50))], short_side=64)
    moved = 0
    for clip in clips(source, 12):
        assert clip.images.shape == (3, *SIZE, 3) and clip.masks.shape == (3, 1, *SIZE) and clip.valid.all()
        inside, covered = redness(clip)
        assert inside > 0.85 and covered > 0.8
        moved += not np.array_equal(clip.masks[0], clip.masks[2])
    assert moved >= 10


def test_frames_of_one_object_come_together_in_the_order_of_time_or_against_it():
    """Each frame has a grey of its own, so a clip tells which frames it is made of."""
    greys = {0: 60, 4: 110, 9: 160, 12: 210}
    source = Examples([Example(*picture(20 + 6 * n, grey), frame=n) for n, grey in greys.items()], short_side=64)
    together, directions = 0, set()
    for clip in clips(source, 40):
        shown = [
            int(np.median(image[~mask].reshape(-1, 3)[:, 1]))
            for image, mask in zip(clip.images, clip.masks[:, 0], strict=True)
        ]
        if len(set(shown)) > 1:
            together += 1
            assert shown in (sorted(shown), sorted(shown, reverse=True)) and set(shown) <= set(greys.values())
            directions.add(shown[0] < shown[-1])
    assert 10 <= together <= 30 and directions == {True, False}


def test_frames_of_several_objects_or_videos_are_not_mixed():
    parts = [Example(*picture(20, 60), object=1), Example(*picture(60, 200), object=2, frame=5)]
    parts += [Example(*picture(40, 130), object=1, frame=5, video=2)]
    for clip in clips(Examples(parts, short_side=64), 20):
        greys = {
            int(np.median(image[~mask].reshape(-1, 3)[:, 1]))
            for image, mask in zip(clip.images, clip.masks[:, 0], strict=True)
        }
        assert len(greys) == 1


def test_all_objects_are_shown_equally_often():
    many = [Example(*picture(20, 60), frame=n) for n in range(9)] + [Example(*picture(60, 200), object=2)]
    shown = [int(np.median(clip.images[0, 0])) for clip in clips(Examples(many, short_side=64), 60)]
    assert 15 <= sum(grey > 130 for grey in shown) <= 45


def test_a_picture_is_kept_once_and_not_larger_than_needed():
    image, mask = picture(50)
    large = np.repeat(np.repeat(image, 4, axis=0), 4, axis=1), np.repeat(np.repeat(mask, 4, axis=0), 4, axis=1)
    source = Examples([Example(*large), Example(large[0], large[1], object=2)], short_side=64)
    stills = [group.stills[0] for group in source.groups]
    assert stills[0].image is stills[1].image and min(stills[0].image.shape[:2]) == 96
    assert len(source) == 2 and source.report() == ()


def test_masks_too_small_to_be_seen_are_left_out_or_refused():
    image, mask = picture(50)
    speck = np.zeros_like(mask)
    speck[3, 3] = True
    assert len(Examples([Example(image, mask), Example(image, speck, frame=1)], short_side=64)) == 1
    with pytest.raises(DataError, match="no mask has 16 pixels"):
        Examples([Example(image, speck)], short_side=64)
