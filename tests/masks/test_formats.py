"""What all formats have in common: round trips, reports, refusals."""

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from mask_strategies import annotations, flattened, masks_of

from vidseg.errors import MaskFormatError
from vidseg.masks import formats, rle
from vidseg.masks.annotation import Annotation, Track, checked
from vidseg.masks.report import LOSSES
from vidseg.types import Box

SQUARE = rle.encode(np.ones((4, 6), bool))


def simple(**fields):
    track = Track(1, masks={0: SQUARE})
    return replace(Annotation("clip", (4, 6), 2, (track,)), **fields)


def round_trip(name, annotation, **options):
    """Write and read; returns what came back and the report."""
    with tempfile.TemporaryDirectory() as folder:
        report = formats.find(name).write(annotation, folder, **options)
        assert not list(Path(folder).rglob("*.part"))
        assert report.files == sum(path.is_file() for path in Path(folder).rglob("*"))
        (back,) = formats.find(name, reading=True).read(folder)
    return back, report


@pytest.mark.parametrize("name", ["coco-video", "npz"])
@given(annotation=annotations())
@settings(max_examples=40)
def test_these_formats_give_everything_back(name, annotation):
    back, report = round_trip(name, annotation)
    assert back == checked(annotation)[0]
    assert report.losses == ()
    assert report.masks == sum(map(len, masks_of(annotation).values()))


@pytest.mark.parametrize("options", [{}, {"segmentation": "polygons"}])
@given(annotation=annotations())
@settings(max_examples=40)
def test_coco_gives_back_every_track_that_is_somewhere(options, annotation):
    back, report = round_trip("coco", annotation, **options)
    (wanted,) = checked(annotation)
    shown = [track for track in wanted.tracks if track.frames()]
    assert sorted(back.tracks, key=lambda t: t.id) == sorted(
        (replace(t, scores={f: s for f, s in t.scores.items() if f in t.frames()}) for t in shown),
        key=lambda t: t.id,
    )
    assert replace(back, tracks=()) == replace(wanted, tracks=(), times=(), fps=None)
    assert {loss.what for loss in report.losses} <= {"times"}


@pytest.mark.parametrize("name", ["sav", "cvat"])
@given(annotation=annotations())
@settings(max_examples=40)
def test_these_formats_give_every_pixel_of_overlapping_masks_back(name, annotation):
    back, report = round_trip(name, annotation)
    assert masks_of(back) == masks_of(annotation)
    assert (back.size, back.frames) == (annotation.size, annotation.frames)
    assert report.masks_exact


@given(annotation=annotations())
@settings(max_examples=40)
def test_cvat_masks_come_back_exactly_and_boxes_of_tracks_without_masks_too(annotation):
    back, _ = round_trip("cvat", annotation, shape="mask")
    assert masks_of(back) == masks_of(annotation)
    wanted = {t.id: t.boxes for t in annotation.tracks if t.boxes and not t.masks}
    assert {t.id: t.boxes for t in back.tracks if t.boxes} == wanted
    assert {t.id: t.category for t in back.tracks} == {t.id: t.category for t in annotation.tracks}


@pytest.mark.parametrize("name", ["davis", "youtube-vos", "mots"])
@given(annotation=annotations(max_id=255))
@settings(max_examples=40)
def test_index_pngs_hold_the_object_on_top_and_report_the_pixels_below(name, annotation):
    back, report = round_trip(name, annotation)
    wanted, taken = flattened(annotation)
    assert masks_of(back) == wanted
    assert report.lost("overlap") == taken
    assert back.frames == annotation.frames
    assert report.masks_exact == (taken == 0)
    if name != "davis":
        assert {t.id: t.category for t in back.tracks} == {
            t.id: t.category for t in annotation.tracks if t.id in wanted
        }


@given(annotation=annotations())
@settings(max_examples=40)
def test_yolo_polygons_hold_the_pixels_that_the_report_does_not_count(annotation):
    back, report = round_trip("yolo-seg", annotation, parts="bridge")
    lines = [t for t in back.tracks if t.masks]
    wanted = [(f, t.masks[f], t.category) for f in range(annotation.frames) for t in annotation.tracks if f in t.masks]
    assert len(lines) == len(wanted)
    wrong = 0
    for line, (frame, mask, category) in zip(lines, wanted, strict=True):
        assert line.category == category
        wrong += np.count_nonzero(rle.decode(line.masks[frame]) ^ rle.decode(mask))
    assert wrong == report.lost("bridge") + report.lost("polygon")
    assert sum(len(t.boxes) for t in back.tracks) == sum(len(t.boxes) for t in checked(annotation)[0].tracks)


