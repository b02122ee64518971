"""Smooth motion: affine paths over time, flowing deformations, and the maps that `cv2.remap` wants.

A picture moves by an affine matrix a frame; on top of it a sum of slow plane waves, attached to the picture, bends it.
The decision to know: a map is computed on every eighth pixel and enlarged linearly (exact for the affine part), so a
layer costs one small product, one `cv2.resize` and one `cv2.remap` a frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

_STEP = 8


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """A deformation: at frame t a source point s shifts by the sum over j of amplitude_j * sin(number_j.s + phase_tj).

    Attributes:
        amplitude: (J, 2) source pixels.
        number: (J, 2) radians per source pixel.
        phase: (T, J) radians.
    """

    amplitude: np.ndarray
    number: np.ndarray
    phase: np.ndarray


def wander(
    rng: np.random.Generator,
    frames: int,
    dims: int,
    *,
    speed: float | np.ndarray,
    lead: tuple[int, ...] = (),
) -> np.ndarray:
    """(*`lead`, T, `dims`) smooth curves from 0: a drift of about `speed` a frame, a slow swing, a little shake.

    `speed` is one number or has the shape `lead`.
    """
    shape = (*lead, 1, dims)
    pace = np.asarray(speed, dtype=float)[..., None, None]
    time = np.arange(frames)[:, None]
    drift, swing = rng.normal(0, 1, shape) * pace, rng.normal(0, 1, shape) * pace
    rate, phase = rng.uniform(0.3, 1.3, shape), rng.uniform(0, 2 * np.pi, shape)
    curve = drift * time + swing * (np.sin(rate * time + phase) - np.sin(phase))
    curve[..., 1:, :] += rng.normal(0, 0.1, (*lead, frames - 1, dims)) * pace
    return curve


def affine(
    centre: np.ndarray,
    anchor: np.ndarray,
    *,
    scale: np.ndarray,
    angle: np.ndarray,
    stretch: np.ndarray,
    shear: np.ndarray,
    flip: bool | np.ndarray = False,
) -> np.ndarray:
    """(..., T, 2, 3) matrices that take source pixels to frame pixels.

    Args:
        centre: (..., T, 2) where the anchor lands, x and y in the frame.
        anchor: (..., 2) the fixed point in the source.
        scale: (..., T) frame pixels per source pixel; angle: (..., T) radians; stretch: (..., T) log of the aspect
        change; shear: (..., T) x per y; flip: (...) mirror the source left to right first.
    """
    cos, sin = np.cos(angle), np.sin(angle)
    wide, high = scale * np.exp(0.5 * stretch), scale * np.exp(-0.5 * stretch)
    mirrored = np.where(np.asarray(flip)[..., None], -wide, wide)
    rows = [cos * mirrored, cos * shear * wide - sin * high, sin * mirrored, sin * shear * wide + cos * high]
    linear = np.stack(np.broadcast_arrays(*rows), axis=-1).reshape(*scale.shape, 2, 2)
    shift = centre - (linear @ np.asarray(anchor, dtype=float)[..., None, :, None])[..., 0]
    return np.concatenate([linear, shift[..., None]], axis=-1)


def invert(matrices: np.ndarray) -> np.ndarray:
    """(..., 2, 3) inverses of (..., 2, 3) affine matrices."""
    linear = np.linalg.inv(matrices[..., :2])
    return np.concatenate([linear, -linear @ matrices[..., 2:]], axis=-1)


def waves(
    rng: np.random.Generator, frames: int, extent_px: float, *, strength: float, speed: float, count: int = 3
) -> Waves:
    """A random deformation of something `extent_px` source pixels large.

    Args:
        strength: steepest slope of the shift, 0 (rigid) to about 0.4; below 1 in sum nothing folds over.
        speed: change of the phases, radians a frame.
    """
    length_px = extent_px * rng.uniform(0.6, 2.0, count)
    direction = rng.uniform(0, 2 * np.pi, count)
    number = 2 * np.pi / length_px[:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    swing = rng.uniform(0, 2 * np.pi, count)
    size_px = strength / count * length_px / (2 * np.pi)
    amplitude = size_px[:, None] * np.stack([np.cos(swing), np.sin(swing)], axis=1)
    phase = rng.uniform(0, 2 * np.pi, count) + wander(rng, frames, count, speed=speed)
    return Waves(amplitude, number, phase)


def source_map(
    inverse: np.ndarray,
    frame: int,
    *,
    size: tuple[int, int],
    origin: tuple[int, int] = (0, 0),
    bend: Waves | None = None,
) -> np.ndarray:
    """(H, W, 2) float32: the source pixel seen at every pixel of a window of `size` whose corner is `origin` (x, y).

    `inverse` (2, 3) takes frame pixels to source pixels; `bend` is evaluated at `frame`.
    """
    rows, columns = -(-size[0] // _STEP) + 2, -(-size[1] // _STEP) + 2
    # Sample c of the enlarged map lies at pixel 8c + 3.5; one sample more on every side keeps the border exact.
    y = (np.arange(rows) - 1) * _STEP + (_STEP - 1) / 2 + origin[1]
    x = (np.arange(columns) - 1) * _STEP + (_STEP - 1) / 2 + origin[0]
    grid = inverse[:, 0] * x[None, :, None] + inverse[:, 1] * y[:, None, None] + inverse[:, 2]
    if bend is not None:
        wave = np.sin(grid @ bend.number.T + bend.phase[frame])
        grid = grid + wave @ bend.amplitude
    fine = cv2.resize(grid.astype(np.float32), (columns * _STEP, rows * _STEP), interpolation=cv2.INTER_LINEAR)
    return fine[_STEP : _STEP + size[0], _STEP : _STEP + size[1]]


def remap(
    image: np.ndarray, where: np.ndarray, *, smooth: bool = True, border: int = cv2.BORDER_CONSTANT, value: int = 0
) -> np.ndarray:
    """`image` (h, w[, C]) looked up at `where` (H, W, 2), linearly or at the nearest pixel; `value` past its border."""
    method = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return cv2.remap(image, where, None, method, borderMode=border, borderValue=value)  # type: ignore[call-overload]


def window(
    matrix: np.ndarray, source_size: tuple[int, int], size: tuple[int, int], *, margin_px: float
) -> tuple | None:
    """The part (x1, y1, x2, y2) of a frame of `size` that a source of `source_size` covers; None if it covers nothing.

    `matrix` (2, 3) takes source to frame pixels; `margin_px` widens the part for deformation.
    """
    height, width = source_size
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]]) @ matrix[:, :2].T + matrix[:, 2]
    low, high = corners.min(axis=0) - margin_px, corners.max(axis=0) + margin_px
    x1, y1 = np.maximum(np.floor(low), 0).astype(int)
    x2, y2 = np.minimum(np.ceil(high), [size[1], size[0]]).astype(int)
    return (int(x1), int(y1), int(x2), int(y2)) if x2 > x1 and y2 > y1 else None
