"""How a camera sees a batch of clips: exposure, colour, blur, noise and compression, drawn for all frames at once.

The counterpart of `augment` for tensors: the same ranges, with curves as formulas and compression as its core, the
rounding of 8x8 cosine coefficients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidseg.train.send import send
from vidseg.train.warp import wander

_REACH = 4


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """The cameras of B clips.

    Attributes:
        gamma: (B,); gain: (B, T, 3); contrast: (B, T); offset: (B,) in units of full scale.
        grey: (B,) bool.
        turn: (B, 3, 3) colour matrix that turns the hues and leaves grey as it is.
        kernels: (B, 9, 9) blur, sums 1; blurred: (B,) bool, whether there is one.
        noise: (B,) grey levels; coarseness: (B,) step of the compression in grey levels, 0 for none.
    """

    gamma: np.ndarray
    gain: np.ndarray
    contrast: np.ndarray
    offset: np.ndarray
    grey: np.ndarray
    turn: np.ndarray
    kernels: np.ndarray
    blurred: np.ndarray
    noise: np.ndarray
    coarseness: np.ndarray

    def rows(self, rows: slice) -> Looks:
        """The cameras of some of the clips."""
        return Looks(**{field.name: getattr(self, field.name)[rows] for field in fields(Looks)})


def random_looks(rng: np.random.Generator, batch: int, frames: int) -> Looks:
    """Random cameras for `batch` clips; a fifth of them change no colour."""
    amount = rng.choice([0.0, 0.3, 1.0], batch, p=[0.2, 0.4, 0.4])
    drift = wander(rng, frames, 2, speed=0.03 * amount * (rng.random(batch) < 0.4), lead=(batch,))
    gain = rng.normal(0, 0.16, batch) * amount
    colour = rng.normal(0, 0.05, (batch, 3)) * amount[:, None]
    sigma_px, length_px = rng.uniform(0.3, 1.1, batch), rng.uniform(2, 7, batch)
    kind = rng.random(batch)
    kernels = np.stack(
        [
            _kernel(sigma, length if moving else 0.0, angle)
            for sigma, length, moving, angle in zip(
                sigma_px, length_px, kind < 0.1, rng.uniform(0, np.pi, batch), strict=True
            )
        ]
    )
    return Looks(
        gamma=np.exp(rng.normal(0, 0.18, batch) * amount),
        gain=np.exp(gain[:, None, None] + drift[..., :1] + colour[:, None]),
        contrast=np.exp((rng.normal(0, 0.15, batch) * amount)[:, None] + 0.5 * drift[..., 1]),
        offset=rng.normal(0, 0.03, batch) * amount,
        grey=rng.random(batch) < 0.04,
        turn=_turns(np.where(rng.random(batch) < 0.2, rng.uniform(0, 2 * np.pi, batch), 0.0)),
        kernels=kernels,
        blurred=kind < 0.25,
        noise=np.where(rng.random(batch) < 0.25, rng.uniform(1, 9, batch), 0.0),
        coarseness=np.where(rng.random(batch) < 0.2, rng.uniform(3, 20, batch), 0.0),
    )


def _turns(angle: np.ndarray) -> np.ndarray:
    """(B, 3, 3) turns of the colours by `angle` (B,) about the axis of greys."""
    about = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    cos, sin = np.cos(angle)[:, None, None], np.sin(angle)[:, None, None]
    return cos * np.eye(3) + sin * about + (1 - cos) / 3


def _kernel(sigma_px: float, length_px: float, angle: float) -> np.ndarray:
    """(9, 9) Gaussian, drawn out to `length_px` in the direction `angle`."""
    y, x = np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1]
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    beyond = np.maximum(np.abs(along) - length_px / 2, 0)
    weights = np.exp(-(beyond**2 + across**2) / (2 * sigma_px**2))
    return weights / weights.sum()


def apply_look(image: Tensor, looks: Looks, noise: torch.Generator) -> Tensor:
    """(B, T, H, W, 3) float 0..255 to the uint8 picture that the cameras show; `noise` is of the image's device."""
    device = image.device

    def on(array: np.ndarray) -> Tensor:
        return send(array, device, torch.float32)

    grey = on(looks.grey)[:, None, None, None, None]
    image = torch.lerp(image, (image @ on(np.array([0.299, 0.587, 0.114])))[..., None], grey)
    turned = (looks.turn != np.eye(3)).any(axis=(1, 2))
    image = _on_some(
        image, turned, lambda part, rows: torch.einsum("nthwc,ndc->nthwd", part, on(looks.turn[rows])).clamp(0, 255)
    )
    image = _on_some(image, looks.blurred, lambda part, rows: _blur(part, on(looks.kernels[rows])))
    wide = (slice(None), None, None, None, None)
    level = (image / 255).clamp(0, 1) ** on(looks.gamma)[wide]
    gain, contrast = on(looks.gain)[:, :, None, None], on(looks.contrast)[:, :, None, None, None]
    image = (((level - 0.5) * contrast + 0.5) * gain + on(looks.offset)[wide]) * 255
    if looks.noise.any():
        grain = torch.randn(image.shape, device=device, generator=noise)
        image = image + grain * on(looks.noise)[wide]
    image = image.clamp(0, 255)
    compressed = looks.coarseness > 0
    image = _on_some(image, compressed, lambda part, rows: _compress(part, on(looks.coarseness[rows])))
    return image.round().clamp(0, 255).to(torch.uint8)


