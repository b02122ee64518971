"""Procedural scenes: deterministic, visible, exact."""

import numpy as np
import pytest

from vidseg.train.sources import Scenes
from vidseg.train.sources.procedural import KINDS, shape, texture

SHAPE = {"frames": 4, "size": (48, 80), "objects": 3}


def test_the_same_generator_gives_the_same_scene():
    one, other = (Scenes().clip(np.random.default_rng(1), **SHAPE) for _ in range(2))
    np.testing.assert_array_equal(one.images, other.images)
    np.testing.assert_array_equal(one.masks, other.masks)


def test_objects_are_visible_on_the_first_frame_and_disjoint():
    counts = set()
    for seed in range(30):
        clip = Scenes().clip(np.random.default_rng(seed), **SHAPE)
        counts.add(clip.masks.shape[1])
        assert clip.images.shape == (4, 48, 80, 3)
        assert clip.masks[0].any(axis=(1, 2)).all() and clip.valid.all()
        assert (clip.masks.sum(axis=1) <= 1).all()
    assert counts == {1, 2, 3}


def test_objects_move():
    clip = Scenes(speed=(1.0, 1.5)).clip(np.random.default_rng(0), **SHAPE)
    assert (clip.masks[0] != clip.masks[1]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_every_texture_fills_its_size_with_more_than_one_tone(kind):
    image = texture(np.random.default_rng(0), (30, 50), kind)
    assert image.shape == (30, 50, 3) and image.std() > 1


def test_shapes_keep_clear_of_the_edge_of_their_picture():
    for seed in range(40):
        alpha = shape(np.random.default_rng(seed))[..., 3]
        assert (alpha > 127).sum() > 150
        assert not alpha[[0, -1]].any() and not alpha[:, [0, -1]].any()
