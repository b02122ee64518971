"""Random annotations for the format tests, and what a format without overlaps may keep of them."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vidseg.masks import rle
from vidseg.masks.annotation import Annotation, Track
from vidseg.types import Box

TEXT = st.text("abz<>&\"'é日\U0001f600 ,;=", max_size=6).map(str.strip)


@st.composite
def annotations(draw, *, max_id=300, extras=True):
    """An annotation of up to four frames and three objects, which may overlap, vanish and come back."""
    height, width = draw(st.integers(1, 11)), draw(st.integers(1, 11))
    frames = draw(st.integers(1, 4))
    ids = draw(st.lists(st.integers(1, max_id), max_size=3, unique=True))
    tracks = tuple(draw(_tracks(number, (height, width), frames, extras)) for number in ids)
    timed = draw(st.booleans()) if extras else False
    return Annotation(
        video=draw(st.sampled_from(["clip", "my clip-2", "ä.b"])),
        size=(height, width),
        frames=frames,
        tracks=tracks,
        times=tuple(n * 0.04 for n in range(frames)) if timed else (),
        fps=25.0 if timed else None,
        frame_names=tuple(f"f{n:03d}" for n in range(frames)) if draw(st.booleans()) and extras else (),
    )


@st.composite
def _tracks(draw, number, size, frames, extras):
    masks, scores, boxes = {}, {}, {}
    for frame in range(frames):
        kind = draw(st.sampled_from(["mask", "mask", "none", "box"]))
        if kind == "mask":
            mask = draw(hnp.arrays(bool, size))
            if mask.any():
                masks[frame] = rle.encode(mask)
        elif kind == "box" and extras:
            boxes[frame] = Box(0.5, 1.0, float(size[1]), size[0] + 0.25)
        if extras and draw(st.booleans()):
            scores[frame] = draw(st.sampled_from([0.0, 0.25, 1.0]))
    return Track(
        number,
        name=draw(TEXT) if extras else "",
        category=draw(TEXT) or "object",
        masks=masks,
        scores=scores,
        boxes=boxes,
        crowd=extras and draw(st.integers(0, 5)) == 0,
    )


def masks_of(annotation):
    """{object: {frame: mask}}, objects without masks left out."""
    return {track.id: dict(track.masks) for track in annotation.tracks if track.masks}


def flattened(annotation):
    """The masks when every pixel goes to the last object that has it, and how many pixels were taken away."""
    result = {track.id: {} for track in annotation.tracks}
    taken = 0
    for frame in range(annotation.frames):
        free = np.ones(annotation.size, bool)
        for track in reversed(annotation.tracks):
            if frame in track.masks:
                mask = rle.decode(track.masks[frame])
                taken += np.count_nonzero(mask & ~free)
                if (mask & free).any():
                    result[track.id][frame] = rle.encode(mask & free)
                free &= ~mask
    return {number: masks for number, masks in result.items() if masks}, taken
