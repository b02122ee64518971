"""Rows of the project's tables as values, and back."""

from __future__ import annotations

import json
from typing import Any

from ..types import Box
from .rows import MaskInfo, ObjectInfo, PromptInfo


def object_from_row(row: Any) -> ObjectInfo:
    """A row of the table `object` as a value."""
    return ObjectInfo(
        row["video"], row["id"], row["name"], row["class"], row["colour"], row["position"],
        bool(row["hidden"]), bool(row["locked"]),
    )  # fmt: skip


def prompt_from_row(row: Any) -> PromptInfo:
    """A row of the table `prompt` as a value."""
    return PromptInfo(
        row["id"], row["video"], row["object"], row["frame"], row["kind"], json.loads(row["value"]), row["created"]
    )


def mask_from_row(row: Any, size: tuple[int, int]) -> MaskInfo:
    """A row of the table `mask` as a value; `size` is the video's (H, W)."""
    return MaskInfo(
        row["video"], row["object"], row["frame"], size, row["counts"], row["area"],
        Box(row["x1"], row["y1"], row["x2"], row["y2"]), row["pieces"], row["score"], row["iou"], row["agreement"],
        row["source"], row["state"], row["origin"], row["revision"], row["seen"],
    )  # fmt: skip


def mask_to_row(mask: MaskInfo) -> dict[str, Any]:
    """A mask as a row of the table `mask`."""
    row = {name: getattr(mask, name) for name in MaskInfo.__slots__ if name not in ("size", "box")}
    return {**row, **dict(zip(("x1", "y1", "x2", "y2"), map(float, mask.box), strict=True))}
