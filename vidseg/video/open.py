"""`open_video`: from whatever a person calls a video to a `Video`.

To add a kind of source: one new file in this folder with `accepts(source) -> bool` and `open(source, *, backend) ->
Video`, and one line in `READERS`. The first reader that accepts a source gets it.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from vidseg.errors import VideoError
from vidseg.video.video import Video

READERS = (
    "camera",  # 0, "1"
    "stream",  # "-", "rtsp://..."
    "folder",  # a folder or pattern of images
    "file",  # everything else
)
BACKENDS = ("auto", "pyav", "decord")


def open_video(source: str | os.PathLike[str] | int, *, backend: str = "auto") -> Video:
    """Open a video file, a folder or glob of images, a camera, a stream URL, or "-" for standard input.

    Args:
        source: a path; a pattern such as "frames/*.jpg"; a camera number (0 or "0"); a URL; "-".
        backend: who decodes single frames of a file: "pyav", "decord", or "auto" for the faster as measured, which is
            PyAV (`vidseg.video.decord` has the numbers). The frames are the same.

    Raises:
        VideoError: the source is missing, empty, damaged, or holds no video.
    """
    if backend not in BACKENDS:
        raise VideoError(f"video backend {backend!r} is not known; choose one of {', '.join(BACKENDS)}")
    if not isinstance(source, (str, os.PathLike, int)) or isinstance(source, bool):
        raise VideoError(
            f"cannot open a {type(source).__name__} as a video; give a path, a URL, a camera number or '-'"
        )
    value = Path(source) if isinstance(source, os.PathLike) else source
    for name in READERS:
        reader = import_module(f"vidseg.video.{name}")
        if reader.accepts(value):
            return reader.open(value, backend=backend)
    raise AssertionError("the last reader accepts everything")
