"""DAVIS: a folder a video with one palette PNG a frame; a pixel's value is the id of its object.

Written: `Annotations/<video>/<frame>.png` for every frame and `ImageSets/all.txt`, the list of videos. Read: such a
folder (also with one level more, as `Annotations/480p/<video>`), a folder of video folders, or one folder of PNGs.
Overlaps go to the object on top; names, categories and scores have no place. Grey masks (0 and 255) read as object 255.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import MaskFormatError
from .. import palette, rle
from ..annotation import Annotation, Annotations, Track, checked, from_index_masks
from ..files import replacing
from ..report import Report, Tally

NAME = "davis"


def write(annotations: Annotations, out: str | Path, *, renumber: bool = False) -> Report:
    """Write palette PNGs below `out`.

    Raises MaskFormatError if an object id is above 255; with `renumber` the objects of such a video become 1, 2, 3 ...
    """
    tally = Tally(NAME, out, holds={"identities", "frame_names"})
    videos = tuple(with_small_ids(annotation, renumber, tally) for annotation in checked(annotations))
    for annotation in videos:
        write_pngs(annotation, Path(out) / "Annotations" / annotation.video, tally)
    with replacing(Path(out) / "ImageSets" / "all.txt") as file:
        file.writelines(annotation.video + "\n" for annotation in videos)
    tally.files += 1
    return tally.report()


def read(path: str | Path) -> list[Annotation]:
    """Return the annotations of the videos in a folder; frames are numbered in the order of their file names.

    Raises MaskFormatError if there are no PNGs, or one is not an index mask or of another size than its video.
    """
    return [read_pngs(folder) for folder in video_folders(Path(path))]


def write_pngs(annotation: Annotation, folder: Path, tally: Tally) -> None:
    """Write one index PNG for every frame, and count what does not fit."""
    tally.video(annotation)
    for frame, index in index_masks(annotation, tally):
        palette.write_index(folder / f"{annotation.frame_name(frame)}.png", index.astype(np.uint8))
        tally.files += 1


def with_small_ids(annotation: Annotation, renumber: bool, tally: Tally) -> Annotation:
    """Return the annotation with ids that fit a byte.

    Raises MaskFormatError if there are more than 255 objects, or an id is above 255 and `renumber` is not set.
    """
    ids = [track.id for track in annotation.tracks]
    if renumber and any(number > 255 for number in ids):
        tally.lose("ids", sum(number != n for n, number in enumerate(ids, 1)))
        tracks = tuple(replace(track, id=n) for n, track in enumerate(annotation.tracks, 1))
        annotation = replace(annotation, tracks=tracks)
    palette.check_ids([track.id for track in annotation.tracks])
    return annotation


def index_masks(annotation: Annotation, tally: Tally) -> Iterator[tuple[int, np.ndarray]]:
    """Yield every frame's number and (H, W) int32 map of track ids, and count the pixels that two objects share."""
    for frame in range(annotation.frames):
        index = np.zeros(annotation.size, np.int32)
        for track, counts in annotation.masks_at(frame):
            mask = rle.decode(counts)
            covered = np.count_nonzero(index[mask])
            if covered:
                tally.lose("overlap", covered)
            index[mask] = track.id
            tally.masks += 1
        yield frame, index


def read_pngs(folder: Path) -> Annotation:
    """Return the annotation of one folder of index PNGs, named after the folder."""
    paths = sorted(folder.glob("*.png"))
    if not paths:
        raise MaskFormatError(f"{folder} holds no PNG files; expected one index mask a frame")
    found: dict[int, dict[int, rle.Rle]] = {}
    size = None
    for frame, path in enumerate(paths):
        index = palette.read_index(path)
        size = size or index.shape
        if index.shape != size:
            raise MaskFormatError(
                f"{path} is {index.shape[1]}x{index.shape[0]}; the first mask of its video is {size[1]}x{size[0]}"
            )
        from_index_masks(index, frame, found)
    assert size is not None
    names = tuple(path.stem for path in paths)
    return Annotation(
        video=folder.name,
        size=(size[0], size[1]),
        frames=len(paths),
        tracks=tuple(Track(id=number, masks=masks) for number, masks in sorted(found.items())),
        frame_names=() if names == tuple(f"{n:05d}" for n in range(len(names))) else names,
    )


def video_folders(path: Path) -> list[Path]:
    """Return the folders that hold PNGs: `path` itself, or up to three levels below it.

    Raises MaskFormatError if there are none.
    """
    if not path.is_dir():
        raise MaskFormatError(f"{path} is no folder; expected a folder of index masks")
    start = path / "Annotations" if (path / "Annotations").is_dir() else path
    level = [start]
    for _ in range(3):
        found = [folder for folder in level if any(folder.glob("*.png"))]
        if found:
            return found
        level = sorted(child for folder in level for child in folder.iterdir() if child.is_dir())
    raise MaskFormatError(f"{path} holds no PNG files; expected Annotations/<video>/00000.png")
