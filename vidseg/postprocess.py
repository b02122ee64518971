"""Cleaning masks: tensors in, tensors out."""

from __future__ import annotations

import torch
from torch import Tensor


def make_exclusive(logits: Tensor) -> Tensor:
    """Return (N, H, W) logits in which objects do not overlap: each pixel keeps its highest logit, others are at most -10."""
    if logits.shape[0] < 2:
        return logits
    owner = logits.argmax(dim=0, keepdim=True)
    ids = torch.arange(logits.shape[0], device=logits.device)[:, None, None]
    return torch.where(owner == ids, logits, logits.clamp(max=-10.0))
