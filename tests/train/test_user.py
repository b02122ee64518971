"""The simulated user: points lie where they claim to, sloppy masks stay close, corrections hit the largest error."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from vidseg.train import user
from vidseg.train.user import CORNER, DRAWS, OFF, ON, PAD, PromptConfig


def shapes() -> torch.Tensor:
    """A disc, a thin diagonal line, a frame-filling mask, an empty one: (4, 96, 160) bool."""
    canvas = np.zeros((4, 96, 160), np.uint8)
    cv2.circle(canvas[0], (50, 40), 22, 1, -1)
    cv2.line(canvas[1], (5, 5), (150, 90), 1, 2)
    canvas[2] = 1
    return torch.from_numpy(canvas).bool()


def numbers(rows: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((rows, DRAWS), dtype=np.float32))


def on_mask(mask: torch.Tensor, point: torch.Tensor) -> bool:
    return bool(mask[int(point[1]), int(point[0])])


@pytest.mark.parametrize("style", [0.0, 0.5, 0.9])
def test_clicks_lie_on_their_object(style):
    masks = shapes()
    for seed in range(20):
        uniform = numbers(4, seed)
        uniform[:, 0] = style
        points = user.click(masks, uniform)
        assert points.labels[:, 0].tolist() == [ON, ON, ON, PAD]
        assert all(on_mask(masks[i], points.points[i, 0]) for i in range(3))


def test_middle_click_is_where_the_distance_transform_says():
    masks = shapes()
    uniform = numbers(4)
    uniform[:, 0] = 0
    x, y = user.click(masks, uniform).points[0, 0].tolist()
    assert abs(x - 50.5) <= 2 and abs(y - 40.5) <= 2


def test_depth_is_close_to_the_distance_of_the_nearest_edge():
    mask = shapes()[:1]
    exact = cv2.distanceTransform(mask[0].numpy().astype(np.uint8), cv2.DIST_L2, 5).max()
    assert user.depth(mask).max().item() * 3 == pytest.approx(exact, rel=0.15)  # cells of three pixels


def test_the_border_of_the_picture_is_an_edge():
    (whole,) = user.depth(torch.ones(1, 96, 160, dtype=torch.bool))
    assert whole[0].max() <= 1 and whole[:, 0].max() <= 1
    assert whole[len(whole) // 2, whole.shape[1] // 2] == whole.max() > 10


def test_edge_click_is_near_the_edge():
    masks = shapes()
    uniform = numbers(4)
    uniform[:, 0] = 0.9
    distance = cv2.distanceTransform(masks[0].numpy().astype(np.uint8), cv2.DIST_L2, 5)
    x, y = user.click(masks, uniform).points[0, 0].tolist()
    assert distance[int(y), int(x)] < 14  # of 22


def test_random_point_reaches_every_pixel_alike():
    mask = torch.zeros(1, 3, 4, dtype=torch.bool)
    mask[0, 1, 2] = mask[0, 2, 0] = True
    uniform = torch.linspace(0, 0.999, 10)
    points = user.random_point(mask.expand(10, -1, -1), uniform)
    assert points.tolist() == [[2.5, 1.5]] * 5 + [[0.5, 2.5]] * 5
    assert user.random_point(torch.zeros(1, 3, 4, dtype=torch.bool), uniform[:1]).tolist() == [[-1, -1]]


def test_bounds_have_exclusive_far_edges():
    mask = torch.zeros(2, 8, 9, dtype=torch.bool)
    mask[0, 2:5, 3:9] = True
    assert user.bounds(mask).tolist() == [[3, 2, 9, 5], [0, 0, 0, 0]]


def test_boxes_stay_within_the_jitter_and_the_picture():
    masks = shapes()
    exact = user.bounds(masks)
    assert torch.equal(user.box(masks, numbers(4), jitter=0).points.reshape(4, 4), exact)
    loose = user.box(masks, numbers(4), jitter=0.1)
    assert loose.labels[:, 0].tolist() == [CORNER, CORNER, CORNER, PAD]
    off = (loose.points.reshape(4, 4) - exact).abs()
    assert off[0].max() <= 0.1 * 45 and off[0].max() > 0
    assert loose.points.min() >= 0 and loose.points[..., 0].max() <= 160 and loose.points[..., 1].max() <= 96


def test_sloppy_masks_differ_but_overlap():
    masks = shapes()
    overlaps = []
    for seed in range(30):
        rough = user.sloppy(masks, numbers(4, seed))
        overlaps.append(((rough & masks)[0].sum() / (rough | masks)[0].sum()).item())
        assert not rough[3].any()
        assert all((rough & masks)[i].sum() * 2 >= masks[i].sum() for i in range(3))
    assert min(overlaps) > 0.6
    assert sum(overlap < 0.999 for overlap in overlaps) > 25
    assert np.mean(overlaps) < 0.97


def test_correction_hits_the_larger_error():
    target = torch.zeros(4, 64, 64, dtype=torch.bool)
    target[:3, 16:48, 16:48] = True
    wrong = target.clone()
    wrong[0, 16:48, 16:32] = False  # the left half was missed
    wrong[1, 2:14, 40:62] = True  # a false blob above
    wrong[3, 30:40, 30:40] = True  # the object is not there at all
    points = user.correction(wrong, target)
    assert points.labels[:, 0].tolist() == [ON, OFF, ON, OFF]
    x, y = points.points[0, 0].tolist()
    assert 20 <= x <= 28 and 20 <= y <= 44
    x, y = points.points[1, 0].tolist()
    assert 44 <= x <= 58 and 5 <= y <= 11
    assert points.points[2, 0].tolist() == pytest.approx([32, 32], abs=2)


def test_correction_without_object_and_error_is_padding():
    nothing = torch.zeros(1, 32, 32, dtype=torch.bool)
    assert user.correction(nothing, nothing).labels.tolist() == [[PAD]]


def test_correction_leaves_ignored_pixels_alone():
    target, wrong = torch.zeros(2, 1, 32, 32, dtype=torch.bool)
    target[0, 8:16, 8:16] = True
    wrong[0, 8:16, 8:16] = True
    wrong[0, 20:31, 20:31] = True
    counts = torch.ones_like(target)
    assert user.correction(wrong, target, counts).labels.item() == OFF
    counts[0, 20:31, 20:31] = False
    assert user.correction(wrong, target, counts).labels.item() == ON


def test_kinds_are_chosen_in_their_shares():
    config = PromptConfig(mask=1, sloppy=0, box=2, click=1)
    kinds = user.choose_kinds(config, np.linspace(0, 0.999, 400))
    assert np.bincount(kinds, minlength=4).tolist() == pytest.approx([100, 0, 200, 100], abs=2)
