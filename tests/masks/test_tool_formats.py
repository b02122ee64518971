"""CVAT, Label Studio, SA-V, YOLO, npz and CSV: their structure and what damaged files say."""

import csv
import json
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vidseg.errors import MaskFormatError
from vidseg.masks import rle
from vidseg.masks.annotation import Annotation, Track
from vidseg.masks.formats import brush, cvat, label_studio, npz, sav, table, yolo_seg, yolo_track
from vidseg.types import Box

RING = np.zeros((10, 16), bool)
RING[2:8, 3:12] = True
RING[4:6, 5:9] = False
BLOCK = np.zeros((10, 16), bool)
BLOCK[1:3, 1:5] = True
SPECIAL = "<car> & \"van\" 'é'"
ANNOTATION = Annotation(
    "clip",
    (10, 16),
    5,
    (
        Track(3, "Ann", SPECIAL, {0: rle.encode(RING), 1: rle.encode(BLOCK), 3: rle.encode(RING)}, {0: 0.25, 1: 0.75}),
        Track(4, "", "dog", boxes={1: Box(1.5, 2, 8, 9.25), 4: Box(0, 0, 16, 10)}),
    ),
    times=(0.0, 0.1, 0.2, 0.3, 0.4),
    fps=10.0,
)


# CVAT


def test_cvat_xml_has_the_published_structure(tmp_path):
    cvat.write(ANNOTATION, tmp_path)
    root = ElementTree.parse(tmp_path / "clip.xml").getroot()
    assert (root.tag, root.findtext("version")) == ("annotations", "1.1")
    task = root.find("meta/task")
    assert (task.findtext("size"), task.findtext("mode")) == ("5", "interpolation")
    assert (task.findtext("original_size/width"), task.findtext("original_size/height")) == ("16", "10")
    assert [label.findtext("name") for label in task.findall("labels/label")] == [SPECIAL, "dog"]
    first, second = root.findall("track")
    assert (first.get("id"), first.get("label")) == ("3", SPECIAL)
    keys = ("frame", "outside", "keyframe")
    assert [(s.tag, *map(s.get, keys)) for s in first] == [
        ("polygon", "0", "0", "1"),
        ("polygon", "1", "0", "1"),
        ("polygon", "2", "1", "1"),
        ("polygon", "3", "0", "1"),
        ("polygon", "4", "1", "1"),
    ]
    assert first[1].get("points") == "1.00,1.00;5.00,1.00;5.00,3.00;1.00,3.00" or len(first[1].get("points")) == 39
    assert [(s.tag, *map(s.get, keys)) for s in second] == [
        ("box", "1", "0", "1"),
        ("box", "2", "1", "1"),
        ("box", "4", "0", "1"),
    ]
    assert [second[0].get(k) for k in ("xtl", "ytl", "xbr", "ybr")] == ["1.5", "2", "8", "9.25"]
    assert all({"occluded", "z_order"} <= set(shape.attrib) for track in (first, second) for shape in track)


def test_cvat_masks_count_along_rows_within_their_box(tmp_path):
    cvat.write(ANNOTATION, tmp_path, shape="mask")
    shape = ElementTree.parse(tmp_path / "clip.xml").getroot().find("track/mask")
    assert [shape.get(k) for k in ("left", "top", "width", "height")] == ["3", "2", "9", "6"]
    assert shape.get("rle") == "0, 20, 4, 5, 4, 21"


def test_cvat_boxes_lose_the_masks_and_say_so(tmp_path):
    report = cvat.write(ANNOTATION, tmp_path, shape="box")
    assert (report.masks, report.boxes, report.lost("masks")) == (0, 5, 3)
    (back,) = cvat.read(tmp_path)
    assert back.tracks[0].boxes[0] == Box(3, 2, 12, 8)


def test_cvat_simplified_polygons_count_their_loss(tmp_path):
    disc = np.hypot(*np.mgrid[-20:20, -20:20]) < 15
    annotation = Annotation("clip", disc.shape, 1, (Track(1, masks={0: rle.encode(disc)}),))
    report = cvat.write(annotation, tmp_path, tolerance=1.2)
    (back,) = cvat.read(tmp_path)
    assert report.lost("polygon") == np.count_nonzero(rle.decode(back.tracks[0].masks[0]) ^ disc) > 0


