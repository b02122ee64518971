"""Contact sheets, to be looked at before a run: one row a clip, one column a frame, ignored pixels hatched."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from vidseg.train.clip import Clip
from vidseg.types import Prompt

_COLOURS = np.array(
    [(230, 60, 60), (60, 200, 60), (70, 110, 255), (240, 200, 40), (220, 70, 220), (60, 210, 220), (255, 140, 40)],
    np.uint8,
)
_CAPTION_PX = 14


def sheet(
    clips: Sequence[Clip],
    *,
    prompts: Sequence[Sequence[Prompt]] | None = None,
    plain: bool = False,
    max_frames: int = 8,
) -> np.ndarray:
    """(H, W, 3) uint8 RGB sheet of `clips`, all of one size.

    Args:
        prompts: for each clip the prompts to draw; object ids count from 1 in the order of the masks.
        plain: add a second row with the bare frames under each clip.
        max_frames: frames shown of each clip, evenly spread.
    """
    rows = []
    for number, clip in enumerate(clips):
        shown = np.unique(np.linspace(0, len(clip.images) - 1, max_frames).astype(int))
        drawn = [draw_frame(clip, int(t), prompts[number] if prompts else ()) for t in shown]
        rows.append(_caption(f"{number}: {clip.source}", clip.images.shape[2] * len(drawn)))
        rows.append(np.concatenate(drawn, axis=1))
        if plain:
            rows.append(np.concatenate(list(clip.images[shown]), axis=1))
    width = max(row.shape[1] for row in rows)
    return np.concatenate([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])


def draw_frame(clip: Clip, frame: int, prompts: Sequence[Prompt] = ()) -> np.ndarray:
    """(H, W, 3) uint8: one frame with its masks, outlines, ignored pixels and the prompts of that frame."""
    image = clip.images[frame].copy()
    for number, mask in enumerate(clip.masks[frame]):
        colour = _COLOURS[number % len(_COLOURS)]
        image[mask] = (0.55 * image[mask] + 0.45 * colour).astype(np.uint8)
        contours = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(image, contours, -1, colour.tolist(), 1)
    hatch = (np.indices(clip.ignore.shape[1:]).sum(axis=0) % 6 < 2) & clip.ignore[frame]
    image[hatch] = 255
    for number, valid in enumerate(clip.valid[frame]):
        corner = (4 + 9 * number, 4)
        colour = _COLOURS[number % len(_COLOURS)].tolist()
        visible = bool(clip.masks[frame, number].any())
        cv2.rectangle(image, corner, (corner[0] + 6, 10), colour, cv2.FILLED if visible else 1)
        if not valid:
            cv2.line(image, corner, (corner[0] + 6, 10), (255, 255, 255), 1)
    for prompt in prompts:
        if prompt.frame == frame:
            _draw_prompt(image, prompt)
    return image


def _draw_prompt(image: np.ndarray, prompt: Prompt) -> None:
    colour = _COLOURS[(prompt.object - 1) % len(_COLOURS)].tolist()
    if prompt.box is not None:
        x1, y1, x2, y2 = (round(v) for v in prompt.box)
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, 1)
    if prompt.mask is not None:
        contours = cv2.findContours(prompt.mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(image, contours, -1, (255, 255, 255), 1)
    for click in prompt.clicks:
        centre = (round(click.x), round(click.y))
        cv2.circle(image, centre, 4, (255, 255, 255), cv2.FILLED)
        cv2.circle(image, centre, 3, (0, 170, 0) if click.on else (220, 0, 0), cv2.FILLED)


def _caption(text: str, width: int) -> np.ndarray:
    strip = np.zeros((_CAPTION_PX, width, 3), np.uint8)
    cv2.putText(strip, text, (3, 11), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA)
    return strip
