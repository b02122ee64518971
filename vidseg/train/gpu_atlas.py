"""All stills and video frames as one long row of pixels in a GPU's memory, and what is known of their objects.

A pixel is an int32: red, green and blue in its low bytes and the label in the highest, so that one look-up fetches all
four. Pictures of any size stand one after another, so nothing is padded; each is there again at half its size, for
layers that are shown small, and once more at a quarter with its objects painted over, for the places they leave.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from vidseg.errors import DataError
from vidseg.train import layers
from vidseg.train.clip import IGNORE
from vidseg.train.sources.still import at_border, neighbour
from vidseg.train.sources.stills import Stills
from vidseg.train.sources.video_folders import VideoFolders

FINE, HALF, BARE = 0, 1, 2


@dataclass(frozen=True, slots=True, eq=False)
class Pages:
    """Where the pictures are: entry e at a level (`FINE`, `HALF`, `BARE`) has `height` rows of `width` from `offset`.

    Attributes:
        pixels: (P,) int32.
        offset, height, width: (3, E) int64.
    """

    pixels: Tensor
    offset: Tensor
    height: Tensor
    width: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Contents:
    """What the pictures hold, on the CPU, for planning.

    Attributes:
        sizes: (E, 2) rows and columns at the fine level.
        first, count: (E,) the objects of entry e are `first[e]` to `first[e] + count[e] - 1`.
        entry, label, area_px: (K,) of each object; boxes: (K, 4) xyxy; whole: (K,) not cut by the border.
        partner: (K,) label of the object in the same picture that touches it along most pixels, 0 for none.
        stills: (S,) entries that are stills; still_odds: (S,) how likely each is drawn, sum 1.
        videos: for each of V sequences its entries in order of time; video_odds: (V,), sum 1; strides: (V,) most.
    """

    sizes: np.ndarray
    first: np.ndarray
    count: np.ndarray
    entry: np.ndarray
    label: np.ndarray
    area_px: np.ndarray
    boxes: np.ndarray
    whole: np.ndarray
    partner: np.ndarray
    stills: np.ndarray
    still_odds: np.ndarray
    videos: tuple[np.ndarray, ...]
    video_odds: np.ndarray
    strides: np.ndarray


def build(
    stills: Sequence[Stills],
    videos: Sequence[VideoFolders],
    *,
    short_side: int,
    device: torch.device | str,
    weights: Sequence[float] | None = None,
    threads: int = 8,
) -> tuple[Pages, Contents]:
    """Decode everything in `stills` and `videos`, reduced to `short_side`, and put it on `device`.

    `weights` are the shares of the stills and then of the videos; without them, every picture and sequence counts alike
    (a sequence by the root of its length).

    Broken files are noted in the reports of their sources. Of videos, only annotated frames are taken.

    Raises:
        DataError: nothing usable is left.
    """
    shares = [None] * (len(stills) + len(videos)) if weights is None else list(weights)
    pictures: list[tuple[np.ndarray, np.ndarray]] = []
    still_odds: list[np.ndarray] = []
    sequences: list[tuple[np.ndarray, float, int]] = []
    with ThreadPoolExecutor(threads) as pool:
        for source, share in zip(stills, shares, strict=False):
            found = [p for p in pool.map(source.picture, range(len(source)), [short_side] * len(source)) if p]
            still_odds.append(np.full(len(found), 1.0 if share is None else share / max(1, len(found))))
            pictures += found
        number = len(pictures)
        for video, share in zip(videos, shares[len(stills) :], strict=True):
            read = _sequences(pool, video, short_side)
            roots = np.sqrt([len(found) for found in read])
            for found, root in zip(read, roots if share is None else share * roots / roots.sum(), strict=True):
                sequences.append((len(pictures) + np.arange(len(found)), float(root), video.max_stride))
                pictures += found
        if not pictures:
            raise DataError("no picture could be read for the GPU; see the reports of the sources")
        pages = _pages(pool.map(_levels, pictures), device)
        known = list(pool.map(_objects, [labels for _, labels in pictures]))
    return pages, _contents(pictures, known, np.concatenate([*still_odds, np.zeros(0)])[:number], sequences)


def _sequences(pool: ThreadPoolExecutor, video: VideoFolders, short_side: int) -> list[list]:
    """The annotated frames of each sequence of `video` that has at least two good ones."""
    read = []
    for number, item in enumerate(video.items):
        frames = item.annotated
        loaded = pool.map(video.picture, [number] * len(frames), frames, [short_side] * len(frames))
        read.append([pair for pair in loaded if pair])
    return [found for found in read if len(found) > 1]


def _levels(picture: tuple[np.ndarray, np.ndarray]) -> list[np.ndarray]:
    image, labels = picture
    height, width = labels.shape
    half = (-(-width // 2), -(-height // 2))
    quarter = (-(-width // 4), -(-height // 4))
    small = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
    objects = cv2.dilate(((labels > 0) & (labels != IGNORE)).astype(np.uint8), np.ones((5, 5), np.uint8))
    hole = cv2.resize(objects.astype(np.float32), quarter, interpolation=cv2.INTER_AREA) > 0
    bare = layers.fill_hole(cv2.resize(image, quarter, interpolation=cv2.INTER_AREA), hole)
    coarse = cv2.resize(labels, half, interpolation=cv2.INTER_NEAREST_EXACT)
    return [_packed(image, labels), _packed(small, coarse), _packed(bare, np.zeros(bare.shape[:2], np.uint8))]


def _packed(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(H, W) int32 of (H, W, 3) colours and (H, W) labels."""
    return np.dstack([image, labels]).view("<i4")[..., 0]


