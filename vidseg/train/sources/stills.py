"""A source of pseudo-videos: folders of stills with instance masks, read and kept; `pseudo_video` films them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from vidseg.errors import DataError
from vidseg.train import layers
from vidseg.train.clip import IGNORE, Clip, Skip, SkipList, min_area_px, pick_objects, summary
from vidseg.train.sources.pseudo_video import Recipe, Scene
from vidseg.train.sources.still import Still, at_border
from vidseg.train.sources.store import IMAGE_SUFFIXES, Cache, Store, decode_image, decode_index, shrink

_TRIES = 12


class Stills:
    """A source over folders (or packs) of pictures, each beside an index PNG of the same name; 255 = ignore.

    Args:
        roots: folders or packs, searched to any depth.
        name: for sheets and reports.
        recipe: what the clips are like; a mapping changes some of the defaults.
        cache_mb: memory for decoded pictures, in each process.
        work_scale: pictures are kept at this many times the short side of the clips.

    Raises:
        DataError: no picture with a mask is found.
    """

    def __init__(
        self,
        roots: str | Path | Sequence[str | Path],
        *,
        name: str = "stills",
        recipe: Recipe | Mapping[str, float] | None = None,
        cache_mb: float = 512,
        work_scale: float = 1.5,
    ) -> None:
        self.name = name
        self.recipe = recipe if isinstance(recipe, Recipe) else Recipe(**(recipe or {}))
        self.work_scale = work_scale
        self.store = Store(roots)
        self._skips = SkipList()
        self._cache = Cache(cache_mb)
        for path in self.store.empty:
            self._skips.add(Skip(path, "an empty folder"))
        self.items = tuple(pairs(self.store, self._skips))
        if not self.items:
            told = summary(self.report()) or "expected pairs such as a.jpg and a.png"
            raise DataError(f"no picture with an index PNG of the same name below {_roots(self.store)}; {told}")

    def __len__(self) -> int:
        return len(self.items)

    def report(self) -> tuple[Skip, ...]:
        """What was left out so far: files without a partner at once, broken ones when they are met."""
        return self._skips.all()

    def note(self, skips: Iterable[Skip]) -> None:
        """Add what another process left out."""
        for skip in skips:
            self._skips.add(skip)

    def draw(self, rng: np.random.Generator, size: tuple[int, int]) -> Still:
        """A random usable still for clips of `size` (H, W).

        Raises:
            DataError: a hundred in a row could not be used.
        """
        for _ in range(100):
            image_name, mask_name = self.items[rng.integers(len(self.items))]
            if self.store.path(image_name) in self._skips:
                continue
            short_side = round(self.work_scale * min(size))
            try:
                return self._cache.get((image_name, short_side), partial(self._load, image_name, mask_name, short_side))
            except ValueError as problem:
                self._skips.add(Skip(self.store.path(image_name), str(problem)))
        raise DataError(f"{self.name}: found no usable still below {_roots(self.store)}; {summary(self.report())}")

    def _load(self, image_name: str, mask_name: str, short_side: int) -> tuple[Still, int]:
        image = decode_image(self.store.read(image_name))
        labels = decode_index(self.store.read(mask_name))
        if image.shape[:2] != labels.shape:
            raise ValueError(f"image is {_size(image)} and mask {_size(labels)}, expected equal sizes")
        image, labels = shrink(image, short_side), shrink(labels, short_side, labels=True)
        ids, areas = np.unique(labels, return_counts=True)
        areas_px = {int(i): int(a) for i, a in zip(ids, areas, strict=True) if i not in (0, IGNORE) and a >= 24}
        if not areas_px:
            raise ValueError("the mask holds no object of 24 pixels or more")
        return Still(image_name, image, labels, areas_px), image.nbytes + labels.nbytes

    def picture(self, index: int, short_side: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Image (h, w, 3) and labels (h, w) of item `index`, reduced to `short_side`; None, and a skip, if bad."""
        names = self.items[index]
        try:
            still = self._load(*names, short_side)[0]
        except ValueError as problem:
            self._skips.add(Skip(self.store.path(names[0]), str(problem)))
            return None
        return still.image, still.labels

    def check(self) -> tuple[Skip, ...]:
        """Read every file once and return the whole report; takes minutes for many thousands."""
        for index in range(len(self.items)):
            self.picture(index, 128)
        return self.report()

    def cut(self, rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
        """RGBA cut-out of a random object, whole objects preferred to those that the border cuts."""
        for attempt in range(_TRIES):
            still = self.draw(rng, size)
            label = int(rng.choice(sorted(still.areas_px)))
            mask = still.labels == label
            if not at_border(mask) or attempt >= 4:
                break
        return layers.cut_out(still.image, mask, shrink_px=int(rng.integers(0, 2)), feather_px=rng.uniform(0.4, 1.1))

    def clip(self, rng: np.random.Generator, *, frames: int, size: tuple[int, int], objects: int) -> Clip:
        """A pseudo-video; see the module. The last tries are calm and without extras, so that one succeeds."""
        for attempt in range(_TRIES):
            scene = Scene(self, rng, frames, size, objects, calm=attempt >= 6)
            found = pick_objects(scene.clip(), min_px=min_area_px(size), limit=objects)
            if found is not None:
                return found
        raise DataError(
            f"{self.name}: no object stays visible on the first frame at {size[1]}x{size[0]}; use larger clips"
        )

    def strangers(self, rng: np.random.Generator, frames: int, size: tuple[int, int]) -> list[layers.Layer]:
        """One or two cut-outs with label 0 on paths of their own, to pass over clips of other sources."""
        scene = Scene(self, rng, frames, size, 1, calm=False)
        return [scene.stranger() for _ in range(int(rng.integers(1, 3)))]


def pairs(store: Store, skips: SkipList) -> Iterable[tuple[str, str]]:
    """(image, mask) names in `store`; pictures without a mask and masks without a picture go to `skips`."""
    names = set(store.names)
    for name in store.names:
        stem, dot, suffix = name.rpartition(".")
        if f".{suffix.lower()}" not in IMAGE_SUFFIXES or not dot:
            continue
        if suffix.lower() == "png":
            if not any(stem + other in names for other in IMAGE_SUFFIXES if other != ".png"):
                skips.add(Skip(store.path(name), "mask without a picture"))
        elif stem + ".png" in names:
            yield name, stem + ".png"
        else:
            skips.add(Skip(store.path(name), "picture without a mask"))


def _roots(store: Store) -> str:
    return ", ".join(str(root) for root in store.roots)


def _size(array: np.ndarray) -> str:
    return f"{array.shape[1]}x{array.shape[0]}"
