"""CVAT XML: its published structure, what comes back, and what damaged files say."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from mask_examples import ANNOTATION, BLOCK, SPECIAL

from vidseg.errors import MaskFormatError
from vidseg.masks import rle
from vidseg.masks.annotation import Annotation, Track
from vidseg.masks.formats import cvat
from vidseg.types import Box


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
    assert sorted(first[1].get("points").split(";")) == ["1.00,1.00", "1.00,3.00", "5.00,1.00", "5.00,3.00"]
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
    (tmp_path / "a.xml").write_text('<annotations><track id="1"><box frame="0"/></track></annotations>')
    with pytest.raises(MaskFormatError, match="how large the frames are before its first track"):
        cvat.read(tmp_path)
    pictures = "".join(f'<image id="{n}" name="a" width="16" height="{10 + n}"/>' for n in (0, 1))
    with pytest.raises(MaskFormatError, match="image 1 is 16x11, the images before it are of another size"):
        cvat.read(cvat_file(tmp_path, pictures))
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
