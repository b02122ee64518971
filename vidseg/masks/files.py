"""Writing files that are whole or absent: into `*.part`, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def replacing(path: str | Path, *, binary: bool = False) -> Iterator[IO]:
    """Open `path` for writing; the file appears under its name when the block ends, and not at all if it raises.

    Text is UTF-8 with newlines as given. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        with open(part, "wb") if binary else open(part, "w", encoding="utf-8", newline="") as file:
            yield file
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
