"""Drawing masks: exactly the mask is touched, in the palette's colour."""

import numpy as np
import pytest

from vidseg.errors import VideoError
from vidseg.video import colour, draw


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)


@pytest.fixture
def mask():
    rows, columns = np.mgrid[:48, :64]
    return (rows - 20) ** 2 + (columns - 30) ** 2 < 15**2


def test_colours_are_those_of_the_davis_palette():
    assert [colour(id) for id in (0, 1, 2, 3, 8)] == [(0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (64, 0, 0)]


def test_ids_beyond_the_palette_start_again_at_one():
    assert colour(256) == colour(1)
    assert colour(510) == colour(255)


def test_inside_a_mask_the_colours_blend_and_outside_nothing_changes(image, mask):
    drawn = draw(image, mask[None], [1], alpha=0.25, contour=False)
    expected = 0.75 * image[mask] + 0.25 * np.array([128, 0, 0])
    assert np.abs(drawn[mask] - expected).max() <= 0.5 + 1e-6
    assert np.array_equal(drawn[~mask], image[~mask])


def test_a_contour_is_two_solid_pixels_inside_the_mask(image):
    mask = np.zeros((48, 64), bool)
    mask[10:30, 5:50] = True
    core = np.zeros_like(mask)
    core[12:28, 7:48] = True
    drawn = draw(image, mask[None], [2], alpha=0)
    assert (drawn[mask & ~core] == (0, 128, 0)).all()
    assert np.array_equal(drawn[core], image[core])
    assert np.array_equal(drawn[~mask], image[~mask])


def test_a_mask_of_the_whole_frame_has_its_contour_at_the_frame(image):
    drawn = draw(image, np.ones((1, 48, 64), bool), [1], alpha=0)
    assert (drawn[:2] == (128, 0, 0)).all() and (drawn[:, -2:] == (128, 0, 0)).all()
    assert np.array_equal(drawn[2:-2, 2:-2], image[2:-2, 2:-2])


def test_the_last_of_overlapping_masks_is_on_top(image, mask):
    drawn = draw(image, np.stack([mask, mask]), [1, 2], alpha=1)
    assert (drawn[mask] == (0, 128, 0)).all()


def test_drawing_leaves_the_original_as_it_was(image, mask):
    before = image.copy()
    draw(image, mask[None], [1])
    assert np.array_equal(image, before)


def test_empty_masks_and_no_masks_draw_nothing(image):
    assert np.array_equal(draw(image, np.zeros((2, 48, 64), bool), [1, 2]), image)
    assert np.array_equal(draw(image, np.zeros((0, 48, 64), bool), []), image)


def test_a_read_only_or_sliced_image_can_be_drawn_on(image, mask):
    image.flags.writeable = False
    assert np.array_equal(draw(image[:, ::-1], mask[None, :, ::-1], [1]), draw(image, mask[None], [1])[:, ::-1])


@pytest.mark.parametrize(
    ("masks", "ids", "alpha", "message"),
    [
        (np.zeros((1, 40, 64), bool), [1], 0.5, r"masks of shape \(1, 40, 64\) do not fit 1 ids on an image of 64x48"),
        (np.zeros((1, 48, 64), bool), [1, 2], 0.5, r"do not fit 2 ids"),
        (np.zeros((1, 48, 64), bool), [1], 1.5, r"alpha 1.5 is outside 0 to 1"),
    ],
)
def test_masks_that_do_not_fit_are_refused(image, masks, ids, alpha, message):
    with pytest.raises(VideoError, match=message):
        draw(image, masks, ids, alpha=alpha)
