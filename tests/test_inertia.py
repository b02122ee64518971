"""A mask gives way where it is clicked and is firm elsewhere."""

import numpy as np
import pytest

from vidseg.inertia import inertia
from vidseg.types import Click

SIZE = (60, 90)


@pytest.mark.parametrize("on", [True, False])
def test_a_mask_gives_way_in_the_error_that_is_clicked_and_is_firm_beyond(on):
    large, small = np.full(SIZE, on), np.full(SIZE, on)
    large[10:30, 20:50] = not on  # wrong, ten pixels from the click to its nearest edge
    small[19:22, 34:37] = not on
    click = Click(35.5, 20.5, on)
    held = inertia(large, [click])
    assert held.shape == SIZE and held.dtype == np.float32
    assert held[20, 35] == 0 and ((held > 0) == large).sum() >= large.size - 1
    assert np.abs(held[10:30, 26:46]).max() < 2 and np.abs(held[0, 0]) > 3.8
    assert np.abs(inertia(small, [click])[20, 46]) > 3.9


def test_each_click_frees_what_is_around_it():
    mask = np.zeros(SIZE, bool)
    mask[20:40, 30:60] = True
    clicks = Click(10.5, 30.5), Click(45.5, 30.5, False)
    both, first, second = (np.abs(inertia(mask, said)) for said in (clicks, clicks[:1], clicks[1:]))
    np.testing.assert_allclose(both, np.minimum(first, second), atol=1e-6)
    assert both[30, 10] == both[30, 45] == 0 and second[30, 10] > 3


def test_a_click_that_the_mask_agrees_with_frees_next_to_nothing():
    mask = np.zeros(SIZE, bool)
    mask[20:40, 30:60] = True
    held = np.abs(inertia(mask, [Click(45.5, 30.5)]))
    assert held[30, 45] == 0 and held[30, 47] > 3.9


def test_a_mask_is_held_wherever_it_is_clicked_and_everywhere_if_it_is_not():
    mask = np.zeros(SIZE, bool)
    mask[10:20, 10:20] = True
    for x, y, on in ((15, 15, True), (SIZE[1], SIZE[0], True), (0, 0, False), (15, 15, False)):
        held = inertia(mask, [Click(x, y, on)])
        assert np.isfinite(held).all() and np.abs(held).max() <= 4
    assert (inertia(mask, []) == np.where(mask, 4, -4)).all()
