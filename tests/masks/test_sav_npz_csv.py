"""SA-V, npz and CSV: their structure and what damaged files say."""

import csv
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mask_examples import ANNOTATION, BLOCK, RING, SPECIAL

from vidseg.errors import MaskFormatError
from vidseg.masks import rle
from vidseg.masks.formats import npz, sav, table


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
