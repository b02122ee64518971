"""Corrections: clicks on a frame are answered one after the other, each beginning with the answer before it.

The decision to know: whoever clicks again has seen an answer, and means what is wrong with it. So a network is trained,
and clicks that are given to a small one all at once, as if none had been answered, lead it astray: the more, the worse.
Source: Segment Anything (arXiv 2304.02643), appendix A, "Training algorithm".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vidseg.grab_cut import cut
from vidseg.inertia import inertia
from vidseg.model import Decoded, Sam2, fed_back
from vidseg.second_look import Closer, View, answer, boxed, look, look_again, settle, window_at
from vidseg.types import Prompt
from vidseg.window import Window, whole

_MOSTLY_RIGHT = 4  # corrections after which an answer is changed where it is clicked only


class Told(NamedTuple):
    """An answer: as it was decoded last from the whole frame and, after that, from close by (see `second_look`)."""

    decoded: Decoded
    closer: Closer | None


def one_by_one(prompt: Prompt) -> Iterator[Prompt]:
    """Yield what to answer in turn: the box alone, or the first click on the object, then one click more each time."""
    begin = next((n for n, click in enumerate(prompt.clicks) if click.on and prompt.box is None), 0)
    clicks = (*prompt.clicks[begin : begin + 1], *prompt.clicks[:begin], *prompt.clicks[begin + 1 :])
    for count in range(prompt.box is None, len(clicks) + 1):
        yield Prompt(prompt.object, prompt.frame, clicks=clicks[:count], box=prompt.box)


def tell_all(
    model: Sam2,
    prompt: Prompt,
    picture: np.ndarray,
    *,
    decode: Callable[[Prompt, Tensor | None], Decoded],
    before: Told | None = None,
    known: int = 0,
) -> Told | None:
    """Answer all of a prompt, one click after the other; all but the first `known` clicks if that is `before`.

    The other arguments are as in `tell`.
    """
    view = lru_cache(maxsize=1)(partial(look, model, picture))  # further clicks mostly look through the same window
    for part in one_by_one(prompt):
        if before is None or len(part.clicks) > known:
            before = tell(model, before, part, picture, view=view, decode=decode)
    return before


def tell(
    model: Sam2,
    before: Told | None,
    prompt: Prompt,
    picture: np.ndarray,
    *,
    view: Callable[[Window], View],
    decode: Callable[[Prompt, Tensor | None], Decoded],
) -> Told:
    """Answer a prompt of one object, of which all but the last click is answered already.

    Args:
        before: that answer; None for a box or a click that is all there is.
        picture: (H, W, 3) uint8.
        view: as in `look_again`.
        decode: answers a prompt on the whole frame, led by a first guess (1, 1, 4h, 4w), if any.
    """
    closer = None if before is None else _closer(model, before, prompt, picture, view)
    if before is None or closer is None:
        before = Told(decode(prompt, None if before is None else _guess_of(before).to(model.dtype)), None)
        closer = look_again(model, before.decoded, prompt, picture, view) or settle(
            model, before.decoded, prompt, picture
        )
    return Told(before.decoded, closer)


def _closer(
    model: Sam2, before: Told, prompt: Prompt, picture: np.ndarray, view: Callable[[Window], View]
) -> Closer | None:
    """The answer through a window around the one before, if the model looks twice and there is something to see.

    After a few corrections most of the object is right; further ones change it around the click only.
    """
    logits = None if before.closer is None else before.closer.logits
    if logits is not None and len(prompt.clicks) - (prompt.box is None) >= _MOSTLY_RIGHT:
        closer = held(model, logits, prompt, picture, view=view, led_by=(logits,))
        return closer._replace(logits=boxed(closer.logits, prompt))
    return look_again(model, before.decoded, prompt, picture, view, before=logits)


def _guess_of(before: Told) -> Tensor:
    """An answer as the first guess of the next, (1, 1, 4h, 4w)."""
    if before.closer is None:
        return fed_back(before.decoded.logits)
    h, w = before.decoded.logits.shape[-2:]
    height, width = before.closer.logits.shape
    return fed_back(whole((height, width)).seen(before.closer.logits[None], (h, w)))


def held(
    model: Sam2,
    logits: Tensor,
    prompt: Prompt,
    picture: np.ndarray,
    *,
    view: Callable[[Window], View],
    led_by: Sequence[Tensor],
) -> Closer:
    """Correct a mask of `logits` (H, W) at the last click, as it looks through a window around that; the rest stays.

    It is the mean of the answers that each of `led_by`, logits like those of the mask, has led; cut along the picture's
    edges. The farther from the click, the surer they must be to change the mask.
    """
    click = prompt.clicks[-1]
    window = window_at((picture.shape[0], picture.shape[1]), click)
    within = Prompt(prompt.object, prompt.frame, clicks=tuple(one for one in prompt.clicks if window.holds(one)))
    seen = view(window)
    found = [answer(model, seen, within, picture.shape[:2], before=before) for before in led_by]
    part = slice(window.top, window.bottom), slice(window.left, window.right)
    firm = torch.from_numpy(inertia((logits > 0).cpu().numpy(), [click])).to(logits.device)
    corrected = logits.clone()
    corrected[part] = (torch.stack([one.logits for one in found]).mean(dim=0) + firm)[part]
    corrected[part] = cut(picture, corrected, within)[part]
    return found[0]._replace(logits=corrected)
