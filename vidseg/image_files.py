"""The files that a prompted picture leaves: what `vidseg image` does, without the parser.

mask-1.png mask-2.png mask-3.png   0 and 255, the most likely candidate first
overlay.png                        the picture with the first candidate drawn on it
masks.json                         of each candidate: file, predicted IoU, box, COCO RLE
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from vidseg.errors import VideoError
from vidseg.image import encode
from vidseg.masks import boxes, rle
from vidseg.masks.files import replacing
from vidseg.model import Sam2
from vidseg.types import Box, Click
from vidseg.video import draw
from vidseg.video.folder import read_image

__all__ = ["Candidate", "segment_picture"]


@dataclass(frozen=True, slots=True)
class Candidate:
    """One candidate mask: its file, predicted IoU, area and tight xyxy box in pixels (None if empty), and COCO RLE."""

    file: str
    iou: float
    area_px: int
    box: tuple[int, int, int, int] | None
    segmentation: rle.Rle


def segment_picture(
    model: Sam2, path: str | Path, *, clicks: Sequence[Click] = (), box: Box | None = None, folder: str | Path
) -> tuple[Candidate, ...]:
    """Segment what clicks and a box point at in a picture, and write the candidates to a folder.

    Files of an earlier call are replaced. Returns the candidates, the most likely first.

    Raises:
        VideoError: the picture cannot be read.
        PromptError: neither click nor box, or one outside the picture.
    """
    try:
        image = read_image(Path(path))
    except FileNotFoundError:
        raise VideoError(f"{path} does not exist; give the path of a picture") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise VideoError(f"{path} cannot be read as a picture ({error}); for a video, use: vidseg track") from None
    result = encode(model, image).prompt(clicks, box=box)
    masks = result.masks()
    folder = Path(folder)
    candidates = []
    for n, (mask, around, iou) in enumerate(zip(masks, boxes(masks), result.iou.tolist(), strict=True), start=1):
        x1, y1, x2, y2 = map(int, around)
        tight = (x1, y1, x2, y2) if x2 > x1 else None
        candidates.append(Candidate(f"mask-{n}.png", round(iou, 4), int(mask.sum()), tight, rle.encode(mask)))
        _write_png(folder / candidates[-1].file, mask.astype(np.uint8) * 255)
    _write_png(folder / "overlay.png", draw(image, masks[:1], [1]))
    with replacing(folder / "masks.json") as file:
        json.dump(
            {"size": result.size, "score": result.score, "masks": [asdict(c) for c in candidates]}, file, indent=1
        )
    return tuple(candidates)


def _write_png(path: Path, pixels: np.ndarray) -> None:
    with replacing(path, binary=True) as file:
        Image.fromarray(pixels).save(file, format="PNG")
