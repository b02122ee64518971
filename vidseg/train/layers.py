"""Pictures on top of pictures: cut-outs with soft edges, moved and blended frame by frame, with exact visible masks.

A label map holds, for every pixel, the topmost layer whose opacity is above one half there. Nothing here chooses how
things move; `warp` makes the paths, the sources choose them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vidseg.train import warp
from vidseg.train.clip import IGNORE


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A cut-out on its way through a clip.

    Attributes:
        rgba: (h, w, 4) uint8, colours valid beyond the edge too, opacity last.
        forward: (T, 2, 3) source pixels to frame pixels.
        label: 0 for a thing that is not an object of the clip, else its label.
        bend: deformation, or None.
        opacity: (T,) 0..1; 0 where the thing is away.
        shadow: 0 (none) to 1 (black); cast to `shadow_shift` (x, y) frame pixels away.
        smear: (T, 2) frame pixels of motion blur, or None.
    """

    rgba: np.ndarray
    forward: np.ndarray
    label: int
    bend: warp.Waves | None = None
    opacity: np.ndarray | None = None
    shadow: float = 0.0
    shadow_shift: tuple[int, int] = (0, 0)
    smear: np.ndarray | None = None


def cut_out(image: np.ndarray, mask: np.ndarray, *, shrink_px: int = 0, feather_px: float = 0.7) -> np.ndarray:
    """(h, w, 4) RGBA of the part of `image` (H, W, 3) under `mask` (H, W) bool, with a soft edge.

    `shrink_px` drops the outermost pixels, which hold background; the colours are bled outwards, so that a blended edge
    shows the object and never its old surroundings.
    """
    ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    pad = 4
    part = (slice(ys[0], ys[-1] + 1), slice(xs[0], xs[-1] + 1))
    solid: np.ndarray = np.pad(mask[part].astype(np.uint8), pad)
    edged = cv2.copyMakeBorder(np.ascontiguousarray(image[part]), pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    if shrink_px:
        smaller = np.asarray(cv2.erode(solid, np.ones((3, 3), np.uint8), iterations=shrink_px))
        if smaller.sum() * 2 > solid.sum():
            solid = smaller
    weight = cv2.blur(solid.astype(np.float32), (7, 7))
    spread = cv2.blur(edged * solid[..., None].astype(np.float32), (7, 7)) / np.maximum(weight, 1e-3)[..., None]
    colour = np.where((solid > 0)[..., None], edged, spread.clip(0, 255)).astype(np.uint8)
    soft = cv2.GaussianBlur(solid * np.uint8(255), (0, 0), feather_px) if feather_px > 0.2 else solid * np.uint8(255)
    soft[[0, -1]] = 0
    soft[:, [0, -1]] = 0
    return np.dstack([colour, soft])


def fill_hole(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """`image` (H, W, 3) with the pixels under `hole` (H, W) bool painted over.

    Tones come from around the hole, coarse to fine; fine texture from half a picture's width away, so that the place
    does not stand out as the only smooth one.
    """
    known = (~hole).astype(np.float32)
    levels: list[tuple[np.ndarray, np.ndarray]] = [(image * known[..., None], known)]
    while min(levels[-1][1].shape) > 2:
        height, width = levels[-1][1].shape
        half = ((width + 1) // 2, (height + 1) // 2)
        colour, weight = (cv2.resize(part, half, interpolation=cv2.INTER_AREA) for part in levels[-1])
        levels.append((colour, weight))
    colour, weight = levels[-1]
    filled: np.ndarray = colour / np.maximum(weight, 1e-3)[..., None]
    for colour, weight in reversed(levels[:-1]):
        larger = cv2.resize(filled, weight.shape[::-1], interpolation=cv2.INTER_LINEAR)
        filled = colour + larger * (1 - weight[..., None])
    texture = image - cv2.blur(filled, (15, 15))
    half_width = known.shape[1] // 2
    filled += np.roll(texture, half_width, axis=1) * (np.roll(known, half_width, axis=1) * (1 - known))[..., None]
    return filled.clip(0, 255).astype(np.uint8)


def move_picture(
    image: np.ndarray,
    labels: np.ndarray | None,
    forward: np.ndarray,
    *,
    size: tuple[int, int],
    bend: warp.Waves | None = None,
    smear: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """(T, H, W, 3) images and (T, H, W) labels of a still `image` (h, w, 3) under the path `forward` (T, 2, 3).

    Past its border the picture is mirrored; there the labels are `IGNORE` if labels are given, else 0.
    """
    frames = len(forward)
    images = np.empty((frames, *size, 3), np.uint8)
    moved = np.zeros((frames, *size), np.uint8)
    inverse = warp.invert(forward)
    for frame in range(frames):
        where = warp.source_map(inverse[frame], frame, size=size, bend=bend)
        seen = warp.remap(image, where, border=cv2.BORDER_REFLECT_101)
        images[frame] = seen if smear is None else smeared(seen, smear[frame])
        if labels is not None:
            moved[frame] = warp.remap(labels, where, smooth=False, value=IGNORE)
    return images, moved


def smeared(image: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """`image` blurred along `shift` (x, y) pixels, at most 9 pixels far."""
    length = float(np.hypot(*shift))
    if length < 1.5:
        return image
    reach = min(length, 9.0) / 2
    radius = int(np.ceil(reach))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.uint8)
    step = np.asarray(shift) / length * reach * 8
    middle = radius * 8
    first, last = (tuple(round(middle + sign * part) for part in step) for sign in (-1, 1))
    cv2.line(kernel, first, last, 255, 1, cv2.LINE_AA, shift=3)
    weights = kernel.astype(np.float32)
    return cv2.filter2D(image, -1, weights / weights.sum(), borderType=cv2.BORDER_REFLECT_101)


def paste(images: np.ndarray, labels: np.ndarray, layers: list[Layer]) -> None:
    """Blend `layers`, lowest first, into `images` (T, H, W, 3), and their labels into `labels` (T, H, W), in place."""
    for layer in layers:
        inverse = warp.invert(layer.forward)
        for frame in range(len(images)):
            _paste_frame(images[frame], labels[frame], layer, inverse[frame], frame)


def _paste_frame(image: np.ndarray, labels: np.ndarray, layer: Layer, inverse: np.ndarray, frame: int) -> None:
    opacity = 1.0 if layer.opacity is None else float(layer.opacity[frame])
    forward = layer.forward[frame]
    margin_px = 8.0
    if layer.bend is not None:
        margin_px += float(np.abs(layer.bend.amplitude).sum()) * float(np.abs(forward[:, :2]).max())
    part = warp.window(forward, layer.rgba.shape[:2], labels.shape, margin_px=margin_px)
    if opacity <= 0 or part is None:
        return
    x1, y1, x2, y2 = part
    where = warp.source_map(inverse, frame, size=(y2 - y1, x2 - x1), origin=(x1, y1), bend=layer.bend)
    seen = warp.remap(layer.rgba, where)
    if layer.smear is not None:
        seen = _smeared_rgba(seen, layer.smear[frame])
    if layer.shadow > 0:
        _cast_shadow(image, seen[..., 3], (x1, y1), layer)
    alpha = seen[..., 3:].astype(np.float32) * (opacity / 255)
    below = image[y1:y2, x1:x2]
    blended = below + (seen[..., :3] - below.astype(np.float32)) * alpha
    image[y1:y2, x1:x2] = (blended + 0.5).astype(np.uint8)
    labels[y1:y2, x1:x2][alpha[..., 0] > 0.5] = layer.label


def _smeared_rgba(seen: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Motion blur of straight RGBA: blurred premultiplied, so that no colour from outside the edge gets in."""
    if np.hypot(*shift) < 1.5:
        return seen
    alpha = seen[..., 3:].astype(np.float32)
    blurred = smeared(np.dstack([seen[..., :3] * (alpha / 255), alpha]), shift)
    colour = blurred[..., :3] * (255 / np.maximum(blurred[..., 3:], 1))
    return np.dstack([colour, blurred[..., 3]]).clip(0, 255).astype(np.uint8)


def _cast_shadow(image: np.ndarray, alpha: np.ndarray, origin: tuple[int, int], layer: Layer) -> None:
    height, width = image.shape[:2]
    x, y = origin[0] + layer.shadow_shift[0], origin[1] + layer.shadow_shift[1]
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + alpha.shape[1], width), min(y + alpha.shape[0], height)
    if x2 <= x1 or y2 <= y1:
        return
    soft = cv2.blur(alpha, (9, 9))[y1 - y : y2 - y, x1 - x : x2 - x]
    below = image[y1:y2, x1:x2]
    below[:] = (below * (1 - layer.shadow / 255 * soft[..., None].astype(np.float32))).astype(np.uint8)
