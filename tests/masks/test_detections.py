import json

import pytest

from vidseg.errors import MaskFormatError
from vidseg.masks import detections
from vidseg.types import Box, Prompt


def plain(prompts):
    assert all(isinstance(p, Prompt) and p.mask is None and p.clicks == () for p in prompts)
    return [(p.object, p.frame, p.box) for p in prompts]


def test_mot_tracks_become_objects_on_frames_from_0(tmp_path):
    (tmp_path / "gt.txt").write_text("2,7,10,20,30,40,1,1,0.8\n1,7,8,18,30,40,1,1,1\n1,9,0,0,5,5,0,1,1\n\n"[:-1])
    assert plain(detections.read_mot(tmp_path / "gt.txt")) == [
        (7, 0, Box(8, 18, 38, 58)),
        (7, 1, Box(10, 20, 40, 60)),
    ]


def test_mot_detections_without_a_track_are_objects_of_their_own_above_a_score(tmp_path):
    (tmp_path / "det.txt").write_text("1, -1, 1, 2, 3, 4, 0.9, -1, -1, -1\n1,-1,5,5,5,5,0.2\n3.0 4.00 1 1 2 2\n")
    assert plain(detections.read_mot(tmp_path / "det.txt", min_score=0.5)) == [
        (5, 0, Box(1, 2, 4, 6)),
        (4, 2, Box(1, 1, 3, 3)),
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1,2,3", "line 1 has 3 columns"),
        ("a,2,3,4,5,6,1", "line 1: frame is 'a'"),
        ("1,2,3,4,-5,6,1", "line 1 has the box"),
        ("1,2,3,4,inf,6,1", "line 1 has the box"),
        ("0,2,3,4,5,6,1", "line 1: frame 0 lies before the first one, 1; set first_frame"),
    ],
)
def test_damaged_mot_lines_are_named(tmp_path, line, message):
    (tmp_path / "gt.txt").write_text(line)
    with pytest.raises(MaskFormatError, match=rf"gt\.txt: {message}"):
        detections.read_mot(tmp_path / "gt.txt")


def test_yolo_boxes_polygons_scores_and_ids(tmp_path):
    (tmp_path / "clip_00003.txt").write_text("0 0.5 0.5 0.2 0.4\n2 0.5 0.5 0.2 0.4 0.93\n1 0.25 0.5 0.1 0.2 7\n")
    (tmp_path / "clip_00004.txt").write_text("1 0.25 0.5 0.1 0.2 0.8 7\n\n0 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6 7\n")
    found = plain(detections.read_yolo(tmp_path, size=(100, 200)))
    assert [(number, frame) for number, frame, _ in found] == [(8, 3), (9, 3), (7, 3), (7, 4), (7, 4)]
    assert found[0][2] == pytest.approx((80, 30, 120, 70))
    assert found[3][2] == pytest.approx((40, 40, 60, 60))
    assert found[4][2] == pytest.approx((20, 10, 100, 60))


def test_an_id_of_0_moves_all_ids_up_by_one(tmp_path):
    (tmp_path / "f1.txt").write_text("0 0.5 0.5 0.2 0.4 0\n0 0.5 0.5 0.2 0.4 1\n0 0.5 0.5 0.2 0.4 0.5\n")
    found = plain(detections.read_yolo(tmp_path / "f1.txt", size=(10, 10), first_frame=1))
    assert [(number, frame) for number, frame, _ in found] == [(1, 0), (2, 0), (3, 0)]


@pytest.mark.parametrize(
    ("name", "line", "message"),
    [
        ("labels", "0 0.5 0.5 0.2 0.4", "has no number in its name"),
        ("a1", "0 0.5 0.5", "line 1 has 3 columns"),
        ("a1", "0 50 50 20 40", "line 1 has coordinates above 1"),
        ("a1", "0 0.5 0.5 x 0.4", "line 1 has the score 'x'|'x'"),
        ("a1", "car 0.5 0.5 0.1 0.4", "line 1: class is 'car'"),
    ],
)
def test_damaged_yolo_boxes_are_named(tmp_path, name, line, message):
    (tmp_path / f"{name}.txt").write_text(line)
    with pytest.raises(MaskFormatError, match=rf"{name}\.txt.*({message})"):
        detections.read_yolo(tmp_path, size=(10, 10))


def test_coco_results_are_prompts(tmp_path):
    results = [
        {"image_id": 12, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.9},
        {"image_id": 11, "category_id": 1, "bbox": [0, 0, 3, 4], "score": 0.9, "track_id": 2},
        {"image_id": 11, "category_id": 1, "bbox": [0, 0, 3, 4], "score": 0.1},
        {"image_id": 11, "category_id": 1, "bbox": [0, 0, 0, 4], "score": 0.9},
    ]
    (tmp_path / "r.json").write_text(json.dumps(results))
    found = plain(detections.read_coco(tmp_path / "r.json", first_frame=11, min_score=0.5))
    assert found == [(2, 0, Box(0, 0, 3, 4)), (3, 1, Box(1, 2, 4, 6))]


def test_a_coco_data_set_orders_its_images_by_name(tmp_path):
    content = {
        "images": [{"id": 8, "file_name": "b.jpg"}, {"id": 9, "file_name": "a.jpg"}],
        "annotations": [{"image_id": 8, "bbox": [1, 2, 3, 4]}, {"image_id": 9, "bbox": [0, 0, 3, 4]}],
    }
    (tmp_path / "d.json").write_text(json.dumps(content))
    assert plain(detections.read_coco(tmp_path / "d.json")) == [(1, 0, Box(0, 0, 3, 4)), (2, 1, Box(1, 2, 4, 6))]
    content["annotations"][0]["image_id"] = 3
    (tmp_path / "d.json").write_text(json.dumps(content))
    with pytest.raises(MaskFormatError, match="entry 0 belongs to image 3"):
        detections.read_coco(tmp_path / "d.json")


def test_missing_files_are_named(tmp_path):
    for read, options in [("mot", {}), ("yolo", {"size": (4, 4)}), ("coco", {})]:
        with pytest.raises(MaskFormatError, match="none7"):
            detections.BOX_FORMATS[read](tmp_path / "none7", **options)
    with pytest.raises(MaskFormatError, match="holds no label files"):
        detections.read_yolo(tmp_path, size=(4, 4))
