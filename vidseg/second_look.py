"""A second look: where a person points, the object's surroundings are encoded once more, from close by.

A small network sees a picture on few pixels, and an object that fills a tenth of the picture on a tenth of them. On the
frame of a prompt there is time for a second encoding, of a window around the object at the input's full size; the
same prompt is answered there, with the first answer as the first guess. Followed frames are still encoded once.
Only models that say so look twice (`Sam2Config.second_look`); SAM 2 does not.
Source: the "zoom-in" of f-BRS (arXiv 2001.10331), section 4.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from vidseg.grab_cut import cut
from vidseg.model import Decoded, ImageFeatures, Sam2, fed_back
from vidseg.picture import full_size, prepare, prompt_tensors
from vidseg.types import Click, Prompt
from vidseg.window import OUTSIDE, Window

_WIDEST = 1.8  # longer side of a window to its shorter one
_SNAP = 16  # window edges lie on so many parts of the picture, so that the next click finds the same window
_WORTH = 1.25  # a window that magnifies less shows nothing new
_SPECK = 0.1  # of the largest piece: smaller ones in a box are not meant
_LOOSE = 0.02  # of a box's width and height, by which it may be too small
_FOCUS = 0.3  # width and height of a window around one click, as shares of the picture's


class View(NamedTuple):
    """What a model sees through a window."""

    window: Window
    features: ImageFeatures


class Closer(NamedTuple):
    """The answer to a second look: logits (H, W) of the whole picture, and predicted IoU (1, 1)."""

    logits: Tensor
    iou: Tensor


def look_again(
    model: Sam2,
    decoded: Decoded,
    prompt: Prompt,
    picture: np.ndarray,
    view: Callable[[Window], View],
    *,
    before: Tensor | None = None,
) -> Closer | None:
    """Answer a prompt of one object from close by, after the first answer `decoded`.

    Args:
        view: gives what the model sees of the picture through a window: `look`, or one that is kept.
        picture: (H, W, 3) uint8; along its edges the answer is cut (`vidseg.grab_cut`).
        before: the answer to begin with, logits (H, W), if that is not the first one.

    Returns:
        None if the model does not look twice, sees no object, or would see nothing new or nothing at all.
    """
    if not model.config.second_look or float(decoded.score[0]) <= 0:
        return None
    logits = _first(decoded, picture) if before is None else before
    window = window_of(model, logits, prompt)
    if window is None:
        return None
    seen, size = view(window), (picture.shape[0], picture.shape[1])
    closer = answer(model, seen, prompt, size, before=logits)
    if before is None:
        # The first answer has led this one; an answer that nothing has led, and the first one, have a say as well.
        alone = answer(model, seen, prompt, size)
        closer = closer._replace(logits=(logits + closer.logits + alone.logits) / 3)
    return _meant(closer, prompt, picture)


def settle(model: Sam2, decoded: Decoded, prompt: Prompt, picture: np.ndarray) -> Closer | None:
    """Return the first answer `decoded` itself, cut along the picture's edges, where a closer look shows nothing new.

    None if the model does not look twice, or sees no object.
    """
    if not model.config.second_look or float(decoded.score[0]) <= 0:
        return None
    best = int(decoded.best[0])
    return _meant(Closer(_first(decoded, picture), decoded.iou[:1, best : best + 1]), prompt, picture)


def _meant(closer: Closer, prompt: Prompt, picture: np.ndarray) -> Closer | None:
    """An answer within its box, cut along the picture's edges, without what is not meant; None where it is empty."""
    logits = boxed(closer.logits, prompt)
    if not bool((logits > 0).any()):
        return None
    logits = cut(picture, logits, prompt)
    return closer._replace(logits=logits.masked_fill(_not_meant(logits, prompt), OUTSIDE))


def _first(decoded: Decoded, picture: np.ndarray) -> Tensor:
    """Logits (H, W) of a first answer at the picture's size."""
    return full_size(best_of(decoded), (picture.shape[0], picture.shape[1]))[0]


def window_of(model: Sam2, logits: Tensor, prompt: Prompt) -> Window | None:
    """Return the window to look through after a first answer of `logits` (H, W), or None where none is worth it.

    It is `Sam2Config.second_look` times as wide and high as the prompt's box or, without one, as the answer; all clicks
    lie within.
    """
    times = model.config.second_look
    height, width = logits.shape
    edges = _edges(logits, prompt)
    if edges is None:
        return None
    left, top, right, bottom = edges
    w, h = (right - left) * times, (bottom - top) * times
    w, h = max(w, h / _WIDEST), max(h, w / _WIDEST)
    left, right = _span((left + right) / 2, w, width)
    top, bottom = _span((top + bottom) / 2, h, height)
    if (right - left) * _WORTH > width and (bottom - top) * _WORTH > height:
        return None
    return Window(left, top, right, bottom)


