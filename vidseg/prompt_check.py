"""Whether prompts fit the frame they are for: what a user can do wrong, said in one sentence each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vidseg.errors import PromptError
from vidseg.types import Prompt


def check_prompts(prompts: Sequence[Prompt], *, index: int, size: tuple[int, int]) -> None:
    """Raise PromptError unless every prompt can be used on frame `index`, a picture of `size` (H, W).

    Checked: the frame number, ids from 1, one prompt an object, something said in it, finite coordinates inside the
    picture, a box with an area, a mask of the frame's size that is not empty and stands alone.
    """
    h, w = size
    ids: set[int] = set()
    for p in prompts:
        where = f"object {p.object} on frame {p.frame}"
        if p.frame != index:
            raise PromptError(f"the prompt for {where} was given with frame {index}; give it with its own frame")
        if p.object < 1:
            raise PromptError(f"object id {p.object} is not positive; ids start at 1 (0 is the background)")
        if p.object in ids:
            raise PromptError(f"two prompts for {where}; put all clicks and the box into one prompt")
        ids.add(p.object)
        if p.mask is not None:
            _check_mask(p, where, size)
        elif not p.clicks and p.box is None:
            raise PromptError(f"the prompt for {where} says nothing; give a click, a box or a mask")
        for c in p.clicks:
            if not (np.isfinite(c.x) and np.isfinite(c.y) and 0 <= c.x < w and 0 <= c.y < h):
                raise PromptError(f"click ({c.x:g}, {c.y:g}) for {where} is outside the picture of {w}x{h} pixels")
        if p.box is not None:
            _check_box(p, where, size)


def _check_mask(prompt: Prompt, where: str, size: tuple[int, int]) -> None:
    assert prompt.mask is not None
    if prompt.clicks or prompt.box is not None:
        raise PromptError(f"the prompt for {where} has a mask and clicks or a box; a mask stands alone")
    if prompt.mask.shape != size:
        got = "x".join(map(str, prompt.mask.shape[::-1]))
        raise PromptError(f"the mask for {where} is {got}; the picture is {size[1]}x{size[0]}, masks must match it")
    if not prompt.mask.any():
        raise PromptError(f"the mask for {where} is empty; give a frame on which the object can be seen")


def _check_box(prompt: Prompt, where: str, size: tuple[int, int]) -> None:
    assert prompt.box is not None
    x1, y1, x2, y2 = prompt.box
    said = f"box {x1:g},{y1:g},{x2:g},{y2:g} for {where}"
    if not np.isfinite(prompt.box).all() or x2 <= x1 or y2 <= y1:
        raise PromptError(f"{said} has no area; give x1,y1,x2,y2 with x1<x2 and y1<y2")
    if x2 <= 0 or y2 <= 0 or x1 >= size[1] or y1 >= size[0]:
        raise PromptError(f"{said} is outside the picture of {size[1]}x{size[0]} pixels")