CVAT = """<annotations><version>1.1</version><meta><task><size>{size}</size><original_size><width>16</width>
<height>10</height></original_size></task></meta>{body}</annotations>"""


def cvat_file(tmp_path, body, size=8):
    path = tmp_path / "a.xml"
    path.write_text(CVAT.format(size=size, body=body))
    return path


def test_cvat_boxes_between_keyframes_are_interpolated_and_ids_start_at_1(tmp_path):
    body = """<track id="0" label="car">
    <box frame="1" outside="0" occluded="0" keyframe="1" xtl="0" ytl="0" xbr="4" ybr="4"></box>
    <box frame="3" outside="0" occluded="0" keyframe="1" xtl="2" ytl="4" xbr="8" ybr="8"></box>
    <box frame="5" outside="1" occluded="0" keyframe="1" xtl="9" ytl="9" xbr="9" ybr="9"></box></track>
    <track id="1" label="dog"></track>"""
    (back,) = cvat.read(cvat_file(tmp_path, body))
    assert [t.id for t in back.tracks] == [1, 2]
    assert back.frames == 8
    moving = {1: Box(0, 0, 4, 4), 2: Box(1, 2, 6, 6), 3: Box(2, 4, 8, 8), 4: Box(2, 4, 8, 8)}
    assert back.tracks[0].boxes == moving


def test_cvat_for_images_gives_every_shape_an_object(tmp_path):
    body = """<image id="0" name="x/p1.png" width="16" height="10">
    <polygon label="cat" occluded="0" points="1,1;5,1;5,3;1,3"></polygon>
    <mask label="dog" rle="0, 2, 2" left="14" top="8" width="2" height="2"></mask><points label="x"></points></image>
    <image id="1" name="p2.png" width="16" height="10"></image>"""
    (back,) = cvat.read(cvat_file(tmp_path, body))
    assert back.frame_names == ("p1", "p2")
    assert [(t.id, t.category) for t in back.tracks] == [(1, "cat"), (2, "dog")]
    assert back.tracks[0].masks == {0: rle.encode(BLOCK)}
    assert np.argwhere(rle.decode(back.tracks[1].masks[0])).tolist() == [[8, 14], [8, 15]]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<box frame="x"></box>', "frame x is 'x'"),
        ('<box frame="1" xtl="0" ytl="a" xbr="4" ybr="4"></box>', "track 5, frame 1 has the score 'a'|'a'"),
        ('<polygon frame="1" points="1,2;3"></polygon>', "frame 1 has points that are not pairs"),
        ('<polygon frame="1" points="1,2;3,4"></polygon>', "no list of at least three"),
        ('<mask frame="1" rle="1, 2" left="0" top="0" width="2" height="2"></mask>', "frame 1: RLE counts add up to 3"),
        ('<mask frame="1" rle="4" left="15" top="0" width="2" height="2"></mask>', "passes the 16x10 frame"),
        ('<mask frame="1" rle="-4, 8" left="0" top="0" width="2" height="2"></mask>', "rle is '-4'"),
    ],
)
def test_damaged_cvat_shapes_are_named(tmp_path, shape, message):
    with pytest.raises(MaskFormatError, match=rf"a\.xml: track 5.*({message})"):
        cvat.read(cvat_file(tmp_path, f'<track id="5" label="x">{shape}</track>'))


def test_cvat_files_without_a_size_and_with_doubled_tracks_are_refused(tmp_path):
    (tmp_path / "a.xml").write_text("<annotations></annotations>")
    with pytest.raises(MaskFormatError, match="does not say how large the frames are"):
        cvat.read(tmp_path)
    with pytest.raises(MaskFormatError, match="track 1 twice"):
        cvat.read(cvat_file(tmp_path, '<track id="1" label="a"/><track id="1" label="b"/>'))


