"""Training data as a few files: reduced pictures and index masks in uncompressed zips that every source reads.

For machines that get their data over a narrow way: a part holds at most so many MiB. Names stay as they were, but for
the suffix of the pictures, so the layouts are still recognised.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from vidseg.errors import DataError
from vidseg.train.clip import Skip, SkipList
from vidseg.train.sources.store import IMAGE_SUFFIXES, Store, decode_image, decode_index, shrink


def pack(
    roots: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    short_side: int,
    part_mib: float = 60,
    quality: int = 90,
) -> tuple[list[Path], tuple[Skip, ...]]:
    """Write the pictures and masks below `roots` to `out`-000.zip, `out`-001.zip, ...

    Args:
        roots: folders of stills or of labelled video.
        out: path of the parts, without number and suffix.
        short_side: larger pictures and masks are reduced to this many pixels.
        part_mib: most MiB in a part.
        quality: of the WebP pictures that had to be reduced, 1..100; the others are copied byte for byte.

    Returns:
        the parts, and the files that were left out because they cannot be read.

    Raises:
        DataError: there is nothing to pack.
    """
    store = Store(roots)
    skips = SkipList()
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    parts: list[Path] = []
    for group in _groups(_reduced(store, short_side, quality, skips), limit=int(part_mib * 2**20)):
        path = out.with_name(f"{out.name}-{len(parts):03d}.zip")
        unfinished = path.with_name(path.name + ".part")
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as part:
            for name, coded in group:
                # A fixed date makes equal data an equal file.
                part.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), coded)
        unfinished.replace(path)
        parts.append(path)
    if not parts:
        raise DataError(f"no pictures below {', '.join(str(root) for root in store.roots)}; nothing was packed")
    return parts, skips.all()


def _groups(files: Iterator[tuple[str, bytes]], *, limit: int) -> Iterator[list[tuple[str, bytes]]]:
    """Consecutive files whose sizes, with the zip's own records, sum to at most `limit` bytes."""
    group: list[tuple[str, bytes]] = []
    held = 0
    for name, coded in files:
        size = len(coded) + 2 * len(name.encode()) + 128
        if group and held + size > limit:
            yield group
            group, held = [], 0
        group.append((name, coded))
        held += size
    if group:
        yield group


def _reduced(store: Store, short_side: int, quality: int, skips: SkipList) -> Iterator[tuple[str, bytes]]:
    for name in store.names:
        suffix = Path(name).suffix.lower()
        if suffix not in IMAGE_SUFFIXES:
            continue
        try:
            picture = suffix != ".png" or "JPEGImages" in name
            yield (_picture if picture else _mask)(name, store.read(name), short_side, quality)
        except ValueError as problem:
            skips.add(Skip(store.path(name), str(problem)))


def _picture(name: str, coded: bytes, short_side: int, quality: int) -> tuple[str, bytes]:
    image = decode_image(coded)
    if min(image.shape[:2]) <= short_side:
        return name, coded
    smaller = cv2.cvtColor(shrink(image, short_side), cv2.COLOR_RGB2BGR)
    return str(Path(name).with_suffix(".webp").as_posix()), _encode(".webp", smaller, cv2.IMWRITE_WEBP_QUALITY, quality)


def _mask(name: str, coded: bytes, short_side: int, quality: int) -> tuple[str, bytes]:
    labels = decode_index(coded)
    if min(labels.shape) <= short_side:
        return name, coded
    return name, _encode(".png", shrink(labels, short_side, labels=True), cv2.IMWRITE_PNG_COMPRESSION, 9)


def _encode(suffix: str, image: np.ndarray, setting: int, value: int) -> bytes:
    return cv2.imencode(suffix, image, [setting, value])[1].tobytes()
