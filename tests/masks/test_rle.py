import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidseg.errors import MaskFormatError
from vidseg.masks import boxes, centroid, rle

coco = pytest.importorskip("pycocotools.mask", reason="pycocotools is the oracle for run lengths")

SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@st.composite
def any_mask(draw):
    """Random masks of every density, and blobs, whose runs are long."""
    height, width = draw(SHAPES)
    if draw(st.booleans()):
        return draw(hnp.arrays(bool, (height, width)))
    scale = draw(st.integers(2, 60))
    return np.kron(draw(hnp.arrays(bool, (height % 8 + 1, width % 8 + 1))), np.ones((scale, scale), bool))


@given(any_mask())
def test_encoding_equals_pycocotools(mask):
    theirs = coco.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert rle.encode(mask) == {"size": list(theirs["size"]), "counts": theirs["counts"].decode()}


@given(any_mask())
def test_decoding_gives_the_mask_back(mask):
    decoded = rle.decode(rle.encode(mask))
    assert decoded.dtype == bool
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, mask)


@given(any_mask())
def test_area_and_box_equal_pycocotools_and_the_pixels(mask):
    encoded = rle.encode(mask)
    x, y, width, height = coco.toBbox(encoded)
    assert rle.area(encoded) == coco.area(encoded) == mask.sum()
    assert rle.box(encoded) == (x, y, x + width, y + height)
    assert rle.box(encoded) == tuple(boxes(mask[None])[0])


@given(st.lists(st.integers(0, 2**23), min_size=1, max_size=20))
def test_any_run_lengths_survive_the_compressed_string(runs):
    total = sum(runs)
    if total == 0:
        runs, total = [*runs, 1], 1
    encoded = rle.from_counts(runs, size=(total, 1))
    assert rle.counts(encoded).tolist() == runs
    theirs = coco.frPyObjects({"size": [total, 1], "counts": runs}, total, 1)
    assert encoded["counts"] == theirs["counts"].decode()


@settings(max_examples=50)
@given(any_mask())
def test_uncompressed_counts_and_bytes_are_read_too(mask):
    encoded = rle.encode(mask)
    for form in (rle.counts(encoded).tolist(), encoded["counts"].encode()):
        np.testing.assert_array_equal(rle.decode({"size": mask.shape, "counts": form}), mask)


@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks(value):
    mask = np.full((480, 854), value)
    encoded = rle.encode(mask)
    assert rle.area(encoded) == mask.sum()
    assert rle.box(encoded) == ((0, 0, 854, 480) if value else (0, 0, 0, 0))
    np.testing.assert_array_equal(rle.decode(encoded), mask)


def test_numbers_other_than_0_belong_to_the_object():
    assert rle.encode(np.array([[0, 7, -1]])) == rle.encode(np.array([[False, True, True]]))


def test_a_mask_that_is_not_contiguous_is_encoded_as_it_looks():
    mask = np.arange(60).reshape(6, 10) % 7 < 3
    np.testing.assert_array_equal(rle.decode(rle.encode(mask.T[::-1, ::2])), mask.T[::-1, ::2])


@given(any_mask(), st.data())
def test_normalise_joins_empty_runs_to_the_canonical_form(mask, data):
    encoded = rle.encode(mask)
    runs = rle.counts(encoded).tolist()
    at = data.draw(st.integers(0, len(runs) - 1))
    cut = data.draw(st.integers(0, runs[at]))
    clumsy = [*runs[:at], cut, 0, runs[at] - cut, *runs[at + 1 :], 0, 0]
    assert rle.normalise({"size": list(mask.shape), "counts": clumsy}, size=mask.shape) == encoded
    np.testing.assert_array_equal(rle.decode({"size": list(mask.shape), "counts": clumsy}), mask)
    assert rle.box({"size": list(mask.shape), "counts": clumsy}) == rle.box(encoded)


def test_normalise_refuses_another_size():
    with pytest.raises(MaskFormatError, match=r"is for 4x3 pixels; the frames are 3x4"):
        rle.normalise(rle.encode(np.ones((3, 4))), size=(4, 3))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"size": [2, 3]}, 'has no "counts"'),
        ({"counts": "06"}, "has the size None"),
        ({"size": [2], "counts": "06"}, r"has the size \[2\]"),
        ({"size": [2, 0], "counts": "06"}, "two whole numbers above 0"),
        ({"size": [2, 3.0], "counts": "06"}, "two whole numbers above 0"),
        ({"size": [True, 6], "counts": "06"}, "two whole numbers above 0"),
        ({"size": [2**20, 2**20], "counts": "06"}, "pixels are allowed"),
        ({"size": [2, 3], "counts": ""}, "string is empty"),
        ({"size": [2, 3], "counts": "0é"}, "outside ASCII"),
        ({"size": [2, 3], "counts": "0 6"}, "stands for nothing"),
        ({"size": [2, 3], "counts": "0V"}, "cut off"),
        ({"size": [2, 3], "counts": "0" + "o" * 9 + "1"}, "a count of 10 characters"),
        ({"size": [2, 3], "counts": "07"}, "add up to 7 pixels"),
        ({"size": [2, 3], "counts": "0J"}, "add up to"),
        ({"size": [2, 3], "counts": [8, -2]}, r"least run -2"),
        ({"size": [2, 3], "counts": [3.5, 2.5]}, "whole numbers or text"),
        ({"size": [2, 3], "counts": []}, "whole numbers or text"),
        ({"size": [2, 3], "counts": None}, "whole numbers or text"),
        ({"size": [2, 3], "counts": [[1], [2, 3]]}, "whole numbers or text"),
        ("not a mapping", "has the size None"),
    ],
)
def test_malformed_run_lengths_are_refused_in_one_line(broken, message):
    for read in (rle.decode, rle.area, rle.box, rle.normalise):
        with pytest.raises(MaskFormatError, match=message) as caught:
            read(broken)
        assert "\n" not in str(caught.value)


@given(st.text(alphabet=[chr(n) for n in range(40, 120)], max_size=12))
def test_any_string_decodes_or_is_refused(text):
    try:
        mask = rle.decode({"size": [5, 7], "counts": text})
    except MaskFormatError:
        return
    assert mask.shape == (5, 7)


@pytest.mark.parametrize("shape", [(3,), (0, 4), (1, 2, 3)])
def test_only_planes_of_pixels_are_encoded(shape):
    with pytest.raises(MaskFormatError, match="cannot be encoded"):
        rle.encode(np.zeros(shape, bool))


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=3, max_dims=3, min_side=0, max_side=9)))
def test_boxes_hold_exactly_the_pixels(masks):
    result = boxes(masks)
    assert result.shape == (len(masks), 4)
    for mask, (x1, y1, x2, y2) in zip(masks, result.astype(int), strict=True):
        assert mask[y1:y2, x1:x2].sum() == mask.sum()
        if mask.any():
            assert mask[y1].any() and mask[y2 - 1].any() and mask[:, x1].any() and mask[:, x2 - 1].any()
        else:
            assert (x1, y1, x2, y2) == (0, 0, 0, 0)


def test_the_centroid_of_a_rectangle_is_its_middle():
    mask = np.zeros((10, 10), bool)
    mask[2:6, 3:5] = True
    assert centroid(mask) == (4.0, 4.0)
    assert centroid(np.zeros((3, 3), bool)) is None