def _on_some(image: Tensor, chosen: np.ndarray, change: Callable[[Tensor, np.ndarray], Tensor]) -> Tensor:
    """`change(clips, rows)` in the place of the clips `chosen` (B,) bool."""
    rows = np.flatnonzero(chosen)
    if len(rows) == 0:
        return image
    picked = send(rows, image.device)
    return image.index_copy(0, picked, change(image[picked], rows))


def _blur(image: Tensor, kernels: Tensor) -> Tensor:
    """(N, T, H, W, 3) each clip blurred by its kernel (N, 9, 9)."""
    clips, frames, height, width, _ = image.shape
    planes = image.permute(1, 4, 0, 2, 3).reshape(frames * 3, clips, height, width)
    padded = F.pad(planes, (_REACH,) * 4, mode="replicate")
    with torch.backends.cudnn.flags(benchmark=False):  # of every number of clips it would try all algorithms
        blurred = F.conv2d(padded, kernels[:, None], groups=clips)
    return blurred.view(frames, 3, clips, height, width).permute(2, 0, 3, 4, 1)


def _compress(image: Tensor, coarseness: Tensor) -> Tensor:
    """(N, T, H, W, 3) with the cosine coefficients of 8x8 blocks rounded, high frequencies and colour more coarsely."""
    clips, frames, height, width, _ = image.shape
    tones = image @ _like(image, [[0.299, -0.169, 0.5], [0.587, -0.331, -0.419], [0.114, 0.5, -0.081]])
    rows, columns = -height % 8, -width % 8
    planes = F.pad(tones.permute(0, 1, 4, 2, 3).flatten(0, 2)[None], (0, columns, 0, rows), mode="replicate")[0]
    blocks = planes.view(clips, frames, 3, (height + rows) // 8, 8, (width + columns) // 8, 8).transpose(4, 5)
    order = torch.arange(8, device=image.device)
    basis = torch.cos((2 * order + 1) * order[:, None] * torch.pi / 16) / 2
    basis[0] /= 2**0.5
    step = (1 + 0.5 * (order + order[:, None])) * coarseness[:, None, None]
    step = step[:, None] * _like(image, [1.0, 2.0, 2.0])[:, None, None]
    step = step[:, None, :, None, None]
    coded = ((basis @ blocks @ basis.T) / step).round() * step
    plain = (basis.T @ coded @ basis).transpose(4, 5).reshape(clips, frames, 3, height + rows, width + columns)
    plain = plain[..., :height, :width].permute(0, 1, 3, 4, 2)
    return plain @ _like(image, [[1.0, 1.0, 1.0], [0.0, -0.344, 1.772], [1.402, -0.714, 0.0]])


def _like(image: Tensor, numbers: list) -> Tensor:
    """Constants beside `image`."""
    return send(torch.tensor(numbers, dtype=image.dtype), image.device)