@given(annotation=annotations(extras=False))
@settings(max_examples=40)
def test_yolo_split_into_parts_adds_no_bridges(annotation):
    back, report = round_trip("yolo-seg", annotation, parts="split")
    assert report.lost("bridge") == 0
    for frame in range(annotation.frames):
        union = np.zeros(annotation.size, bool)
        for _, mask in back.masks_at(frame):
            union |= rle.decode(mask)
        wanted = np.any([rle.decode(m) for _, m in annotation.masks_at(frame)] or [~union & union], axis=0)
        assert np.count_nonzero(union ^ wanted) <= report.lost("polygon")


@pytest.mark.parametrize("name", formats.FORMATS)
def test_several_videos_go_into_one_export(name, tmp_path):
    videos = [simple(), simple(video="other", frames=3)]
    report = formats.find(name).write(videos, tmp_path)
    assert (report.format, report.path) == (name, tmp_path)
    assert report.masks == (0 if name in ("csv", "yolo-track") else 2)
    if name in formats.READABLE:
        back = formats.find(name).read(tmp_path)
        assert [(a.video, a.frames, len(a.tracks)) for a in back] == [("clip", 2, 1), ("other", 3, 1)]
        assert [t.masks for a in back for t in a.tracks] == [{0: SQUARE}, {0: SQUARE}]


@pytest.mark.parametrize("name", formats.FORMATS)
def test_an_export_over_an_older_one_replaces_its_files(name, tmp_path):
    for _ in range(2):
        formats.find(name).write(simple(), tmp_path)
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("name", formats.FORMATS)
def test_a_video_without_objects_is_written(name, tmp_path):
    report = formats.find(name).write(simple(tracks=()), tmp_path)
    assert (report.masks, report.boxes, report.losses) == (0, 0, ())
    if name in formats.READABLE:
        (back,) = formats.find(name).read(tmp_path)
        assert (back.tracks, back.frames, back.size) == ((), 2, (4, 6))


@pytest.mark.parametrize("name", formats.FORMATS)
def test_the_report_names_what_every_format_loses(name, tmp_path):
    tracks = (
        Track(1, "Ann", "person", {0: SQUARE, 1: SQUARE}, {0: 0.5}, {}, True),
        Track(2, masks={0: SQUARE}, boxes={1: Box(0, 0, 2, 2)}),
    )
    full = simple(tracks=tracks, times=(0.0, 0.1), fps=10.0, frame_names=("a", "b"))
    lost = {
        "davis": "overlap boxes names categories scores crowds times",
        "youtube-vos": "overlap boxes names scores crowds times",
        "coco": "times",
        "coco-video": "",
        "yolo-seg": "identities names scores crowds times",
        "yolo-track": "masks names scores crowds times",
        "mots": "overlap boxes names scores crowds times frame_names",
        "cvat": "boxes names scores crowds times frame_names",
        "label-studio": "crowds times",
        "sav": "boxes names categories scores crowds times frame_names",
        "npz": "",
        "csv": "masks crowds frame_names",
    }
    report = formats.find(name).write(full, tmp_path)
    assert [loss.what for loss in report.losses] == lost[name].split()
    text = str(report)
    assert f"{name}: {report.files} files" in text
    assert all(f"{loss.count} {LOSSES[loss.what]}" in text for loss in report.losses)
    if "overlap" in lost[name]:
        assert report.lost("overlap") == 24
        assert not report.masks_exact


def test_formats_are_found_by_name_and_an_unknown_one_is_refused():
    assert formats.find("davis") is formats.davis
    assert set(formats.READABLE) == set(formats.FORMATS) - {"yolo-track", "label-studio", "csv"}
    assert all(name == module.NAME and module.__doc__ for name, module in formats.FORMATS.items())
    with pytest.raises(MaskFormatError, match=r"'pascal' cannot be written; expected one of davis, youtube-vos"):
        formats.find("pascal")
    with pytest.raises(MaskFormatError, match=r"'csv' cannot be read"):
        formats.find("csv", reading=True)


