"""Exports and imports of a whole project, with masks whose truth is known; and the command line that does them."""

from __future__ import annotations

import json
import re
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
import shapes

from vidseg import cli
from vidseg.annotate import Project, Session, exports, imports, open_session
from vidseg.annotate.exports import EXPORTS, export
from vidseg.annotate.imports import IMPORTS, import_file
from vidseg.cli import export as export_verb
from vidseg.cli import import_ as import_verb
from vidseg.errors import MaskFormatError
from vidseg.masks import palette, rle
from vidseg.masks.formats import READABLE, find
from vidseg.video import open_video

FRAMES = 6


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project on six frames in which every mask of both objects is drawn, accepted but for one rejected."""
    folder = tmp_path_factory.mktemp("finished")
    clip = shapes.write(folder / "clip", frames=FRAMES)
    with open_session(folder / "clip.vidseg", videos=[clip]) as session:
        for name, of_class in (("disc", "toy"), ("square", "box")):
            session.do("object.add", video=1, name=name, **{"class": of_class})
        for frame in range(FRAMES):
            for number, mask in shapes.truth(frame).items():
                session.do("prompt.mask", video=1, object=number, frame=frame, rle=dict(rle.encode(mask)))
        session.do("review.set", video=1, objects=[2], start=5, stop=6, state="rejected")
    return folder / "clip.vidseg"


def truth(number: int, frame: int) -> np.ndarray:
    mask = shapes.truth(frame)[number]
    return np.zeros_like(mask) if (number, frame) == (2, 5) else mask


@pytest.mark.parametrize("format", [name for name in READABLE if name not in ("yolo-seg", "cvat")])
def test_masks_come_back_bit_by_bit(finished: Path, tmp_path: Path, format: str) -> None:
    with Project.open(finished, readonly=True) as project:
        report = export(project, format, tmp_path)
    assert "11 masks" in report[0]
    (found,) = find(format).read(tmp_path)
    tracks = {track.id: track for track in found.tracks}
    for number in (1, 2):
        for frame in range(FRAMES):
            mask = tracks[number].masks.get(frame)
            pixels = np.zeros(shapes.SIZE, bool) if mask is None else rle.decode(mask)
            assert (pixels == truth(number, frame)).all(), (number, frame)


def test_rejected_masks_are_left_out_unless_asked_for(finished: Path, tmp_path: Path) -> None:
    with Project.open(finished, readonly=True) as project:
        export(project, "davis", tmp_path / "a")
        export(project, "davis", tmp_path / "b", states=("rejected",))
    assert set(np.unique(palette.read_index(tmp_path / "a/Annotations/clip/00005.png"))) == {0, 1}
    assert set(np.unique(palette.read_index(tmp_path / "b/Annotations/clip/00005.png"))) == {0, 2}


@pytest.mark.parametrize("format", [name for name in EXPORTS if name != "overlay"])
def test_every_format_reports_what_it_wrote_and_could_not_hold(finished: Path, tmp_path: Path, format: str) -> None:
    with Project.open(finished, readonly=True) as project:
        report = export(project, format, tmp_path)
    assert report[0].startswith(f"{format}: ")
    assert any(path.is_file() for path in tmp_path.rglob("*"))
    assert all("\n" not in line for line in report)


def test_the_overlay_is_a_video_of_the_same_length_with_coloured_objects(finished: Path, tmp_path: Path) -> None:
    with Project.open(finished, readonly=True) as project:
        (line,) = export(project, "overlay", tmp_path)
    assert "6 frames" in line
    with open_video(tmp_path / "clip.mp4") as video:
        assert len(video) == FRAMES and video.size == shapes.SIZE
        plain, drawn = shapes.draw(3).astype(int), video[3].image.astype(int)
    change = np.abs(drawn - plain).sum(-1)
    inside = truth(1, 3) | truth(2, 3)
    assert change[inside].mean() > 3 * change[~inside].mean()


def test_polygons_are_written_where_asked_for_and_refused_where_there_are_none(finished: Path, tmp_path: Path) -> None:
    with Project.open(finished, readonly=True) as project:
        export(project, "coco", tmp_path / "exact", polygons=True)
        report = export(project, "coco", tmp_path / "rough", polygons=True, tolerance=2.0)
        with pytest.raises(MaskFormatError, match="davis holds no polygons"):
            export(project, "davis", tmp_path / "davis", polygons=True)
    content = json.loads((tmp_path / "exact" / "annotations" / "instances.json").read_text())
    assert all(isinstance(one["segmentation"], list) for one in content["annotations"])
    (found,) = find("coco").read(tmp_path / "exact")
    assert (rle.decode(found.tracks[0].masks[3]) == truth(1, 3)).all()
    assert any("pixels by which polygons differ" in line for line in report)
    assert not (tmp_path / "davis").exists()


def test_an_unknown_format_is_refused(finished: Path, tmp_path: Path) -> None:
    with (
        Project.open(finished, readonly=True) as project,
        pytest.raises(MaskFormatError, match="expected one of davis"),
    ):
        export(project, "word", tmp_path)


@pytest.mark.parametrize("format", ["davis", "coco", "coco-video", "sav"])
def test_masks_are_imported_bit_by_bit_in_one_gesture(finished: Path, tmp_path: Path, format: str) -> None:
    with Project.open(finished, readonly=True) as project:
        export(project, format, tmp_path / "out")
    source = tmp_path / "out"
    if format == "sav":
        source = next(source.rglob("*.json"))
    clip = shapes.write(tmp_path / "clip", frames=FRAMES)
    with open_session(tmp_path / "p.vidseg", videos=[clip]) as session:
        made, found, _ = import_file(session.project, 1, format, source)
        assert (len(made), found["masks"]) == (2, 11)
        for number in (1, 2):
            for frame in range(FRAMES):
                mask = session.project.mask(1, number, frame)
                pixels = np.zeros(shapes.SIZE, bool) if mask is None else mask.decode()
                assert (pixels == truth(number, frame)).all()
                assert mask is None or mask.source == "imported"
        if format == "coco-video":
            assert [one.class_name for one in made] == ["toy", "box"]
        session.do("undo")
        assert session.project.objects(1) == []


def test_masks_of_another_size_are_refused(finished: Path, tmp_path: Path) -> None:
    with Project.open(finished, readonly=True) as project:
        export(project, "davis", tmp_path)
    index = np.zeros((10, 10), np.uint8)
    for path in tmp_path.rglob("*.png"):
        palette.write_index(path, index)
    with (
        Project.open(finished) as project,
        pytest.raises(MaskFormatError, match="made for pictures of 10x10; clip has 90x60"),
    ):
        import_file(project, 1, "davis", tmp_path)


def test_detections_become_prompts_that_propagation_answers(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "det.txt"
    path.write_text("1,7,3,6,20,20,0.9\n11,7,22,5,22,22,0.9\n99,8,1,1,5,5,0.9\n")
    made, found, touched = import_file(session.project, 1, "mot", path)
    session.changed(touched)
    assert (len(made), found["prompts"]) == (1, 2)
    assert found["report"] == ["1 boxes outside the video were left out"]
    session.do("propagate.start", video=1, objects=None, direction="both", frame=0, reach="all")
    session.wait(20)
    masks = list(session.project.masks(1))
    assert [mask.frame for mask in masks] == list(range(24))
    assert all((mask.decode() == shapes.truth(mask.frame)[1]).all() for mask in masks)


def test_what_the_page_is_told_of_formats_is_what_there_is() -> None:
    assert [one["name"] for one in exports.about()] == list(EXPORTS)
    assert [one["name"] for one in imports.about()] == list(IMPORTS)
    assert all(one["title"] and one["notes"] for one in exports.about())


def test_the_command_line_lists_the_formats_that_there_are() -> None:
    assert tuple(export_verb.FORMATS) == EXPORTS
    assert tuple(import_verb.FORMATS) == tuple(IMPORTS)


def test_a_file_of_several_videos_needs_one_with_the_right_name(session: Session, tmp_path: Path) -> None:
    for name in ("one", "two"):
        palette.write_index(tmp_path / name / "00000.png", np.ones(shapes.SIZE, np.uint8))
    with pytest.raises(MaskFormatError, match="the file holds 2 videos \\(one, two\\); none is called shapes"):
        import_file(session.project, 1, "davis", tmp_path)
    (tmp_path / "two").rename(tmp_path / "shapes")
    assert import_file(session.project, 1, "davis", tmp_path)[1]["report"] == [
        "1 other videos in the file were left out"
    ]


def test_an_archive_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    from vidseg.annotate.imports import _unpack

    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../outside.png", b"x")
        archive.writestr("/absolute.png", b"x")
    _unpack(tmp_path / "evil.zip", tmp_path / "a" / "b")
    assert {path.name for path in (tmp_path / "a" / "b").rglob("*.png")} == {"outside.png", "absolute.png"}
    assert not (tmp_path / "outside.png").exists()


# The command line


def run(capsys: pytest.CaptureFixture[str], *argv: object) -> tuple[int, str, str]:
    code = cli.main([str(one) for one in argv])
    found = capsys.readouterr()
    return code, found.out, found.err


def test_vidseg_export_writes_and_reports(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "export", finished, "--format", "coco", "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert out.startswith("coco: ")
    code, rough, _ = run(
        capsys, "export", finished, "--format", "coco", "--out", tmp_path / "p", "--polygons", "--tolerance", "1"
    )
    assert code == 0 and "polygons" in rough
    code, again, _ = run(capsys, "project", "export", finished, "--format", "coco", "--out", tmp_path / "out")
    assert (code, again) == (0, out)


def test_vidseg_project_info_and_check(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "project", "info", finished)
    assert code == 0
    assert "video 1: clip, 6 frames of 90x60, ok" in out
    assert "object 2: square (box), 6 prompts on 6 frames, 6 masks (6 visible, 0 stale, 0 accepted, 1 rejected)" in out
    code, out, _ = run(capsys, "project", "info", finished, "--json")
    assert json.loads(out)["videos"][0]["objects"][0]["class"] == "toy"
    assert json.loads(out)["learned"] is None
    assert run(capsys, "project", "check", finished)[0] == 0


def test_vidseg_project_info_says_what_was_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.vidseg"
    with open_session(path, videos=[shapes.write(tmp_path / "clip", frames=2)]) as session:
        session.project.set_learned("flood", b"4", masks=4)
    assert run(capsys, "project", "info", path)[1].endswith("flood has learned from 4 masks\n")
    assert json.loads(run(capsys, "project", "info", path, "--json")[1])["learned"] == {"model": "flood", "masks": 4}


def test_vidseg_project_check_finds_damage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clip = shapes.write(tmp_path / "clip", frames=2)
    with open_session(tmp_path / "p.vidseg", videos=[clip]) as session:
        session.do("object.add", video=1)
        session.do("prompt.polygon", video=1, object=1, frame=0, mode="add", points=[[1, 1], [9, 1], [9, 9]])
        session.project.store.connection.execute("UPDATE mask SET area = 1")
    code, out, _ = run(capsys, "project", "check", tmp_path / "p.vidseg")
    assert code == 1 and "area 1 noted" in out


def test_vidseg_import_reads_what_export_wrote(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys, "export", finished, "--format", "davis", "--out", tmp_path / "out")
    with Project.open(tmp_path / "p.vidseg", create=True) as project:
        project.add_video(shapes.write(tmp_path / "clip", frames=FRAMES))
    source = tmp_path / "out" / "Annotations" / "clip"
    code, out, _ = run(capsys, "import", tmp_path / "p.vidseg", "--format", "davis", "--from", source)
    assert (code, out) == (0, "2 objects, 11 masks, 0 prompts imported\n")


def test_vidseg_import_asks_which_video(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with Project.open("p.vidseg", create=True) as project:
        project.add_video(video)
        project.add_video(shapes.write(tmp_path / "second", frames=2))
    code, _, err = run(capsys, "import", "p.vidseg", "--format", "mot", "--from", "det.txt")
    assert code == 2 and "p.vidseg has 2 videos; say which with --video ID" in err


def test_a_port_that_is_taken_is_named(tmp_path: Path, video: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        project = tmp_path / "p.vidseg"
        code, _, err = run(capsys, "annotate", video, "--project", project, "--no-browser", "--port", port)
    assert code == 1 and f"cannot listen on 127.0.0.1 port {port} (Address already in use); choose another" in err
    assert not project.exists()


def test_vidseg_project_relink(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Project.open(tmp_path / "p.vidseg", create=True) as project:
        clip = shapes.write(tmp_path / "clip", frames=2)
        project.add_video(clip)
    clip.rename(tmp_path / "moved")
    assert "missing" in run(capsys, "project", "info", tmp_path / "p.vidseg")[1]
    assert run(capsys, "project", "relink", tmp_path / "p.vidseg", 1, tmp_path / "moved")[0] == 0
    assert "ok" in run(capsys, "project", "info", tmp_path / "p.vidseg")[1]


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("export", "nowhere.vidseg", "--format", "coco", "--out", "x"), 1, "nowhere.vidseg does not exist"),
        (("export", "p.vidseg", "--format", "word", "--out", "x"), 2, "invalid choice: 'word'"),
        (("import", "p.vidseg", "--format", "davis", "--from", "x"), 1, "nowhere|does not exist"),
        (("project", "info", "nowhere.vidseg"), 1, "does not exist"),
        (("annotate", "a.vidseg", "b.vidseg"), 2, "two projects were named"),
        (("annotate", "nothing.mp4", "--port", "99999"), 2, "port 99999 is out of range"),
        (("annotate", "nothing.mp4", "--no-browser"), 1, "nothing.mp4 does not exist"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = run(capsys, *argv)
    assert (found, out) == (code, "")
    assert re.search(says, err) and err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
