"""How a camera sees a clip: exposure, colour, blur, noise and compression, shared by its frames with a slow drift.

Works on finished frames and never moves a pixel, so masks stay as they are. Curves are one 256-entry table a channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidseg.train.warp import wander

_NOISE_SIDE = 512
_noise: list[np.ndarray] = []


@dataclass(frozen=True, slots=True)
class Look:
    """What one camera does to all frames of a clip.

    Attributes:
        tables: (T, 3, 256) uint8, one curve a frame and channel.
        grey: show no colour.
        sigma_px: width of a Gaussian blur, 0 for none.
        noise: amplitude in grey levels, 0 for none.
        quality: JPEG quality 1..100, or 0 for no compression.
    """

    tables: np.ndarray
    grey: bool = False
    sigma_px: float = 0.0
    noise: float = 0.0
    quality: int = 0


def random_look(rng: np.random.Generator, frames: int, *, strength: float = 1.0) -> Look:
    """A random camera; `strength` 0 changes nothing, 1 is the range of everyday video, weak and strong ones mixed."""
    amount = strength * rng.choice([0.0, 0.3, 1.0], p=[0.2, 0.4, 0.4])
    drift = wander(rng, frames, 2, speed=0.03 * amount * (rng.random() < 0.4))
    gain = np.exp(rng.normal(0, 0.16) * amount + drift[:, :1] + rng.normal(0, 0.05, 3) * amount)
    contrast = np.exp(rng.normal(0, 0.15) * amount + 0.5 * drift[:, 1:])
    gamma = np.exp(rng.normal(0, 0.18) * amount)
    offset = rng.normal(0, 0.03) * amount
    level = (np.arange(256) / 255.0) ** gamma
    tables = (level[None, None] - 0.5) * (gain * contrast)[..., None] + 0.5 * gain[..., None] + offset
    pick = rng.random(4)
    blurred, noisy = rng.uniform(0.3, 1.1), rng.uniform(1, 9)
    quality = int(rng.integers(25, 90))
    return Look(
        tables=(tables * 255).clip(0, 255).astype(np.uint8) if amount else _plain_tables(frames),
        grey=bool(pick[0] < 0.04 * strength),
        sigma_px=blurred if pick[1] < 0.15 * strength else 0.0,
        noise=noisy if pick[2] < 0.25 * strength else 0.0,
        quality=quality if pick[3] < 0.2 * strength else 0,
    )


def _plain_tables(frames: int) -> np.ndarray:
    return np.broadcast_to(np.arange(256, dtype=np.uint8), (frames, 3, 256))


def _noise_tile() -> np.ndarray:
    """One fixed (512, 512, 3) int8 tile of Gaussian noise, made once a process: frames use shifted parts of it."""
    if not _noise:
        tile = np.random.default_rng(0).normal(0, 32, (_NOISE_SIDE, _NOISE_SIDE, 3))
        _noise.append(tile.clip(-127, 127).astype(np.int8))
    return _noise[0]


def apply(images: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    """(T, H, W, 3) uint8 `images` as the camera `look` shows them; `rng` moves the noise from frame to frame."""
    seen = np.empty_like(images)
    for frame, image in enumerate(images):
        if look.grey:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        if look.sigma_px > 0:
            image = cv2.GaussianBlur(image, (0, 0), look.sigma_px)
        image = cv2.LUT(image, np.ascontiguousarray(look.tables[frame].T)[None])
        if look.noise > 0:
            image = _with_noise(image, look.noise, rng)
        if look.quality > 0:
            coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, look.quality])[1]
            image = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        seen[frame] = image
    return seen


def _with_noise(image: np.ndarray, amplitude: float, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    tile = _noise_tile()
    if height > _NOISE_SIDE or width > _NOISE_SIDE:
        tile = np.tile(tile, (-(-height // _NOISE_SIDE), -(-width // _NOISE_SIDE), 1))
    y, x = rng.integers(0, tile.shape[0] - height + 1), rng.integers(0, tile.shape[1] - width + 1)
    part = tile[y : y + height, x : x + width]
    return cv2.addWeighted(image, 1.0, part, amplitude / 32, 0.0, dtype=cv2.CV_8U)
