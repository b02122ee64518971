"""Cameras: each effect does what it says, and a weak one does nothing."""

from dataclasses import replace

import numpy as np
import pytest

from vidseg.train.augment import Look, apply, random_look

PLAIN = Look(tables=np.tile(np.arange(256, dtype=np.uint8), (3, 3, 1)))


@pytest.fixture
def images() -> np.ndarray:
    y, x = np.mgrid[0:24, 0:32]
    ramp = np.stack([x * 7, y * 9, 200 - x * 3], axis=-1).astype(np.uint8)
    return np.stack([ramp, np.roll(ramp, 3, 1), ramp[::-1]])


def seen(images: np.ndarray, **changes) -> np.ndarray:
    return apply(images, replace(PLAIN, **changes), np.random.default_rng(0))


def test_a_plain_camera_changes_nothing(images):
    np.testing.assert_array_equal(seen(images), images)


def test_strength_zero_is_the_plain_camera(images):
    for seed in range(20):
        look = random_look(np.random.default_rng(seed), 3, strength=0)
        np.testing.assert_array_equal(apply(images, look, np.random.default_rng(0)), images)


@pytest.mark.parametrize("changes", [{"sigma_px": 1.0}, {"noise": 6.0}, {"quality": 30}], ids=str)
def test_an_effect_changes_pixels_but_hardly_the_mean(images, changes):
    changed = seen(images, **changes).astype(int)
    assert (changed != images).any()
    assert abs(changed.mean() - images.mean()) < 8


def test_curves_work_on_their_frame_and_channel(images):
    tables = PLAIN.tables.copy()
    tables[1, 2] = 7
    changed = seen(images, tables=tables)
    assert (changed[1, ..., 2] == 7).all()
    np.testing.assert_array_equal(changed[[0, 2]], images[[0, 2]])
    np.testing.assert_array_equal(changed[1, ..., :2], images[1, ..., :2])


def test_grey_pictures_have_equal_channels(images):
    assert np.ptp(seen(images, grey=True), axis=-1).max() == 0


def test_noise_moves_from_frame_to_frame():
    still = np.full((2, 24, 32, 3), 128, np.uint8)
    first, second = apply(still, replace(PLAIN, tables=PLAIN.tables[:2], noise=6.0), np.random.default_rng(0))
    assert (first != second).mean() > 0.5


def test_noise_covers_pictures_larger_than_its_tile():
    large = np.full((1, 520, 600, 3), 128, np.uint8)
    assert seen(large, noise=6.0)[0, 515:, 590:].std() > 2


def test_random_cameras_drift_slowly_over_a_clip_and_differ_between_clips():
    looks = [random_look(np.random.default_rng(seed), 6) for seed in range(40)]
    steps = [np.abs(np.diff(look.tables[:, :, 128].astype(int), axis=0)).max() for look in looks]
    assert 0 < max(steps) < 40
    assert np.std([look.tables[0, 0, 128] for look in looks]) > 10
