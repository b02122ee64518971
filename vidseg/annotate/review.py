"""Where to look next: how likely the mask of a frame is wrong, told from the masks' numbers alone. Pure functions.

Each sign gives every frame a number from 0 (nothing) to 1 (surely wrong) and a sentence; they are combined as if they
were independent, so that several weak signs count. What a person drew, clicked or imported is not suspected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .lane import Lane

_SURE = 0.75  # confidence at which a model is believed
_CALM = 1.35  # change of area from one frame to the next that happens every day
_TOLD = 0.05  # strength from which on a sign is worth a sentence
_HIDDEN = 0.1  # doubt of a frame that nothing speaks against
_CHANGED = 0.1  # share of a mask that a look at one frame changes, as far as one knows before any was made
_PROMPTS = 3  # prompts that it takes, likewise
APART = 5
"""Frames between two proposals of one object: neighbours are usually wrong together."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A mask to look at: `suspicion` 0..1 and why; `worth` (see `worst`) to compare it with those of other videos."""

    object: int
    frame: int
    suspicion: float
    reasons: tuple[str, ...]
    worth: float

    def to_json(self) -> dict[str, Any]:
        """As the page gets it."""
        return {
            "object": self.object, "frame": self.frame, "suspicion": round(self.suspicion, 4),
            "reasons": list(self.reasons),
        }  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Sign:
    """One reason to doubt: its (T,) strength 0..1 on every frame of a lane, and its words for one of them."""

    strength: np.ndarray
    words: Callable[[int], str]


@dataclass(frozen=True, slots=True, eq=False)
class Annotated:
    """One object's masks, which of them are out of date ((T,) bool as from `Lane.stale`), and its number of prompts."""

    object: int
    lane: Lane
    stale: np.ndarray
    prompts: int


def signs(lane: Lane, stale: np.ndarray) -> list[Sign]:
    """Return the signs of trouble in a lane; `stale` (T,) bool as from `Lane.stale`."""
    sure, agreement = lane.confidence, lane.agreement
    found = [
        Sign(0.8 * np.clip((_SURE - sure) / _SURE, 0, 1), lambda n: f"the model is unsure ({sure[n]:.0%})"),
        Sign(
            np.nan_to_num(0.9 * np.clip(1 - agreement, 0, 1) ** 0.7),
            lambda n: f"passes disagree (IoU {agreement[n]:.2f})",
        ),
    ]
    neighbours = np.zeros(len(lane.frame), np.int64)
    for step in (-1, 1):
        other = _neighbour(lane, step)
        found += _jumps(lane, other, step)
        neighbours = np.maximum(neighbours, np.where(other >= 0, lane.pieces[other], 0))
    more = np.where(neighbours > 0, lane.pieces - neighbours, 0)
    broken = np.where(more > 1, np.minimum(0.6, 0.1 * more), 0)
    found.append(Sign(broken, lambda n: f"falls into {lane.pieces[n]} pieces"))
    found = [Sign(one.strength * lane.propagated, one.words) for one in found]
    return [*found, Sign(0.3 * stale, lambda n: "a prompt nearby has changed since")]


def _neighbour(lane: Lane, step: int) -> np.ndarray:
    """(T,) position of the mask on the adjacent frame, -1 where there is none."""
    at = np.searchsorted(lane.frame, lane.frame + step).clip(max=len(lane.frame) - 1)
    return np.where(lane.frame[at] == lane.frame + step, at, -1)


def _jumps(lane: Lane, other: np.ndarray, step: int) -> list[Sign]:
    """The signs that follow from a comparison with the mask at position `other`, one frame `step` away."""
    area, there = lane.area.astype(float), other >= 0
    beside = area[other]
    vanishes = there & ((area == 0) != (beside == 0))
    both = there & (area > 0) & (beside > 0)
    low, high = np.minimum(area, beside).clip(min=1), np.maximum(area, beside).clip(min=1)
    ratio = np.where(both, high / low, 1.0)
    centre = (lane.box[:, :2] + lane.box[:, 2:]) / 2
    shift = np.where(both, np.hypot(*(centre - centre[other]).T) / np.sqrt(high), 0.0)
    grown = np.where(ratio > _CALM, np.minimum(0.8, 0.5 * np.log2(ratio / _CALM) + 0.05), 0)
    moved = np.where(shift > 0.5, np.minimum(0.8, 0.4 * (shift - 0.5) + 0.05), 0)
    gone = (area == 0) == (step < 0)
    return [
        Sign(0.25 * vanishes, lambda n: "disappears" if gone[n] else "appears"),
        Sign(grown, lambda n: f"area jumps by {ratio[n]:.1f} times"),
        Sign(moved, lambda n: f"moves by {shift[n]:.1f} of its size"),
    ]


