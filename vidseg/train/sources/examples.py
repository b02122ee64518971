"""Clips of a few masked frames of one video: what is there to adapt a model with, when nothing else is.

One frame makes a pseudo-video as a still does; two or more of the same object also make clips of real frames. No file
is read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

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
_TRIES = 24


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A frame on which an object is known: `image` (H, W, 3) uint8 RGB and `mask` (H, W) bool.

    `object` and `frame` say which examples show the same thing, and in which order; `video` tells frames of several
    videos apart.
    """

    image: np.ndarray
    mask: np.ndarray
    object: int = 1
    frame: int = 0
    video: int = 0

    def reduced(self, short_side: int) -> Example:
        """The same at a short side of at most `short_side` pixels."""
        mask = shrink(self.mask.astype(np.uint8), short_side, labels=True) > 0
        return replace(self, image=shrink(self.image, short_side), mask=mask)


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
        groups: dict[tuple[int, int], list[Still]] = defaultdict(list)
        for one in sorted(examples, key=lambda one: one.frame):
            if id(one.image) not in pictures:
                pictures[id(one.image)] = shrink(one.image, round(1.5 * short_side))
            labels = shrink(one.mask.astype(np.uint8), round(1.5 * short_side), labels=True)
            area_px = int(labels.sum())
            if area_px >= _LEAST_PX:
                still = Still(f"frame {one.frame}", pictures[id(one.image)], labels, {1: area_px})
                groups[one.video, one.object].append(still)
        if not groups:
            raise DataError(
                f"there is nothing to adapt to: no mask has {_LEAST_PX} pixels at the size the model sees; give a mask "
                "of a larger object, or a larger --image-size"
            )
        self.groups: tuple[tuple[Still, ...], ...] = tuple(tuple(group) for group in groups.values())

    def __len__(self) -> int:
        return sum(len(group) for group in self.groups)

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
            if len(group) > 1 and rng.random() < _TOGETHER:
                loaded = [(one.image, one.labels) for one in _some(rng, group, frames)]
                clip = film(rng, loaded, [1], size=size, objects=1)
            else:
                clip = Scene(_Pool(group, self.recipe), rng, frames, size, 1, calm=2 * attempt >= _TRIES).clip()
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


def _some(rng: np.random.Generator, group: Sequence[Still], count: int) -> list[Still]:
    """`count` examples in the order of time, forwards or backwards; some twice where there are not enough."""
    chosen = np.sort(rng.choice(len(group), size=count, replace=len(group) < count))
    if rng.random() < 0.5:
        chosen = chosen[::-1]
    return [group[i] for i in chosen]
