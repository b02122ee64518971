"""Labelled videos on disk: which layout a folder has, its sequences, their pictures and true masks.

Layouts: `davis` (JPEGImages and Annotations with one index PNG a frame; MOSE and DAVIS-2016 are the same),
`youtubevos` (the same with meta.json, few frames annotated), `sav` (a folder of PNGs for every object of a video),
`sav-json` (videos with masklet files) and `plain` (folders of index PNGs, pictures of the same name beside them or
none). Masks and pictures belong together by file name, never by position. What counts is for `protocols`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol as Interface

import numpy as np

from vidseg.errors import DataError, MaskFormatError
from vidseg.masks import palette, rle
from vidseg.video.folder import SUFFIXES, natural_key

LAYOUTS = ("davis", "youtubevos", "sav", "sav-json", "plain")
IGNORED = 255  # the value that marks pixels nobody labelled; in DAVIS-2016 it is the object
_SAV_STRIDE = 4  # SA-V is filmed at 24 frames a second and annotated at 6


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """The true masks of one frame: {id: (H, W) bool} of the objects that are there, and the frame's size (H, W).

    In index masks 255 comes as an object of that id; a protocol says what it means.
    """

    masks: Mapping[int, np.ndarray]
    size: tuple[int, int]


class Labels(Interface):
    """The true masks of one video, wherever they are kept."""

    def frames(self, object_id: int | None = None) -> tuple[int, ...]:
        """Indices of the frames in which the object (or any) was annotated, visible or not, ascending."""
        ...

    def read(self, frame: int) -> Truth:
        """The true masks of an annotated frame."""
        ...

    def name(self, object_id: int) -> str:
        """What the data set calls the object."""
        ...

    def declared(self) -> tuple[int, ...]:
        """The ids that the data set lists, whether or not any mask holds them; none where it keeps no list."""
        ...


@dataclass(frozen=True)
class LabelledVideo:
    """One sequence: `pictures` are its frames in order (or one video file, or nothing), `labels` its true masks.

    Attributes:
        name: the sequence's name in the data set.
        stems: the file name of every frame without its ending; masks of the frame are written under this name.
    """

    name: str
    pictures: tuple[Path, ...] | Path
    stems: tuple[str, ...]
    labels: Labels

    def stem(self, frame: int) -> str:
        """The file name of a frame's masks without its ending; past the last labelled frame of a video, its number."""
        return self.stems[frame] if frame < len(self.stems) else f"{frame:05d}"

    @cached_property
    def first_seen(self) -> dict[int, int]:
        """{object id: first annotated frame in which it is visible}, ids ascending. Reads all annotations."""
        seen: dict[int, int] = {}
        for frame in self.labels.frames():
            for object_id in self.labels.read(frame).masks:
                seen.setdefault(object_id, frame)
        return dict(sorted(seen.items()))

    def absent(self) -> tuple[str, ...]:
        """A line for each object that the data set lists and no mask shows. Where it keeps a list, reads all masks."""
        lines = []
        for object_id in self.labels.declared():
            if object_id not in self.first_seen:
                lines.append(f"{self.name}: object {self.labels.name(object_id)} is listed and never appears in a mask")
        return tuple(lines)


@dataclass(frozen=True)
class Dataset:
    """The labelled videos of one folder, and a line for everything in it that could not be used."""

    folder: Path
    layout: str
    videos: tuple[LabelledVideo, ...]
    skipped: tuple[str, ...] = ()

    def select(self, names: tuple[str, ...]) -> Dataset:
        """Return the data set with only the sequences called `names`, in that order; all if there are none.

        Raises DataError if a name is unknown.
        """
        known = {video.name: video for video in self.videos}
        for name in names:
            if name not in known:
                raise DataError(f"{self.folder} has no sequence {name!r}; it has {_listed(sorted(known))}")
        videos = tuple(known[name] for name in names) if names else self.videos
        return Dataset(self.folder, self.layout, videos, self.skipped)