def test_an_xml_bomb_is_refused(tmp_path):
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 30}">' for n in range(1, 9))
    bomb = f'<!DOCTYPE x [<!ENTITY a0 "{"ha" * 30}">{entities}]>'
    (tmp_path / "a.xml").write_text(bomb + CVAT.format(size="&a8;", body=""))
    with pytest.raises(MaskFormatError, match="cannot be read as XML"):
        cvat.read(tmp_path)


def test_unknown_shapes_are_refused(tmp_path):
    with pytest.raises(MaskFormatError, match='shape \'ellipse\' is unknown; expected "polygon", "mask" or "box"'):
        cvat.write(ANNOTATION, tmp_path, shape="ellipse")


# Label Studio


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


# SA-V


def test_sav_json_has_the_published_fields(tmp_path):
    sav.write(ANNOTATION, tmp_path)
    content = json.loads((tmp_path / "clip_manual.json").read_text())
    assert content["video_id"] == "clip"
    assert (content["video_height"], content["video_width"], content["video_frame_count"]) == (10, 16, 5)
    assert content["video_resolution"] == 160
    assert content["masklet_id"] == [3, 4]
    assert content["masklet_num"] == 2
    assert [len(entry) for entry in content["masklet"]] == [2] * 5
    assert content["masklet"][0][0] == rle.encode(RING)
    assert rle.area(content["masklet"][2][0]) == 0
    assert content["masklet_first_appeared_frame"] == [0, 0]
    assert content["masklet_visibility_changes"] == [3, 0]
    assert content["masklet_size_abs"][0] == pytest.approx((46 + 8 + 46) / 3)
    assert content["masklet_size_bucket"] == ["small", "small"]


def test_sav_files_of_meta_start_ids_at_0_and_skip_frames(tmp_path):
    content = {
        "video_id": "sav_000001",
        "video_frame_count": 9.0,
        "video_height": 10.0,
        "video_width": 16.0,
        "video_duration": 0.333,
        "masklet": [[rle.encode(RING), rle.encode(BLOCK)]] * 3,
        "masklet_id": [0, 1],
    }
    (tmp_path / "sav_000001_manual.json").write_text(json.dumps(content))
    (back,) = sav.read(tmp_path, step=4)
    assert (back.video, back.frames) == ("sav_000001", 9)
    assert {t.id: sorted(t.masks) for t in back.tracks} == {1: [0, 4, 8], 2: [0, 4, 8]}
    assert back.fps == pytest.approx(24, rel=0.01)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"masklet": 3}, '"masklet" is of type int'),
        ({"masklet_id": [1, 1]}, "one masklet_id twice"),
        ({"masklet_id": [1]}, "masklet 0 has 2 masks for 1 masklet_ids"),
        ({"video_height": None}, "height is None"),
        ({"video_height": 11}, "masklet 0, object 3: an RLE is for 16x10 pixels; the frames are 16x11"),
    ],
)
def test_damaged_sav_files_name_the_entry(tmp_path, change, message):
    sav.write(ANNOTATION, tmp_path)
    file = tmp_path / "clip_manual.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(MaskFormatError, match=rf"clip_manual\.json.*{message}"):
        sav.read(file)


# YOLO


def test_yolo_lines_are_filled_to_the_same_pixels_by_the_rule_of_its_trainer(tmp_path):
    yolo_seg.write(ANNOTATION, tmp_path)
    (line,) = (tmp_path / "labels" / "train" / "clip_00000.txt").read_text().splitlines()
    number, *values = line.split()
    corners = np.array(values, float).reshape(-1, 2)
    assert number == "0"
    assert (corners > 0).all() and (corners < 1).all()
    canvas = np.zeros((10, 16), np.uint8)
    cv2.fillPoly(canvas, [(corners * (16, 10)).astype(np.int32)], 1)
    np.testing.assert_array_equal(canvas.astype(bool), RING)
    assert (tmp_path / "labels" / "train" / "clip_00002.txt").read_text() == ""


