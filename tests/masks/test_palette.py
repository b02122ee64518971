import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from PIL import Image

from vidseg.errors import MaskFormatError
from vidseg.masks import palette

INDEX = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30))


def test_the_palette_is_that_of_davis():
    assert palette.PALETTE[:9].tolist() == [
        [0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128],
        [128, 0, 128], [0, 128, 128], [128, 128, 128], [64, 0, 0],
    ]  # fmt: skip
    assert palette.PALETTE[255].tolist() == [224, 224, 192]
    assert palette.PALETTE.shape == (256, 3)
    assert len(np.unique(palette.PALETTE, axis=0)) == 256


def test_colours_for_pages_repeat_after_255_and_are_never_black():
    assert [palette.hex_colour(n) for n in (1, 2, 255, 256)] == ["#800000", "#008000", "#e0e0c0", "#800000"]


@given(INDEX)
def test_an_index_mask_survives_its_png(tmp_path_factory, index):
    path = tmp_path_factory.mktemp("png") / "00000.png"
    palette.write_index(path, index)
    np.testing.assert_array_equal(palette.read_index(path), index)
    with Image.open(path) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image.convert("RGB")), palette.PALETTE[index])


def test_opencv_reads_the_png_too(tmp_path):
    cv2 = pytest.importorskip("cv2")
    index = np.arange(256, dtype=np.uint8).reshape(8, 32)
    palette.write_index(tmp_path / "a.png", index)
    colours = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(colours, palette.PALETTE[index])


def test_writing_makes_folders_replaces_files_and_leaves_no_part(tmp_path):
    path = tmp_path / "new" / "00000.png"
    for value in (1, 2):
        palette.write_index(path, np.full((4, 4), value, np.uint8))
    assert [p.name for p in path.parent.iterdir()] == ["00000.png"]
    assert palette.read_index(path)[0, 0] == 2


@pytest.mark.parametrize("index", [np.zeros((3, 3), int), np.zeros((2, 3, 3), np.uint8), np.zeros((0, 3), np.uint8)])
def test_only_planes_of_bytes_are_written(tmp_path, index):
    with pytest.raises(MaskFormatError, match=r"expected \(H, W\) uint8"):
        palette.write_index(tmp_path / "a.png", index)
    assert list(tmp_path.iterdir()) == []


def test_grey_and_one_bit_pictures_are_read(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "bit.png")
    assert palette.read_index(tmp_path / "grey.png").tolist() == [[0, 255]]
    assert palette.read_index(tmp_path / "bit.png").tolist() == [[0, 1]]


def test_a_colour_picture_a_damaged_and_a_missing_file_are_named(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "colour.png")
    palette.write_index(tmp_path / "whole.png", np.random.default_rng(0).integers(0, 9, (64, 64), np.uint8))
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:900])
    (tmp_path / "text.png").write_text("hello")
    for name, message in [
        ("colour", "pixel type RGB"),
        ("cut", "cannot be read as a picture"),
        ("text", "cannot be read"),
        ("none", "does not exist"),
    ]:
        with pytest.raises(MaskFormatError, match=rf"{name}\.png.*{message}"):
            palette.read_index(tmp_path / f"{name}.png")


@given(INDEX)
def test_split_then_merge_is_the_identity(index):
    parts = palette.split(index)
    assert list(parts) == sorted(set(index.ravel().tolist()) - {0})
    masks = np.array(list(parts.values()), bool).reshape(-1, *index.shape)
    np.testing.assert_array_equal(palette.merge(masks, list(parts)), index)


def test_the_order_says_who_lies_on_top():
    masks = np.ones((2, 1, 2), bool)
    masks[1, 0, 1] = False
    assert palette.merge(masks, [7, 9]).tolist() == [[9, 7]]
    assert palette.merge(masks, [7, 9], order=[1, 0]).tolist() == [[7, 7]]


@pytest.mark.parametrize(
    ("ids", "message"),
    [([1, 256], "id 256 does not fit"), ([0, 1], "id 0 does not fit"), ([3, 3], "one twice"), ([1], r"for 1 ids")],
)
def test_ids_that_do_not_fit_are_refused(ids, message):
    with pytest.raises(MaskFormatError, match=message):
        palette.merge(np.zeros((2, 3, 3), bool), ids)
