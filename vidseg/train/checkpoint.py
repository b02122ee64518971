"""The state of a run on disk: written whole or not at all, read back with nothing executed.

A run's folder holds `checkpoint.pt` and, in case that one is damaged, `checkpoint-previous.pt`. To take a run to
another machine, `pack` writes the same in half precision as files of less than 16 MiB, and `unpack` makes a checkpoint
of them: close to the run it came from, not equal to it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vidseg.errors import WeightsError

VERSION = 1
NAME, PREVIOUS = "checkpoint.pt", "checkpoint-previous.pt"
PIECE_BYTES = 15 * 2**20
_MANIFEST = "state.json"


def save(folder: Path, state: dict[str, Any]) -> Path:
    """Write `state` (plain values and tensors) as the checkpoint of `folder`; the last one is kept as the previous."""
    part, path = folder / (NAME + ".part"), folder / NAME
    with open(part, "wb") as file:
        torch.save({"version": VERSION, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    if path.exists():
        os.replace(path, folder / PREVIOUS)
    os.replace(part, path)
    return path


def load(folder: Path) -> dict[str, Any] | None:
    """The newest readable checkpoint of `folder`, on the CPU; None where there is none at all.

    Raises:
        WeightsError: there are checkpoints, and none can be read.
    """
    paths = [path for path in (folder / NAME, folder / PREVIOUS) if path.exists()]
    problems = []
    for path in paths:
        try:
            return read(path)
        except WeightsError as error:
            problems.append(str(error))
    if problems:
        raise WeightsError("; ".join(problems))
    return None


def read(path: Path) -> dict[str, Any]:
    """The state in one checkpoint file.

    Raises:
        WeightsError: not a checkpoint of a training run, damaged, or of another version.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(
            f"{path} cannot be read as a training checkpoint ({reason}); delete it or use another"
        ) from None
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise WeightsError(f"{path} is not a training checkpoint of version {VERSION}")
    return state


def pack(state: dict[str, Any], folder: Path) -> list[Path]:
    """Write `state` to `folder` in half precision, as pieces of at most 15 MiB and a list of them with their hashes.

    Weights and averages become float16, Adam's moments bfloat16 (their range is wider); whole numbers stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    torch.save(_halved(state), buffer)
    content = buffer.getbuffer()
    paths: list[Path] = []
    hashes: list[str] = []
    for start in range(0, len(content), PIECE_BYTES):
        piece = content[start : start + PIECE_BYTES]
        path = folder / f"state-{len(paths):03d}.bin"
        _write(path, piece)
        paths.append(path)
        hashes.append(hashlib.sha256(piece).hexdigest())
    manifest = folder / _MANIFEST
    _write(manifest, json.dumps({"version": VERSION, "pieces": hashes}).encode())
    return [*paths, manifest]


def unpack(folder: Path) -> dict[str, Any]:
    """The state that `pack` wrote to `folder`, in single precision again.

    Raises:
        WeightsError: a piece is missing or is not what was written.
    """
    try:
        hashes = json.loads((folder / _MANIFEST).read_text())["pieces"]
    except (OSError, ValueError, KeyError, TypeError):
        raise WeightsError(f"{folder} holds no packed training state ({_MANIFEST} is missing or damaged)") from None
    content = io.BytesIO()
    for number, expected in enumerate(hashes):
        path = folder / f"state-{number:03d}.bin"
        if not path.exists():
            raise WeightsError(f"{path} is missing: the packed state has {len(hashes)} pieces; bring all of them")
        piece = path.read_bytes()
        if hashlib.sha256(piece).hexdigest() != expected:
            raise WeightsError(f"{path} is damaged (its hash is not the one in {_MANIFEST}); bring it again")
        content.write(piece)
    content.seek(0)
    return _widened(torch.load(content, map_location="cpu", weights_only=True))


def _halved(value: Any, key: str = "") -> Any:
    if isinstance(value, Tensor):
        if value.dtype != torch.float32 or value.ndim == 0:
            return value.cpu()
        return value.cpu().to(torch.bfloat16 if key.startswith("exp_avg") else torch.float16)
    if isinstance(value, dict):
        return {name: _halved(item, str(name)) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_halved(item) for item in value)
    return value


def _widened(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.float16, torch.bfloat16) else value
    if isinstance(value, dict):
        return {name: _widened(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_widened(item) for item in value)
    return value


def _write(path: Path, content: bytes | memoryview) -> None:
    part = path.with_name(path.name + ".part")
    part.write_bytes(content)
    os.replace(part, path)
