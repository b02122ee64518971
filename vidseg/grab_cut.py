"""An answer, cut along the picture's edges: where the network is unsure, colours and edges decide.

A small network sees trousers and leaves holes in them, or stops short of their edge. What it is sure of shows how the
object and its surroundings are coloured; a minimal cut gives the rest to one of the two, and every click what it says.
The decision to know: the cut is made on few pixels, so it costs the same in any video, and what the network is sure of
stays, but for clicks.
Source: GrabCut (Rother, Kolmogorov and Blake, SIGGRAPH 2004), section 3, by OpenCV.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from vidseg.picture import full_size
from vidseg.types import Click, Prompt
from vidseg.window import Window, whole

_SURE = 2.0  # logits beyond which an answer is left as it is
_AROUND = 0.3  # of the object's longer side: as much of its surroundings is looked at
_LEAST = 6  # pixels of surroundings
_LONGEST = 256  # pixels of a side of what is cut
_DISC = 3  # pixels around a click that are what it says
_SEED = 1


def cut(picture: np.ndarray, logits: Tensor, prompt: Prompt) -> Tensor:
    """Return logits (H, W) of an answer to clicks or a box, cut along the edges of the (H, W, 3) uint8 picture.

    Pixels that change sides are unsure afterwards. An answer that is empty, or fills all that is seen, stays as it is.
    """
    window = _around(logits, prompt)
    if window is None:
        return logits
    inside = logits[window.top : window.bottom, window.left : window.right]
    h, w = window.size
    scale = min(1.0, _LONGEST / max(h, w))
    size = max(1, round(h * scale)), max(1, round(w * scale))
    colours = cv2.resize(window.cut(picture), size[::-1], interpolation=cv2.INTER_AREA)
    values = cv2.resize(inside.float().cpu().numpy(), size[::-1], interpolation=cv2.INTER_AREA)
    labels = np.where(values > 0, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    labels[values > _SURE] = cv2.GC_FGD
    labels[values < -_SURE] = cv2.GC_BGD
    for click in window.moved(prompt).clicks:
        _mark(labels, click, scale)
    if len(np.unique(labels % 2)) < 2:
        return logits
    cv2.setRNGSeed(_SEED)  # colours are grouped by chance: the same answer must give the same cut
    colour_models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(colours, labels, (0, 0, 0, 0), *colour_models, 1, cv2.GC_INIT_WITH_MASK)
    on = labels % 2 == 1
    if not on.any():
        return logits
    values = np.where(on == (values > 0), values, np.where(on, _SURE, -_SURE)).astype(np.float32)
    found = logits.clone()
    found[window.top : window.bottom, window.left : window.right] = full_size(
        torch.from_numpy(values)[None], window.size
    )[0].to(logits)
    return found


def _around(logits: Tensor, prompt: Prompt) -> Window | None:
    """The window around an answer and its clicks; None around nothing."""
    height, width = logits.shape
    (edges,) = whole((height, width)).edges(logits[None])
    if edges is None:
        return None
    left, top, right, bottom = edges
    xs, ys = [left, right, *(c.x for c in prompt.clicks)], [top, bottom, *(c.y for c in prompt.clicks)]
    more = _LEAST + _AROUND * max(max(xs) - min(xs), max(ys) - min(ys))
    return Window(
        max(0, int(min(xs) - more)),
        max(0, int(min(ys) - more)),
        min(width, int(max(xs) + more) + 1),
        min(height, int(max(ys) + more) + 1),
    )


def _mark(labels: np.ndarray, click: Click, scale: float) -> None:
    value = cv2.GC_FGD if click.on else cv2.GC_BGD
    cv2.circle(labels, (int(click.x * scale), int(click.y * scale)), _DISC, int(value), -1)
