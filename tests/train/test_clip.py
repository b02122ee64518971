"""Clips, their stacking, and how skipped items are counted."""

import numpy as np

from vidseg.train.clip import Clip, Skip, SkipList, from_labels, min_area_px, pick_objects, stack, summary


def _clip(count: int) -> Clip:
    labels = np.zeros((2, 10, 20), np.uint8)
    for number in range(1, count + 1):
        labels[:, number, : 5 * number] = number
    labels[1, 9] = 255
    return from_labels(np.full((2, 10, 20, 3), count, np.uint8), labels, range(1, count + 1), source="here")


def test_labels_become_masks_and_255_becomes_ignore():
    clip = _clip(2)
    assert clip.masks.shape == (2, 2, 10, 20) and clip.masks.sum(axis=(0, 2, 3)).tolist() == [10, 20]
    assert clip.ignore.sum(axis=(1, 2)).tolist() == [0, 20]
    assert clip.valid.all() and clip.source == "here"


def test_objects_too_small_on_the_first_frame_are_dropped():
    assert pick_objects(_clip(3), min_px=10, limit=5).masks.shape[1] == 2
    assert pick_objects(_clip(3), min_px=1, limit=2).masks.shape[1] == 2
    assert pick_objects(_clip(3), min_px=16, limit=5) is None


def test_an_object_must_be_a_thousandth_of_the_picture_and_16_pixels():
    assert min_area_px((10, 10)) == 16
    assert min_area_px((200, 300)) == 60


def test_stacking_pads_objects_that_do_not_exist():
    batch = stack([_clip(1), _clip(3)])
    assert batch["images"].shape == (2, 2, 10, 20, 3) and batch["masks"].shape == (2, 2, 3, 10, 20)
    assert batch["exists"].tolist() == [[True, False, False], [True, True, True]]
    assert (batch["valid"] == batch["exists"][:, None]).all()
    assert not batch["masks"][0, :, 1:].any()
    np.testing.assert_array_equal(batch["masks"][1], _clip(3).masks)
    assert batch["ignore"].sum() == 40


def test_stacking_to_fewer_objects_takes_the_first():
    assert stack([_clip(3)], objects=2)["masks"].shape[2] == 2


def test_a_path_is_skipped_once_with_its_first_reason():
    skips = SkipList()
    skips.add(Skip("a", "torn"))
    skips.add(Skip("a", "burnt"))
    assert skips.all() == (Skip("a", "torn"),) and "a" in skips and "b" not in skips


def test_the_summary_counts_reasons_and_names_paths():
    skips = [Skip(f"p{i}", "torn") for i in range(5)] + [Skip("q", "burnt")]
    assert summary(skips) == "skipped 6 items: 5 x torn: p0, p1, p2 and 2 more; 1 x burnt: q"
    assert summary([]) == ""