def test_every_format_has_its_row_in_the_docs():
    page = (Path(__file__).resolve().parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
    rows = [line.split("`")[1] for line in page.splitlines() if line.startswith("| `")]
    assert rows == list(formats.FORMATS)
    for name, line in zip(rows, [line for line in page.splitlines() if line.startswith("| `")], strict=True):
        assert (line.split("|")[3].strip() == "yes") == (name in formats.READABLE)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (simple(video="../up"), r"'\.\./up' cannot name a file"),
        (simple(video=".."), "cannot name a file"),
        (simple(video=""), "cannot name a file"),
        (simple(frame_names=("a", "b/c")), "'b/c' cannot name a file"),
        (simple(frame_names=("a", "a")), "expected as many different frame names"),
        (simple(times=(0.0,)), "2 frames and 1 times"),
        (simple(tracks=(Track(1), Track(1))), "two objects with one id"),
        (simple(tracks=(Track(0),)), "object id 0; ids are whole numbers from 1"),
        (simple(tracks=(Track(1, masks={2: SQUARE}),)), r"object 1: frame 2 is outside the 2 frames \(0-1\)"),
        (simple(tracks=(Track(1, scores={-1: 0.5}),)), "frame -1 is outside"),
        (simple(size=(6, 4)), "object 1, frame 0: an RLE is for 6x4 pixels; the frames are 4x6"),
        (simple(tracks=(Track(1, scores={0: float("nan")}),)), "is not a finite number"),
        ([simple(), simple()], "two videos are called 'clip'"),
    ],
)
def test_annotations_that_make_no_sense_are_refused_before_anything_is_written(wrong, message, tmp_path):
    for name in formats.FORMATS:
        with pytest.raises(MaskFormatError, match=message):
            formats.find(name).write(wrong, tmp_path / name)
        assert not (tmp_path / name).exists()


@pytest.mark.parametrize("name", formats.READABLE)
def test_reading_what_is_not_there_or_of_another_format_is_one_clear_line(name, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("hello")
    for path in (tmp_path / "none", tmp_path / "empty", tmp_path / "file"):
        with pytest.raises(MaskFormatError, match=str(tmp_path)) as caught:
            formats.find(name).read(path)
        assert "\n" not in str(caught.value)


@given(annotation=annotations())
@settings(max_examples=20)
def test_control_characters_in_names_become_spaces(annotation):
    tracks = tuple(replace(t, name="a\x00b\ud800", category="\n") for t in annotation.tracks)
    for track in checked(replace(annotation, tracks=tracks))[0].tracks:
        assert (track.name, track.category) == ("a b", "object")


def test_an_id_above_255_is_refused_by_palette_formats_before_a_file_is_written(tmp_path):
    for name in ("davis", "youtube-vos"):
        with pytest.raises(MaskFormatError, match="object id 256 does not fit"):
            formats.find(name).write([simple(), simple(video="b", tracks=(Track(256),))], tmp_path / name)
        assert not (tmp_path / name).exists()


def test_ids_above_255_are_renumbered_on_demand_and_counted(tmp_path):
    video = simple(tracks=(Track(1, masks={0: SQUARE}), Track(256, masks={1: SQUARE})))
    for name in ("davis", "youtube-vos"):
        report = formats.find(name).write(video, tmp_path / name, renumber=True)
        assert report.lost("ids") == 1
        (back,) = formats.find(name).read(tmp_path / name)
        assert masks_of(back) == {1: {0: SQUARE}, 2: {1: SQUARE}}
    many = simple(tracks=tuple(Track(n) for n in range(1, 257)))
    with pytest.raises(MaskFormatError, match="object id 256 does not fit"):
        formats.davis.write(many, tmp_path, renumber=True)


def test_masks_at_lists_the_objects_of_a_frame_from_bottom_to_top():
    annotation = simple(tracks=(Track(5, masks={0: SQUARE}), Track(2, masks={0: SQUARE, 1: SQUARE})))
    assert [t.id for t, _ in annotation.masks_at(0)] == [5, 2]
    assert [t.id for t, _ in annotation.masks_at(1)] == [2]


def test_seconds_come_from_times_or_the_rate():
    assert simple(times=(0.0, 0.2), fps=10.0).seconds(1) == 0.2
    assert simple(fps=10.0).seconds(1) == 0.1
    assert simple().seconds(1) is None
