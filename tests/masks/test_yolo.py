"""YOLO labels: polygons as the trainer fills them, bridges, sizes, and what damaged files say."""

import cv2
import numpy as np
import pytest
import yaml
from mask_examples import ANNOTATION, BLOCK, RING, SPECIAL
from PIL import Image

from vidseg.errors import MaskFormatError
from vidseg.masks import rle
from vidseg.masks.annotation import Annotation, Track
from vidseg.masks.formats import yolo_seg, yolo_track
from vidseg.types import Box


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
