"""Which frames of which objects must be propagated again, from where and in which direction. Pure functions on rows.

Between two prompted frames a mask comes from the nearer one: forward from the left, backward from the right. A *leg* is
one such stretch of one object; a *sweep* walks the legs of all objects in one direction, so that a frame is encoded
once for all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .rows import Anchors

PAST = 6
"""Frames before a leg whose masks its track remembers, if they are up to date: as many as SAM 2 keeps."""


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch to propagate: `targets` (in the order of travel) are wanted, the frames from `first` on are visited.

    `first` is the first target if the mask before it is up to date (the track then starts from that and some more),
    else the first frame behind the last one that is.
    """

    object: int
    direction: int
    origin: int
    revision: int
    first: int
    targets: tuple[int, ...]

    @property
    def last(self) -> int:
        """The last frame visited."""
        return self.targets[-1]

    def covers(self, frame: int) -> bool:
        """Whether the leg visits the frame."""
        return min(self.first, self.last) <= frame <= max(self.first, self.last)

    @property
    def frames(self) -> range:
        """The frames visited, in the order of travel."""
        return range(self.first, self.last + self.direction, self.direction)


def legs(
    object: int,
    known: Anchors,
    *,
    needed: Collection[int],
    fresh: Collection[int],
    start: int,
    stop: int,
    direction: str,
    passed: Collection[int] = (),
    agree: Collection[int] = (),
) -> list[Leg]:
    """Return the legs that bring the masks of `needed` frames up to date, within `start` to `stop - 1`.

    `fresh` frames have a mask that is up to date. `direction` is "forward", "backward" or "both". With "both", a frame
    between two prompts takes the nearer one's pass, and `agree` lists the frames on which both passes are wanted; on
    `passed` ones the forward pass is known.
    """
    found = []
    edges = (None, *known.frames, None)
    for left, right in pairwise(edges):
        first = max(start, 0 if left is None else left + 1)
        end = stop if right is None else min(stop, right)
        inside = range(first, end)
        forward = left is not None and direction != "backward"
        backward = right is not None and direction != "forward"
        if forward and backward and left is not None and right is not None:
            both = [frame for frame in inside if frame in agree]
            alone = [frame for frame in inside if frame in needed and frame not in agree]
            ahead = [frame for frame in alone if frame - left <= right - frame]
            ahead += [frame for frame in both if frame not in passed]
            back = [frame for frame in alone if frame - left > right - frame] + both
        else:
            ahead = back = [frame for frame in inside if frame in needed]
        if forward and left is not None:
            found += _legs(object, known, left, sorted(ahead), fresh, 1)
        if backward and right is not None:
            found += _legs(object, known, right, sorted(back, reverse=True), fresh, -1)
    return found


def _legs(
    object: int, known: Anchors, origin: int, targets: Sequence[int], fresh: Collection[int], direction: int
) -> list[Leg]:
    """Cut the targets of one stretch wherever more than `PAST` frames between two of them need no visit."""
    found, part = [], list(targets[:1])
    for frame in targets[1:]:
        between = range(part[-1] + direction, frame, direction)
        if len(between) > PAST and all(one in fresh for one in between):
            found.append(part)
            part = []
        part.append(frame)
    parts = [*found, part] if part else found
    return [_leg(object, known, origin, part, fresh, direction) for part in parts]


def _leg(
    object: int, known: Anchors, origin: int, targets: Sequence[int], fresh: Collection[int], direction: int
) -> Leg:
    first = targets[0]
    while first - direction != origin and first - direction not in fresh:
        first -= direction
    return Leg(object, direction, origin, known.revisions[origin], first, tuple(targets))


def sweep(legs: Iterable[Leg], direction: int) -> list[int]:
    """Return the frames that the legs of one direction visit, each once, in the order of travel."""
    visited = {frame for leg in legs if leg.direction == direction for frame in leg.frames}
    return sorted(visited, reverse=direction < 0)


def vouchers(known: Anchors, leg: Leg, *, most: int = 4) -> list[int]:
    """Return the prompted frames that a leg's track should remember, its origin last.

    Its origin, the object's first prompt (which defines it), and those nearest to the leg.
    """
    middle = (leg.first + leg.last) / 2
    near = sorted(known.frames, key=lambda frame: (frame != leg.origin, frame != known.frames[0], abs(frame - middle)))
    return near[:most][::-1]


def reach(
    known: Anchors, *, frame: int, frames: int, direction: str, reach: str, start: int | None, stop: int | None
) -> tuple[int, int] | None:
    """Return the [start, stop) that "propagate" means for one object when the player is at `frame` of `frames`.

    None if the object has no prompt to start from.
    """
    if not known.frames:
        return None
    if reach == "range" and start is not None and stop is not None:
        return start, stop
    before = [one for one in known.frames if one <= frame]
    after = [one for one in known.frames if one >= frame]
    if direction == "forward":
        origin = before[-1] if before else known.frames[0]
        following = known.around(origin)[1]
        return origin, following if reach == "next_prompt" and following is not None else frames
    if direction == "backward":
        origin = after[0] if after else known.frames[-1]
        previous = known.around(origin)[0]
        return (previous if reach == "next_prompt" and previous is not None else 0), origin + 1
    if reach == "all":
        return 0, frames
    left, right = known.around(frame)
    return (left if left is not None else 0), (right if right is not None else frames)
