"""Recognising a video by what is in it, wherever it lies and whatever it is called."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from ..errors import VideoError

_SAMPLES, _SAMPLE_BYTES = 64, 1 << 16


def fingerprint(path: Path) -> str:
    """Sixteen hexadecimal digits that tell a video's content: its length and 64 samples of 64 KiB from all over it.

    Of a folder or pattern of images: the names and lengths of all, and samples of 64 of them.

    Raises VideoError if it does not exist.
    """
    files = files_of(path)
    if not files:
        raise VideoError(f"{path} does not exist; expected a video file, a folder or a pattern of images")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name if len(files) > 1 else ''}:{file.stat().st_size};".encode())
    for file in files[:: max(1, len(files) // _SAMPLES)]:
        _sample(digest, file, _SAMPLES if len(files) == 1 else 1)
    return digest.hexdigest()[:16]


def _sample(digest: Any, path: Path, count: int) -> None:
    size = path.stat().st_size
    with path.open("rb") as file:
        for n in range(count):
            file.seek(max(0, size - _SAMPLE_BYTES) * n // max(1, count - 1))
            digest.update(file.read(_SAMPLE_BYTES))
            if size <= _SAMPLE_BYTES:
                return


def files_of(path: Path) -> Sequence[Path]:
    """The files that a path means: itself, those in a folder, or those that match a pattern; none if there are none."""
    if path.is_file():
        return [path]
    found: Iterable[Path] = ()
    if path.is_dir():
        found = path.iterdir()
    elif any(mark in path.name for mark in "*?["):
        found = path.parent.glob(path.name) if path.parent.is_dir() else ()
    return sorted(file for file in found if file.is_file())
