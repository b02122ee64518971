"""A simulated annotator: how many actions until the masks of videos are good enough, and which frame to look at.

The user knows the true masks. On a frame, he clicks the centre of the largest error until the mask is good, a few times
at most; a click that makes it worse he takes back, and leaves the frame. Then the masks are propagated again, and he
goes to another frame. Going there is an action, and so is each click, and taking one back. Who chooses the frame is
what is compared: the tool's ranking (`proposed`), or the user who goes through every k-th frame (`every`). Several
videos of one project are good enough when the mean of their mean J is.

    vidseg project simulate DAVIS/JPEGImages/480p/dog DAVIS/Annotations/480p/dog
    vidseg project simulate DAVIS/JPEGImages/480p DAVIS/Annotations/480p
    vidseg project simulate DAVIS/JPEGImages/480p DAVIS/Annotations/480p --together
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from .learning import vouched
from .rows import overlap
from .segmenter import Segmenter
from .session import Session, open_session

_WORSE = 0.005  # of J, by which a click may make a mask worse before it is taken back
_FIRST_LEARNED = 4  # frames looked at before the model learns for the first time

Truth = Sequence[np.ndarray]
"""The true (H, W) bool mask of every frame."""


class Place(NamedTuple):
    """A frame of a video of the project."""

    video: int
    frame: int


@dataclass(frozen=True, slots=True)
class Effort:
    """What an annotation of `video` (or several, by name) took until the mean J was `reached`, or given up.

    `actions` are the `clicks`, taking them back, the frames gone to and the times the model was told to learn; `curve`
    holds (actions, mean J) after each frame.
    """

    video: str
    chosen_by: str
    actions: int
    clicks: int
    reached: bool
    curve: tuple[tuple[int, float], ...]


@dataclass(frozen=True, slots=True)
class User:
    """Who annotates: until the mean J is `target` or `most` actions are done; on a frame until its J is `good`.

    `patience` is the number of clicks after which a frame is left as it is. After the 4th, 8th, 16th ... frame that he
    looked at, he lets the model learn so many steps as `learn` says, if any: one action each time.
    """

    target: float = 0.85
    most: int = 60
    good: float = 0.9
    patience: int = 3
    learn: int = 0


def largest_error(mask: np.ndarray, truth: np.ndarray) -> tuple[float, float, bool] | None:
    """Return (x, y, on) of a click into the middle of the largest connected error; None if there is none.

    The middle is the pixel farthest from the error's edge; `on` tells that the object was missed there.
    """
    best: tuple[int, np.ndarray, bool] | None = None
    for wrong, on in ((truth & ~mask, True), (mask & ~truth, False)):
        count, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.view(np.uint8))
        if count > 1:
            n = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
            area = int(stats[n, cv2.CC_STAT_AREA])
            if best is None or area > best[0]:
                best = area, labels == n, on
    if best is None:
        return None
    depth = cv2.distanceTransform(np.pad(best[1].view(np.uint8), 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(x) + 0.5, float(y) + 0.5, best[2]


def proposed(session: Session) -> Iterator[Place]:
    """Look at the frame that the tool thinks worst, of any video; frames that were found good are accepted and do not
    come again.
    """
    while True:
        found = session.do("review.next", video=1, anywhere=True)
        if found["frame"] is None:
            return
        yield Place(found["video"], found["frame"])


def every(k: int) -> Callable[[Session], Iterator[Place]]:
    """Look at frames k, 2k, 3k ... of one video after another, and then, finer and finer, at those between."""

    def choose(session: Session) -> Iterator[Place]:
        videos, step = session.project.videos(), k
        seen = {Place(video.id, 0) for video in videos}
        while step >= 1:
            through = [Place(video.id, frame) for video in videos for frame in range(step, video.frames, step)]
            fresh = [place for place in through if place not in seen]
            yield from fresh
            seen.update(fresh)
            step //= 2

    return choose


def annotate(
    session: Session,
    truths: Sequence[Truth],
    choose: Callable[[Session], Iterator[Place]],
    *,
    name: str,
    user: User = User(),
) -> Effort:
    """Annotate object 1 of every video of a project, beginning on the first frames that show them.

    Args:
        truths: the true masks of the project's videos, in their order.
        choose: says where to look next; name: what that is called.
    """
    session.project.set_settings({"repropagate": "off", "agreement": False})
    actions, clicks, reached = 0, 0, []
    for video, truth in enumerate(truths, start=1):
        session.do("object.add", video=video)
        begin = Place(video, next(n for n, mask in enumerate(truth) if mask.any()))
        made = _correct(session, truth, begin, user)
        actions, clicks = actions + sum(made) + (video > 1), clicks + made.clicks
        reached.append(_propagate(session, truth, video))
    looked, learned, places = len(truths), 0, choose(session)
    curve = [(actions, float(np.mean(reached)))]
    while curve[-1][1] < user.target and actions < user.most:
        due = user.learn and learned < looked >= _FIRST_LEARNED and looked & (looked - 1) == 0
        if due and vouched(session.project):
            session.do("model.learn", steps=user.learn)
            session.wait(float("inf"))
            learned, actions = looked, actions + 1
            reached = [_propagate(session, truth, video) for video, truth in enumerate(truths, start=1)]
            curve.append((actions, float(np.mean(reached))))
            continue
        place = next(places, None)
        if place is None:
            break
        truth = truths[place.video - 1]
        made = _correct(session, truth, place, user)
        clicks, actions, looked = clicks + made.clicks, actions + sum(made) + 1, looked + 1
        if made.clicks > made.taken_back:
            reached[place.video - 1] = _propagate(session, truth, place.video)
        curve.append((actions, float(np.mean(reached))))
    videos = ", ".join(video.name for video in session.project.videos())
    return Effort(videos, name, actions, clicks, curve[-1][1] >= user.target, tuple(curve))


class _Made(NamedTuple):
    """What a user did on a frame: clicks, and how many of them he took back."""

    clicks: int
    taken_back: int


def _correct(session: Session, truth: Truth, place: Place, user: User) -> _Made:
    """Click a frame's largest errors until it is good, and accept it then, or until a click makes it worse; the frame
    is accepted as it is where the first one does.
    """
    video, frame = place
    mask = _mask(session, truth, place)
    for clicks in range(user.patience + 1):
        reached = overlap(mask, truth[frame])
        if reached >= user.good:
            _accept(session, place)
            return _Made(clicks, 0)
        click = largest_error(mask, truth[frame]) if clicks < user.patience else None
        if click is None:
            break
        x, y, on = click
        session.do("prompt.click", video=video, object=1, frame=frame, x=x, y=y, on=on, overwrite=True)
        mask = _mask(session, truth, place)
        if overlap(mask, truth[frame]) < reached - _WORSE:
            session.do("undo")
            if not clicks:  # he can do nothing here, and does not want to see it again
                _accept(session, place)
            return _Made(clicks + 1, 1)
    return _Made(clicks, 0)


def _accept(session: Session, place: Place) -> None:
    video, frame = place
    session.do("review.set", video=video, objects=[1], start=frame, stop=frame + 1, state="accepted")


def _propagate(session: Session, truth: Truth, video: int) -> float:
    """Bring all masks of a video up to date and return its mean J."""
    session.do("propagate.start", video=video, objects=None, direction="both", frame=0, reach="all")
    session.wait(float("inf"))
    return float(np.mean([overlap(_mask(session, truth, Place(video, n)), mask) for n, mask in enumerate(truth)]))


def _mask(session: Session, truth: Truth, place: Place) -> np.ndarray:
    found = session.project.mask(place.video, 1, place.frame)
    return np.zeros_like(truth[place.frame]) if found is None else found.decode()


def compare(
    videos: Sequence[Path],
    truths: Sequence[Truth],
    load: Callable[[], Segmenter],
    *,
    steps: Sequence[int] = (5, 10),
    user: User = User(),
) -> list[Effort]:
    """Annotate the videos of one project, once with each way of choosing frames; return what each took."""
    ways = {"proposed": proposed, **{f"every {k}": every(k) for k in steps}}
    found = []
    for name, choose in ways.items():
        with (
            tempfile.TemporaryDirectory() as folder,
            open_session(Path(folder) / "p.vidseg", videos=videos, load=load) as session,
        ):
            found.append(annotate(session, truths, choose, name=name, user=user))
    return found


def total(efforts: Sequence[Effort]) -> list[dict[str, Any]]:
    """Add up what the videos took, one line a way of choosing frames."""
    found = []
    for name in dict.fromkeys(one.chosen_by for one in efforts):
        mine = [one for one in efforts if one.chosen_by == name]
        sums = {"actions": sum(one.actions for one in mine), "clicks": sum(one.clicks for one in mine)}
        found.append({"videos": len(mine), "chosen_by": name, **sums, "reached": sum(one.reached for one in mine)})
    return found
