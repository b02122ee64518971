"""Procedural scenes: textured shapes that bend, turn and pass over one another; tests and demos need no files."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from vidseg.train import augment, layers, warp
from vidseg.train.clip import Clip, Skip, from_labels, min_area_px, pick_objects

KINDS = ("noise", "stripes", "blobs", "gradient", "checks")
_SIDE = 96


class Scenes:
    """A source of scenes drawn from nothing but the generator.

    Args:
        name: for sheets and reports.
        speed: bounds of the speed (log-uniform); 1 is 6 % of the frame's short side a frame.
        others: at most so many shapes that are not objects of the clip.
    """

    def __init__(self, *, name: str = "scenes", speed: tuple[float, float] = (0.1, 1.5), others: int = 2) -> None:
        self.name = name
        self.speed = speed
        self.others = others

    def __len__(self) -> int:
        return len(KINDS)

    def report(self) -> tuple[Skip, ...]:
        """Nothing is ever left out."""
        return ()

    def note(self, skips: Iterable[Skip]) -> None:
        """Nothing to remember."""

    def clip(self, rng: np.random.Generator, *, frames: int, size: tuple[int, int], objects: int) -> Clip:
        """1 to `objects` moving shapes over a moving background; drawn again until one is visible on frame 0."""
        while True:
            clip = self._draw(rng, frames, size, objects)
            found = pick_objects(clip, min_px=min_area_px(size), limit=objects)
            if found is not None:
                return found

    def _draw(self, rng: np.random.Generator, frames: int, size: tuple[int, int], objects: int) -> Clip:
        speed = float(np.exp(rng.uniform(*np.log(self.speed))))
        count = int(rng.integers(1, objects + 1))
        kind = str(rng.choice(KINDS))
        ground = texture(rng, (2 * _SIDE, 2 * _SIDE), kind)
        scale = 1.5 * max(size) / (2 * _SIDE)
        forward = _path(rng, frames, size, speed=0.4 * speed, scale=scale, anchor=_SIDE, middle=True)
        images, labels = layers.move_picture(ground, None, forward, size=size)
        shapes = []
        for number in range(count + int(rng.integers(0, self.others + 1))):
            rgba = shape(rng)
            scale = min(size) * rng.uniform(0.25, 0.7) / _SIDE
            shapes.append(
                layers.Layer(
                    rgba=rgba,
                    forward=_path(rng, frames, size, speed=speed, scale=scale, anchor=_SIDE / 2),
                    label=number + 1 if number < count else 0,
                    bend=warp.waves(rng, frames, _SIDE, strength=rng.uniform(0, 0.5), speed=0.3 * speed),
                    shadow=rng.uniform(0, 0.5) if rng.random() < 0.3 else 0.0,
                    shadow_shift=(3, 3),
                )
            )
        rng.shuffle(shapes)
        layers.paste(images, labels, shapes)
        images = augment.apply(images, augment.random_look(rng, frames, strength=0.6), rng)
        return from_labels(images, labels, range(1, count + 1), source=f"{self.name} {kind}")


def _path(
    rng: np.random.Generator,
    frames: int,
    size: tuple[int, int],
    *,
    speed: float,
    scale: float,
    anchor: float,
    middle: bool = False,
) -> np.ndarray:
    """(T, 2, 3) path of a square thing whose centre is (`anchor`, `anchor`)."""
    start = np.full(2, 0.5) if middle else rng.uniform(0.15, 0.85, 2)
    return warp.affine(
        start * size[::-1] + warp.wander(rng, frames, 2, speed=0.06 * speed * min(size)),
        np.full(2, anchor),
        scale=scale * np.exp(0.5 * np.tanh(warp.wander(rng, frames, 1, speed=0.06 * speed)[:, 0])),
        angle=rng.uniform(0, 2 * np.pi) + warp.wander(rng, frames, 1, speed=0.08 * speed)[:, 0],
        stretch=rng.normal(0, 0.2) + warp.wander(rng, frames, 1, speed=0.04 * speed)[:, 0],
        shear=rng.normal(0, 0.1) + warp.wander(rng, frames, 1, speed=0.03 * speed)[:, 0],
    )


def shape(rng: np.random.Generator) -> np.ndarray:
    """(96, 96, 4) uint8 RGBA: a textured round, lobed or cornered shape, now and then with a hole."""
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    if rng.random() < 0.3:
        corners = int(rng.integers(3, 7))
        turn = np.sort(rng.uniform(0, 2 * np.pi, corners)) if corners > 3 else np.arange(3) * 2 * np.pi / 3
        radius = rng.uniform(0.6, 1.0, corners)
    else:
        turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        waves = np.arange(2, 7)
        swing = rng.normal(0, 0.5, 5) / waves
        radius = 1 + (swing[:, None] * np.sin(waves[:, None] * turn + rng.uniform(0, 2 * np.pi, (5, 1)))).sum(axis=0)
    radius = np.maximum(radius, 0.25)
    radius *= (_SIDE / 2 - 6) / radius.max()
    outline = _SIDE / 2 + radius[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    cv2.fillPoly(mask, [np.round(outline * 8).astype(np.int32)], 1, lineType=cv2.LINE_8, shift=3)
    if rng.random() < 0.15:
        cv2.circle(mask, (_SIDE // 2, _SIDE // 2), int(0.4 * radius.min()), 0, cv2.FILLED)
    if mask.sum() < 200:
        cv2.circle(mask, (_SIDE // 2, _SIDE // 2), _SIDE // 3, 1, cv2.FILLED)
    return layers.cut_out(texture(rng, mask.shape, str(rng.choice(KINDS))), mask > 0, feather_px=0.6)


def texture(rng: np.random.Generator, size: tuple[int, int], kind: str) -> np.ndarray:
    """(H, W, 3) uint8 surface of one of `KINDS` in two random colours, with a little grain."""
    height, width = size
    y, x = np.mgrid[0:height, 0:width] / max(size)
    turn = rng.uniform(0, np.pi)
    along = x * np.cos(turn) + y * np.sin(turn)
    if kind == "stripes":
        share = 0.5 + 0.5 * np.sin(along * rng.uniform(15, 80) + 2 * np.sin(y * rng.uniform(0, 6)))
    elif kind == "gradient":
        share = along
    elif kind == "checks":
        across, cells = -x * np.sin(turn) + y * np.cos(turn), rng.uniform(5, 14)
        share = ((np.floor(along * cells) + np.floor(across * cells)) % 2).astype(float)
    else:
        cells = int(rng.integers(4, 10)) if kind == "blobs" else int(rng.integers(12, 40))
        field = cv2.resize(rng.random((cells, cells)), (width, height), interpolation=cv2.INTER_CUBIC)
        share = (field > 0.5).astype(float) if kind == "blobs" else field
    share = (share - share.min()) / max(float(np.ptp(share)), 1e-6)
    dark, light = rng.uniform(0, 255, (2, 3))
    coloured = dark + share[..., None] * (light - dark)
    grain = rng.normal(0, rng.uniform(0, 12), (height, width, 1))
    return (coloured + grain).clip(0, 255).astype(np.uint8)