def window_at(size: tuple[int, int], click: Click) -> Window:
    """Return the window through which to correct a picture of `size` (H, W) where it is clicked.

    Source: the "focus view" of FocalClick (arXiv 2204.02574), section 3.
    """
    height, width = size
    left, right = _span(click.x, _FOCUS * width, width)
    top, bottom = _span(click.y, _FOCUS * height, height)
    return Window(left, top, right, bottom)


def look(model: Sam2, picture: np.ndarray, window: Window, *, like: tuple[int, int] | None = None) -> View:
    """Encode what a window shows of an (H, W, 3) uint8 picture; `like` is as in `prepare`."""
    return View(window, model.encode_image(prepare(model, window.cut(picture), like=like)))


def answer(model: Sam2, view: View, prompt: Prompt, size: tuple[int, int], *, before: Tensor | None = None) -> Closer:
    """Answer `prompt` in a window of a picture of `size` (H, W), led by the answer `before`, logits (H, W), if any."""
    window, features = view
    grid = features.vision.shape[-2] * 4, features.vision.shape[-1] * 4
    conditioned = model.attend(features.vision, features.position, None)
    guess = None if before is None else fed_back(window.seen(before[None], grid)).to(model.dtype)
    decoded = decode(model, view, conditioned, prompt, guess, multimask=False)
    return Closer(window.spread(best_of(decoded), size)[0], decoded.iou[:, :1])


def decode(
    model: Sam2,
    view: View,
    conditioned: Tensor,
    prompt: Prompt,
    guess: Tensor | None,
    *,
    multimask: bool,
    like: tuple[int, int] | None = None,
) -> Decoded:
    """Decode clicks and a box in pixels of the picture, through a view whose features are `conditioned` on memories,
    led by a first guess (1, 1, 4h, 4w), if any; `like` is as in `prepare`.
    """
    given = prompt_tensors(model, view.window.moved(prompt), view.window.size, like=like)
    return model.decode(
        conditioned,
        view.features.high_res,
        points=given.points,
        labels=given.labels,
        mask=guess,
        multimask=multimask,
    )


def best_of(decoded: Decoded) -> Tensor:
    """(1, 4h, 4w) logits of the chosen candidate of one object, whether or not the object is thought to be there."""
    return decoded.candidates[:1, int(decoded.best[0])].float()


def _not_meant(logits: Tensor, prompt: Prompt) -> Tensor:
    """Pieces of an answer (H, W) that are not meant: those that no positive click lies on, or specks in a box.

    A click on one piece of an object that something hides in part says nothing of the other: that takes a click, too.
    """
    on = (logits > 0).cpu().numpy()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(on.view(np.uint8), connectivity=8)
    clicked = {int(labels[int(click.y), int(click.x)]) for click in prompt.clicks if click.on} - {0}
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = {int(piece) + 1 for piece in np.flatnonzero(areas >= _SPECK * areas.max(initial=0))}
    kept = clicked | large if prompt.box is not None or not clicked else clicked
    dropped = np.array([piece > 0 and piece not in kept for piece in range(count)])
    return torch.from_numpy(dropped[labels]).to(logits.device)


def boxed(logits: Tensor, prompt: Prompt) -> Tensor:
    """Return an answer (H, W) without what lies beyond the prompt's box, if all its positive clicks are within."""
    box = prompt.box
    if box is None:
        return logits
    wide, high = _LOOSE * (box.x2 - box.x1), _LOOSE * (box.y2 - box.y1)
    window = Window(
        max(0, int(box.x1 - wide)), max(0, int(box.y1 - high)), math.ceil(box.x2 + wide), math.ceil(box.y2 + high)
    )
    if any(click.on and not window.holds(click) for click in prompt.clicks):
        return logits
    part = slice(window.top, window.bottom), slice(window.left, window.right)
    within = torch.full_like(logits, OUTSIDE)
    within[part] = logits[part]
    return within


def _edges(logits: Tensor, prompt: Prompt) -> tuple[float, float, float, float] | None:
    """Left, top, right and bottom of what is meant."""
    xs = [c.x for c in prompt.clicks]
    ys = [c.y for c in prompt.clicks]
    if prompt.box is not None:
        xs += [prompt.box.x1, prompt.box.x2]
        ys += [prompt.box.y1, prompt.box.y2]
    else:
        there = logits > 0
        columns, rows = there.any(dim=0).nonzero(), there.any(dim=1).nonzero()
        if not len(columns):
            return None
        xs += [float(columns[0]), float(columns[-1] + 1)]
        ys += [float(rows[0]), float(rows[-1] + 1)]
    return min(xs), min(ys), max(xs), max(ys)


def _span(middle: float, extent: float, length: int) -> tuple[int, int]:
    """First pixel, and the one after the last, of an extent around `middle`; within 0 and `length`, snapped outward."""
    extent = min(extent, length)
    low = min(max(middle - extent / 2, 0.0), length - extent)
    part = length / _SNAP
    return math.floor(math.floor(low / part) * part), min(length, math.ceil(math.ceil((low + extent) / part) * part))
