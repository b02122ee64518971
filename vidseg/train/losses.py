"""The losses of SAM 2 on one frame, as sums and counts that add up over frames, batches and processes.

Focal and dice on the best of the candidate masks, the distance between promised and real overlap on all of them, and
cross-entropy on "is the object there?". Masks may be soft (an area-averaged target), pixels may be ignored, objects may
be absent. What is decided here: nothing is averaged before everything has been summed, so that frames with few objects
weigh what they should, and so do processes.
Source: SAM 2 (arXiv 2408.00714), appendix D.2.1; focal loss arXiv 1708.02002; dice loss arXiv 1606.04797.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class LossConfig:
    """The weights of the parts and how the mask loss is taken; the defaults are those of SAM 2.

    Attributes:
        focal, dice, iou, score: weights of the four parts.
        alpha, gamma: of the focal loss; `alpha` < 0 leaves both classes alone.
        full_size: compare masks at the input's size instead of the decoder's (a quarter of it): 16 times the work.
        best_iou_only: teach the promised overlap of the best candidate alone, not of all.
        spread: share of the mask loss that goes to all candidates alike, rather than to the best alone, on frames that
            are followed or corrected: there the memory says which object is meant.
        spread_click: the same after a single first click, which may mean several things. SAM 2 has 0 for both; from
            random weights that let one candidate win and the others rot, and the promised overlaps, slower to learn,
            then chose a rotten one (16 clips that were followed with J 64 by the best had 34 by the chosen ones).
    """

    focal: float = 20.0
    dice: float = 1.0
    iou: float = 1.0
    score: float = 1.0
    alpha: float = 0.25
    gamma: float = 2.0
    full_size: bool = False
    best_iou_only: bool = False
    spread: float = 0.5
    spread_click: float = 0.1


class Sums(NamedTuple):
    """Loss parts summed over rows, with the numbers to divide by; 0-d float tensors, `+` adds part by part.

    `overlap` is the summed IoU of the chosen masks: no loss, but what one wants to see. `masks` counts the rows whose
    object is visible (focal, dice, iou, overlap), `rows` those that say whether it is (score).
    """

    focal: Tensor
    dice: Tensor
    iou: Tensor
    score: Tensor
    overlap: Tensor
    masks: Tensor
    rows: Tensor

    def plus(self, other: Sums) -> Sums:
        """Part by part sum."""
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))


class Target(NamedTuple):
    """What one frame should give for N rows.

    mask (N,h,w) in 0..1; weight (N,h,w), 0 where pixels are ignored; known (N,) 1 where the frame is annotated for the
    object; present (N,) 1 where it is annotated and visible.
    """

    mask: Tensor
    weight: Tensor
    known: Tensor
    present: Tensor


def no_sums(device: torch.device | str = "cpu") -> Sums:
    """Sums over nothing, to add to."""
    return Sums(*(torch.zeros((), device=device) for _ in Sums._fields))


def frame_sums(
    candidates: Tensor, iou: Tensor, score: Tensor, target: Target, config: LossConfig, *, spread: float = 0.0
) -> Sums:
    """Losses of one decoded frame.

    Args:
        candidates: (N, M, h, w) mask logits before anything is done about absent objects.
        iou: (N, M) promised overlap of each, 0..1.
        score: (N,) logit of "the object is there".
        target: what they should be, at the size of `candidates`.
        config: weights (used to choose the best candidate) and the focal loss's constants.
        spread: share of focal and dice that goes to all candidates alike.
    """
    candidates, iou, score = candidates.float(), iou.float(), score.float()
    mask, weight = target.mask[:, None], target.weight[:, None]
    focal = focal_loss(candidates, mask, weight, alpha=config.alpha, gamma=config.gamma)
    dice = dice_loss(candidates, mask, weight)
    overlap = mask_iou(candidates.detach() > 0, mask > 0.5, weight)
    best = (config.focal * focal + config.dice * dice).detach().argmin(dim=1, keepdim=True)
    wrong = (iou - overlap).abs()
    wrong = wrong.gather(1, best)[:, 0] if config.best_iou_only else wrong.mean(dim=1)
    there = F.binary_cross_entropy_with_logits(score, target.present, reduction="none")

    def chosen(values: Tensor, share: float = 0.0) -> Tensor:
        mixed = (1 - share) * values.gather(1, best)[:, 0] + share * values.mean(dim=1)
        return (mixed * target.present).sum()

    return Sums(
        focal=chosen(focal, spread),
        dice=chosen(dice, spread),
        iou=(wrong * target.present).sum(),
        score=(there * target.known).sum(),
        overlap=chosen(overlap),
        masks=target.present.sum(),
        rows=target.known.sum(),
    )


def means(sums: Sums, counts: Sums | None = None) -> dict[str, Tensor]:
    """Each part divided by its count: focal, dice, iou, score, overlap.

    `counts` gives the numbers to divide by where they are not those of `sums` itself: those of all processes.
    """
    counts = sums if counts is None else counts
    masks, rows = counts.masks.clamp(min=1), counts.rows.clamp(min=1)
    return {
        "focal": sums.focal / masks,
        "dice": sums.dice / masks,
        "iou": sums.iou / masks,
        "score": sums.score / rows,
        "overlap": sums.overlap / masks,
    }


def total(parts: dict[str, Tensor], config: LossConfig) -> Tensor:
    """The weighted sum of what `means` returns: the number whose gradient is followed."""
    return (
        config.focal * parts["focal"]
        + config.dice * parts["dice"]
        + config.iou * parts["iou"]
        + config.score * parts["score"]
    )


def focal_loss(logits: Tensor, target: Tensor, weight: Tensor, *, alpha: float, gamma: float) -> Tensor:
    """Mean focal loss over the pixels that count: (N, M, h, w) against (N, 1, h, w) -> (N, M)."""
    probability = logits.sigmoid()
    target = target.expand_as(logits)
    cross = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    miss = probability + target - 2 * probability * target  # 1 - p_t, also for soft targets
    loss = cross * (miss**2 if gamma == 2 else miss.clamp(min=1e-6) ** gamma)
    if alpha >= 0:
        loss = loss * (alpha * target + (1 - alpha) * (1 - target))
    return (loss * weight).sum(dim=(2, 3)) / weight.sum(dim=(2, 3)).clamp(min=1)


def dice_loss(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - dice overlap of soft masks over the pixels that count: (N, M, h, w) against (N, 1, h, w) -> (N, M)."""
    probability = logits.sigmoid() * weight
    target = target * weight
    both = (probability * target).sum(dim=(2, 3))
    return 1 - (2 * both + 1) / (probability.sum(dim=(2, 3)) + target.sum(dim=(2, 3)) + 1)


def mask_iou(mask: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Intersection over union of bool masks over the pixels that count; 1 where both are empty. -> (N, M) float."""
    both = ((mask & target) * weight).sum(dim=(2, 3))
    either = ((mask | target) * weight).sum(dim=(2, 3))
    return torch.where(either > 0, both / either.clamp(min=1e-6), torch.ones_like(both))
