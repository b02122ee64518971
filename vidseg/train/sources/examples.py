"""Clips of a few masked frames of one video: what is there to adapt a model with, when nothing else is.

One frame makes a pseudo-video as a still does; two or more of the same object also make clips of real frames, which
begin with a mask that somebody stands for. No file is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from vidseg.errors import DataError
from vidseg.train import layers
from vidseg.train.clip import Clip, Skip, pick_objects
from vidseg.train.sources.filming import film
from vidseg.train.sources.pseudo_video import Recipe, Scene
from vidseg.train.sources.still import Still
from vidseg.train.sources.store import shrink

RECIPE = Recipe(whole=0.5, apart=0.5, fast=1.5, extras=0.0, leave=0.0, merge=0.0)
"""The picture moves as a whole, or the object alone in it; nothing else is there to be pasted."""

_LEAST_PX = 16  # of an object on the first frame of a clip
_TOGETHER = 0.5  # share of the clips that are of real frames, where there are two of the object
_BESIDE = 0.25  # the same where nobody stands for the others
_TRIES = 24


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A frame on which an object is known: `image` (H, W, 3) uint8 RGB and `mask` (H, W) bool.

    `object` and `frame` say which examples show the same thing, and in which order; `video` tells frames of several
    videos apart. `told`: a person stands for the mask; others are only ever what comes after one that is.
    """

    image: np.ndarray
    mask: np.ndarray
    object: int = 1
    frame: int = 0
    video: int = 0
    told: bool = True

    def reduced(self, short_side: int) -> Example:
        """The same at a short side of at most `short_side` pixels."""
        mask = shrink(self.mask.astype(np.uint8), short_side, labels=True) > 0
        return replace(self, image=shrink(self.image, short_side), mask=mask)


@dataclass(frozen=True, slots=True)
class _Group:
    """The examples of one object in the order of time, and which of them were told."""

    stills: tuple[Still, ...]
    told: tuple[bool, ...]

    @property
    def vouched(self) -> tuple[Still, ...]:
        """Those that were told."""
        return tuple(compress(self.stills, self.told))

    @property
    def together(self) -> float:
        """The share of clips that are of real frames."""
        told = sum(self.told)
        return _TOGETHER if told > 1 else _BESIDE if len(self.told) > told else 0.0

    def some(self, rng: np.random.Generator, count: int) -> list[Still]:
        """`count` examples for a clip in the order of time, forwards or backwards, but for the first, which was told;
        some twice where there are not enough.
        """
        among = len(self.stills)
        chosen = np.sort(rng.choice(among, size=count, replace=among < count))
        if rng.random() < 0.5:
            chosen = chosen[::-1].copy()
        if not self.told[chosen[0]]:
            chosen[0] = rng.choice(np.flatnonzero(self.told))
        return [self.stills[i] for i in chosen]


class Examples:
    """A source (see `vidseg.train.clip.Source`) of clips with one object, all objects equally often.

    Args:
        examples: of any number of objects; those with less than `_LEAST_PX` pixels are left out.
        short_side: pixels of the clips' short side, of which the pictures are kept one and a half times as large.
        recipe: what pseudo-videos are like.

    Raises:
        DataError: no example shows an object.
    """

    name = "examples"

    def __init__(self, examples: Iterable[Example], *, short_side: int, recipe: Recipe = RECIPE) -> None:
        self.recipe = recipe
        pictures: dict[int, np.ndarray] = {}
        groups: dict[tuple[int, int], list[tuple[Still, bool]]] = defaultdict(list)
        for one in sorted(examples, key=lambda one: one.frame):
            if id(one.image) not in pictures:
                pictures[id(one.image)] = shrink(one.image, round(1.5 * short_side))
            labels = shrink(one.mask.astype(np.uint8), round(1.5 * short_side), labels=True)
            area_px = int(labels.sum())
            if area_px >= _LEAST_PX:
                still = Still(f"frame {one.frame}", pictures[id(one.image)], labels, {1: area_px})
                groups[one.video, one.object].append((still, one.told))
        self.groups = tuple(
            _Group(*zip(*group, strict=True)) for group in groups.values() if any(told for _, told in group)
        )
        if not self.groups:
            raise DataError(
                f"there is nothing to adapt to: no mask has {_LEAST_PX} pixels at the size the model sees; give a mask "
                "of a larger object, or a larger --image-size"
            )

    def __len__(self) -> int:
        return sum(len(group.stills) for group in self.groups)

    def report(self) -> tuple[Skip, ...]:
        """Nothing: no file is read."""
        return ()

    def note(self, skips: Iterable[Skip]) -> None:
        """Do nothing: no other process is at work."""

    def clip(self, rng: np.random.Generator, *, frames: int, size: tuple[int, int], objects: int) -> Clip:
        """A pseudo-video of one example, or a clip of real frames that show its object.

        Raises:
            DataError: the object is too small to be seen at `size`.
        """
        for attempt in range(_TRIES):
            group = self.groups[int(rng.integers(len(self.groups)))]
            if rng.random() < group.together:
                loaded = [(one.image, one.labels) for one in group.some(rng, frames)]
                clip = film(rng, loaded, [1], size=size, objects=1)
            else:
                clip = Scene(_Pool(group.vouched, self.recipe), rng, frames, size, 1, calm=2 * attempt >= _TRIES).clip()
            found = pick_objects(clip, min_px=_LEAST_PX, limit=objects)
            if found is not None:
                return found
        raise DataError(
            f"the object is too small to be learned at {size[1]}x{size[0]} pixels; a larger --image-size may do"
        )


@dataclass(frozen=True, slots=True)
class _Pool:
    """The examples of one object, as a scene asks for them."""

    stills: tuple[Still, ...]
    recipe: Recipe
    name: str = "examples"

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Still:
        """A random one."""
        return self.stills[int(rng.integers(len(self.stills)))]

    def cut(self, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        """RGBA cut-out of a random one."""
        still = self.draw(rng, size)
        return layers.cut_out(still.image, still.labels > 0, feather_px=rng.uniform(0.4, 1.1))
