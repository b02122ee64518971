"""Frames with masks filmed as a clip: one camera, one look, perhaps something that passes by."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from vidseg.train import augment, layers, warp
from vidseg.train.clip import IGNORE, Clip, min_area_px

Loaded = tuple[np.ndarray, np.ndarray | None]
"""A frame (H, W, 3) uint8 RGB and its labels (H, W) uint8, None where it is not annotated."""


def film(
    rng: np.random.Generator,
    loaded: Sequence[Loaded],
    ids: Sequence[int],
    *,
    size: tuple[int, int],
    objects: int,
    passing: Callable[[], list[layers.Layer]] = list,
    source: str = "",
) -> Clip:
    """A clip of `size` (H, W) of real frames, the first of them annotated.

    Args:
        rng: draws crop, flip, drift and look.
        loaded: the frames in the order of the clip, all of one size.
        ids: the labels that are objects; the camera goes by the first.
        objects: at most so many of `ids` take part, those that the first frame shows well before others.
        passing: makes things that pass over the frames.
        source: as in `Clip`.
    """
    forward = _camera(rng, [mask for _, mask in loaded if mask is not None], ids[0], len(loaded), size)
    images = np.empty((len(loaded), *size, 3), np.uint8)
    labels = np.zeros((len(loaded), *size), np.uint8)
    annotated = np.array([mask is not None for _, mask in loaded])
    for t, (image, mask) in enumerate(loaded):
        images[t] = cv2.warpAffine(image, forward[t], size[::-1], borderMode=cv2.BORDER_REFLECT_101)
        if mask is not None:
            labels[t] = cv2.warpAffine(mask, forward[t], size[::-1], flags=cv2.INTER_NEAREST, borderValue=IGNORE)
    chosen = _visible(ids, labels[0], min_area_px(size))[:objects]
    layers.paste(images, labels, passing())
    images = augment.apply(images, augment.random_look(rng, len(loaded)), rng)
    masks = labels[:, None] == np.array(chosen, np.uint8)[None, :, None, None]
    masks &= annotated[:, None, None, None]
    valid = np.repeat(annotated[:, None], len(chosen), axis=1)
    return Clip(images, masks, valid, labels == IGNORE, source)


def _camera(
    rng: np.random.Generator, labels: list[np.ndarray], target: int, frames: int, size: tuple[int, int]
) -> np.ndarray:
    """(T, 2, 3) source to frame pixels: the whole picture, or a crop about the target, now and then drifting.

    The crop is laid about the target on the first of `labels` or, as often, about all its places in the clip.
    """
    height, width = labels[0].shape
    aspect = size[1] / size[0]
    most = min(width, height * aspect)
    places = labels[0] == target
    if rng.random() < 0.5:
        places = np.logical_or.reduce([frame == target for frame in labels])
    ys, xs = np.nonzero(places)
    extent = max(np.ptp(xs) + 1, (np.ptp(ys) + 1) * aspect)
    if rng.random() < 0.4:
        window_px = most * rng.uniform(0.85, 1.0)
    else:
        window_px = float(np.clip(extent * np.exp(rng.uniform(0.2, 1.6)), min(most, 0.5 * size[1]), most))
    middle = np.array([xs.min() + xs.max(), ys.min() + ys.max()]) / 2
    middle = middle + rng.uniform(-0.35, 0.35, 2) * [window_px, window_px / aspect]
    drifting = rng.random() < 0.3
    scale = size[1] / window_px * np.exp(np.tanh(warp.wander(rng, frames, 1, speed=0.02 * drifting)[:, 0]) * 0.3)
    middle = middle + warp.wander(rng, frames, 2, speed=0.02 * drifting) * window_px
    half = np.array(size[::-1]) / scale[:, None] / 2
    middle = np.clip(middle, half, np.maximum(np.array([width, height]) - half, half))
    steady = np.zeros(frames)
    # Positions count from pixel centres: the middle of a picture W wide is (W - 1) / 2.
    return _about(middle, scale, size, flip=bool(rng.random() < 0.5), stretch=steady + rng.normal(0, 0.05))


def _about(
    middle: np.ndarray, scale: np.ndarray, size: tuple[int, int], *, flip: bool, stretch: np.ndarray
) -> np.ndarray:
    """(T, 2, 3) matrices that put the source points `middle` (T, 2) in the middle of the frame."""
    zero = np.zeros(len(scale))
    forward = warp.affine(
        np.zeros((len(scale), 2)), np.zeros(2), scale=scale, angle=zero, stretch=stretch, shear=zero, flip=flip
    )
    centre = (np.array(size[::-1]) - 1) / 2
    forward[:, :, 2] = centre - np.einsum("tij,tj->ti", forward[:, :, :2], middle - 0.5)
    return forward


def _visible(ids: Sequence[int], labels: np.ndarray, min_px: int) -> list[int]:
    """The `ids` with at least `min_px` pixels first, then the rest."""
    return sorted(ids, key=lambda i: bool((labels == i).sum() < min_px))
