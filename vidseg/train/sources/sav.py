"""SA-V's training set, videos with run-length masks in JSON, unpacked to folders that `VideoFolders` reads.

Random access to high-resolution mp4 files is far slower than training; frames reduced once are read in a millisecond.
Source: the SA-V data set's description (SAM 2, arXiv 2408.00714, appendix): `NAME.mp4` at 24 frames a second beside
`NAME_manual.json` and `NAME_auto.json`, whose `masklet[i][j]` is the mask of object j on frame 4 i.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidseg.errors import DataError, VidsegError
from vidseg.masks import rle
from vidseg.masks.palette import write_index
from vidseg.train.clip import Skip
from vidseg.train.sources.store import shrink
from vidseg.video import open_video

EVERY = 4
"""Frames of video from one annotated frame to the next."""


def unpack_sav(
    root: str | Path, out: str | Path, *, short_side: int = 480, automatic: bool = False
) -> tuple[list[Path], tuple[Skip, ...]]:
    """Write the annotated frames of every video below `root` to `out`/JPEGImages and `out`/Annotations.

    Args:
        root: folder with `NAME.mp4` and `NAME_manual.json`, to any depth.
        out: where to; videos that are there already are left as they are.
        short_side: frames and masks are reduced to this many pixels.
        automatic: take the masks of `NAME_auto.json` as well. Where masks overlap the smaller one is on top.

    Returns:
        the folders of frames, and the videos that were left out.

    Raises:
        DataError: no video with masks is found.
    """
    root, out = Path(root), Path(out)
    done: list[Path] = []
    skips: list[Skip] = []
    for video in sorted(root.rglob("*.mp4")):
        kinds = ("manual", "auto") if automatic else ("manual",)
        notes = [path for kind in kinds if (path := video.with_name(f"{video.stem}_{kind}.json")).is_file()]
        if not notes:
            skips.append(Skip(str(video), f"no {video.stem}_manual.json beside it"))
            continue
        frames = out / "JPEGImages" / video.stem
        try:
            if not frames.is_dir():
                _unpack(video, notes, frames, out / "Annotations" / video.stem, short_side)
            done.append(frames)
        except (VidsegError, ValueError, KeyError, TypeError, IndexError) as problem:
            skips.append(Skip(str(video), f"{type(problem).__name__}: {problem}"))
    if not done:
        raise DataError(f"no video with masks below {root}; expected NAME.mp4 beside NAME_manual.json")
    return done, tuple(skips)


def _unpack(video: Path, notes: list[Path], frames: Path, masks: Path, short_side: int) -> None:
    """Unpack one video; its folder of frames gets its name last, so that a half-done one is done again."""
    unfinished = frames.with_name(frames.name + ".part")
    for folder in (unfinished, masks):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    wanted = _objects(notes)
    with open_video(video) as opened:
        for frame in opened:
            step, rest = divmod(frame.index, EVERY)
            if rest or step >= len(wanted):
                continue
            labels = _labels(wanted[step], frame.image.shape[:2])
            image = cv2.cvtColor(shrink(frame.image, short_side), cv2.COLOR_RGB2BGR)
            cv2.imwrite(str(unfinished / f"{frame.index:05d}.webp"), image, [cv2.IMWRITE_WEBP_QUALITY, 90])
            write_index(masks / f"{frame.index:05d}.png", shrink(labels, short_side, labels=True))
    unfinished.replace(frames)


def _objects(notes: list[Path]) -> list[list[dict[str, Any]]]:
    """For each annotated frame the run-length masks of all objects of all files, always in the same order."""
    tracks: list[Iterator[Any]] = []
    for note in notes:
        tracks.append(iter(json.loads(note.read_text())["masklet"]))
    return [[mask for masks in step for mask in masks] for step in zip(*tracks, strict=False)]


def _labels(masks: list[dict[str, Any]], size: tuple[int, ...]) -> np.ndarray:
    """(H, W) uint8 index map of up to 254 masks, painted from the largest to the smallest."""
    decoded = [rle.decode(mask) for mask in masks[:254]]
    labels = np.zeros(size, np.uint8)
    for number in sorted(range(len(decoded)), key=lambda i: -int(decoded[i].sum())):
        if decoded[number].shape != labels.shape:
            raise ValueError(f"a mask is {decoded[number].shape[::-1]} and the video {labels.shape[::-1]} pixels")
        labels[decoded[number]] = number + 1
    return labels
