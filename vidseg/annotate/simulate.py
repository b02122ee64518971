"""A simulated annotator: how many actions until the masks of a video are good enough, and which frame to look at.

The user knows the true masks. An action is a click at the centre of the largest error on a frame; after each, the masks
are propagated again. Who chooses the frame is what is compared: the tool's ranking (`proposed`), or the user who goes
through every k-th frame (`every`).

    vidseg project simulate DAVIS/JPEGImages/480p/dog DAVIS/Annotations/480p/dog
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .propagate import overlap
from .segmenter import Segmenter
from .session import Session, open_session

Truth = Sequence[np.ndarray]
"""The true (H, W) bool mask of every frame."""


@dataclass(frozen=True, slots=True)
class Effort:
    """What an annotation took: `actions` until the mean J was reached (or given up), `curve` of mean J after each."""

    video: str
    chosen_by: str
    actions: int
    reached: bool
    curve: tuple[float, ...]


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


def proposed(session: Session) -> Iterator[int]:
    """Look at the frame that the tool thinks worst; frames that were found good are accepted and do not come again."""
    while True:
        found = session.do("review.next", video=1)["frame"]
        if found is None:
            return
        yield int(found)


def every(k: int) -> Callable[[Session], Iterator[int]]:
    """Look at frames k, 2k, 3k ... and begin again, finer, at the end."""

    def choose(session: Session) -> Iterator[int]:
        frames, step = session.project.video(1).frames, k
        while step >= 1:
            yield from range(step, frames, step)
            step //= 2

    return choose


def annotate(
    session: Session,
    truth: Truth,
    choose: Callable[[Session], Iterator[int]],
    *,
    name: str,
    target: float = 0.85,
    most: int = 60,
    good: float = 0.9,
) -> Effort:
    """Annotate object 1 of video 1 until the mean J over all frames reaches `target`, or `most` actions are done.

    A frame whose J is at least `good` when it is looked at needs no click: it is accepted, which is no action.
    """
    session.project.set_settings({"repropagate": "off", "agreement": False})
    session.do("object.add", video=1)
    first = next(n for n, mask in enumerate(truth) if mask.any())
    curve = [_act(session, truth, first)]
    frames = choose(session)
    while curve[-1] < target and len(curve) < most:
        frame = next(frames, None)
        if frame is None:
            break
        if overlap(_mask(session, truth, frame), truth[frame]) >= good:
            session.do("review.set", video=1, objects=[1], start=frame, stop=frame + 1, state="accepted")
            continue
        curve.append(_act(session, truth, frame))
    return Effort(session.project.video(1).name, name, len(curve), curve[-1] >= target, tuple(curve))


def _act(session: Session, truth: Truth, frame: int) -> float:
    """Click the largest error of a frame, propagate, and return the mean J of the video."""
    click = largest_error(_mask(session, truth, frame), truth[frame])
    if click is not None:
        x, y, on = click
        session.do("prompt.click", video=1, object=1, frame=frame, x=x, y=y, on=on, overwrite=True)
        session.do("propagate.start", video=1, objects=None, direction="both", frame=0, reach="all")
        session.wait(float("inf"))
    return float(np.mean([overlap(_mask(session, truth, n), mask) for n, mask in enumerate(truth)]))


def _mask(session: Session, truth: Truth, frame: int) -> np.ndarray:
    found = session.project.mask(1, 1, frame)
    return np.zeros_like(truth[frame]) if found is None else found.decode()


def compare(
    video: Path, truth: Truth, load: Callable[[], Segmenter], *, steps: Sequence[int] = (5, 10), target: float = 0.85
) -> list[Effort]:
    """Annotate a video once with each way of choosing frames; return what each took."""
    ways = {"proposed": proposed, **{f"every {k}": every(k) for k in steps}}
    found = []
    for name, choose in ways.items():
        with (
            tempfile.TemporaryDirectory() as folder,
            open_session(Path(folder) / "p.vidseg", videos=[video], load=load) as session,
        ):
            found.append(annotate(session, truth, choose, name=name, target=target))
    return found
