"""Clips from real videos with masks: random stride, direction, crop, flip and scale, one camera look for all frames."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Many
from pathlib import Path

import numpy as np

from vidseg.errors import DataError
from vidseg.train import layers
from vidseg.train.clip import IGNORE, Clip, Skip, SkipList, min_area_px, pick_objects, summary
from vidseg.train.sources.filming import film
from vidseg.train.sources.layouts import Sequence, sequences
from vidseg.train.sources.still import neighbour
from vidseg.train.sources.stills import Stills
from vidseg.train.sources.store import Cache, Store, decode_image, decode_index, shrink

_TRIES = 20


class VideoFolders:
    """A source over trees of labelled video (see `layouts`), folders or packs.

    Args:
        roots: folders or packs; every folder of frames below is a sequence.
        name: for sheets and reports.
        max_stride: frames of a clip are 1 to this many annotated frames apart.
        extras: a `Stills` source whose cut-outs pass over `extras_share` of the clips, as occluders and strangers;
            `mixture` lends one of its own.
        merge: chance that two touching objects count as one.
        cache_mb: memory for decoded frames, in each process.
        work_scale: frames are kept at this many times the short side of the clips.

    Index 255 is "ignore", except in sequences that hold nothing but 0 and 255, where it is the object.

    Raises:
        DataError: no sequence with masks is found.
    """

    def __init__(
        self,
        roots: str | Path | Many[str | Path],
        *,
        name: str = "videos",
        max_stride: int = 4,
        extras: Stills | None = None,
        extras_share: float = 0.25,
        merge: float = 0.12,
        cache_mb: float = 512,
        work_scale: float = 1.5,
    ) -> None:
        self.name = name
        self.max_stride = max_stride
        self.extras, self.extras_share, self.merge = extras, extras_share, merge
        self.work_scale = work_scale
        self.store = Store(roots)
        self._skips = SkipList()
        self._cache = Cache(cache_mb)
        self._object_255: dict[str, bool] = {}
        self.items = sequences(self.store, self._skips)
        if not self.items:
            listed = ", ".join(str(root) for root in self.store.roots)
            told = summary(self.report()) or "expected JPEGImages and Annotations, or pairs"
            raise DataError(f"no sequence with masks below {listed}; {told}")
        weights = np.sqrt([len(sequence.annotated) for sequence in self.items])
        self._shares = weights / weights.sum()

    def __len__(self) -> int:
        return len(self.items)

    def report(self) -> tuple[Skip, ...]:
        """What was left out so far: sequences without masks at once, broken files when they are met."""
        return self._skips.all()

    def note(self, skips: Iterable[Skip]) -> None:
        """Add what another process left out."""
        for skip in skips:
            self._skips.add(skip)

    def clip(self, rng: np.random.Generator, *, frames: int, size: tuple[int, int], objects: int) -> Clip:
        """A clip of one sequence; a place where no object is visible is drawn again."""
        for _ in range(_TRIES):
            sequence = self._draw(rng)
            order = self._order(rng, sequence, frames)
            try:
                loaded = [self._frame(sequence, int(i), min(size)) for i in order]
            except ValueError:
                continue
            clip = self._film(rng, sequence, loaded, size=size, objects=objects)
            found = clip and pick_objects(clip, min_px=min_area_px(size), limit=objects)
            if found:
                return found
        told = summary(self.report()) or "use larger clips, or leave out videos whose objects are tiny"
        raise DataError(f"{self.name}: no object was visible in {_TRIES} random places; {told}")

    def picture(self, sequence: int, frame: int, short_side: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Image (h, w, 3) and labels (h, w) of an annotated frame, at most `short_side`; None, and a skip, if bad."""
        item = self.items[sequence]
        try:
            image, labels = self._load(item, frame, short_side)[0]
        except ValueError as problem:
            self._skips.add(Skip(self.store.path(item.images[frame]), str(problem)))
            return None
        return image, labels

    def check(self) -> tuple[Skip, ...]:
        """Read every annotated frame once and return the whole report, sequences without any object included."""
        for number, item in enumerate(self.items):
            pictures = [self.picture(number, frame, 128) for frame in item.annotated]
            if not any(has_object(pair[1]) for pair in pictures if pair):
                where = self.store.path(item.images[0]).rpartition("/")[0]
                self._skips.add(Skip(where, "a sequence whose masks hold no object"))
        return self.report()

    def _draw(self, rng: np.random.Generator) -> Sequence:
        """A sequence, the chance growing with the root of its annotated frames."""
        return self.items[int(rng.choice(len(self.items), p=self._shares))]

    def _order(self, rng: np.random.Generator, sequence: Sequence, frames: int) -> np.ndarray:
        """(T,) frame numbers, the first annotated; short sequences are played to and fro."""
        annotated = np.array(sequence.annotated)
        stride = int(rng.integers(1, self.max_stride + 1))
        if len(annotated) * 3 < len(sequence.images) and rng.random() < 0.5:
            start, last = int(rng.choice(annotated)), len(sequence.images) - 1
            return _to_and_fro(start + np.arange(frames) * stride * int(rng.choice([-1, 1])), last)
        stride = max(1, min(stride, (len(annotated) - 1) // max(1, frames - 1)))
        steps = np.arange(frames) * stride
        start = int(rng.integers(0, max(1, len(annotated) - int(steps[-1]))))
        path = _to_and_fro(start + steps, len(annotated) - 1)
        return annotated[path[::-1] if rng.random() < 0.5 else path]

    def _frame(self, sequence: Sequence, index: int, short_px: int) -> tuple[np.ndarray, np.ndarray | None]:
        """(image, labels) of one frame at working size; labels None where not annotated."""
        short_side = round(self.work_scale * short_px)
        image_name = sequence.images[index]
        path = self.store.path(image_name)
        if path in self._skips:
            raise ValueError(path)
        try:
            return self._cache.get((image_name, short_side), lambda: self._load(sequence, index, short_side))
        except ValueError as problem:
            self._skips.add(Skip(path, str(problem)))
            raise

    def _load(self, sequence: Sequence, index: int, short_side: int) -> tuple[tuple, int]:
        image = decode_image(self.store.read(sequence.images[index]))
        files = sequence.masks[index]
        if not files:
            return (shrink(image, short_side), None), image.nbytes
        labels = self._labels(sequence, files)
        if labels.shape != image.shape[:2]:
            raise ValueError(
                f"image is {image.shape[1]}x{image.shape[0]} and mask {labels.shape[1]}x{labels.shape[0]}, "
                "expected equal sizes"
            )
        image, labels = shrink(image, short_side), shrink(labels, short_side, labels=True)
        return (image, labels), image.nbytes + labels.nbytes

    def _labels(self, sequence: Sequence, files: tuple[tuple[int, str], ...]) -> np.ndarray:
        if len(files) == 1 and files[0][0] == 0:
            labels = decode_index(self.store.read(files[0][1]))
            if self._is_object_255(sequence):
                labels = (labels > 0).astype(np.uint8)
            return labels
        masks = [decode_index(self.store.read(name)) > 0 for _, name in files]
        if len({mask.shape for mask in masks}) > 1:
            raise ValueError("the masks of its objects have unequal sizes")
        labels = np.zeros(masks[0].shape, np.uint8)
        for (number, _), mask in zip(files, masks, strict=True):
            labels[mask] = number
        return labels

    def _is_object_255(self, sequence: Sequence) -> bool:
        """Whether the sequence's masks hold only 0 and 255, judged by up to five of them."""
        if sequence.name not in self._object_255:
            annotated = sequence.annotated
            sample = sorted({annotated[i] for i in np.linspace(0, len(annotated) - 1, 5).astype(int)})
            seen: set[int] = set()
            for index in sample:
                files = sequence.masks[index]
                assert files is not None
                try:
                    seen |= set(np.unique(decode_index(self.store.read(files[0][1]))).tolist())
                except ValueError:
                    continue
            self._object_255[sequence.name] = seen <= {0, 255}
        return self._object_255[sequence.name]

    def _film(
        self, rng: np.random.Generator, sequence: Sequence, loaded: list, *, size: tuple[int, int], objects: int
    ) -> Clip | None:
        first = loaded[0][1]
        ids = [int(i) for i in np.unique(first) if i not in (0, IGNORE)]
        if not ids:
            return None
        rng.shuffle(ids)
        other = neighbour(first, ids[0]) if rng.random() < self.merge else None
        if other is not None:
            ids.remove(other)
            loaded = [
                (image, None if mask is None else np.where(mask == other, np.uint8(ids[0]), mask))
                for image, mask in loaded
            ]
        extras = self.extras

        def passing() -> list[layers.Layer]:
            if extras is None or rng.random() >= self.extras_share:
                return []
            return extras.strangers(rng, len(loaded), size)

        return film(
            rng, loaded, ids, size=size, objects=objects, passing=passing, source=f"{self.name} {sequence.name}"
        )


def has_object(labels: np.ndarray) -> bool:
    """Whether any label of `labels` (H, W) is an object."""
    return bool(((labels > 0) & (labels != IGNORE)).any())


def _to_and_fro(path: np.ndarray, last: int) -> np.ndarray:
    """`path` folded back at 0 and `last`."""
    if last == 0:
        return np.zeros_like(path)
    folded = np.abs(path) % (2 * last)
    return np.where(folded > last, 2 * last - folded, folded)
