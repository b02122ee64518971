"""Seeded random weights and recorded numbers of the official implementation, as the golden README defines them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vidseg.model import PRESETS, Sam2
from vidseg.types import Frame

TOLERANCE = 5e-4  # largest difference in logits, scores, IoUs and pointers that is noise rather than a mistake


def seeded_state(shapes: dict[str, tuple[int, ...]], *, score_bias: float = 3.0) -> dict[str, torch.Tensor]:
    """Draw weights for state-dict keys: one generator, keys in sorted order."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for key in sorted(shapes):
        shape = shapes[key]
        noise = torch.randn(shape, generator=generator)
        if len(shape) >= 2:
            state[key] = noise / float(np.prod(shape[1:])) ** 0.5
        elif key.endswith(".weight"):
            state[key] = 1 + 0.02 * noise
        else:
            state[key] = 0.02 * noise
    state["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += score_bias
    return state


def seeded_model(preset: str, *, score_bias: float = 3.0) -> Sam2:
    with torch.device("meta"):
        model = Sam2(PRESETS[preset])
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    model.load_state_dict(seeded_state(shapes, score_bias=score_bias), strict=True, assign=True)
    return model.eval().requires_grad_(False)


def looks(model: Sam2, times: float) -> Sam2:
    """The same weights in a model of their own, whose `second_look` is `times`."""
    other = Sam2(replace(model.config, second_look=times)).eval().requires_grad_(False)
    other.load_state_dict(model.state_dict())
    return other


def golden_frames(shared: Path) -> list[Frame]:
    paths = sorted((shared / "golden" / "frames").glob("*.jpg"))
    return [Frame(i, i / 25, np.array(Image.open(p).convert("RGB"))) for i, p in enumerate(paths)]
