"""The simulated annotator clicks where the error is, stops when it is good enough, and counts honestly."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapes
from flood import Flood
from PIL import Image

from vidseg import cli
from vidseg.annotate import Session, open_session
from vidseg.annotate.rows import overlap
from vidseg.annotate.segmenter import Answer, Followed
from vidseg.annotate.simulate import User, annotate, compare, every, largest_error, proposed
from vidseg.cli import project
from vidseg.masks import palette


def test_a_click_goes_into_the_middle_of_the_largest_error() -> None:
    truth, mask = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    truth[5:26, 5:26] = True
    assert largest_error(mask, truth) == (15.5, 15.5, True)
    mask[5:26, 5:26] = True
    mask[30:35, 40:47] = True
    x, y, on = largest_error(mask, truth) or (0, 0, True)
    assert (40 < x < 47, y, on) == (True, 32.5, False)
    assert largest_error(truth, truth) is None


def test_one_click_is_enough_for_a_model_that_follows(session: Session) -> None:
    effort = annotate(session, [[shapes.truth(n)[1] for n in range(24)]], proposed, name="proposed")
    assert (effort.actions, effort.clicks, effort.reached, effort.curve) == (1, 1, True, ((1, 1.0),))


def test_a_change_that_the_model_does_not_follow_is_corrected_where_the_user_looks(tmp_path: Path) -> None:
    clip = shapes.write(tmp_path / "clip", frames=20)
    truth = [shapes.truth(n)[1 if n < 10 else 2] for n in range(20)]  # the object becomes another one
    efforts = compare([clip], [truth], Flood, steps=(4,), user=User(target=0.8))
    assert [one.chosen_by for one in efforts] == ["proposed", "every 4"]
    for effort in efforts:
        assert effort.reached and effort.curve[-1][1] >= 0.8 > effort.curve[0][1]
        assert effort.actions == effort.clicks + len(effort.curve) - 1 > 1  # each click, and each frame gone to


def test_a_user_who_lets_the_model_learn_pays_an_action_for_it_each_time(tmp_path: Path) -> None:
    class Pupil(Flood):
        """Follows nothing until it has learned from four masks."""

        def __init__(self, learned: int = 0) -> None:
            super().__init__(learned)

        def learning(self, examples, *, steps):
            yield from range(1, steps + 1)
            return Pupil(len(examples))

        def follow(self, tracks, encoded):
            found = super().follow(tracks, encoded)
            if self.learned >= 4:
                return found
            return [(trail, Followed(one.mask & False, one.score, one.iou)) for trail, one in found]

    truth = [shapes.truth(n)[1] for n in range(24)]
    (effort,) = compare([shapes.write(tmp_path / "clip")], [truth], Pupil, steps=(), user=User(learn=3))
    # Clicks on four frames, going to three of them, and learning after the fourth.
    assert (effort.reached, effort.clicks, effort.actions) == (True, 4, 8)
    assert [actions for actions, _ in effort.curve] == [1, 3, 5, 7, 8]


def test_every_kth_frame_becomes_finer(session: Session) -> None:
    order = [frame for _, frame in every(8)(session)]
    assert order[:5] == [8, 16, 4, 12, 20] and order[-1] == 23
    assert sorted(order) == list(range(1, 24))


def test_videos_of_one_project_are_looked_at_where_it_helps_most(tmp_path: Path) -> None:
    clips = [shapes.write(tmp_path / name, frames=frames) for name, frames in (("calm", 19), ("changing", 20))]
    calm = [shapes.truth(n)[1] for n in range(19)]
    changing = [shapes.truth(n)[1 if n < 10 else 2] for n in range(20)]  # the object becomes another one
    proposals, through = compare(clips, [calm, changing], Flood, steps=(4,), user=User(target=0.9))
    assert proposals.video == through.video == "calm, changing"
    assert proposals.reached and through.reached
    # A click on each first frame, and going to the second video's.
    assert proposals.curve[0] == through.curve[0] == (3, 0.75)
    # Whoever goes through all frames looks at those of the calm video first, and finds them good.
    assert through.curve[:5] == tuple((3 + looks, 0.75) for looks in range(5))
    assert proposals.actions < through.actions


def test_every_kth_frame_of_one_video_after_another(tmp_path: Path) -> None:
    clips = [shapes.write(tmp_path / name, frames=frames) for name, frames in (("one", 4), ("two", 5))]
    with open_session(tmp_path / "p.vidseg", videos=clips) as session:
        order = [tuple(place) for place in every(2)(session)]
    assert order == [(1, 2), (2, 2), (2, 4), (1, 1), (1, 3), (2, 1), (2, 3)]


def tiles(folder: Path, *, frames: int) -> np.ndarray:
    """Write a clip of eight tiles in eight colours; return the mask of all, of which a click finds one."""
    folder.mkdir()
    picture, truth = np.full((*shapes.SIZE, 3), 250, np.uint8), np.zeros(shapes.SIZE, bool)
    for n in range(8):
        tile = slice(30 * (n % 2), 30 * (n % 2) + 20), slice(22 * (n // 2), 22 * (n // 2) + 14)
        picture[tile], truth[tile] = (220 * (n & 1), 110 * (n & 2), 55 * (n & 4)), True
    for frame in range(frames):
        Image.fromarray(picture).save(folder / f"{frame:05d}.png")
    return truth


def test_a_frame_that_does_not_become_good_is_left_after_three_clicks(tmp_path: Path) -> None:
    truth = [tiles(tmp_path / "clip", frames=1)]
    with open_session(tmp_path / "p.vidseg", videos=[tmp_path / "clip"], load=Flood) as session:
        effort = annotate(session, [truth], lambda session: iter(()), name="none")
        assert (effort.clicks, effort.actions) == (3, 3)
        assert effort.curve == ((3, pytest.approx(3 / 8)),)
        assert session.project.mask(1, 1, 0).state == "unreviewed"


def test_a_click_that_makes_a_mask_worse_is_taken_back_and_the_frame_is_left(session: Session) -> None:
    truth = [shapes.truth(n)[1] for n in range(24)]
    truth[0] = np.ones_like(truth[0])
    truth[0][::2] = False  # one click finds all that is grey, and one on a line that is too much loses it again
    effort = annotate(session, [truth], lambda session: iter(()), name="none")
    assert (effort.clicks, effort.actions) == (2, 3)
    mask = session.project.mask(1, 1, 0)
    assert mask.state == "unreviewed" and mask.decode()[-1].all()


def test_a_frame_that_no_click_mends_is_not_looked_at_again(session: Session) -> None:
    truth = [shapes.truth(n)[1] for n in range(24)]
    for n, mask in enumerate(truth):
        mask[12:19, 10 + 2 * n : 14 + 2 * n] = False  # a click here takes the disc away
    effort = annotate(session, [truth], proposed, name="proposed", user=User(target=0.95, most=21))
    assert 0.8 < overlap(shapes.truth(0)[1], truth[0]) < 0.9
    assert (effort.clicks, effort.actions) == (8, 21)  # two clicks on the first frame and one on each of six others
    states = [session.project.mask(1, 1, n).state for n in range(24)]
    assert states.count("accepted") == 6


def test_vidseg_project_simulate_prints_a_line_for_each_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(project, "_segmenter", lambda args: Flood())
    clip = shapes.write(tmp_path / "clip", frames=4)
    for frame in range(4):
        palette.write_index(tmp_path / "truth" / f"{frame:05d}.png", shapes.truth(frame)[1].astype(np.uint8))
    assert cli.main(["project", "simulate", str(clip), str(tmp_path / "truth"), "--every", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["chosen_by"], line["actions"], line["reached"]) for line in lines] == [
        ("proposed", 1, True),
        ("every 2", 1, True),
    ]
    assert cli.main(["project", "simulate", str(clip), str(clip / "nothing")]) == 1
    assert "nothing holds no PNG files" in capsys.readouterr().err


def test_the_users_patience_and_learning_are_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(project, "_segmenter", lambda args: Flood())
    clip, truth = tmp_path / "clip", tiles(tmp_path / "clip", frames=6)
    for frame in range(6):
        palette.write_index(tmp_path / "truth" / f"{frame:05d}.png", truth.astype(np.uint8))
    command = ["project", "simulate", str(clip), str(tmp_path / "truth"), "--every", "1", "--most", "26"]
    assert cli.main([*command, "--patience", "5", "--learn", "2"]) == 0
    for line in map(json.loads, capsys.readouterr().out.splitlines()):
        # Four frames of five clicks, three of them gone to, learning, and one frame more.
        assert [actions for actions, _ in line["curve"]] == [5, 11, 17, 23, 24, 30]
    monkeypatch.setattr(
        Flood, "segment", lambda self, encoded, **said: Answer(np.zeros((1, *shapes.SIZE), bool), (0.0,))
    )
    assert cli.main([*command, "--patience", "4", "--learn", "2"]) == 0  # all masks are empty: nothing to learn from
    assert [actions for actions, _ in json.loads(capsys.readouterr().out.splitlines()[0])["curve"]][-1] == 29


def test_several_videos_are_added_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(project, "_segmenter", lambda args: Flood())
    for name in ("a", "b"):
        shapes.write(tmp_path / "clips" / name, frames=4)
        for frame in range(4):
            mask = shapes.truth(frame)[1].astype(np.uint8)
            palette.write_index(tmp_path / "truth" / name / f"{frame:05d}.png", mask)
    assert cli.main(["project", "simulate", str(tmp_path / "clips"), str(tmp_path / "truth"), "--every", "2"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["video"] for line in lines[:4]] == ["a", "a", "b", "b"]
    assert lines[4:] == [
        {"videos": 2, "chosen_by": name, "actions": 2, "clicks": 2, "reached": 2} for name in ("proposed", "every 2")
    ]
