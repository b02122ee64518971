"""A folder or glob of images as a video, in natural order: frame2.png comes before frame10.png.

Images carry no time, so frames are `1 / FPS` seconds apart.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from vidseg.errors import VideoError
from vidseg.types import Frame
from vidseg.video.video import Lost, Video

FPS = 24.0  # of DAVIS and of film
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm")
SIDEWAYS = {5, 6, 7, 8}  # EXIF orientations that swap height and width
ORIENTATION_TAG = 0x0112


def accepts(source: Any) -> bool:
    """Whether the source is a folder, or a pattern such as "frames/*.jpg" that is not the name of a file."""
    if not isinstance(source, (str, Path)):
        return False
    return Path(source).is_dir() or (glob.has_magic(str(source)) and not Path(source).exists())


def open(source: Any, *, backend: str = "auto") -> Video:
    """Open the images of a folder or pattern.

    Raises:
        VideoError: there are no images, or they differ in size.
    """
    path = Path(source)
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
        if not files:
            raise VideoError(
                f"folder {path} holds no images ({', '.join(SUFFIXES)}); give a folder of frames or a video"
            )
    else:
        files = [Path(name) for name in glob.glob(str(source), recursive=True) if Path(name).is_file()]
        if not files:
            raise VideoError(f"no file matches {source}; give a pattern of images such as frames/*.jpg")
    return ImageFolder(path, sorted(files, key=natural_key))


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Return a sort key by which numbers in names count as numbers: a2 before a10."""
    parts = re.split(r"(\d+)", str(path).lower())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


class ImageFolder(Video):
    """Images of one size, one file a frame.

    Attributes:
        files: the image files in the order of the frames.
    """

    def __init__(self, path: Path, files: list[Path]) -> None:
        self.path = path
        self.name = path.name or str(path)
        self.files = tuple(files)
        self.fps = FPS
        self.size = _common_size(self.files)

    @cached_property
    def _seconds(self) -> np.ndarray:
        seconds = np.arange(len(self.files)) / FPS
        seconds.flags.writeable = False
        return seconds

    def _measure(self) -> np.ndarray:
        return self._seconds

    def _forward(self, start: int, stop: int | None) -> Iterator[Frame | Lost]:
        for index in range(start, len(self.files) if stop is None else min(stop, len(self.files))):
            yield self._read(index)

    def _read(self, index: int) -> Frame | Lost:
        file = self.files[index]
        try:
            image = read_image(file)
        except (OSError, SyntaxError, ValueError) as error:
            return Lost(index, f"frame {index} of {self.name} ({file.name}) cannot be decoded ({_reason(error)})")
        if image.shape[:2] != self.size:
            return Lost(index, f"frame {index} of {self.name} ({file.name}) has changed its size since it was opened")
        return Frame(index, index / FPS, image)


def read_image(path: Path) -> np.ndarray:
    """Return an image file as (H, W, 3) uint8 RGB, upright by its EXIF tag, alpha dropped, 16 bits cut to 8."""
    with Image.open(path) as image:
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I"):  # Pillow would clip 16-bit grey at 255
            grey = (np.asarray(upright).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        return np.array(upright.convert("RGB"))


def _common_size(files: tuple[Path, ...]) -> tuple[int, int]:
    """Return the (H, W) that all images have, reading only their headers; an unreadable one counts as a lost frame."""
    first: tuple[Path, tuple[int, int]] | None = None
    error: Exception | None = None
    for file in files:
        try:
            with Image.open(file) as image:
                width, height = image.size
                if image.getexif().get(ORIENTATION_TAG) in SIDEWAYS:
                    width, height = height, width
        except (OSError, SyntaxError, ValueError) as failure:
            error = error or failure
            continue
        if first is None:
            first = file, (height, width)
        elif first[1] != (height, width):
            other = f"{first[0].name} is {first[1][1]}x{first[1][0]}"
            raise VideoError(f"{file.name} is {width}x{height} but {other}; all images of a video must have one size")
    if first is None:
        raise VideoError(f"none of the {len(files)} images can be read; {files[0].name}: {_reason(error)}")
    return first[1]


def _reason(error: Exception | None) -> str:
    return (str(error) or type(error).__name__).replace("\n", " ")
