"""Cut-outs: soft edges without the old background, exact labels, depth, absence, shadow and blur."""

from dataclasses import replace

import numpy as np
import pytest

from vidseg.train import layers, warp
from vidseg.train.clip import IGNORE
from vidseg.train.layers import Layer, cut_out, fill_hole, move_picture, paste, smeared

RED, BLUE = (200, 20, 20), (20, 20, 200)
FRAMES, SIZE = 2, (40, 60)


def square(colour=RED, side=12) -> np.ndarray:
    image = np.full((30, 30, 3), 90, np.uint8)
    image[6 : 6 + side, 6 : 6 + side] = colour
    return cut_out(image, np.pad(np.ones((side, side), bool), ((6, 24 - side), (6, 24 - side))))


def at(x: float, y: float) -> np.ndarray:
    return np.tile(np.array([[1.0, 0, x], [0, 1, y]]), (FRAMES, 1, 1))


def scene(*things: Layer) -> tuple[np.ndarray, np.ndarray]:
    images, labels = np.full((FRAMES, *SIZE, 3), 90, np.uint8), np.zeros((FRAMES, *SIZE), np.uint8)
    paste(images, labels, list(things))
    return images, labels


def test_the_colour_of_a_cut_out_goes_past_its_edge_so_that_no_background_shows():
    rgba = square()
    soft = (rgba[..., 3] > 0) & (rgba[..., 3] < 255)
    assert soft.any()
    np.testing.assert_allclose(rgba[soft][:, :3], np.broadcast_to(RED, (soft.sum(), 3)), atol=3)


def test_shrinking_takes_the_rim_but_never_most_of_a_thin_thing():
    image, mask = np.zeros((30, 30, 3), np.uint8), np.zeros((30, 30), bool)
    mask[5:25, 5:25] = True
    assert (cut_out(image, mask, shrink_px=1)[..., 3] > 127).sum() == 18 * 18
    mask[:] = False
    mask[5:25, 10:12] = True
    assert (cut_out(image, mask, shrink_px=1)[..., 3] > 127).sum() >= 30


def test_the_label_lies_where_the_thing_is_visible():
    images, labels = scene(Layer(square(), at(10, 15), 3))
    assert (labels[0] == 3).sum() == pytest.approx(144, abs=20)
    np.testing.assert_allclose(images[0][labels[0] == 3][:, 0], 200, atol=60)
    assert (images[0][labels[0] == 0][:, 0] < 150).all()


def test_the_later_layer_covers_the_earlier_and_a_thing_without_label_hides_both():
    low, high, bare = (Layer(square(c), at(10 + d, 10), n) for c, d, n in ((RED, 0, 1), (BLUE, 6, 2), (RED, 3, 0)))
    _, alone = scene(low)
    _, covered = scene(low, high)
    assert (covered[0] == 2).sum() > (alone[0] == 1).sum() * 0.8 > (covered[0] == 1).sum() > 0
    _, hidden = scene(low, high, bare)
    assert (hidden[0] == 1).sum() < (covered[0] == 1).sum()


def test_an_absent_thing_leaves_frame_and_labels_alone():
    images, labels = scene(Layer(square(), at(10, 10), 1, opacity=np.array([1.0, 0.0])))
    assert (labels[0] == 1).any() and not labels[1].any() and (images[1] == 90).all()


def test_things_outside_the_frame_are_no_trouble():
    for x, y in ((-100, 0), (200, 10), (10, 400), (-13, -13)):
        images, labels = scene(Layer(square(), at(x, y), 1, shadow=0.5, shadow_shift=(5, 5)))
        assert images.shape == (FRAMES, *SIZE, 3) and (labels == 1).sum() <= 40


def test_a_shadow_darkens_beside_the_thing():
    images, labels = scene(Layer(square(), at(10, 10), 1, shadow=0.6, shadow_shift=(8, 8)))
    assert images[0][labels[0] == 0].min() < 60


def test_a_bent_thing_keeps_its_area_about():
    bend = warp.waves(np.random.default_rng(0), FRAMES, 20, strength=0.3, speed=0.3)
    _, labels = scene(Layer(square(), at(20, 10), 1, bend=bend))
    assert (labels[0] == 1).sum() == pytest.approx(144, rel=0.4)


def test_blur_spreads_along_the_motion_only():
    image = np.zeros((21, 21, 3), np.uint8)
    image[10, 10] = 255
    seen = smeared(image, np.array([6.0, 0.0]))[..., 0]
    assert seen[10].astype(bool).sum() >= 5 and seen[:, 10].astype(bool).sum() <= 3
    assert smeared(image, np.array([0.5, 0.5])) is image


def test_a_smeared_thing_has_a_softer_edge_but_no_other_colour():
    thing = Layer(square(), at(20, 12), 1)
    sharp, _ = scene(thing)
    soft, _ = scene(replace(thing, smear=np.full((FRAMES, 2), [7.0, 0.0])))
    between = [((i[0, ..., 0] > 100) & (i[0, ..., 0] < 190)).sum() for i in (sharp, soft)]
    assert between[1] > between[0]
    assert soft[..., 1].max() <= 91


def test_a_filled_hole_takes_the_tone_of_its_surroundings():
    image = np.full((40, 60, 3), (40, 120, 200), np.uint8)
    hole = np.zeros((40, 60), bool)
    hole[10:30, 20:40] = True
    image[hole] = 255
    np.testing.assert_allclose(fill_hole(image, hole), np.broadcast_to((40, 120, 200), image.shape), atol=2)


def test_past_the_border_a_picture_is_mirrored_and_its_labels_are_ignored():
    image = np.full((20, 20, 3), 77, np.uint8)
    images, labels = layers.move_picture(image, np.ones((20, 20), np.uint8), at(30, 10), size=SIZE)
    assert (images == 77).all()
    assert (labels[0, 10:30, 30:50] == 1).all() and (labels[0, :, :28] == IGNORE).all()
    _, bare = move_picture(image, None, at(30, 10), size=SIZE)
    assert not bare.any()


def test_a_filled_hole_is_as_rough_as_the_picture():
    image = np.random.default_rng(0).integers(60, 200, (40, 60, 3), dtype=np.uint8)
    hole = np.zeros((40, 60), bool)
    hole[10:30, 20:40] = True
    filled = fill_hole(image, hole)
    assert filled[hole].std() > 0.6 * image[~hole].std()
    np.testing.assert_allclose(filled[~hole].astype(int), image[~hole], atol=1)
