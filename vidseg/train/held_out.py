"""How well a model follows clips it was not trained on, and pictures of how it does: the loop's own quick look.

The same forward pass as in training, without gradients, with exact prompts and no corrections. For real measurement
there is `vidseg eval`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from vidseg.model.sam2 import Sam2
from vidseg.train.clip import Clip, stack
from vidseg.train.losses import LossConfig
from vidseg.train.model_step import StepConfig, make_batch, precision, run_batch
from vidseg.train.preview import sheet
from vidseg.train.user import PromptConfig

_CLIPS_AT_ONCE = 4


class Followed(NamedTuple):
    """A clip, the masks (T, O, H, W) bool that came out, and J (T, O): NaN where not annotated."""

    clip: Clip
    masks: np.ndarray
    overlap: np.ndarray


def follow(
    model: Sam2, clips: Sequence[Clip], *, prompt: str = "mask", memory: bool = True, dtype: torch.dtype | None = None
) -> Iterator[Followed]:
    """Track all objects of `clips` (of one shape) from their first frames.

    Args:
        model: left in the mode it was in.
        clips: what to follow.
        prompt: mask, box or click (in the middle).
        memory: off shows what is left when no frame has a past.
        dtype: of the arithmetic (autocast), if not float32.
    """
    mode = model.training
    model.eval()
    try:
        for start in range(0, len(clips), _CLIPS_AT_ONCE):
            yield from _follow(model, clips[start : start + _CLIPS_AT_ONCE], prompt, memory, dtype)
    finally:
        model.train(mode)


def mean_overlap(followed: Sequence[Followed]) -> float:
    """Mean J over clips of the mean over their objects and annotated frames, the prompted frame left out."""
    values = [np.nanmean(one.overlap[1:]) for one in followed if np.isfinite(one.overlap[1:]).any()]
    return float(np.mean(values)) if values else float("nan")


def picture(followed: Sequence[Followed]) -> np.ndarray:
    """(H, W, 3) uint8 sheet: each clip with its true masks and, below, with those that came out."""
    shown: list[Clip] = []
    for one in followed:
        j = np.nanmean(one.overlap[1:]) if np.isfinite(one.overlap[1:]).any() else float("nan")
        shown.append(one.clip)
        shown.append(Clip(one.clip.images, one.masks, one.clip.valid, one.clip.ignore, f"predicted, J {100 * j:.0f}"))
    return sheet(shown)


@torch.no_grad()
def _follow(
    model: Sam2, clips: Sequence[Clip], prompt: str, memory: bool, dtype: torch.dtype | None
) -> Iterator[Followed]:
    prompts = PromptConfig(mask=0, sloppy=0, box=0, click=0, correct=0, jitter=0)
    prompts = PromptConfig(**{**vars(prompts), prompt: 1.0})
    arrays = stack(clips)
    batch = make_batch(arrays, prompts, seed=0, number=0, device=model.device)
    batch = batch._replace(uniform=torch.zeros_like(batch.uniform))  # a click in the middle, not anywhere
    with precision(model.device, dtype):
        _, results = run_batch(model, batch, LossConfig(), prompts, StepConfig(memory=memory, chunk=8))
    size = arrays["images"].shape[2:4]
    logits = torch.stack([result.logits for result in results], dim=1)
    masks = (F.interpolate(logits, size=size, mode="bilinear", align_corners=False) > 0).cpu().numpy()
    owner = batch.clip.cpu().numpy()
    for number, clip in enumerate(clips):
        found = masks[owner == number].transpose(1, 0, 2, 3)
        yield Followed(clip, found, _overlap(found, clip))


def _overlap(masks: np.ndarray, clip: Clip) -> np.ndarray:
    counts = ~clip.ignore[:, None]
    both = (masks & clip.masks & counts).sum(axis=(2, 3))
    either = ((masks | clip.masks) & counts).sum(axis=(2, 3))
    overlap = np.where(either > 0, both / np.maximum(either, 1), 1.0)
    return np.where(clip.valid, overlap, np.nan)
