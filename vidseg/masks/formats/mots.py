"""MOTS (KITTI MOTS and MOTSChallenge): 16-bit PNGs with pixel value class * 1000 + instance, and the text form.

Written: `instances/<video>/<frame>.png`, six digits from 000000; `instances_txt/<video>.txt`, a line an object and
frame: `frame id class height width run-lengths`; and `classes.txt`. In both every pixel belongs to one object, as the
benchmark demands. Classes are 1 car, 2 pedestrian, others from 3 in the order met (10 stays free: it means "ignore").
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from ...errors import MaskFormatError
from .. import rle
from ..annotation import Annotation, Annotations, Track, categories, checked, from_index_masks
from ..files import replacing, write_png
from ..report import Report, Tally
from .davis import index_masks, video_folders
from .fields import as_frames, as_int, as_size

NAME = "mots"
CLASSES = {"car": 1, "pedestrian": 2}
IGNORE = 10


def write(annotations: Annotations, out: str | Path) -> Report:
    """Write PNGs, text files and classes.txt below `out`.

    Raises MaskFormatError if there are more than 62 categories beside car and pedestrian, or 999 objects of one.
    """
    videos, out = checked(annotations), Path(out)
    tally = Tally(NAME, out, holds={"identities", "categories"})
    classes = _classes(videos)
    for annotation in videos:
        tally.video(annotation)
        values = _values(annotation, classes, tally)
        renamed = replace(annotation, tracks=tuple(replace(t, id=values[t.id]) for t in annotation.tracks))
        with ExitStack() as stack:
            text = stack.enter_context(replacing(out / "instances_txt" / f"{annotation.video}.txt"))
            for frame, index in index_masks(renamed, tally):
                write_png(out / "instances" / annotation.video / f"{frame:06d}.png", index.astype(np.uint16))
                for value in np.unique(index[index > 0]).tolist():
                    mask = rle.encode(index == value)
                    height, width = mask["size"]
                    text.write(f"{frame} {value} {value // 1000} {height} {width} {mask['counts']}\n")
        tally.files += annotation.frames + 1
    with replacing(out / "classes.txt") as file:
        file.writelines(f"{number} {name}\n" for name, number in classes.items())
    tally.files += 1
    return tally.report()


def read(path: str | Path) -> list[Annotation]:
    """Return the annotations of a MOTS text file, a folder of them, a folder of 16-bit PNGs, or what `write` wrote.

    An object's id is its instance number where that is unique in the video, else class * 1000 + instance.

    Raises MaskFormatError naming the file and line that cannot be used.
    """
    path = Path(path)
    names = _read_classes(path)
    if path.is_file():
        return [_read_text(path, names)]
    if (path / "instances").is_dir():
        return [_read_pngs(folder, names) for folder in video_folders(path / "instances")]
    texts = sorted(p for p in path.glob("*.txt") if p.name != "classes.txt")
    if texts:
        return [_read_text(file, names) for file in texts]
    return [_read_pngs(folder, names) for folder in video_folders(path)]


def _classes(videos: Iterable[Annotation]) -> dict[str, int]:
    classes: dict[str, int] = {}
    free = (n for n in range(3, 66) if n != IGNORE)
    for name in categories(videos):
        number = CLASSES.get(name) or next(free, None)
        if number is None:
            raise MaskFormatError(f"category {name!r} is one too many; MOTS PNGs hold car, pedestrian and 62 others")
        classes[name] = number
    return classes


def _values(annotation: Annotation, classes: dict[str, int], tally: Tally) -> dict[int, int]:
    """Return {track id: pixel value}; instance numbers are the ids, or are dealt anew in a class where one is > 999.

    Class 65 has room for 535 instances below the 65,536 values of a pixel.
    """
    values: dict[int, int] = {}
    for name, number in classes.items():
        ids = [track.id for track in annotation.tracks if track.category == name]
        room = min(999, 65535 - number * 1000)
        if len(ids) > room:
            raise MaskFormatError(f"{len(ids)} objects of category {name!r}; MOTS holds {room} of one class")
        fits = all(n <= room for n in ids)
        tally.lose("ids", 0 if fits else sum(n != k for k, n in enumerate(ids, 1)))
        values |= {n: number * 1000 + (n if fits else k) for k, n in enumerate(ids, 1)}
    return values


def _read_classes(path: Path) -> dict[int, str]:
    names = {number: name for name, number in CLASSES.items()} | {IGNORE: "ignore"}
    for folder in (path, path.parent, path.parent.parent):
        file = folder / "classes.txt"
        if file.is_file():
            for n, line in enumerate(_lines(file), 1):
                number, _, name = line.partition(" ")
                names[as_int(number, f"{file}: line {n}")] = name
            break
    return names


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise MaskFormatError(f"{path} cannot be read ({error}); expected a MOTS text file") from None


def _read_text(path: Path, names: dict[int, str]) -> Annotation:
    found: dict[int, dict[int, rle.Rle]] = {}
    size, last = None, -1
    for n, line in enumerate(_lines(path), 1):
        where = f"{path}: line {n}"
        columns = line.split()
        if len(columns) != 6:
            raise MaskFormatError(f"{where} has {len(columns)} columns; expected frame, id, class, height, width, mask")
        frame = as_frames(columns[0], where)
        value, kind = (as_int(column, where, low=0) for column in columns[1:3])
        own = as_size(columns[3], columns[4], where)
        size = size or own
        if value // 1000 != kind or not 1 <= value <= 65535:
            raise MaskFormatError(f"{where} has the id {value} for class {kind}; expected class * 1000 + instance")
        if frame in found.setdefault(value, {}):
            raise MaskFormatError(f"{where}: object {value} is on frame {frame} twice")
        try:
            found[value][frame] = rle.normalise({"size": own, "counts": columns[5]}, size=size)
        except MaskFormatError as error:
            raise MaskFormatError(f"{where}: {error}") from None
        last = max(last, frame)
    if size is None:
        raise MaskFormatError(f"{path} is empty; it does not say how large the frames are")
    return _annotation(path.stem, size, last + 1, found, names)


def _read_pngs(folder: Path, names: dict[int, str]) -> Annotation:
    found: dict[int, dict[int, rle.Rle]] = {}
    size = None
    paths = sorted(folder.glob("*.png"))
    for frame, path in enumerate(paths):
        index = _read_png(path)
        size = size or index.shape
        if index.shape != size:
            raise MaskFormatError(f"{path} is {index.shape[1]}x{index.shape[0]}; the first of its video is not")
        from_index_masks(index, frame, found)
    assert size is not None
    return _annotation(folder.name, (size[0], size[1]), len(paths), found, names)


def _read_png(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            if not image.mode.startswith("I"):
                raise MaskFormatError(f"{path} has the pixel type {image.mode}; MOTS masks are 16-bit grey PNGs")
            return np.array(image).astype(np.int32)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MaskFormatError(f"{path} cannot be read as a picture ({error}); expected a 16-bit PNG") from error


def _annotation(
    video: str,
    size: tuple[int, int],
    frames: int,
    found: dict[int, dict[int, rle.Rle]],
    names: dict[int, str],
) -> Annotation:
    instances = [value % 1000 for value in found]
    unique = len(set(instances)) == len(instances) and 0 not in instances
    tracks = (
        Track(
            id=value % 1000 if unique else value,
            category=names.get(value // 1000, f"class {value // 1000}"),
            masks=masks,
            crowd=value // 1000 == IGNORE,
        )
        for value, masks in found.items()
    )
    return Annotation(video, size, frames, tuple(sorted(tracks, key=lambda track: track.id)))