def test_yolo_settings_name_classes_and_pictures(tmp_path):
    yolo_seg.write(ANNOTATION, tmp_path)
    settings = yaml.safe_load((tmp_path / "data.yaml").read_text(encoding="utf-8"))
    assert settings["names"] == {0: SPECIAL, 1: "dog"}
    assert settings["train"] == "images/train"


def test_yolo_bridges_between_parts_are_counted_and_splitting_avoids_them(tmp_path):
    both = BLOCK | (RING & (np.arange(16) > 9))
    annotation = Annotation("clip", both.shape, 1, (Track(1, masks={0: rle.encode(both)}),))
    report = yolo_seg.write(annotation, tmp_path / "a")
    (back,) = yolo_seg.read(tmp_path / "a")
    filled = rle.decode(back.tracks[0].masks[0])
    assert filled[both].all()
    assert report.lost("bridge") == np.count_nonzero(filled & ~both) > 0
    assert yolo_seg.write(annotation, tmp_path / "b", parts="split").masks_exact
    (back,) = yolo_seg.read(tmp_path / "b")
    assert len(back.tracks) == 2


def test_yolo_data_sets_of_others_take_the_size_from_pictures_or_the_caller(tmp_path):
    labels = tmp_path / "labels" / "val"
    labels.mkdir(parents=True)
    (labels / "p1.txt").write_text("1 0.05 0.1 0.3 0.1 0.3 0.25\n0 0.5 0.5 0.25 0.5\n")
    (tmp_path / "data.yaml").write_text("names: [cat, dog]\n")
    with pytest.raises(MaskFormatError, match="no pictures beside its labels"):
        yolo_seg.read(tmp_path)
    (given_size,) = yolo_seg.read(tmp_path, size=(10, 16))
    picture = tmp_path / "images" / "val" / "p1.png"
    picture.parent.mkdir(parents=True)
    Image.new("RGB", (16, 10)).save(picture)
    (found_size,) = yolo_seg.read(tmp_path / "data.yaml")
    assert given_size == found_size
    assert [t.category for t in found_size.tracks] == ["dog", "cat"]
    assert found_size.tracks[1].boxes == {0: Box(6, 2.5, 10, 7.5)}
    assert rle.area(found_size.tracks[0].masks[0]) > 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0.1 0.2", "line 1 is no class with a polygon"),
        ("1 0.1 0.2 0.3 0.4 0.5 x", "line 1 is no class"),
        ("1 0.1 0.2 0.3 0.4 0.5 900", "line 1 is no class"),
        ("1 nan 0.2 0.3 0.4 0.5 0.2", "line 1 is no class"),
        ("a 0.1 0.2 0.3 0.4", "line 1: class is 'a'"),
    ],
)
def test_damaged_yolo_lines_are_named(tmp_path, text, message):
    (tmp_path / "p1.txt").write_text(text)
    with pytest.raises(MaskFormatError, match=rf"p1\.txt: {message}"):
        yolo_seg.read(tmp_path, size=(10, 16))


def test_damaged_yolo_settings_and_missing_label_files_are_named(tmp_path):
    yolo_seg.write(ANNOTATION, tmp_path)
    (tmp_path / "labels" / "train" / "clip_00003.txt").unlink()
    with pytest.raises(MaskFormatError, match=r"clip_00003\.txt cannot be read"):
        yolo_seg.read(tmp_path)
    (tmp_path / "data.yaml").write_text("vidseg: {clip: {size: 3}}\nnames: {}\n")
    with pytest.raises(MaskFormatError, match=r"data\.yaml: clip has the size 3"):
        yolo_seg.read(tmp_path)
    (tmp_path / "data.yaml").write_text("names: [\n")
    with pytest.raises(MaskFormatError, match=r"data\.yaml is not YAML"):
        yolo_seg.read(tmp_path)


def test_unknown_parts_are_refused(tmp_path):
    with pytest.raises(MaskFormatError, match='parts \'all\' is unknown; expected "bridge" or "split"'):
        yolo_seg.write(ANNOTATION, tmp_path, parts="all")


