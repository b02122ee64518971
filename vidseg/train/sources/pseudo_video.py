"""Pseudo-videos from stills with instance masks: the picture moves and bends, cut-outs travel over it in depth order.

Three kinds of clip, mixed by `Recipe`: "whole" moves a picture as one, its labelled objects being the targets (their
edges and surroundings are real); "apart" cuts the objects out of their own picture, paints the hole over and moves them
on paths of their own; "paste" sends cut-outs over another picture. In all of them further cut-outs pass by as
occluders, strangers or look-alikes of the targets.

Source: the idea of pre-training on such clips is from STM (arXiv 1904.00607), section 4.1; depth order, look-alikes and
disappearance are added here.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Protocol

import cv2
import numpy as np

from vidseg.errors import ConfigError
from vidseg.train import augment, layers, warp
from vidseg.train.clip import IGNORE, Clip, from_labels
from vidseg.train.sources.still import Still, at_border, neighbour


@dataclass(frozen=True, slots=True)
class Recipe:
    """How often what happens, as probabilities, and how fast things go.

    `whole` is a share of the clips, `apart` one of what it leaves room for, and the rest is "paste". `slow` and `fast`
    bound the speed (log-uniform): 1 is 6 % of the frame's short side a frame. `extras` is the share of clips with 1-3
    things that are not targets, `twin` the share of those that copy a target. `leave` is the chance of a target to go
    out of the frame or vanish, `merge` that of two touching objects to count as one (a rider and the horse). `live` is
    the share of cut-outs that are taken from a video, frame by frame, and so move in themselves (`clips_on_gpu` only).
    """

    whole: float = 0.4
    apart: float = 0.25
    slow: float = 0.12
    fast: float = 2.0
    bend: float = 0.6
    extras: float = 0.6
    twin: float = 0.35
    leave: float = 0.2
    merge: float = 0.12
    shadow: float = 0.3
    smear: float = 0.3
    live: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name not in ("slow", "fast") and not 0 <= value <= 1:
                raise ConfigError(f"recipe: {field.name} is {value}; expected a share from 0 to 1")
        if not 0 < self.slow <= self.fast:
            raise ConfigError(f"recipe: slow is {self.slow} and fast {self.fast}; expected 0 < slow <= fast")

    @property
    def kinds(self) -> tuple[float, float, float]:
        """Shares of whole, apart and paste."""
        apart = min(self.apart, 1 - self.whole)
        return self.whole, apart, max(0.0, 1 - self.whole - apart)


class Pool(Protocol):
    """Where a scene gets its pictures and cut-outs from."""

    @property
    def name(self) -> str:
        """For sheets and reports."""

    @property
    def recipe(self) -> Recipe:
        """What the clips are like."""

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Still:
        """A random still."""

    def cut(self, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        """A random cut-out, RGBA."""


class Scene:
    """The making of one pseudo-video: draws all its random choices from one generator, in one order."""

    def __init__(
        self,
        stills: Pool,
        rng: np.random.Generator,
        frames: int,
        size: tuple[int, int],
        objects: int,
        *,
        calm: bool,
    ) -> None:
        self.stills, self.rng, self.frames, self.size, self.objects = stills, rng, frames, size, objects
        self.recipe = stills.recipe
        self.speed = float(np.exp(rng.uniform(np.log(self.recipe.slow), np.log(self.recipe.fast))))
        if calm:
            self.speed = self.recipe.slow
        self.calm = calm
        self.short_px = min(size)
        self.shutter = rng.uniform(0.2, 0.6) if rng.random() < self.recipe.smear else 0.0

    def clip(self) -> Clip:
        """Draw the scene and film it."""
        rng, recipe = self.rng, self.recipe
        kind = str(rng.choice(["whole", "apart", "paste"], p=recipe.kinds))
        if self.calm:
            kind = "whole"
        base = self.stills.draw(rng, self.size)
        base, first = self._merged(base)
        chosen = self._choose(base, first)
        if kind == "apart":
            # What the border of the picture cuts off would show its straight edge once it moves.
            inner = [label for label in chosen if not at_border(base.labels == label)]
            chosen, kind = (inner, kind) if inner else (chosen, "whole")
        image, table = base.image, np.zeros(256, np.uint8)
        table[IGNORE] = IGNORE
        targets: list[layers.Layer] = []
        if kind == "whole":
            for position, label in enumerate(chosen):
                table[label] = position + 1
            centre, window_px = self._view(base, chosen)
        elif kind == "apart":
            image = self._without(base, chosen)
            centre, window_px = self._view(base, chosen)
        else:
            centre, window_px = self._view(base, [])
        forward = self._camera(base, centre, window_px)
        if kind == "apart":
            targets = [self._detached(base, label, forward, n + 1) for n, label in enumerate(chosen)]
        elif kind == "paste":
            count = int(rng.integers(1, self.objects + 1))
            targets = [self._flying(self.stills.cut(rng, self.size), n + 1) for n in range(count)]
        images, labels = layers.move_picture(
            image,
            table[base.labels] if kind == "whole" else None,
            forward,
            size=self.size,
            bend=self._bend(max(image.shape[:2]), 0.2 if kind == "whole" else 0.06),
            smear=self._smear(forward, np.array([image.shape[1] / 2, image.shape[0] / 2])),
        )
        order = [*targets, *self._extras(base, chosen, targets, forward)]
        rng.shuffle(order)
        layers.paste(images, labels, order)
        images = augment.apply(images, augment.random_look(rng, self.frames), rng)
        count = len(chosen) if kind != "paste" else len(targets)
        return from_labels(images, labels, range(1, count + 1), source=f"{self.stills.name}/{kind} {base.name}")

    def stranger(self) -> layers.Layer:
        """A cut-out that is no target."""
        return self._flying(self.stills.cut(self.rng, self.size), 0)

    def _merged(self, base: Still) -> tuple[Still, int | None]:
        """`base`, now and then with two touching objects under one label, which is returned too."""
        if len(base.areas_px) < 2 or self.rng.random() >= self.recipe.merge:
            return base, None
        label = int(self.rng.choice(sorted(base.areas_px)))
        other = neighbour(base.labels, label)
        if other is None:
            return base, None
        labels = np.where(base.labels == other, np.uint8(label), base.labels)
        areas_px = {i: a for i, a in base.areas_px.items() if i != other}
        areas_px[label] = int((labels == label).sum())
        return Still(base.name, base.image, labels, areas_px), label

    def _choose(self, base: Still, first: int | None) -> list[int]:
        """Up to `objects` labels of `base`: `first`, then larger ones a little likelier to come early."""
        labels = sorted(base.areas_px)
        weights = np.sqrt([base.areas_px[label] for label in labels])
        count = min(len(labels), int(self.rng.integers(1, self.objects + 1)))
        drawn = [int(x) for x in self.rng.choice(labels, count, replace=False, p=weights / weights.sum())]
        return drawn if first is None else [first, *(label for label in drawn if label != first)][:count]

    def _view(self, base: Still, chosen: list[int]) -> tuple[np.ndarray, float]:
        """Centre (x, y) and width in source pixels of what the camera sees on frame 0."""
        rng = self.rng
        height, width = base.labels.shape
        aspect = self.size[1] / self.size[0]
        most = min(width, height * aspect)
        if not chosen:
            window_px = most * rng.uniform(0.5, 0.95)
            middle = np.array([rng.uniform(0, width), rng.uniform(0, height)])
        else:
            ys, xs = np.nonzero(base.labels == chosen[0])
            extent = max(np.ptp(xs) + 1, (np.ptp(ys) + 1) * aspect)
            window_px = most * rng.uniform(0.7, 1.0) if rng.random() < 0.4 else extent * np.exp(rng.uniform(0.0, 1.9))
            if extent > most and rng.random() < 0.4:
                # A tall thing is shown whole, with made-up surroundings at both sides of its narrow picture.
                most = min(2 * most, extent * rng.uniform(0.95, 1.15))
                window_px = most
            window_px = float(np.clip(window_px, min(most, self.size[1] * 0.6), most))
            middle = np.array([xs.min() + xs.max(), ys.min() + ys.max()]) / 2
            middle = middle + rng.uniform(-0.25, 0.25, 2) * [window_px, window_px / aspect]
        half = np.array([window_px, window_px / aspect]) / 2
        other = np.array([width, height]) - half
        return np.clip(middle, np.minimum(half, other), np.maximum(half, other)), window_px

    def _camera(self, base: Still, centre: np.ndarray, window_px: float) -> np.ndarray:
        """(T, 2, 3) path of the whole picture; the view stays mostly inside it by swinging about its first place."""
        rng, frames = self.rng, self.frames
        speed = self.speed * rng.choice([0.5, 1.5])
        scale0 = self.size[1] / window_px
        shift = warp.wander(rng, frames, 2, speed=0.05 * speed * self.short_px)
        # What lies beyond the picture is made up: the drift is held within the spare room and a fifth of the frame.
        room = np.minimum(centre, np.array(base.labels.shape[::-1]) - centre) * scale0
        spare = np.maximum(room - np.array(self.size[::-1]) / 2, 0) + 0.2 * self.short_px
        shift = spare * np.tanh(shift / spare)
        zoom = np.exp(rng.uniform(0, 0.1) + 0.5 * np.tanh(2 * warp.wander(rng, frames, 1, speed=0.06 * speed)[:, 0]))
        height, width = base.labels.shape
        zoom = np.maximum(zoom, min(1.0, window_px / min(width, height * self.size[1] / self.size[0])))
        return warp.affine(
            np.array(self.size[::-1]) / 2 + shift,
            centre,
            scale=scale0 * zoom,
            angle=rng.normal(0, 0.08) + warp.wander(rng, frames, 1, speed=0.03 * speed)[:, 0],
            stretch=rng.normal(0, 0.1) + warp.wander(rng, frames, 1, speed=0.02 * speed)[:, 0],
            shear=rng.normal(0, 0.04) + warp.wander(rng, frames, 1, speed=0.01 * speed)[:, 0],
            flip=bool(rng.random() < 0.5),
        )

    def _path(
        self, start: np.ndarray, anchor: np.ndarray, scale: float, *, angle: float = 0.0, flip: bool = False
    ) -> np.ndarray:
        """(T, 2, 3) path of a thing of its own that is at `start` on frame 0."""
        rng, frames, speed = self.rng, self.frames, self.speed
        return warp.affine(
            start + warp.wander(rng, frames, 2, speed=0.06 * speed * self.short_px),
            anchor,
            scale=scale * np.exp(0.6 * np.tanh(warp.wander(rng, frames, 1, speed=0.08 * speed)[:, 0] / 0.6)),
            angle=angle + warp.wander(rng, frames, 1, speed=0.06 * speed)[:, 0],
            stretch=rng.normal(0, 0.08) + warp.wander(rng, frames, 1, speed=0.04 * speed)[:, 0],
            shear=rng.normal(0, 0.04) + warp.wander(rng, frames, 1, speed=0.03 * speed)[:, 0],
            flip=flip,
        )

    def _bend(self, extent_px: float, strength: float) -> warp.Waves | None:
        if self.rng.random() >= self.recipe.bend:
            return None
        strength = strength * self.rng.uniform(0.3, 1.0)
        return warp.waves(self.rng, self.frames, extent_px, strength=strength, speed=0.35 * min(self.speed, 1.5))

    def _smear(self, forward: np.ndarray, anchor: np.ndarray) -> np.ndarray | None:
        """(T, 2) blur of the shutter while the point `anchor` (source pixels) moves along `forward`."""
        if self.shutter == 0 or self.frames < 2:
            return None
        place = forward[:, :, :2] @ anchor + forward[:, :, 2]
        return np.gradient(place, axis=0) * self.shutter

    def _layer(
        self, rgba: np.ndarray, forward: np.ndarray, label: int, *, bend: float, present: np.ndarray | None
    ) -> layers.Layer:
        rng = self.rng
        shaded = rng.random() < self.recipe.shadow
        depth, shift = rng.uniform(0.15, 0.6), rng.normal(0, 0.04 * self.short_px, 2)
        return layers.Layer(
            rgba=rgba,
            forward=forward,
            label=label,
            bend=self._bend(max(rgba.shape[:2]), bend),
            opacity=present,
            shadow=depth if shaded else 0.0,
            shadow_shift=(int(shift[0]), int(abs(shift[1]))),
            smear=self._smear(forward, np.array([rgba.shape[1] / 2, rgba.shape[0] / 2])),
        )

    def _leaving(self, forward: np.ndarray) -> np.ndarray | None:
        """Let a thing vanish for some frames (returned opacity) or walk out and perhaps back (`forward` is changed)."""
        rng, frames = self.rng, self.frames
        if rng.random() >= self.recipe.leave or frames < 3:
            return None
        first = int(rng.integers(1, frames - 1))
        last = int(rng.integers(first + 1, frames + 1))
        if rng.random() < 0.4:
            present = np.ones(frames)
            present[first:last] = 0
            return present
        time = np.arange(frames)
        away = np.clip((time - first + 2) / 2, 0, 1) * np.clip((last + 1 - time) / 2, 0, 1)
        direction = rng.uniform(0, 2 * np.pi)
        reach = 1.3 * np.array(self.size[::-1])
        forward[:, :, 2] += away[:, None] * reach * [np.cos(direction), np.sin(direction)]
        return None

    def _without(self, base: Still, chosen: list[int]) -> np.ndarray:
        """The picture with the chosen objects painted over."""
        hole = np.isin(base.labels, chosen).astype(np.uint8)
        return layers.fill_hole(base.image, cv2.dilate(hole, np.ones((5, 5), np.uint8)) > 0)

    def _detached(self, base: Still, label: int, camera: np.ndarray, number: int) -> layers.Layer:
        """An object of `base` that starts where it stands in its own picture and then goes its own way."""
        mask = base.labels == label
        rgba = layers.cut_out(base.image, mask, feather_px=self.rng.uniform(0.4, 0.9))
        ys, xs = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        corner = np.array([xs[0] - 4, ys[0] - 4])
        forward = camera.copy()
        forward[:, :, 2] += camera[:, :, :2] @ corner
        anchor = np.array([rgba.shape[1], rgba.shape[0]]) / 2
        own = self._path(np.zeros(2), np.zeros(2), 1.0)
        place = forward[:, :, :2] @ anchor + forward[:, :, 2]
        turn = own[:, :, :2] @ np.linalg.inv(own[0, :, :2])
        linear = turn @ forward[:, :, :2]
        forward = np.concatenate([linear, (place + own[:, :, 2] - linear @ anchor)[:, :, None]], axis=2)
        present = self._leaving(forward)
        return self._layer(rgba, forward, number, bend=0.2, present=present)

    def _flying(self, rgba: np.ndarray, label: int) -> layers.Layer:
        """A cut-out from elsewhere on a random path, 2 to 30 % of the frame large."""
        rng = self.rng
        area_px = max(1.0, float((rgba[..., 3] > 127).sum()))
        share = np.exp(rng.uniform(np.log(0.015), np.log(0.3)))
        scale = min(2.0, np.sqrt(share * self.size[0] * self.size[1] / area_px))
        if scale < 0.7:
            rgba = cv2.resize(rgba, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            scale = 1.0
        start = rng.uniform(0.15, 0.85, 2) * self.size[::-1]
        anchor = np.array([rgba.shape[1], rgba.shape[0]]) / 2
        forward = self._path(start, anchor, scale, angle=rng.normal(0, 0.2), flip=bool(rng.random() < 0.5))
        present = self._leaving(forward)
        return self._layer(rgba, forward, label, bend=0.3, present=present)

    def _extras(
        self, base: Still, chosen: list[int], targets: list[layers.Layer], camera: np.ndarray
    ) -> list[layers.Layer]:
        """Things that are not targets: strangers, and look-alikes of a target, some of them recoloured."""
        rng = self.rng
        if self.calm or rng.random() >= self.recipe.extras:
            return []
        extras = []
        for _ in range(int(rng.integers(1, 4))):
            if rng.random() >= self.recipe.twin:
                extras.append(self.stranger())
                continue
            if targets:
                rgba, scale = self._copy_of(targets[int(rng.integers(len(targets)))])
            else:
                rgba = layers.cut_out(base.image, base.labels == chosen[int(rng.integers(len(chosen)))])
                scale = float(np.sqrt(abs(np.linalg.det(camera[0, :, :2]))))
            if rng.random() < 0.35:
                rgba = rgba.copy()
                rgba[..., :3] = _recoloured(rgba[..., :3], rng)
            anchor = np.array([rgba.shape[1], rgba.shape[0]]) / 2
            start = rng.uniform(0.0, 1.0, 2) * self.size[::-1]
            forward = self._path(start, anchor, scale * np.exp(rng.normal(0, 0.2)), flip=bool(rng.random() < 0.5))
            extras.append(self._layer(rgba, forward, 0, bend=0.3, present=None))
        return extras

    @staticmethod
    def _copy_of(target: layers.Layer) -> tuple[np.ndarray, float]:
        return target.rgba, float(np.sqrt(abs(np.linalg.det(target.forward[0, :, :2]))))


def _recoloured(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same thing in another colour: hue turned, saturation and brightness changed."""
    colour = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV).astype(np.int16)
    colour[..., 0] = (colour[..., 0] + int(rng.integers(20, 160))) % 180
    colour[..., 1:] = (colour[..., 1:] * rng.uniform(0.6, 1.4, 2)).clip(0, 255)
    return cv2.cvtColor(colour.astype(np.uint8), cv2.COLOR_HSV2RGB)
