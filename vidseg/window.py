"""A window: part of a picture, through which a model looks at it from closer by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidseg.picture import full_size
from vidseg.types import Box, Click, Prompt

OUTSIDE = -10.0
"""The logit of everything beyond a window."""

Edges = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of a picture."""


class Window(NamedTuple):
    """Part of a picture: its edges in whole pixels, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        """(H, W)."""
        return self.bottom - self.top, self.right - self.left

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """The (h, w, ...) part of a picture that the window shows."""
        return np.ascontiguousarray(picture[self.top : self.bottom, self.left : self.right])

    def holds(self, click: Click) -> bool:
        """Whether a click lies within."""
        return self.left <= click.x < self.right and self.top <= click.y < self.bottom

    def shows(self, prompt: Prompt) -> bool:
        """Whether all that a prompt points at lies within; of a mask, every pixel."""
        corners = [] if prompt.box is None else [Click(*prompt.box[:2]), Click(prompt.box.x2 - 1, prompt.box.y2 - 1)]
        if prompt.mask is not None and np.count_nonzero(self.cut(prompt.mask)) < np.count_nonzero(prompt.mask):
            return False
        return all(self.holds(one) for one in (*prompt.clicks, *corners))

    def moved(self, prompt: Prompt) -> Prompt:
        """`prompt` in pixels of the window; what lies outside is taken to its edge, a mask is cut."""
        h, w = self.size

        def x(value: float) -> float:
            return min(max(value - self.left, 0.0), w - 1e-3)

        def y(value: float) -> float:
            return min(max(value - self.top, 0.0), h - 1e-3)

        clicks = tuple(Click(x(c.x), y(c.y), c.on) for c in prompt.clicks)
        box = prompt.box and Box(x(prompt.box.x1), y(prompt.box.y1), x(prompt.box.x2), y(prompt.box.y2))
        mask = None if prompt.mask is None else self.cut(prompt.mask)
        return Prompt(prompt.object, prompt.frame, clicks=clicks, box=box, mask=mask)

    def spread(self, logits: Tensor, size: tuple[int, int]) -> Tensor:
        """What was answered through the window, (N, h, w), as logits (N, H, W) of a whole picture of `size`."""
        inside = full_size(logits, self.size)
        if self.size == size:
            return inside
        spread = inside.new_full((len(logits), *size), OUTSIDE)
        spread[:, self.top : self.bottom, self.left : self.right] = inside
        return spread

    def seen(self, logits: Tensor, grid: tuple[int, int]) -> Tensor:
        """What the window shows of logits (N, H, W) of a whole picture, averaged onto `grid` (h, w)."""
        inside = logits[None, :, self.top : self.bottom, self.left : self.right].float()
        return F.interpolate(inside, size=grid, mode="bilinear", align_corners=False, antialias=True)[0]

    def edges(self, logits: Tensor) -> list[Edges | None]:
        """Where each of logits (N, h, w) of the window is above 0, in pixels of the picture; None for nowhere."""
        on = logits > 0
        h, w = on.shape[-2:]
        lines = torch.cat([on.any(dim=1), on.any(dim=2)], dim=1).cpu().numpy()
        y, x = self.size[0] / h, self.size[1] / w
        found: list[Edges | None] = []
        for line in lines:
            columns, rows = np.flatnonzero(line[:w]), np.flatnonzero(line[w:])
            if not len(columns):
                found.append(None)
                continue
            left, right = self.left + x * float(columns[0]), self.left + x * float(columns[-1] + 1)
            top, bottom = self.top + y * float(rows[0]), self.top + y * float(rows[-1] + 1)
            found.append((left, top, right, bottom))
        return found


def whole(size: tuple[int, int]) -> Window:
    """Return the window that shows all of a picture of `size` (H, W)."""
    return Window(0, 0, size[1], size[0])