def test_yolo_tracks_end_with_the_id(tmp_path):
    report = yolo_track.write(ANNOTATION, tmp_path)
    lines = (tmp_path / "labels" / "train" / "clip_00001.txt").read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["0", "1"]
    assert [line.split()[5] for line in lines] == ["3", "4"]
    assert [float(n) for n in lines[0].split()[1:5]] == pytest.approx([3 / 16, 0.2, 0.25, 0.2])
    assert (report.boxes, report.lost("masks")) == (5, 3)


# npz and CSV


def test_npz_opens_with_numpy_alone_one_frame_at_a_time(tmp_path):
    npz.write(ANNOTATION, tmp_path)
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as arrays:
        assert [name for name in arrays if name.startswith("masks_")] == ["masks_00000", "masks_00001", "masks_00003"]
        np.testing.assert_array_equal(arrays["masks_00003"], [RING, np.zeros_like(RING)])
        assert arrays["ids"].tolist() == [3, 4]
        assert arrays["categories"].tolist() == [SPECIAL, "dog"]
        assert arrays["visible"].sum() == 3
        assert arrays["boxes"][0, 0].tolist() == [3, 2, 12, 8]
        assert arrays["boxes"][1, 1].tolist() == [1.5, 2, 8, 9.25]
        assert np.isnan(arrays["boxes"][2]).all()
        assert arrays["scores"][1, 0] == 0.75


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": None}, "has no array ids"),
        ({"masks_00001": None}, "has no array masks_00001"),
        ({"masks_00000": np.zeros((1, 10, 16), bool)}, r"masks_00000 has the shape \(1, 10, 16\)"),
        ({"boxes": np.zeros((5, 4))}, r"boxes of shape \(5, 4\)"),
        ({"size": np.zeros(3, int)}, "cannot be read"),
    ],
)
def test_damaged_npz_files_are_refused(tmp_path, change, message):
    npz.write(ANNOTATION, tmp_path)
    with np.load(tmp_path / "clip.npz") as arrays:
        content = {name: arrays[name] for name in arrays} | change
    np.savez(tmp_path / "clip.npz", **{name: array for name, array in content.items() if array is not None})
    with pytest.raises(MaskFormatError, match=rf"clip\.npz.*{message}"):
        npz.read(tmp_path)


def test_pickled_objects_in_an_npz_are_not_loaded(tmp_path):
    npz.write(ANNOTATION, tmp_path)
    with np.load(tmp_path / "clip.npz") as arrays:
        content = {name: arrays[name] for name in arrays} | {"names": np.array([{}, 3], object)}
    np.savez(tmp_path / "clip.npz", **content)
    with pytest.raises(MaskFormatError, match="allow_pickle"):
        npz.read(tmp_path)


def test_csv_has_a_row_an_object_and_frame(tmp_path):
    table.write(ANNOTATION, tmp_path)
    with open(tmp_path / "annotations.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == table.COLUMNS
    assert [(row["frame"], row["id"]) for row in rows] == [("0", "3"), ("1", "3"), ("1", "4"), ("3", "3"), ("4", "4")]
    first = rows[0]
    assert (first["name"], first["category"], first["seconds"]) == ("Ann", SPECIAL, "0.000000")
    assert [first[k] for k in ("x1", "y1", "x2", "y2", "area_px", "score")] == ["3", "2", "12", "8", "46", "0.25"]
    ys, xs = np.nonzero(RING)
    assert float(first["centroid_x"]) == pytest.approx(xs.mean() + 0.5, abs=1e-3)
    assert float(first["centroid_y"]) == pytest.approx(ys.mean() + 0.5, abs=1e-3)
    assert (rows[2]["x1"], rows[2]["area_px"], rows[2]["score"]) == ("1.5", "", "")


@given(st.data())
def test_any_text_in_place_of_a_file_is_refused_in_one_line(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "a.json"
    path.write_text(data.draw(st.sampled_from(["[]", "{}", "null", "3", '{"masklet": []}', '[{"a": 1}]', "[" * 5000])))
    with pytest.raises(MaskFormatError, match=r"a\.json") as caught:
        sav.read(path)
    assert "\n" not in str(caught.value)
