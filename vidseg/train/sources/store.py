"""Files by name, from folders or from packs (zip files), and decoded small pictures kept in memory up to a limit.

A pack is an uncompressed zip with the same relative names as the folder it was made from: a source reads either.
"""

from __future__ import annotations

import io
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from vidseg.errors import DataError

IMAGE_SUFFIXES = (".webp", ".jpg", ".jpeg", ".bmp", ".png")


class Store:
    """The files under some folders and packs, by relative posix name; of equal names the first wins.

    `names` lists the files, `empty` the folders that hold nothing.

    Pickles small: open packs are closed and opened again on the other side.

    Raises:
        DataError: a root is neither a folder nor a zip file.
    """

    def __init__(self, roots: str | Path | Sequence[str | Path]) -> None:
        listed = [roots] if isinstance(roots, (str, Path)) else list(roots)
        self.roots = tuple(Path(root) for root in listed)
        self._where: dict[str, tuple[Path, str]] = {}
        self._packs: dict[Path, zipfile.ZipFile] = {}
        for root in self.roots:
            prefix = f"{root.resolve().name}/" if len(self.roots) > 1 else ""
            for path, name in _list(root):
                self._where.setdefault(prefix + name if path is None else name, (path or root, name))
        self.names = tuple(sorted(self._where))
        folders = (path for root in self.roots for path in (root, *root.rglob("*")) if path.is_dir())
        self.empty = tuple(str(path) for path in folders if not any(path.iterdir()))

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packs": {}}

    def path(self, name: str) -> str:
        """The full path of `name`, for messages."""
        root, inner = self._where[name]
        return str(root / inner)

    def read(self, name: str) -> bytes:
        """The bytes of the file `name`."""
        root, inner = self._where[name]
        if root.suffix != ".zip":
            return (root / inner).read_bytes()
        if root not in self._packs:
            self._packs[root] = zipfile.ZipFile(root)
        return self._packs[root].read(inner)


def _list(root: Path) -> list[tuple[Path | None, str]]:
    """(pack or None, name) of every file below `root`; the packs of a folder count as their contents."""
    if root.is_dir():
        found: list[tuple[Path | None, str]] = []
        for path in sorted(root.rglob("*")):
            if path.suffix == ".zip":
                found += _list(path)
            elif path.is_file() and not path.name.startswith("."):
                found.append((None, path.relative_to(root).as_posix()))
        return found
    if root.suffix == ".zip" and root.is_file():
        try:
            with zipfile.ZipFile(root) as pack:
                return [(root, name) for name in pack.namelist() if not name.endswith("/")]
        except zipfile.BadZipFile as problem:
            raise DataError(f"{root} is not a readable zip file ({problem}); make the pack again") from problem
    raise DataError(f"{root} is neither a folder nor a pack (.zip); check the path in the config")


def decode_image(coded: bytes) -> np.ndarray:
    """(H, W, 3) uint8 RGB of an encoded picture.

    Raises:
        ValueError: the bytes are no picture.
    """
    image = cv2.imdecode(np.frombuffer(coded, np.uint8), cv2.IMREAD_COLOR) if coded else None
    if image is None:
        raise ValueError("cannot be decoded as an image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_index(coded: bytes) -> np.ndarray:
    """(H, W) uint8 of an encoded index mask (palette, grey or 1-bit PNG).

    Raises:
        ValueError: the bytes are no such picture.
    """
    try:
        picture = Image.open(io.BytesIO(coded))
        if picture.mode not in ("P", "L", "1"):
            raise ValueError(f"is a mask of mode {picture.mode}, expected an index image (P or L)")
        return np.asarray(picture).astype(np.uint8)
    except (OSError, SyntaxError) as problem:
        raise ValueError("cannot be decoded as a mask") from problem


def shrink(image: np.ndarray, short_side: int, *, labels: bool = False) -> np.ndarray:
    """`image` (H, W[, 3]) reduced to a short side of at most `short_side` pixels; smaller ones are left as they are."""
    height, width = image.shape[:2]
    factor = short_side / min(height, width)
    if factor >= 1:
        return image
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT if labels else cv2.INTER_AREA)


class Cache:
    """Values by key, the least recently used dropped once their arrays hold more than `limit_mb` MB."""

    def __init__(self, limit_mb: float) -> None:
        self.limit_bytes = int(limit_mb * 1e6)
        self.held_bytes = 0
        self._values: OrderedDict[Any, tuple[Any, int]] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return {"limit_bytes": self.limit_bytes, "held_bytes": 0, "_values": OrderedDict()}

    def get(self, key: Any, make: Callable[[], tuple[Any, int]]) -> Any:
        """The value of `key`; `make` returns (value, bytes it holds) where it is not here."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key][0]
        value, size_bytes = make()
        self._values[key] = (value, size_bytes)
        self.held_bytes += size_bytes
        while self.held_bytes > self.limit_bytes and len(self._values) > 1:
            self.held_bytes -= self._values.popitem(last=False)[1][1]
        return value
