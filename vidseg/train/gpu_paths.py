"""Paths of pictures and cut-outs for a whole batch at once: arrays of affine matrices, drawn on the CPU."""

from __future__ import annotations

import numpy as np

from vidseg.train import warp
from vidseg.train.gpu_atlas import Contents


def camera(
    rng: np.random.Generator,
    contents: Contents,
    entry: np.ndarray,
    target: np.ndarray,
    speed: np.ndarray,
    frames: int,
    size: tuple[int, int],
    *,
    free: np.ndarray,
    real: np.ndarray,
) -> np.ndarray:
    """(B, T, 2, 3) path of the pictures `entry` (B,): a view of the whole, or one about `target`, that moves a little.

    Where `free` (B,) the view is about no object; `real` (B,) marks video, which moves by itself.
    """
    rows = len(entry)
    height, width = contents.sizes[entry].T.astype(float)
    aspect = size[1] / size[0]
    most = np.minimum(width, height * aspect)
    box = contents.boxes[target]
    extent = np.maximum(box[:, 2] - box[:, 0], (box[:, 3] - box[:, 1]) * aspect)
    about = extent * np.exp(rng.uniform(0, 1.9, rows))
    window_px = np.where(rng.random(rows) < 0.4, most * rng.uniform(0.75, 1.0, rows), about)
    window_px = np.clip(window_px, np.minimum(most, 0.6 * size[1]), most)
    # A tall thing is shown whole now and then, with made-up surroundings at both sides of its narrow picture.
    tall = (extent > most) & ~free & ~real & (rng.random(rows) < 0.4)
    window_px = np.where(tall, np.minimum(2 * most, extent * rng.uniform(0.95, 1.15, rows)), window_px)
    middle = (box[:, :2] + box[:, 2:]) / 2
    middle = middle + rng.uniform(-0.3, 0.3, (rows, 2)) * np.stack([window_px, window_px / aspect], axis=1)
    middle = np.where(free[:, None], rng.random((rows, 2)) * np.stack([width, height], axis=1), middle)
    half = np.stack([window_px, window_px / aspect], axis=1) / 2
    other = np.stack([width, height], axis=1) - half
    middle = np.clip(middle, np.minimum(half, other), np.maximum(half, other))
    pace = speed * rng.choice([0.5, 1.5], rows)
    pace = np.where(real, 0.3 * (rng.random(rows) < 0.3), pace)
    scale = size[1] / window_px
    shift = warp.wander(rng, frames, 2, speed=0.05 * pace * min(size), lead=(rows,))
    room = np.minimum(middle, np.stack([width, height], axis=1) - middle) * scale[:, None]
    spare = (np.maximum(room - np.array(size[::-1]) / 2, 0) + 0.2 * min(size))[:, None]
    zoom = np.exp(0.5 * np.tanh(2 * warp.wander(rng, frames, 1, speed=0.06 * pace, lead=(rows,))[..., 0]))
    turn, stretch, shear = rng.normal(0, 1, (3, rows, 1)) * np.where(real, 0.0, 1.0)[:, None]
    return warp.affine(
        np.array(size[::-1]) / 2 + spare * np.tanh(shift / spare),
        middle,
        scale=scale[:, None] * np.maximum(zoom, np.minimum(1.0, window_px / most)[:, None]),
        angle=0.08 * turn + warp.wander(rng, frames, 1, speed=0.03 * pace, lead=(rows,))[..., 0],
        stretch=0.1 * stretch + warp.wander(rng, frames, 1, speed=0.02 * pace, lead=(rows,))[..., 0],
        shear=0.04 * shear + warp.wander(rng, frames, 1, speed=0.01 * pace, lead=(rows,))[..., 0],
        flip=rng.random(rows) < 0.5,
    )


def flying(
    rng: np.random.Generator,
    contents: Contents,
    thing: np.ndarray,
    speed: np.ndarray,
    frames: int,
    size: tuple[int, int],
) -> np.ndarray:
    """(B, N, T, 2, 3) random paths for cut-outs that cover 1.5 to 30 % of the frame."""
    lead = thing.shape
    share = np.exp(rng.uniform(np.log(0.015), np.log(0.3), lead))
    scale = np.minimum(2.0, np.sqrt(share * size[0] * size[1] / contents.area_px[thing]))
    pace = np.broadcast_to(speed[:, None], lead)
    box = contents.boxes[thing]
    start = rng.uniform(0.1, 0.9, (*lead, 1, 2)) * size[::-1]
    return _own_path(
        rng, start, (box[..., :2] + box[..., 2:]) / 2, scale, pace, frames, size, turn=0.2, flip=rng.random(lead) < 0.5
    )


def _own_path(
    rng: np.random.Generator,
    start: np.ndarray,
    anchor: np.ndarray,
    scale: np.ndarray,
    pace: np.ndarray,
    frames: int,
    size: tuple[int, int],
    *,
    turn: float,
    flip: np.ndarray | bool,
) -> np.ndarray:
    lead = pace.shape
    first = rng.normal(0, 1, (3, *lead, 1)) * turn
    zoom = np.exp(0.6 * np.tanh(warp.wander(rng, frames, 1, speed=0.08 * pace, lead=lead)[..., 0] / 0.6))
    return warp.affine(
        start + warp.wander(rng, frames, 2, speed=0.06 * pace * min(size), lead=lead),
        anchor,
        scale=scale[..., None] * zoom,
        angle=first[0] + warp.wander(rng, frames, 1, speed=0.06 * pace, lead=lead)[..., 0],
        stretch=0.4 * first[1] + warp.wander(rng, frames, 1, speed=0.04 * pace, lead=lead)[..., 0],
        shear=0.2 * first[2] + warp.wander(rng, frames, 1, speed=0.03 * pace, lead=lead)[..., 0],
        flip=flip,
    )


def detached(
    rng: np.random.Generator,
    contents: Contents,
    thing: np.ndarray,
    camera: np.ndarray,
    speed: np.ndarray,
    frames: int,
    short_px: int,
) -> np.ndarray:
    """(B, N, T, 2, 3) paths from where the thing stands in the picture that `camera` (B, 1, T, 2, 3) moves."""
    lead = thing.shape
    pace = np.broadcast_to(speed[:, None], lead)
    zero, one = np.zeros((*lead, 1, 2)), np.ones(lead)
    own = _own_path(rng, zero, zero[..., 0, :], one, pace, frames, (short_px, short_px), turn=0.0, flip=False)
    box = contents.boxes[thing]
    anchor = ((box[..., :2] + box[..., 2:]) / 2)[:, :, None, :, None]
    place = (camera[..., :2] @ anchor)[..., 0] + camera[..., 2] + own[..., 2]
    linear = own[..., :2] @ camera[..., :2]
    return np.concatenate([linear, (place - (linear @ anchor)[..., 0])[..., None]], axis=-1)
