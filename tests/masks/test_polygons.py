import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidseg.masks import polygons, rle

coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is the oracle for polygons")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools

MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=14))
COORDINATE = st.floats(-3, 24, allow_nan=False, width=32)


def fill(ring, size):
    return rle.decode(polygons.fill(ring, size))


def ring_mask(found, size):
    return np.any([fill(ring, size) for ring in found] or [np.zeros(size, bool)], axis=0)


@given(MASKS)
def test_rings_along_pixel_edges_hold_every_pixel_and_hole(mask):
    np.testing.assert_array_equal(ring_mask(polygons.rings(mask), mask.shape), mask)


@given(MASKS)
def test_pycocotools_fills_the_rings_to_the_same_mask(mask):
    found = polygons.rings(mask)
    if not found:
        assert not mask.any()
        return
    encoded = coco.frPyObjects([ring.ravel().tolist() for ring in found], *mask.shape)
    np.testing.assert_array_equal(coco.decode(coco.merge(encoded)), mask)


@given(MASKS)
def test_all_parts_joined_to_one_ring_still_hold_every_pixel(mask):
    found = polygons.rings(mask)
    if found:
        np.testing.assert_array_equal(fill(polygons.join(found), mask.shape), mask)


@settings(max_examples=200)
@given(st.lists(st.tuples(COORDINATE, COORDINATE), min_size=3, max_size=9))
def test_any_polygon_is_filled_as_pycocotools_does(corners):
    ring = np.array(corners)
    theirs = coco.decode(coco.merge(coco.frPyObjects([ring.ravel().tolist()], 17, 19)))
    np.testing.assert_array_equal(fill(ring, (17, 19)), theirs)


@given(MASKS)
def test_outlines_run_clockwise_round_parts_and_the_other_way_round_holes(mask):
    area = 0.0
    for part in polygons.outlines(mask):
        for ring, sign in [(part.outer, 1), *((hole, -1) for hole in part.holes)]:
            x, y = ring.T
            signed = (np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2
            assert np.sign(signed) == sign
            area += signed
    assert area == mask.sum()


def test_a_square_with_a_hole_has_eight_corners_and_no_more():
    mask = np.ones((5, 6), bool)
    mask[2, 2:4] = False
    (part,) = polygons.outlines(mask)
    assert sorted(map(tuple, part.outer)) == [(0, 0), (0, 5), (6, 0), (6, 5)]
    (hole,) = part.holes
    assert sorted(map(tuple, hole)) == [(2, 2), (2, 3), (4, 2), (4, 3)]
    assert len(polygons.rings(mask)[0]) == 4 + 4 + 2


def test_pixels_that_touch_by_a_corner_are_two_parts_along_edges_and_one_through_centres():
    mask = np.eye(2, dtype=bool)
    assert len(polygons.rings(mask)) == 2
    assert len(polygons.contour(mask)) == 1


@given(MASKS)
def test_contours_through_pixel_centres_hold_every_pixel_and_hole(mask):
    filled = [polygons.fill_contour(polygon, mask.shape) for polygon in polygons.contour(mask)]
    np.testing.assert_array_equal(np.any(filled or [np.zeros_like(mask)], axis=0), mask)


@given(MASKS, st.floats(0.1, 3))
def test_simplified_rings_stay_within_the_tolerance(mask, tolerance):
    for part in polygons.outlines(mask):
        fewer = polygons.simplify(part.outer, tolerance)
        assert 3 <= len(fewer) <= len(part.outer)
        corners = {tuple(corner) for corner in part.outer}
        assert all(tuple(corner) in corners for corner in fewer)


def test_simplifying_drops_the_corners_of_a_staircase():
    mask = np.tri(20, dtype=bool)
    (ring,) = polygons.rings(mask)
    fewer = polygons.simplify(ring, 1.0)
    assert len(ring) > 40
    assert len(fewer) < 6
    assert np.count_nonzero(fill(fewer, mask.shape) ^ mask) <= 20
    assert polygons.simplify(ring, 0) is ring


def test_a_line_or_a_point_fills_nothing():
    assert not fill(np.array([[1.0, 1.0], [4.0, 4.0]]), (5, 5)).any()
    assert not fill(np.array([[1.0, 1.0]] * 3), (5, 5)).any()
