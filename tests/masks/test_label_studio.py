"""Label Studio: brush run lengths by the published rule, and the structure of its tasks."""

import json
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as hnp
from mask_examples import ANNOTATION, RING, SPECIAL

from vidseg.errors import MaskFormatError
from vidseg.masks.formats import brush, label_studio


def reference_brush(packed):
    """Label Studio's decoder as its documentation gives it, bit by bit."""
    bits = "".join(f"{byte:08b}" for byte in packed)
    at = 0

    def take(n):
        nonlocal at
        at += n
        return int(bits[at - n : at], 2)

    count, word = take(32), take(5) + 1
    widths = [take(4) + 1 for _ in range(4)]
    values = []
    while len(values) < count:
        run, width = take(1), widths[take(2)]
        length = take(width) + 1
        values += [take(word)] * length if run else [take(word) for _ in range(length)]
    return np.array(values, np.uint8)


@given(hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=25)))
def test_brush_run_lengths_decode_by_the_published_rule_and_by_ours(mask):
    packed = brush.encode(mask)
    assert all(0 <= byte <= 255 for byte in packed)
    pixels = reference_brush(packed).reshape(*mask.shape, 4)
    np.testing.assert_array_equal(pixels, np.where(mask, 255, 0)[..., None].repeat(4, axis=2))
    np.testing.assert_array_equal(brush.decode(packed, mask.shape), mask)


def test_long_runs_of_a_large_mask_are_cut_into_blocks():
    mask = np.zeros((300, 400), bool)
    mask[100:250] = True
    packed = brush.encode(mask)
    assert len(packed) < 60
    np.testing.assert_array_equal(brush.decode(packed, mask.shape), mask)


def test_single_values_and_other_widths_of_other_writers_are_read():
    # 4 values of 8 bits, length widths 1, 2, 3, 4: two single values, then a run of two.
    bits = f"{8:032b}{7:05b}" + "".join(f"{n:04b}" for n in range(4))
    bits += "0" + "01" + f"{2:02b}" + f"{9:08b}{9:08b}{9:08b}" + "0" + "00" + "0" + f"{7:08b}" + "1" + "10" + "011"
    bits += f"{0:08b}"
    bits += "0" * (-len(bits) % 8)
    packed = [int(bits[n : n + 8], 2) for n in range(0, len(bits), 8)]
    assert brush.decode(packed, (1, 2)).tolist() == [[True, False]]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda p: p[:-2], "end in the middle"),
        (lambda p: p[:3], "end in the middle"),
        (lambda p: [*p[:5], 300], "whole numbers from 0 to 255"),
        (lambda p: ["a"], "whole numbers from 0 to 255"),
        (lambda p: [1, *p[1:]], r"are for \d+ values; 16x10 pixels have 4 each"),
        (lambda p: [*p[:7], *[255] * 8], "go past the end"),
    ],
)
def test_damaged_brush_run_lengths_are_refused(damage, message):
    with pytest.raises(MaskFormatError, match=message):
        brush.decode(damage(brush.encode(RING)), RING.shape)


def test_label_studio_video_task_has_the_published_structure(tmp_path):
    label_studio.write(ANNOTATION, tmp_path, prefix="/data/")
    (task,) = json.loads((tmp_path / "video.json").read_text())
    assert task["data"] == {"video": "/data/clip.mp4"}
    regions = task["annotations"][0]["result"]
    region = regions[0]
    assert (region["type"], region["from_name"], region["to_name"]) == ("videorectangle", "box", "video")
    assert region["value"]["labels"] == [SPECIAL]
    assert region["value"]["framesCount"] == 5
    assert region["value"]["duration"] == pytest.approx(0.5)
    assert region["score"] == 0.5
    sequence = region["value"]["sequence"]
    # Frames count from 1; the last frame before a gap is the one that ends the object's life.
    assert [(k["frame"], k["enabled"]) for k in sequence] == [(1, True), (2, False), (4, False)]
    first = sequence[0]
    assert [first[k] for k in ("x", "y", "width", "height", "rotation", "time")] == [18.75, 20, 56.25, 60, 0, 0]
    assert [k["enabled"] for k in regions[1]["value"]["sequence"]] == [False, True]


def test_label_studio_image_tasks_hold_the_exact_masks(tmp_path):
    report = label_studio.write(ANNOTATION, tmp_path)
    tasks = json.loads((tmp_path / "images.json").read_text())
    assert [task["data"]["image"] for task in tasks] == [f"clip/0000{n}.jpg" for n in range(5)]
    (region,) = tasks[0]["annotations"][0]["result"]
    assert (region["type"], region["original_width"], region["original_height"]) == ("brushlabels", 16, 10)
    assert region["value"]["format"] == "rle"
    assert region["value"]["brushlabels"] == [SPECIAL]
    np.testing.assert_array_equal(brush.decode(region["value"]["rle"], (10, 16)), RING)
    assert tasks[2]["annotations"][0]["result"] == []
    assert (report.masks, report.boxes) == (3, 5)


def test_label_studio_setups_name_the_controls_of_the_tasks(tmp_path):
    label_studio.write(ANNOTATION, tmp_path)
    video = ElementTree.parse(tmp_path / "video.xml").getroot()
    assert video.find("Video").attrib == {"name": "video", "value": "$video"}
    assert video.find("VideoRectangle").attrib == {"name": "box", "toName": "video"}
    assert [label.get("value") for label in video.find("Labels")] == [SPECIAL, "dog"]
    images = ElementTree.parse(tmp_path / "images.xml").getroot()
    assert images.find("Image").attrib == {"name": "image", "value": "$image"}
    assert images.find("BrushLabels").get("name") == "brush"


def test_label_studio_without_brushes_says_that_masks_are_lost(tmp_path):
    report = label_studio.write(ANNOTATION, tmp_path, brushes=False)
    assert report.lost("masks") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["video.json", "video.xml"]