def doubt(found: Sequence[Sign]) -> np.ndarray:
    """(T,) 0..1: all signs together."""
    return 1 - np.prod([1 - one.strength for one in found], axis=0)


def worst(objects: Sequence[Annotated], *, limit: int, apart: int = APART, but: int | None = None) -> list[Suspect]:
    """Return the unreviewed masks most worth a look, best first, `apart` frames or more from one another an object.

    The frame `but`, and those within `apart` of it, are only named if there is no other. What counts is all that a
    correction would mend: the doubt of every frame that it brings nearer to one that a person stands for, halfway to
    the next of these. Frames that nothing speaks against count a little, since errors hide far from what was said. A
    frame's own doubt does not count for more: the hardest frames are those on which clicks mend least. Where looks at
    an object changed little so far, or took many prompts, one more is worth less.
    """
    found = {one.object: signs(one.lane, one.stale) for one in objects}
    columns = [np.zeros((0, 6))]
    for one in objects:
        number, lane = one.object, one.lane
        rows = np.arange(len(lane.frame))
        value = doubt(found[number]) if len(rows) else np.zeros(0)
        worth = _mended(lane, _HIDDEN + value) * _gain(one)
        seen = np.zeros(len(rows), bool) if but is None else np.abs(lane.frame - but) < apart
        table = [seen, -worth, -value, lane.frame, np.full(len(rows), number), rows]
        columns.append(np.stack(table, axis=1)[~lane.accepted & ~lane.rejected])
    ranked = np.concatenate(columns)
    taken: list[Suspect] = []
    frames: dict[int, list[int]] = {}
    for _, worth, value, frame, number, row in ranked[np.lexsort(ranked.T[4::-1])]:
        if len(taken) == limit:
            break
        near = frames.setdefault(int(number), [])
        if all(abs(one - frame) >= apart for one in near):
            near.append(int(frame))
            reasons = _reasons(found[int(number)], int(row))
            taken.append(Suspect(int(number), int(frame), float(-value), reasons, float(-worth)))
    return taken


def _mended(lane: Lane, doubted: np.ndarray) -> np.ndarray:
    """(T,) what a correction of each frame would mend: the doubt (`doubted`, of every frame) of those that are nearest
    to it from then on, times the frames by which they come nearer to a mask that a person stands for.

    Where nobody stands for any mask yet, that is the doubt itself.
    """
    told = ~lane.propagated | lane.accepted
    frame, vouched = lane.frame, lane.frame[told].astype(float)
    if not len(vouched):
        return doubted
    right = np.searchsorted(vouched, frame)
    before = np.where(right > 0, vouched[(right - 1).clip(min=0)], -np.inf)
    after = np.where(right < len(vouched), vouched[right.clip(max=len(vouched) - 1)], np.inf)
    start = np.searchsorted(frame, (before + frame) / 2, side="right")
    stop = np.searchsorted(frame, (frame + after) / 2, side="left")
    here = np.arange(len(frame))
    weight, place, apart = (
        np.concatenate([[0.0], np.cumsum(doubted * factor)])
        for factor in (1.0, frame, np.minimum(frame - before, after - frame))
    )
    near = frame * (2 * weight[here] - weight[start] - weight[stop]) + place[start] + place[stop] - 2 * place[here]
    return np.where(told, 0.0, apart[stop] - apart[start] - near)


def _gain(one: Annotated) -> float:
    """What a look at one more frame of an object is likely to bring for each action: the share of the mask that it
    changes, over the prompts that it takes and going there. Both are the means of the looks before.

    Frames that were accepted side by side, as they were propagated, count as one look.
    """
    lane = one.lane
    corrected = ~lane.propagated & ~np.isnan(lane.agreement)
    kept = len(lane.spans(lane.propagated & lane.accepted))
    changed = (_CHANGED + float((1 - lane.agreement[corrected]).sum())) / (1 + int(corrected.sum()) + kept)
    prompts = (_PROMPTS + one.prompts) / (1 + int((~lane.propagated).sum()) + kept)
    return changed / (1 + prompts)


def _reasons(found: Sequence[Sign], n: int) -> tuple[str, ...]:
    told = sorted(((float(one.strength[n]), one.words(n)) for one in found if one.strength[n] >= _TOLD), reverse=True)
    strongest: dict[str, str] = {}  # a jump seen from both neighbours is told once
    for _, words in told:
        strongest.setdefault(re.sub(r"[\d.]+", "", words), words)
    return tuple(strongest.values())


def percent(lane: Lane, values: np.ndarray, frames: int) -> list[int]:
    """Return (T,) values 0..1 of a lane as 0..100 for each frame of a video, -1 where there is none."""
    found = np.full(frames, -1, np.int64)
    found[lane.frame] = np.round(100 * values)
    listed: list[int] = found.tolist()
    return listed