def open_dataset(folder: str | Path) -> Dataset:
    """Find out how the videos and masks of `folder` are laid out and list them; no picture is read.

    Raises DataError if the folder is missing or holds nothing that can be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder; expected labelled video, such as JPEGImages and Annotations")
    pictures, annotations = _part(folder, "JPEGImages"), _part(folder, "Annotations")
    if annotations is not None:
        layout, videos, skipped = _beside(folder, pictures, annotations)
    elif any(folder.rglob("*_manual.json")) or any(folder.rglob("*_auto.json")):
        layout, videos, skipped = "sav-json", *_masklets(folder)
    else:
        layout, videos, skipped = "plain", *_plain(folder)
    if not videos:
        reasons = f" ({_listed(list(skipped))})" if skipped else ""
        raise DataError(
            f"{folder} holds no labelled video{reasons}; expected JPEGImages and Annotations, SA-V's masklet files, or "
            "folders of index PNGs with pictures of the same name"
        )
    return Dataset(folder, layout, tuple(videos), tuple(skipped))


@dataclass(frozen=True)
class IndexLabels:
    """One PNG a frame in which a pixel's value is the object's id; `listed` are the ids that meta.json names."""

    files: Mapping[int, Path]
    listed: tuple[int, ...] = ()

    def frames(self, object_id: int | None = None) -> tuple[int, ...]:
        """Indices of the frames that have a PNG, which speaks of all objects."""
        return tuple(sorted(self.files))

    def read(self, frame: int) -> Truth:
        """Every id in the PNG with its mask. Raises MaskFormatError if the file is damaged."""
        index = palette.read_index(self.files[frame])
        return Truth(palette.split(index), index.shape)

    def name(self, object_id: int) -> str:
        """The id."""
        return str(object_id)

    def declared(self) -> tuple[int, ...]:
        """Those of meta.json."""
        return self.listed


@dataclass(frozen=True)
class FolderLabels:
    """SA-V's validation form: a folder of two-valued PNGs for every object, so that objects may overlap.

    Objects are numbered from 1 in the order of their names ("000" is 1).
    """

    objects: tuple[tuple[str, Mapping[int, Path]], ...]

    def frames(self, object_id: int | None = None) -> tuple[int, ...]:
        """Indices of the frames for which the object's folder (or any) has a PNG."""
        objects = self.objects if object_id is None else self.objects[object_id - 1 : object_id]
        return tuple(sorted({frame for _, files in objects for frame in files}))

    def read(self, frame: int) -> Truth:
        """The masks of the objects visible in the frame. Raises DataError if their sizes differ."""
        masks: dict[int, np.ndarray] = {}
        size: tuple[int, int] = (0, 0)
        for object_id, (_, files) in enumerate(self.objects, start=1):
            if frame not in files:
                continue
            mask = palette.read_index(files[frame]) > 0
            if masks and mask.shape != size:
                raise DataError(f"{files[frame]} is {mask.shape[::-1]} pixels, other objects of the frame {size[::-1]}")
            size = mask.shape
            if mask.any():
                masks[object_id] = mask
        return Truth(masks, size)

    def name(self, object_id: int) -> str:
        """The name of the object's folder."""
        return self.objects[object_id - 1][0]

    def declared(self) -> tuple[int, ...]:
        """One for every folder."""
        return tuple(range(1, len(self.objects) + 1))