def _pages(levels: Iterable[list[np.ndarray]], device: torch.device | str) -> Pages:
    parts, sizes = [], []
    for three in levels:
        parts.append(np.concatenate([level.ravel() for level in three]))
        sizes.append([level.shape for level in three])
    shape = np.array(sizes, dtype=np.int64)
    area = shape.prod(axis=2)
    offset = np.concatenate([[0], area.ravel().cumsum()[:-1]]).reshape(area.shape)
    pixels = torch.empty(int(area.sum()), dtype=torch.int32, device=device)
    for part, start in zip(parts, offset[:, 0].tolist(), strict=True):
        pixels[start : start + len(part)] = torch.from_numpy(part)
    offset, height, width = (
        torch.from_numpy(np.ascontiguousarray(table.T)).to(device) for table in (offset, shape[..., 0], shape[..., 1])
    )
    return Pages(pixels, offset, height, width)


class _Object(NamedTuple):
    label: int
    area_px: int
    box: tuple[int, int, int, int]
    whole: bool
    partner: int


def _objects(labels: np.ndarray) -> list[_Object]:
    """What is known of each object of 24 pixels or more."""
    found = []
    for label in np.unique(labels).tolist():
        if label in (0, IGNORE):
            continue
        mask = labels == label
        area_px = int(mask.sum())
        if area_px >= 24:
            x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
            box = (x, y, x + width, y + height)
            found.append(_Object(label, area_px, box, not at_border(mask), neighbour(labels, label) or 0))
    return found


def _contents(
    pictures: list, known: list[list[_Object]], still_odds: np.ndarray, sequences: list[tuple[np.ndarray, float, int]]
) -> Contents:
    count = np.array([len(objects) for objects in known])
    flat = [item for objects in known for item in objects]
    if not flat:
        raise DataError("no object of 24 pixels or more in any picture; check the masks")
    still_odds = still_odds * (count[: len(still_odds)] > 0)
    video_odds = np.array([odds for _, odds, _ in sequences])
    return Contents(
        sizes=np.array([labels.shape for _, labels in pictures]),
        first=np.concatenate([[0], count.cumsum()[:-1]]),
        count=count,
        entry=np.repeat(np.arange(len(count)), count),
        label=np.array([item.label for item in flat]),
        area_px=np.array([item.area_px for item in flat]),
        boxes=np.array([item.box for item in flat], dtype=float),
        whole=np.array([item.whole for item in flat]),
        partner=np.array([item.partner for item in flat]),
        stills=np.flatnonzero(still_odds),
        still_odds=still_odds[still_odds > 0] / max(still_odds.sum(), 1e-12),
        videos=tuple(frames for frames, _, _ in sequences),
        video_odds=video_odds / max(video_odds.sum(), 1e-12),
        strides=np.array([stride for _, _, stride in sequences], dtype=int),
    )
