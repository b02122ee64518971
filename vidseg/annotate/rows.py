"""What a project holds, as values: videos, objects, prompts and masks, and what can be told from them alone.

Here: the shapes of the rows, and the two rules that need nothing but rows: what the prompts of a frame add up to, and
which masks are stale. Not here: the file (`project`), pictures and models (`session`).
"""

from __future__ import annotations

import bisect
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from ..masks import rle
from ..types import Box, Click

SOURCES = ("prompted", "propagated", "edited", "imported")
STATES = ("unreviewed", "accepted", "rejected")
KINDS = ("click", "box", "brush", "polygon", "mask")

PROMPTS = 0xFFFFFFFF
"""The bits of a revision that change with the prompts; those above change when the model learns or forgets."""

# Okabe and Ito's colours, told apart by the colour-blind; dark ones last.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7", "#0072b2", "#999999")


@dataclass(frozen=True, slots=True, eq=False)
class VideoInfo:
    """A video as the project knows it, whether or not its file is there now.

    `size` is (H, W); `times` (T,) float64 seconds; `path` absolute, `relative` to the project's folder or None.
    """

    id: int
    name: str
    path: str
    relative: str | None
    size: tuple[int, int]
    fps: float | None
    times: np.ndarray
    fingerprint: str

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.times)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object to annotate; ids are unique within a video and are the pixel values of exported masks."""

    video: int
    id: int
    name: str
    class_name: str
    colour: str
    position: int
    hidden: bool = False
    locked: bool = False

    def to_json(self) -> dict[str, Any]:
        """The object as the page knows it."""
        return {
            "id": self.id, "name": self.name, "class": self.class_name, "colour": self.colour,
            "position": self.position, "hidden": self.hidden, "locked": self.locked,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class PromptInfo:
    """One thing that a person (or an import) said: `kind` is one of `KINDS`, `value` its own fields.

    Edits hold the mask that they left behind (`value["rle"]`), so that they mean the same with any model.
    """

    id: int
    video: int
    object: int
    frame: int
    kind: str
    value: Mapping[str, Any]
    created: str

    def to_json(self) -> dict[str, Any]:
        """The prompt as the page knows it: without the masks, which are in `MaskInfo`."""
        shown = {name: value for name, value in self.value.items() if name not in ("rle", "base")}
        head = {"id": self.id, "object": self.object, "frame": self.frame, "kind": self.kind, "created": self.created}
        return {**head, **shown}


@dataclass(frozen=True, slots=True)
class MaskInfo:
    """The mask of one object on one frame.

    Attributes:
        counts: COCO's compressed run lengths for a mask of `size` (H, W).
        area: pixels. box: xyxy. pieces: connected parts (8 neighbours).
        score, iou: 0..1, see the protocol. agreement: IoU of forward and backward pass; of a mask that a person
            corrected, its IoU with what had been propagated; or None.
        source, state: one of `SOURCES`, `STATES`.
        origin: the prompted frame that it was propagated from. revision: the `revision` of the prompts there, at that
            time. seen: the highest prompt id of the object at that time. All three only matter for propagated masks.
    """

    video: int
    object: int
    frame: int
    size: tuple[int, int]
    counts: str
    area: int
    box: Box
    pieces: int
    score: float = 1.0
    iou: float = 1.0
    agreement: float | None = None
    source: str = "propagated"
    state: str = "unreviewed"
    origin: int = -1
    revision: int = 0
    seen: int = 0

    @property
    def rle(self) -> rle.Rle:
        """The mask as a COCO RLE."""
        return {"size": list(self.size), "counts": self.counts}

    @property
    def confidence(self) -> float:
        """How sure the model was, 0..1; 1 for what a person drew."""
        if self.source in ("edited", "imported"):
            return 1.0
        return confidence(self.score, self.iou, empty=self.area == 0)

    def decode(self) -> np.ndarray:
        """The (H, W) bool mask."""
        return rle.decode(self.rle)

    def to_json(self, *, stale: bool) -> dict[str, Any]:
        """The mask as the page knows it."""
        return {
            "object": self.object, "frame": self.frame, "rle": self.rle, "box": list(self.box), "area": self.area,
            "score": round(self.score, 4), "iou": round(self.iou, 4), "confidence": round(self.confidence, 4),
            "agreement": None if self.agreement is None else round(self.agreement, 4),
            "source": self.source, "state": self.state, "stale": stale,
        }  # fmt: skip


def confidence(score: float, iou: float, *, empty: bool) -> float:
    """How sure a model is of a mask, 0..1: that it is well drawn, or for an empty one that nothing is there."""
    return max(score, 1.0 - score) if empty else score * iou


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Return the IoU of two bool masks; 1 for two empty ones."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 1.0


def describe(mask: np.ndarray) -> dict[str, Any]:
    """The fields of `MaskInfo` that follow from the pixels of a (H, W) bool mask."""
    code = rle.encode(mask)
    box = rle.box(code)
    x1, y1, x2, y2 = (int(edge) for edge in box)
    pieces = 0
    if x2 > x1:
        pieces = cv2.connectedComponents(np.ascontiguousarray(mask[y1:y2, x1:x2]).view(np.uint8))[0] - 1
    return {"size": mask.shape, "counts": code["counts"], "area": rle.area(code), "box": box, "pieces": pieces}


@dataclass(frozen=True, slots=True)
class Said:
    """What the prompts of one object on one frame add up to.

    `mask` is the pinned or corrected mask (RLE counts) or None; `clicks` and `box` are what came after it, but for the
    first `settled` clicks, which led to it.
    """

    clicks: tuple[Click, ...] = ()
    box: Box | None = None
    mask: Mapping[str, Any] | None = None
    settled: int = 0

    @property
    def needs_model(self) -> bool:
        """Whether the mask does not simply stand there."""
        return len(self.clicks) > self.settled or self.box is not None


def add_up(prompts: Iterable[PromptInfo]) -> Said:
    """Return what the prompts of one object on one frame, oldest first, say together.

    Drawing or pinning a mask supersedes what was said before; a chosen candidate keeps the clicks that led to it.
    """
    said = Said()
    for prompt in prompts:
        value = prompt.value
        if prompt.kind == "click":
            click = Click(value["x"], value["y"], value["on"])
            said = Said((*said.clicks, click), said.box, value.get("base") or said.mask, said.settled)
        elif prompt.kind == "box":
            said = Said(said.clicks, Box(*value["box"]), said.mask, said.settled)
        elif value.get("origin") == "candidate":
            said = Said(said.clicks, said.box, value["rle"], len(said.clicks))
        else:
            said = Said(mask=value["rle"])
    return said


@dataclass(frozen=True, slots=True)
class Anchors:
    """The prompted frames of one object and what stands on them, reduced to numbers.

    `frames` ascending; `revisions` maps each to a checksum of its prompts (the bits of `PROMPTS`) and, above it, how
    often the model has learned; `newest` maps it to its highest prompt id; `prompts` is how many there are on all.
    """

    frames: tuple[int, ...] = ()
    revisions: Mapping[int, int] = field(default_factory=dict)
    newest: Mapping[int, int] = field(default_factory=dict)
    prompts: int = 0

    @property
    def seen(self) -> int:
        """The highest prompt id of the object."""
        return max(self.newest.values(), default=0)

    def around(self, frame: int) -> tuple[int | None, int | None]:
        """The nearest prompted frames before and after `frame` (which itself is not looked at)."""
        left = bisect.bisect_left(self.frames, frame)
        right = bisect.bisect_right(self.frames, frame)
        return (
            self.frames[left - 1] if left else None,
            self.frames[right] if right < len(self.frames) else None,
        )

    def nearest(self, frame: int) -> int | None:
        """The prompted frame nearest to `frame`, the earlier one of two; None if there is none."""
        return min(self.frames, key=lambda other: (abs(other - frame), other), default=None)


def anchors(rows: Iterable[tuple[int, int]], learned: int = 0) -> Anchors:
    """Return the anchors of one object from the (frame, prompt id) of all its prompts.

    `learned` grows when the model learns or forgets: what was propagated before is then out of date.
    """
    ids: dict[int, list[int]] = {}
    for frame, number in rows:
        ids.setdefault(frame, []).append(number)
    return Anchors(
        frames=tuple(sorted(ids)),
        revisions={
            frame: zlib.crc32(json.dumps(sorted(numbers)).encode()) + (learned << 32) for frame, numbers in ids.items()
        },
        newest={frame: max(numbers) for frame, numbers in ids.items()},
        prompts=sum(map(len, ids.values())),
    )


def is_stale(mask: MaskInfo, known: Anchors) -> bool:
    """Whether a prompt that the mask depends on, or the model, has changed since it was made.

    A propagated mask depends on the prompts of its origin, and on those of any nearer frame, unless another prompted
    frame lies between. What a person or an import put there is never stale, and what a person accepted is not because
    of the model.
    """
    if mask.source != "propagated" or mask.frame in known.revisions:
        return False
    counts = PROMPTS if mask.state == "accepted" else -1
    if mask.origin not in known.revisions or (known.revisions[mask.origin] ^ mask.revision) & counts:
        return True
    reach = abs(mask.origin - mask.frame)
    near = (frame for frame in known.around(mask.frame) if frame is not None and frame != mask.origin)
    return any(known.newest[frame] > mask.seen and abs(frame - mask.frame) < reach for frame in near)


def ranges(frames: Sequence[int]) -> list[list[int]]:
    """Return ascending frame numbers as [start, stop) ranges."""
    found: list[list[int]] = []
    for frame in frames:
        if found and found[-1][1] == frame:
            found[-1][1] = frame + 1
        else:
            found.append([frame, frame + 1])
    return found
