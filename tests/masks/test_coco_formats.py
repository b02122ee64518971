import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from vidseg.errors import MaskFormatError
from vidseg.masks import rle
from vidseg.masks.annotation import Annotation, Track
from vidseg.masks.formats import coco, coco_video
from vidseg.types import Box

api = pytest.importorskip("pycocotools.coco", reason="pycocotools is the oracle for COCO files")
evaluation = pytest.importorskip("pycocotools.cocoeval")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside pycocotools

RNG = np.random.default_rng(3)
HOLED = np.ones((20, 30), bool)
HOLED[5:9, 7:20] = False
NOISE = RNG.random((20, 30)) < 0.4
ANNOTATION = Annotation(
    video="clip",
    size=(20, 30),
    frames=3,
    tracks=(
        Track(7, "Ann", "person", {0: rle.encode(HOLED), 2: rle.encode(NOISE)}, {0: 0.5}),
        Track(9, "", "car", {1: rle.encode(~HOLED)}, boxes={2: Box(1, 2, 4, 8)}),
        Track(11, "", "person", {1: rle.encode(NOISE)}, crowd=True),
    ),
)


def opened(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return api.COCO(str(path))


@pytest.mark.parametrize("segmentation", ["rle", "polygons"])
def test_pycocotools_reads_the_file_and_finds_the_same_masks(tmp_path, segmentation):
    coco.write(ANNOTATION, tmp_path, segmentation=segmentation)
    data = opened(tmp_path / "annotations" / "instances.json")
    assert [image["file_name"] for image in data.loadImgs(data.getImgIds())] == [f"clip/0000{n}.jpg" for n in range(3)]
    assert [c["name"] for c in data.loadCats(data.getCatIds())] == ["person", "car"]
    by_id = {track.id: track for track in ANNOTATION.tracks}
    checked = 0
    for entry in data.loadAnns(data.getAnnIds()):
        track, frame = by_id[entry["track_id"]], entry["image_id"] - 1
        if "segmentation" not in entry:
            assert entry["bbox"] == [1, 2, 3, 6]
            continue
        mask = rle.decode(track.masks[frame])
        np.testing.assert_array_equal(data.annToMask(entry), mask)
        assert entry["area"] == mask.sum()
        x, y, width, height = (int(n) for n in entry["bbox"])
        assert mask[y : y + height, x : x + width].sum() == mask.sum()
        # A crowd is always run lengths, a single object has polygons where they were asked for.
        assert isinstance(entry["segmentation"], list) == (segmentation == "polygons" and not track.crowd)
        assert entry["iscrowd"] == track.crowd
        checked += 1
    assert checked == 4


def test_our_masks_are_perfect_results_for_cocos_own_evaluation(tmp_path):
    coco.write(replace(ANNOTATION, tracks=ANNOTATION.tracks[:1]), tmp_path)
    truth = opened(tmp_path / "annotations" / "instances.json")
    keys = ("image_id", "category_id", "segmentation")
    results = [{**{k: a[k] for k in keys}, "score": 0.9} for a in truth.dataset["annotations"]]
    with contextlib.redirect_stdout(io.StringIO()):
        scored = evaluation.COCOeval(truth, truth.loadRes(results), "segm")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    assert scored.stats[0] == pytest.approx(1.0)


def test_polygons_of_others_are_filled_as_pycocotools_fills_them(tmp_path):
    coco.write(ANNOTATION, tmp_path)
    file = tmp_path / "annotations" / "instances.json"
    content = json.loads(file.read_text())
    rings = [[2.3, 1.1, 25.9, 3.3, 14.2, 18.8], [20.1, 10.0, 31.0, 12.5, 22.2, 19.9, 20.0, 15.0]]
    content["annotations"] = [{**content["annotations"][0], "segmentation": rings, "iscrowd": 0}]
    file.write_text(json.dumps(content))
    (back,) = coco.read(file)
    data = opened(file)
    np.testing.assert_array_equal(rle.decode(back.tracks[0].masks[0]), data.annToMask(data.anns[1]))


def test_a_file_without_track_ids_gives_every_annotation_an_object(tmp_path):
    coco.write(ANNOTATION, tmp_path)
    file = tmp_path / "annotations" / "instances.json"
    content = json.loads(file.read_text())
    for entry in content["annotations"]:
        del entry["track_id"]
    content["images"].reverse()  # order comes from the names
    file.write_text(json.dumps(content))
    (back,) = coco.read(file)
    assert [(t.id, t.frames()) for t in back.tracks] == [(1, [0]), (2, [1]), (3, [1]), (4, [2]), (5, [2])]


def test_simplified_polygons_are_shorter_and_their_loss_is_counted(tmp_path):
    disc = np.hypot(*np.mgrid[-30:30, -30:30]) < 25
    annotation = Annotation("clip", disc.shape, 1, (Track(1, masks={0: rle.encode(disc)}),))
    report = coco.write(annotation, tmp_path, segmentation="polygons", tolerance=1.5)
    (back,) = coco.read(tmp_path)
    wrong = np.count_nonzero(rle.decode(back.tracks[0].masks[0]) ^ disc)
    assert 0 < wrong < 0.15 * disc.sum()
    assert report.lost("polygon") == wrong
    assert not report.masks_exact
    content = json.loads((tmp_path / "annotations" / "instances.json").read_text())
    assert len(content["annotations"][0]["segmentation"][0]) < 40


def test_youtube_vis_structure(tmp_path):
    coco_video.write(ANNOTATION, tmp_path)
    content = json.loads((tmp_path / "annotations" / "instances.json").read_text())
    (video,) = content["videos"]
    assert (video["width"], video["height"], video["length"]) == (30, 20, 3)
    assert video["file_names"] == ["clip/00000.jpg", "clip/00001.jpg", "clip/00002.jpg"]
    first = content["annotations"][0]
    assert first["segmentations"] == [rle.encode(HOLED), None, rle.encode(NOISE)]
    assert first["bboxes"][0] == [0, 0, 30, 20]
    assert first["areas"] == [HOLED.sum(), None, NOISE.sum()]
    assert [entry["id"] for entry in content["annotations"]] == [1, 2, 3]
    assert [entry["iscrowd"] for entry in content["annotations"]] == [0, 0, 1]


def test_youtube_vis_files_of_others_are_read(tmp_path):
    content = {
        "videos": [{"id": 5, "width": 30, "height": 20, "length": 2, "file_names": ["abc/00005.jpg", "abc/00010.jpg"]}],
        "categories": [{"id": 3, "name": "cat"}],
        "annotations": [
            {
                "id": 44,
                "video_id": 5,
                "category_id": 3,
                "segmentations": [None, {"size": [20, 30], "counts": rle.counts(rle.encode(HOLED)).tolist()}],
                "bboxes": [None, [0, 0, 30, 20]],
            }
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(content))
    (back,) = coco_video.read(tmp_path / "a.json")
    assert (back.video, back.frame_names) == ("abc", ("00005", "00010"))
    assert back.tracks == (Track(1, "", "cat", {1: rle.encode(HOLED)}),)


BREAK = [
    (lambda c: c.pop("images"), '"images" is missing; expected a list'),
    (lambda c: c["images"][1].update(height="x"), "image 1: height is 'x'"),
    (lambda c: c["images"][1].update(height=21), r"image 2 \(00001\) is 30x21, others of video 'clip' are 30x20"),
    (lambda c: c["images"].__setitem__(0, 3), "image 0 is of type int"),
    (lambda c: c["annotations"][0].update(image_id=77), "annotation 0 belongs to image 77"),
    (lambda c: c["annotations"][0].update(category_id=77), "annotation 0 has the category 77"),
    (
        lambda c: c["annotations"][0].update(segmentation={"size": [2, 2], "counts": "04"}),
        "annotation 0: an RLE is for",
    ),
    (lambda c: c["annotations"][0]["segmentation"].update(counts="x"), "annotation 0: an RLE string"),
    (lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 4]]), "annotation 0 has a polygon that is no list"),
    (lambda c: c["annotations"][0].update(segmentation=[["a"] * 6]), "annotation 0 has a polygon that is no list"),
    (lambda c: c["annotations"][0].update(segmentation=[[1e12] * 6]), "far outside the 30x20 picture"),
    (lambda c: c["annotations"][0].update(segmentation=[[float("nan")] * 6]), "far outside"),
    (lambda c: c["annotations"][0].update(segmentation=None, bbox=[1, 2, -3, 4]), r"the box \[1, 2, -3, 4\]"),
    (lambda c: c["annotations"][0].update(score="high"), "the score 'high'"),
    (lambda c: c["annotations"][0].update(track_id="x"), "track_id is 'x'"),
    (lambda c: c["annotations"].append(c["annotations"][0]), "object 7 has two annotations on image 1"),
]