@dataclass(frozen=True)
class MaskletLabels:
    """SA-V's training form: a JSON file with one run-length mask for every annotated frame and object.

    Every fourth frame of the video is annotated. Objects are numbered from 1 in the file's order.
    """

    path: Path
    stride: int = field(default=_SAV_STRIDE)

    @cached_property
    def _content(self) -> dict:
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            missing = {"masklet", "masklet_id", "video_height", "video_width"} - set(content)
        except (OSError, ValueError, TypeError) as error:
            raise MaskFormatError(f"{self.path} is not a SA-V masklet file ({error}); expected JSON") from error
        if missing:
            raise MaskFormatError(f"{self.path} is not a SA-V masklet file: it has no {min(missing)!r}")
        return content

    def frames(self, object_id: int | None = None) -> tuple[int, ...]:
        """Every fourth frame, as many as the file has."""
        return tuple(range(0, len(self._content["masklet"]) * self.stride, self.stride))

    def read(self, frame: int) -> Truth:
        """The masks of the objects visible in the frame. Raises MaskFormatError if a run length is malformed."""
        found = {}
        for object_id, coded in enumerate(self._content["masklet"][frame // self.stride], start=1):
            mask = rle.decode(coded) if coded else None
            if mask is not None and mask.any():
                found[object_id] = mask
        size = int(self._content["video_height"]), int(self._content["video_width"])
        return Truth(found, size)

    def name(self, object_id: int) -> str:
        """The masklet's id."""
        return str(self._content["masklet_id"][object_id - 1])

    def declared(self) -> tuple[int, ...]:
        """One for every masklet."""
        return tuple(range(1, len(self._content["masklet_id"]) + 1))


def _part(folder: Path, name: str) -> Path | None:
    """The sub-folder called `name` (or `name_24fps`, ...), stepping into DAVIS's 480p or Full-Resolution."""
    found = sorted(path for path in folder.glob(f"{name}*") if path.is_dir() and "unsupervised" not in path.name)
    if not found:
        return None
    inner = (found[0] / resolution for resolution in ("480p", "Full-Resolution"))
    return next((place for place in inner if place.is_dir()), found[0])


def _beside(folder: Path, pictures: Path | None, annotations: Path) -> tuple[str, list[LabelledVideo], list[str]]:
    """JPEGImages and Annotations: DAVIS, MOSE, YouTube-VOS or SA-V's validation form."""
    videos: list[LabelledVideo] = []
    skipped: list[str] = []
    layout = "youtubevos" if (folder / "meta.json").is_file() else "davis"
    listed = _listed_ids(folder / "meta.json", skipped) if layout == "youtubevos" else {}
    for place in sorted(path for path in annotations.iterdir() if path.is_dir()):
        shown = _pictures(pictures / place.name) if pictures else ()
        if pictures and not shown:
            skipped.append(f"{place.name}: no pictures in {pictures / place.name}")
            continue
        objects = sorted(path for path in place.iterdir() if path.is_dir())
        if objects:
            layout = "sav"
            files = [file for one in objects for file in one.glob("*.png")]
            stems = _stems(shown, files)
            labels: Labels = FolderLabels(tuple((one.name, _by_frame(one.glob("*.png"), stems)) for one in objects))
        else:
            files = list(place.glob("*.png"))
            stems = _stems(shown, files)
            labels = IndexLabels(_by_frame(files, stems), listed.get(place.name, ()))
        if labels.frames():
            videos.append(LabelledVideo(place.name, shown, stems, labels))
            skipped += _without_picture(place.name, files, stems)
        else:
            skipped.append(f"{place.name}: no mask in {place} belongs to a picture")
    return layout, videos, skipped


def _masklets(folder: Path) -> tuple[list[LabelledVideo], list[str]]:
    """SA-V's training form: NAME.mp4 with NAME_manual.json (else NAME_auto.json) beside it."""
    videos, skipped = [], []
    for path in sorted(folder.rglob("*_manual.json")) or sorted(folder.rglob("*_auto.json")):
        name = path.stem.rsplit("_", 1)[0]
        video = path.with_name(f"{name}.mp4")
        if not video.is_file():
            skipped.append(f"{name}: {video} is missing")
            continue
        labels = MaskletLabels(path)
        stems = tuple(f"{frame:05d}" for frame in range(labels.frames()[-1] + _SAV_STRIDE if labels.frames() else 0))
        videos.append(LabelledVideo(name, video, stems, labels))
    return videos, skipped


def _plain(folder: Path) -> tuple[list[LabelledVideo], list[str]]:
    """Folders of PNGs, with pictures of the same name and another ending beside them or without pictures."""
    videos, skipped = [], []
    places = sorted(path for path in folder.iterdir() if path.is_dir())
    for place in [folder] if any(folder.glob("*.png")) else places:
        shown = _pictures(place, but=".png")
        files = list(place.glob("*.png"))
        stems = _stems(shown, files)
        labels = IndexLabels(_by_frame(files, stems))
        if labels.frames():
            videos.append(LabelledVideo(place.name, shown, stems, labels))
            skipped += _without_picture(place.name, files, stems)
        else:
            skipped.append(f"{place.name}: no index PNG in {place} belongs to a picture")
    return videos, skipped


def _pictures(place: Path, *, but: str = "") -> tuple[Path, ...]:
    if not place.is_dir():
        return ()
    found = [path for path in place.iterdir() if path.suffix.lower() in SUFFIXES and path.suffix != but]
    found = [path for path in found if not path.name.startswith(".")]
    if len({path.suffix for path in found}) > 1:
        raise DataError(f"the pictures in {place} have different endings; expected one kind")
    return tuple(sorted(found, key=natural_key))


def _stems(pictures: tuple[Path, ...], masks: list[Path]) -> tuple[str, ...]:
    """The names of the frames in order: those of the pictures, or of the masks where there are no pictures."""
    if pictures:
        return tuple(path.stem for path in pictures)
    return tuple(sorted({path.stem for path in masks}, key=lambda stem: natural_key(Path(stem))))


def _by_frame(files: Iterable[Path], stems: tuple[str, ...]) -> dict[int, Path]:
    places = {stem: index for index, stem in enumerate(stems)}
    return {places[path.stem]: path for path in sorted(files) if path.stem in places}


def _without_picture(name: str, files: Iterable[Path], stems: tuple[str, ...]) -> list[str]:
    """A line for the masks of a video that belong to none of its pictures, if there are any."""
    lone = sorted(file for file in files if file.stem not in set(stems))
    return [f"{name}: {len(lone)} masks belong to no picture, the first being {lone[0]}"] if lone else []


def _listed_ids(path: Path, skipped: list[str]) -> dict[str, tuple[int, ...]]:
    """{video: ids of its objects} of meta.json; none, and a line in `skipped`, if it is not as YouTube-VOS has it."""
    try:
        videos = json.loads(path.read_text(encoding="utf-8"))["videos"]
        return {name: tuple(sorted(map(int, video["objects"]))) for name, video in videos.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        skipped.append(f"{path}: not a list of videos and objects as YouTube-VOS has it ({error!r})")
        return {}


def _listed(names: list[str], *, most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
