"""vidseg as something to time: a model with seeded weights, following objects with its memory already full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor, nn

from vidseg.bench.stages import Parts
from vidseg.model import Sam2, Sam2Config
from vidseg.tracker import TrackerState, limits_of, step
from vidseg.types import Click, Frame, Prompt

FIRST = 16
"""Index of the first frame after the fill: a prompted frame 0 and fifteen remembered ones come before it."""

_PRESENT = 3.0  # added to the object-score bias, so that objects count as present and are remembered


class Subject(Protocol):
    """One implementation, prepared up to frame `FIRST`."""

    name: str
    parts: Parts

    def follow(self, frame: Frame) -> Tensor:
        """Track all objects to the next frame, up to masks at its full size; return low-resolution logits (N, h, w)."""


def draw_weights(module: nn.Module, seed: int = 0) -> None:
    """Fill a module's tensors with seeded random numbers that keep activations in range.

    One generator over all keys in sorted order: n / sqrt(fan-in) from two dimensions on, 1 + 0.02 n for the weights of
    norms, 0.02 n for other vectors.
    """
    generator = torch.Generator().manual_seed(seed)
    state = module.state_dict()
    with torch.no_grad():
        for key in sorted(state):
            tensor = state[key]
            noise = torch.randn(tensor.shape, generator=generator)
            if tensor.ndim >= 2:
                drawn = noise / tensor[0].numel() ** 0.5
            else:
                drawn = 0.02 * noise + float(key.endswith(".weight"))
            tensor.copy_(drawn)


def build_model(config: Sam2Config, device: torch.device) -> Sam2:
    """Return a float32 model with seeded weights, in evaluation mode."""
    model = Sam2(config)
    draw_weights(model)
    model.state_dict()["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += _PRESENT  # shares the model's memory
    return model.eval().requires_grad_(False).to(device)


def spread_clicks(objects: int, size: tuple[int, int]) -> tuple[Click, ...]:
    """Return one click an object, spread over a picture of `size` (H, W)."""
    h, w = size
    return tuple(Click(w * (2 * i + 1) / (2 * objects), h / 2) for i in range(objects))


class VidsegSubject:
    """vidseg's own tracker."""

    name = "vidseg"

    def __init__(self, model: Sam2, first: Frame, clicks: Sequence[Click]) -> None:
        self.model = model
        self.parts: Parts = {
            "image encoder": (model, "encode_image"),
            "memory attention": (model, "begin", "attend"),
            "mask decoder": (model, "decode"),
            "memory encoder": (model, "encode_memory"),
        }
        prompts = [Prompt(object=i, frame=0, clicks=(click,)) for i, click in enumerate(clicks, start=1)]
        state, _ = step(model, TrackerState(), replace(first, index=0), prompts)
        self.state = filled(model, state)

    def follow(self, frame: Frame) -> Tensor:
        """See `Subject`."""
        self.state, result = step(self.model, self.state, frame)
        result.masks()
        return result.logits


def filled(model: Sam2, state: TrackerState) -> TrackerState:
    """Return a state whose memory is full: copies of what was remembered of frame 0 stand for the frames since."""
    limits = limits_of(model)
    tracks = []
    for track in state.tracks:
        bank = track.bank
        for index in range(1, FIRST):
            bank = bank.remember(replace(bank.prompted[0], frame=index), prompted=False, limits=limits)
        tracks.append(replace(track, bank=bank, frame=FIRST - 1))
    return TrackerState(tuple(tracks), FIRST - 1)