@pytest.mark.parametrize(("damage", "message"), BREAK)
def test_a_damaged_entry_is_named(tmp_path, damage, message):
    coco.write(ANNOTATION, tmp_path)
    file = tmp_path / "annotations" / "instances.json"
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    with pytest.raises(MaskFormatError, match=rf"instances\.json: .*{message}"):
        coco.read(tmp_path)


BREAK_VIDEO = [
    (lambda c: c.pop("videos"), '"videos" is missing'),
    (lambda c: c["videos"][0].update(length=2), "video 0 has the length 2 and 3 file names"),
    (lambda c: c["annotations"][1].update(video_id=9), "annotation 1 belongs to video 9"),
    (lambda c: c["annotations"][1].update(category_id=9), "annotation 1 has the category 9"),
    (lambda c: c["annotations"][1]["segmentations"].pop(), "annotation 1 has 2 segmentations for 3 frames"),
    (
        lambda c: c["annotations"][0]["segmentations"].__setitem__(1, {"size": [20, 30]}),
        "annotation 0, frame 1: an RLE",
    ),
    (lambda c: c["annotations"][1].update(track_id=7), "one track_id twice"),
]


@pytest.mark.parametrize(("damage", "message"), BREAK_VIDEO)
def test_a_damaged_video_entry_is_named(tmp_path, damage, message):
    coco_video.write(ANNOTATION, tmp_path)
    file = tmp_path / "annotations" / "instances.json"
    content = json.loads(file.read_text())
    damage(content)
    file.write_text(json.dumps(content))
    with pytest.raises(MaskFormatError, match=rf"instances\.json: .*{message}"):
        coco_video.read(tmp_path)


def test_a_folder_with_one_json_file_is_read_too(tmp_path):
    coco.write(ANNOTATION, tmp_path)
    (tmp_path / "annotations" / "instances.json").rename(tmp_path / "train.json")
    (back,) = coco.read(tmp_path)
    assert len(back.tracks) == 3


def test_unknown_options_are_refused(tmp_path):
    with pytest.raises(MaskFormatError, match=r'segmentation \'mask\' is unknown; expected "rle" or "polygons"'):
        coco.write(ANNOTATION, tmp_path, segmentation="mask")
