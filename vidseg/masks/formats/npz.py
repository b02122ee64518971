"""numpy: one .npz a video that `numpy.load` opens without this package.

Written: `<video>.npz` with, for N objects and T frames, `masks_00012` (N, H, W) bool for every frame that has a mask
(loaded one at a time, as numpy reads an array when it is asked for), `ids` (N,), `names`, `categories`, `crowds`,
`boxes` (T, N, 4) xyxy and `scores` (T, N), both NaN where there is none, `visible` (T, N) bool, `size` [H, W],
`frames` T, `times`, `fps`, `frame_names`. Everything is held, overlaps included.
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np

from ...errors import MaskFormatError
from ...types import Box
from .. import rle
from ..annotation import Annotation, Annotations, Track, checked
from ..files import replacing
from ..report import LOSSES, Report, Tally
from .fields import as_frames

NAME = "npz"
_DAMAGED = (zipfile.BadZipFile, zlib.error, MemoryError, NotImplementedError, OverflowError, RuntimeError, SyntaxError)


def write(annotations: Annotations, out: str | Path) -> Report:
    """Write one .npz a video into `out`; one frame's masks are in memory at a time."""
    videos = checked(annotations)
    tally = Tally(NAME, out, holds=LOSSES)
    for annotation in videos:
        tally.video(annotation)
        with (
            replacing(Path(out) / f"{annotation.video}.npz", binary=True) as file,
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            for name, array in _tables(annotation).items():
                _store(archive, name, array)
            for frame in range(annotation.frames):
                present = dict(enumerate(track.masks.get(frame) for track in annotation.tracks))
                if any(present.values()):
                    masks = np.zeros((len(present), *annotation.size), bool)
                    for n, mask in present.items():
                        if mask:
                            masks[n] = rle.decode(mask)
                            tally.masks += 1
                    _store(archive, f"masks_{frame:05d}", masks)
        tally.files += 1
        tally.boxes += sum(len(track.boxes) for track in annotation.tracks)
    return tally.report()


def read(path: str | Path) -> list[Annotation]:
    """Return the annotation of an .npz file that `write` made, or of all in a folder.

    Raises MaskFormatError if an array is missing or of another shape than the others.
    """
    path = Path(path)
    paths = sorted(path.glob("*.npz")) if path.is_dir() else [path]
    if not paths:
        raise MaskFormatError(f"{path} holds no .npz files")
    return [_read(file) for file in paths]


def _tables(annotation: Annotation) -> dict[str, np.ndarray]:
    tracks, frames = annotation.tracks, annotation.frames
    boxes = np.full((frames, len(tracks), 4), np.nan)
    scores = np.full((frames, len(tracks)), np.nan)
    visible = np.zeros((frames, len(tracks)), bool)
    for n, track in enumerate(tracks):
        for frame in track.frames():
            boxes[frame, n] = track.box(frame)
        for frame, score in track.scores.items():
            scores[frame, n] = score
        visible[list(track.masks), n] = True
    return {
        "ids": np.array([track.id for track in tracks], np.int64),
        "names": np.array([track.name for track in tracks], np.str_),
        "categories": np.array([track.category for track in tracks], np.str_),
        "crowds": np.array([track.crowd for track in tracks], bool),
        "boxes": boxes,
        "scores": scores,
        "visible": visible,
        "size": np.array(annotation.size, np.int64),
        "frames": np.array(frames, np.int64),
        "times": np.array(annotation.times, np.float64),
        "fps": np.array(np.nan if annotation.fps is None else annotation.fps, np.float64),
        "frame_names": np.array(annotation.frame_names, np.str_),
    }


def _store(archive: zipfile.ZipFile, name: str, array: np.ndarray) -> None:
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array(file, array, allow_pickle=False)


def _read(path: Path) -> Annotation:
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _annotation(path, arrays)
    except KeyError as error:
        raise MaskFormatError(f"{path} has no array {error.args[0]}; expected the arrays that vidseg writes") from None
    except (*_DAMAGED, OSError, ValueError, TypeError, IndexError, AttributeError, EOFError) as error:
        raise MaskFormatError(f"{path} cannot be read ({error}); expected an .npz file of masks") from None


def _annotation(path: Path, arrays: np.lib.npyio.NpzFile) -> Annotation:
    height, width = (int(n) for n in arrays["size"])
    frames, ids = as_frames(int(arrays["frames"]), f"{path}: frames"), arrays["ids"].tolist()
    boxes, scores, visible = arrays["boxes"], arrays["scores"], arrays["visible"]
    if boxes.shape != (frames, len(ids), 4) or scores.shape != visible.shape or visible.shape != (frames, len(ids)):
        raise MaskFormatError(
            f"{path} has boxes of shape {boxes.shape} and scores of shape {scores.shape}; "
            f"expected ({frames}, {len(ids)}, 4) and ({frames}, {len(ids)})"
        )
    masks: list[dict[int, rle.Rle]] = [{} for _ in ids]
    for frame in np.flatnonzero(visible.any(axis=1)).tolist():
        stack = arrays[f"masks_{frame:05d}"]
        if stack.shape != (len(ids), height, width) or stack.dtype != bool:
            raise MaskFormatError(f"{path}: masks_{frame:05d} has the shape {stack.shape} and type {stack.dtype}")
        for n in np.flatnonzero(visible[frame]).tolist():
            masks[n][frame] = rle.encode(stack[n])
    given = ~np.isnan(boxes).any(axis=2) & ~visible
    tracks = tuple(
        Track(
            id=number,
            name=str(arrays["names"][n]),
            category=str(arrays["categories"][n]),
            masks=masks[n],
            scores={f: float(scores[f, n]) for f in np.flatnonzero(~np.isnan(scores[:, n])).tolist()},
            boxes={f: Box(*boxes[f, n].tolist()) for f in np.flatnonzero(given[:, n]).tolist()},
            crowd=bool(arrays["crowds"][n]),
        )
        for n, number in enumerate(ids)
    )
    fps = float(arrays["fps"])
    return Annotation(
        video=path.stem,
        size=(height, width),
        frames=frames,
        tracks=tracks,
        times=tuple(arrays["times"].tolist()),
        fps=None if np.isnan(fps) else fps,
        frame_names=tuple(arrays["frame_names"].tolist()),
    )
