import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidseg.postprocess import drop_specks, fill_holes, make_exclusive

PLANES = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))


def regions(on):
    """Connected sets of true pixels, sides and corners, found by flooding: slow and plain."""
    left = {tuple(p) for p in np.argwhere(on).tolist()}
    found = []
    while left:
        front, region = [left.pop()], set()
        while front:
            y, x = front.pop()
            region.add((y, x))
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            front += near
        found.append(region)
    return found


def painted(shape, found):
    mask = np.zeros(shape, bool)
    for region in found:
        mask[tuple(zip(*region, strict=True))] = True
    return mask


def logits_of(mask):
    return torch.where(torch.from_numpy(mask), 3.0, -2.0)


@settings(deadline=None)
@given(PLANES, st.integers(0, 12))
def test_holes_up_to_the_area_are_filled_and_nothing_else_changes(mask, area_px):
    holes = painted(mask.shape, [r for r in regions(~mask) if len(r) <= area_px]) & mask.any()
    filled = fill_holes(logits_of(mask), area_px).numpy()
    np.testing.assert_array_equal(filled[~holes], logits_of(mask).numpy()[~holes])
    np.testing.assert_allclose(filled[holes], 0.1)
    np.testing.assert_array_equal(fill_holes(torch.from_numpy(mask), area_px), mask | holes)


@settings(deadline=None)
@given(PLANES, st.integers(0, 12))
def test_specks_up_to_the_area_are_dropped_but_never_the_largest_region(mask, area_px):
    found = sorted(regions(mask), key=len)
    dropped = drop_specks(torch.from_numpy(mask), area_px).numpy()
    kept = [region for region in found if len(region) > area_px]
    if kept or not found:
        np.testing.assert_array_equal(dropped, painted(mask.shape, kept))
    else:  # all are small: one of the largest stays
        (left,) = regions(dropped)
        assert left in [region for region in found if len(region) == len(found[-1])]
    logits = drop_specks(logits_of(mask), area_px).numpy()
    np.testing.assert_array_equal(logits > 0, dropped)
    np.testing.assert_allclose(logits[mask & ~dropped], -0.1)
    np.testing.assert_array_equal(logits[mask == dropped], logits_of(mask).numpy()[mask == dropped])


@pytest.mark.parametrize("clean", [fill_holes, drop_specks])
@pytest.mark.parametrize("shape", [(0, 5, 6), (3, 5, 6), (2, 1, 5, 6)])
def test_every_plane_is_cleaned_by_itself_and_the_input_is_left_alone(clean, shape):
    logits = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    before = logits.clone()
    cleaned = clean(logits, 3)
    assert cleaned.shape == logits.shape
    assert torch.equal(logits, before)
    for one, alone in zip(cleaned.reshape(-1, 5, 6), logits.reshape(-1, 5, 6), strict=True):
        assert torch.equal(one, clean(alone, 3))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_type_of_the_logits_is_kept(dtype):
    logits = logits_of(np.eye(4, dtype=bool)).to(dtype)
    assert fill_holes(logits, 2).dtype == drop_specks(logits, 2).dtype == make_exclusive(logits[None]).dtype == dtype


def test_gradients_pass_where_nothing_was_cleaned():
    logits = logits_of(np.array([[True, False, True]])).requires_grad_()
    fill_holes(logits, 1).sum().backward()
    assert logits.grad.tolist() == [[1.0, 0.0, 1.0]]


def test_cleaning_a_mask_without_holes_or_of_nothing_changes_nothing():
    for mask in (np.zeros((4, 4), bool), np.ones((4, 4), bool)):
        assert torch.equal(fill_holes(logits_of(mask), 100), logits_of(mask))
        assert torch.equal(drop_specks(logits_of(mask), 100), logits_of(mask))


@settings(deadline=None)
@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=3, max_dims=3, max_side=5), elements=st.floats(-20, 20, width=32))
)
def test_every_pixel_keeps_its_highest_logit_and_belongs_to_one_object_at_most(values):
    logits = torch.from_numpy(values)
    exclusive = make_exclusive(logits)
    assert torch.equal(exclusive.amax(0), logits.amax(0))
    assert ((exclusive > 0).sum(0) <= 1).all()
    assert torch.equal((exclusive > 0).any(0), (logits > 0).any(0))
    owner = values.argmax(0)
    for n in range(len(values)):
        others = exclusive[n].numpy()[owner != n]
        np.testing.assert_array_equal(others, np.minimum(values[n][owner != n], -10) if len(values) > 1 else others)


def test_no_object_and_one_object_are_exclusive_already():
    assert make_exclusive(torch.zeros(0, 3, 3)).shape == (0, 3, 3)
    one = torch.randn(1, 3, 3)
    assert torch.equal(make_exclusive(one), one)
