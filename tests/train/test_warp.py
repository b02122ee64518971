"""Paths, matrices and maps: smooth, invertible, exact."""

import cv2
import numpy as np
import pytest

from vidseg.train import warp


def _matrices(**changes) -> np.ndarray:
    flat = np.full(3, 0.0)
    given = {"scale": flat + 1.3, "angle": flat + 0.4, "stretch": flat + 0.2, "shear": flat + 0.1, **changes}
    return warp.affine(np.array([[5.0, 6.0], [7, 8], [9, 1]]), np.array([2.0, 3.0]), **given)


def test_curves_start_at_zero_and_grow_with_the_speed():
    slow, fast = (warp.wander(np.random.default_rng(0), 6, 2, speed=speed) for speed in (0.1, 1.0))
    assert slow.shape == (6, 2) and not slow[0].any()
    np.testing.assert_allclose(fast, 10 * slow)


def test_many_curves_are_drawn_at_once_each_with_its_speed():
    curves = warp.wander(np.random.default_rng(0), 4, 2, speed=np.array([0.0, 1.0, 2.0]), lead=(3,))
    assert curves.shape == (3, 4, 2)
    assert not curves[0].any() and curves[1].any()


def test_the_anchor_lands_on_the_centre():
    landed = _matrices()[:, :, :2] @ [2.0, 3.0] + _matrices()[:, :, 2]
    np.testing.assert_allclose(landed, [[5, 6], [7, 8], [9, 1]])


def test_area_grows_with_the_square_of_the_scale_and_a_flip_changes_its_sign():
    np.testing.assert_allclose(np.linalg.det(_matrices()[:, :, :2]), 1.3**2)
    np.testing.assert_allclose(np.linalg.det(_matrices(flip=True)[:, :, :2]), -(1.3**2))


def test_the_inverse_undoes_the_matrix():
    forward = _matrices()
    back = warp.invert(forward)
    point = np.array([11.0, -4.0])
    there = forward[:, :, :2] @ point + forward[:, :, 2]
    np.testing.assert_allclose(np.einsum("tij,tj->ti", back[:, :, :2], there) + back[:, :, 2], [point] * 3)


@pytest.mark.parametrize("size", [(16, 24), (17, 31)])
def test_a_map_is_the_affine_function_at_every_pixel_up_to_the_border(size):
    inverse = warp.invert(_matrices())[0]
    where = warp.source_map(inverse, 0, size=size, origin=(3, -2))
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    expected = np.stack([x + 3, y - 2], axis=-1) @ inverse[:, :2].T + inverse[:, 2]
    np.testing.assert_allclose(where, expected, atol=1e-3)


def test_a_gentle_deformation_moves_pixels_and_folds_none():
    bend = warp.waves(np.random.default_rng(1), 2, 80, strength=0.4, speed=0.5)
    where = warp.source_map(np.eye(2, 3), 1, size=(60, 80), bend=bend)
    still = warp.source_map(np.eye(2, 3), 1, size=(60, 80))
    assert np.abs(where - still).max() > 0.3
    assert (np.diff(where[..., 0], axis=1) > 0).all() and (np.diff(where[..., 1], axis=0) > 0).all()


def test_looking_up_with_the_map_of_a_shift_shifts_the_picture():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    shift = np.array([[1.0, 0, 4], [0, 1, 2]])
    seen = warp.remap(image, warp.source_map(shift, 0, size=(10, 10)))
    np.testing.assert_array_equal(seen, image[2:12, 4:14])


def test_past_the_border_stands_the_given_value():
    labels = np.ones((5, 5), np.uint8)
    seen = warp.remap(labels, warp.source_map(np.eye(2, 3), 0, size=(5, 8)), smooth=False, value=255)
    assert (seen[:, 6:] == 255).all() and (seen[:, :5] == 1).all()


def test_the_window_of_a_layer_holds_all_its_pixels_and_is_none_outside_the_frame():
    forward = _matrices()[0]
    x1, y1, x2, y2 = warp.window(forward, (20, 30), (64, 64), margin_px=1)
    mask = cv2.warpAffine(np.ones((20, 30), np.uint8), forward, (64, 64))
    ys, xs = np.nonzero(mask)
    assert x1 <= xs.min() and xs.max() < x2 and y1 <= ys.min() and ys.max() < y2
    away = np.add(forward, [[0, 0, 500], [0, 0, 0]])
    assert warp.window(away, (20, 30), (64, 64), margin_px=1) is None
