"""A drawn clip for the annotator's tests: a red disc that moves right, a green square that moves down, on grey."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIZE = (60, 90)
RED, GREEN = (220, 40, 40), (30, 160, 60)


def truth(frame: int) -> dict[int, np.ndarray]:
    """The (H, W) bool masks of the disc (1) and the square (2) on a frame; they never overlap."""
    disc = np.zeros(SIZE, np.uint8)
    cv2.circle(disc, (12 + 2 * frame, 15), 8, 1, cv2.FILLED)
    square = np.zeros(SIZE, np.uint8)
    top = 28 + frame // 2
    square[top : top + 12, 60:75] = 1
    return {1: disc.view(bool), 2: square.view(bool)}


def draw(frame: int) -> np.ndarray:
    """The (H, W, 3) uint8 picture of a frame."""
    image = np.full((*SIZE, 3), 120, np.uint8)
    for number, colour in ((1, RED), (2, GREEN)):
        image[truth(frame)[number]] = colour
    return image


def write(folder: Path, *, frames: int = 24) -> Path:
    """Write the clip as a folder of PNGs (exact colours, no codec) and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for frame in range(frames):
        Image.fromarray(draw(frame)).save(folder / f"{frame:05d}.png")
    return folder
