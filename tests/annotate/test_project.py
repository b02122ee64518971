"""The project file: who may open it, what is refused, and videos that move or change."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shapes

from vidseg.annotate import Project, edit, objects, schema
from vidseg.annotate.fingerprint import fingerprint
from vidseg.annotate.rows import describe
from vidseg.errors import ProjectError, VideoError


@pytest.fixture
def project(tmp_path: Path, video: Path):
    with Project.open(tmp_path / "p.vidseg", create=True) as opened:
        opened.add_video(video)
        yield opened


def test_a_video_keeps_its_size_frames_and_exact_times(project: Project, video: Path) -> None:
    info = project.video(1)
    assert (info.name, info.size, info.frames) == ("shapes", shapes.SIZE, 24)
    assert np.allclose(np.diff(info.times), 1 / (info.fps or 0))
    assert project.add_video(video).id == 1
    assert len(project.videos()) == 1


def test_a_second_owner_is_refused_and_told_who_has_it(project: Project) -> None:
    with pytest.raises(ProjectError, match=r"is open in process \d+ on \S+ \(user .*, since \d{4}-") as caught:
        Project.open(project.path)
    assert "\n" not in str(caught.value)


def test_another_process_is_refused_but_may_read(project: Project) -> None:
    code = (
        "import sys; from vidseg.annotate import Project\n"
        "from vidseg.errors import ProjectError\n"
        "with Project.open(sys.argv[1], readonly=True) as project: print(len(project.videos()))\n"
        "try: Project.open(sys.argv[1])\nexcept ProjectError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(project.path)], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert done[0] == "1"
    assert "is open in process" in done[1]


def test_the_lock_of_a_killed_process_does_not_last(tmp_path: Path) -> None:
    path = tmp_path / "p.vidseg"
    code = (
        "import sys, time; from vidseg.annotate import Project\n"
        "project = Project.open(sys.argv[1], create=True); print('open', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "open\n"
        with pytest.raises(ProjectError, match=f"process {process.pid} "):
            Project.open(path)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (tmp_path / "p.vidseg.lock").exists()
    with Project.open(path) as project:
        assert project.videos() == []


def test_closing_leaves_one_file(tmp_path: Path) -> None:
    with Project.open(tmp_path / "p.vidseg", create=True):
        pass
    with Project.open(tmp_path / "p.vidseg", readonly=True):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["p.vidseg"]


def test_readonly_cannot_write(project: Project) -> None:
    with Project.open(project.path, readonly=True) as reader, pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.set_settings({"opacity": 0.1})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_bytes(b"not a database" * 99), "is not a vidseg project or is damaged"),
        (lambda path: sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close(), "of another program"),
        (lambda path: None, "does not exist; start one with"),
    ],
)
def test_what_is_no_project_is_refused_in_one_line(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "p.vidseg"
    make(path)
    with pytest.raises(ProjectError, match=message) as caught:
        Project.open(path)
    assert "\n" not in str(caught.value)


def test_a_project_of_a_newer_vidseg_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.vidseg"
    Project.open(path, create=True).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ProjectError, match="written by a newer vidseg \\(schema 99"):
        Project.open(path)


def test_an_older_project_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.vidseg"
    with Project.open(path, create=True) as project:
        project.set_settings({"opacity": 0.25})
    step = "ALTER TABLE setting ADD COLUMN note TEXT;"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, step))
    with Project.open(path) as project:
        assert project.settings()["opacity"] == 0.25
        assert project.store.connection.execute("PRAGMA user_version").fetchone()[0] == len(schema.MIGRATIONS)
        project.store.connection.execute("SELECT note FROM setting")


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "p.vidseg"
    Project.open(path, create=True).close()
    before = len(schema.MIGRATIONS)
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, "CREATE TABLE extra (x); SELECT * FROM nowhere;"))
    with pytest.raises(ProjectError):
        Project.open(path)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone()[0] == before
    assert connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone()[0] == 0
    connection.close()


def test_settings_are_kept_beside_their_defaults(project: Project) -> None:
    assert project.settings()["combine"] == "nearer"
    project.set_settings({"combine": "confident"})
    assert project.settings()["combine"] == "confident"
    assert project.settings()["repropagate"] == "auto"


def test_a_moved_video_is_detected_and_linked_again(tmp_path: Path) -> None:
    clip = shapes.write(tmp_path / "clip", frames=4)
    with Project.open(tmp_path / "p.vidseg", create=True) as project:
        project.add_video(clip)
        moved = clip.rename(tmp_path / "elsewhere")
        status, message = project.video_status(1)
        assert status == "missing" and "relink" in message
        with pytest.raises(ProjectError, match="is not there any more"):
            project.source(1)
        assert project.add_video(moved).id == 1
        assert project.video_status(1) == ("ok", "")
        assert project.source(1) == moved


def test_a_project_that_moves_with_its_videos_finds_them(tmp_path: Path) -> None:
    shapes.write(tmp_path / "a" / "clip", frames=4)
    with Project.open(tmp_path / "a" / "p.vidseg", create=True) as project:
        project.add_video(tmp_path / "a" / "clip")
    (tmp_path / "a").rename(tmp_path / "b")
    with Project.open(tmp_path / "b" / "p.vidseg") as project:
        assert project.source(1).resolve() == tmp_path / "b" / "clip"


def test_a_changed_video_is_refused_until_forced(tmp_path: Path) -> None:
    clip = shapes.write(tmp_path / "clip", frames=4)
    other = shapes.write(tmp_path / "other", frames=4)
    shutil.copy(clip / "00000.png", other / "00003.png")
    with Project.open(tmp_path / "p.vidseg", create=True) as project:
        project.add_video(clip)
        shutil.rmtree(clip)
        shutil.copytree(other, clip)
        assert project.video_status(1)[0] == "changed"
        with pytest.raises(ProjectError, match="has changed since it was annotated"):
            project.add_video(clip)
        with pytest.raises(ProjectError, match="add --force"):
            project.relink(1, clip)
        project.relink(1, clip, force=True)
        assert project.video_status(1)[0] == "ok"
        longer = shapes.write(tmp_path / "longer", frames=5)
        with pytest.raises(ProjectError, match="has 5 frames of 90x60, clip had 4 of 90x60"):
            project.relink(1, longer, force=True)


def test_a_fingerprint_tells_contents_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    data = np.random.default_rng(0).bytes(9 << 20)
    one.write_bytes(data)
    two.write_bytes(data)
    assert fingerprint(one) == fingerprint(two)
    two.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert fingerprint(one) != fingerprint(two)
    with pytest.raises(VideoError, match="does not exist"):
        fingerprint(tmp_path / "three")


def test_check_finds_nothing_in_a_sound_project_and_names_what_is_damaged(project: Project) -> None:
    objects.add_object(project, 1)
    mask = shapes.truth(2)[1]
    edit.draw(project, 1, 1, 2, kind="mask", value={"rle": {"size": list(shapes.SIZE), **_counts(mask)}})
    assert project.check() == []
    project.store.connection.execute("UPDATE mask SET area = 5")
    assert project.check() == [f"shapes, object 1, frame 2: area 5 noted, {mask.sum()} found"]
    project.store.connection.execute("UPDATE mask SET counts = 'x'")
    assert "object 1, frame 2" in project.check()[0]


def _counts(mask: np.ndarray) -> dict[str, str]:
    return {"counts": describe(mask)["counts"]}


def test_jobs_that_are_not_finished_are_remembered(project: Project) -> None:
    job = project.add_job(1, {"objects": {"1": [0, 5]}})
    project.update_job(job, state="running", done=2, total=5)
    (row,) = project.jobs()
    assert (row["id"], row["state"], row["done"], row["objects"]) == (job, "running", 2, {"1": [0, 5]})
    project.update_job(job, state="done")
    assert project.jobs() == []


def test_the_lock_file_tells_who_has_the_project(project: Project) -> None:
    about = json.loads(project.path.with_name("p.vidseg.lock").read_text())
    assert set(about) == {"pid", "host", "user", "since"}
