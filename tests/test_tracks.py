"""tracks.json and its journal: what is written is read back, torn journals are cut where they were good."""

import json
from pathlib import Path

import numpy as np
import pytest

from vidseg.errors import MaskFormatError
from vidseg.masks import rle
from vidseg.tracks import (
    FORMAT,
    FrameRecord,
    Journal,
    ObjectRecord,
    TracksHeader,
    frame_record,
    read_tracks,
    write_tracks,
)

HEADER = TracksHeader(
    version="1", model={"name": "m"}, source={"name": "s"}, size=(4, 6), start=0, stop=3, direction="both"
)


def record(frame, *ids, skipped=None):
    masks = np.zeros((len(ids), 4, 6), bool)
    for n in range(len(ids)):
        masks[n, n, 1:4] = True
    found = frame_record(
        frame, frame / 10, masks, ids=ids, score=np.full(len(ids), 1.5), iou=np.linspace(0, 0.9, len(ids))
    )
    return FrameRecord(frame, frame / 10, found.objects, skipped)


def test_a_record_says_what_a_mask_is():
    mask = np.zeros((1, 4, 6), bool)
    mask[0, 1:3, 2:5] = True
    (found,) = frame_record(0, 0.0, mask, ids=[7], score=np.array([0.123456]), iou=np.array([0.98765])).objects
    assert (found.id, found.visible, found.score, found.iou, found.box) == (7, True, 0.1235, 0.9877, (2, 1, 5, 3))
    np.testing.assert_array_equal(found.mask(), mask[0])


@pytest.mark.parametrize(("pixels", "score"), [(False, 3.0), (True, -3.0)])
def test_an_object_without_pixels_or_with_a_negative_score_is_not_visible(pixels, score):
    mask = np.full((1, 4, 6), pixels)
    (found,) = frame_record(0, 0.0, mask, ids=[1], score=np.array([score]), iou=np.zeros(1)).objects
    assert not found.visible
    assert (found.box is None) == (not pixels)


def test_objects_are_listed_by_id_and_give_the_index_mask_back():
    found = record(0, 5, 2)
    assert [o.id for o in found.objects] == [2, 5]
    index = found.index((4, 6))
    assert (index[0, 1:4] == 5).all() and (index[1, 1:4] == 2).all() and (index > 0).sum() == 6


def test_a_file_is_read_back_as_it_was_written(tmp_path):
    records = [record(0, 1), record(1), record(2, skipped="broken")]
    write_tracks(tmp_path / "tracks.json", HEADER, iter(records))
    tracks = read_tracks(tmp_path / "tracks.json")
    assert tracks.header == HEADER
    assert list(tracks.frames) == records
    content = json.loads((tmp_path / "tracks.json").read_text())
    assert content["format"] == FORMAT
    assert rle.area(content["frames"][0]["objects"][0]["segmentation"]) == 3
    assert not list(tmp_path.glob("*.part"))


def test_a_file_that_fails_half_way_is_not_left_behind(tmp_path):
    def records():
        yield record(0, 1)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_tracks(tmp_path / "tracks.json", HEADER, records())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read as a tracks file"),
        ("{}", "is not a tracks file of this version of vidseg; expected format"),
        ("[1]", "is not a tracks file"),
        (json.dumps({"format": FORMAT}), "has no 'version'; a tracks file is written by"),
        (json.dumps({**HEADER.to_json()}), "has frames of another form"),
        (json.dumps({**HEADER.to_json(), "frames": [{"frame": 0}]}), r"has frames of another form .* was it edited\?"),
    ],
)
def test_another_file_is_refused(tmp_path, content, message):
    (tmp_path / "t.json").write_text(content)
    with pytest.raises(MaskFormatError, match=message):
        read_tracks(tmp_path / "t.json")


def test_the_journal_gives_frames_in_order_and_joins_passes(tmp_path):
    with Journal(tmp_path / "j") as journal:
        for found in (record(1, 1), record(2, 1, 3), record(1, 2), record(0, 2), record(2, 3)):
            journal.append(found)
        found = list(journal.records())
    assert [(f.frame, [o.id for o in f.objects]) for f in found] == [(0, [2]), (1, [1, 2]), (2, [1, 3])]


def test_the_journal_forgets_what_came_after_the_last_sync(tmp_path):
    journal = Journal(tmp_path / "j")
    journal.append(record(0, 1))
    length = journal.sync()
    journal.append(record(1, 1))
    journal.sync()
    journal._file.write(b'{"frame": 2, "seco')  # the process dies in the middle of a line
    journal.__exit__()
    with Journal(tmp_path / "j", length=length) as again:
        assert [found.frame for found in again.records()] == [0]
        again.append(record(1, 2))
        assert [[o.id for o in found.objects] for found in again.records()] == [[1], [2]]


def test_an_empty_journal_has_no_records(tmp_path):
    with Journal(tmp_path / "j") as journal:
        assert list(journal.records()) == []


def test_the_document_names_every_key_of_the_file():
    text = (Path(__file__).resolve().parents[1] / "docs" / "track.md").read_text(encoding="utf-8")
    for key in ("format", *TracksHeader.__slots__, *FrameRecord.__slots__, *ObjectRecord.__slots__):
        assert f"`{key}`" in text, key
