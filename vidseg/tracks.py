"""`tracks.json`: what was found in every frame, and the journal from which it is put together.

The file is one JSON object with a header (`TracksHeader`) and "frames", a list with one frame a line:

    {"frame": 0, "seconds": 0.0, "objects": [{"id": 1, "visible": true, "score": 9.1, "iou": 0.93,
     "box": [280, 60, 400, 330], "segmentation": {"size": [H, W], "counts": "..."}}]}

`segmentation` is a COCO compressed RLE at the size of the original frame, `box` its tight xyxy box in pixels (x2 and y2
one past the last pixel) or null, `score` the object-score logit (above 0: there), `iou` the predicted quality of the
mask. A frame that could not be decoded has "skipped": the reason, and no objects.

While a run is going on, records are appended to a journal of such lines, so memory does not grow with the video; the
journal is flushed to the disk at every checkpoint and cut back to the last one on resume.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vidseg.errors import MaskFormatError
from vidseg.masks import boxes, palette, rle
from vidseg.masks.files import replacing

__all__ = [
    "FORMAT",
    "FrameRecord",
    "Journal",
    "ObjectRecord",
    "Tracks",
    "TracksHeader",
    "frame_record",
    "read_tracks",
    "write_tracks",
]

FORMAT = "vidseg-tracks-1"
"""The first value of a tracks file; the number grows when readers must change."""


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object on one frame, in plain values (units and ranges at the top of this module)."""

    id: int
    visible: bool
    score: float
    iou: float
    box: tuple[int, int, int, int] | None
    segmentation: rle.Rle

    def mask(self) -> np.ndarray:
        """The (H, W) bool mask."""
        return rle.decode(self.segmentation)


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """All objects on one frame, ids ascending; `skipped` says why a frame has none although there are some."""

    frame: int
    seconds: float | None
    objects: tuple[ObjectRecord, ...] = ()
    skipped: str | None = None

    def index(self, size: tuple[int, int]) -> np.ndarray:
        """The (H, W) uint8 index mask of the frame: the id of the object, 0 elsewhere."""
        masks = np.zeros((len(self.objects), *size), bool)
        for n, found in enumerate(self.objects):
            masks[n] = found.mask()
        return palette.merge(masks, [found.id for found in self.objects])

    def joined(self, other: FrameRecord) -> FrameRecord:
        """This record with the objects of another of the same frame, whose word counts where both have one."""
        objects = {found.id: found for found in (*self.objects, *other.objects)}
        seconds = self.seconds if other.seconds is None else other.seconds
        return FrameRecord(
            self.frame, seconds, tuple(objects[id] for id in sorted(objects)), other.skipped or self.skipped
        )

    def to_line(self) -> str:
        """One line of JSON, without the newline."""
        record = asdict(self)
        if self.skipped is None:
            del record["skipped"]
        return json.dumps(record, separators=(", ", ": "))

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> FrameRecord:
        """The record of a decoded line."""
        objects = tuple(
            ObjectRecord(**{**found, "box": None if found["box"] is None else tuple(found["box"])})
            for found in record["objects"]
        )
        return cls(record["frame"], record["seconds"], objects, record.get("skipped"))


def frame_record(
    frame: int, seconds: float | None, masks: np.ndarray, *, ids: Sequence[int], score: np.ndarray, iou: np.ndarray
) -> FrameRecord:
    """Return the record of (N, H, W) bool masks with (N,) score logits and predicted IoUs."""
    objects = []
    for mask, box, id, there, quality in zip(masks, boxes(masks), ids, score, iou, strict=True):
        x1, y1, x2, y2 = (int(edge) for edge in box)
        seen = x2 > x1
        objects.append(
            ObjectRecord(
                id=int(id),
                visible=bool(seen and there > 0),
                score=round(float(there), 4),
                iou=round(float(quality), 4),
                box=(x1, y1, x2, y2) if seen else None,
                segmentation=rle.encode(mask),
            )
        )
    return FrameRecord(frame, seconds, tuple(sorted(objects, key=lambda found: found.id)))


@dataclass(frozen=True, slots=True)
class TracksHeader:
    """What a run was asked: two runs with equal headers give equal results.

    Attributes:
        version: of vidseg.
        model: name, digest of the weights, image size, number type and device.
        source: name, digest, number of frames (None for a stream) and fps of the video.
        size: (H, W) of the frames and masks in pixels.
        start, stop: the range of frames, `stop` not included; None is the end of a stream.
        direction: "forward", "reverse" or "both".
        prompts: in the form of `vidseg.prompts`.
    """

    version: str
    model: dict[str, Any]
    source: dict[str, Any]
    size: tuple[int, int]
    start: int
    stop: int | None
    direction: str
    prompts: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The header as decoded JSON, with the format's name first."""
        return {"format": FORMAT, **json.loads(json.dumps(asdict(self)))}

    @classmethod
    def from_json(cls, content: dict[str, Any], *, name: str) -> TracksHeader:
        """The header of decoded JSON; `name` is used in messages.

        Raises MaskFormatError if it is not that of a tracks file that this version reads.
        """
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise MaskFormatError(f"{name} is not a tracks file of this version of vidseg; expected format {FORMAT!r}")
        try:
            values = {key: content[key] for key in cls.__slots__}
        except KeyError as error:
            raise MaskFormatError(f"{name} has no {error}; a tracks file is written by `vidseg track`") from None
        return cls(**{**values, "size": tuple(values["size"])})


@dataclass(frozen=True, slots=True)
class Tracks:
    """A tracks file in memory."""

    header: TracksHeader
    frames: tuple[FrameRecord, ...]


def read_tracks(path: str | Path) -> Tracks:
    """Read a `tracks.json`.

    Raises MaskFormatError if the file is missing or not a tracks file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise MaskFormatError(f"{path} cannot be read as a tracks file ({error}); expected a tracks.json") from None
    header = TracksHeader.from_json(content, name=str(path))
    try:
        return Tracks(header, tuple(FrameRecord.from_json(record) for record in content["frames"]))
    except (KeyError, TypeError) as error:
        raise MaskFormatError(f"{path} has frames of another form ({error}); was it edited?") from None


def write_tracks(path: str | Path, header: TracksHeader, records: Iterable[FrameRecord]) -> None:
    """Write a `tracks.json` record by record; the file appears whole or not at all."""
    head = json.dumps(header.to_json(), indent=1)
    with replacing(path) as file:
        file.write(head.removesuffix("\n}") + ',\n "frames": [')
        for n, record in enumerate(records):
            file.write((",\n" if n else "\n") + record.to_line())
        file.write("\n]}\n")
        file.flush()
        os.fsync(file.fileno())


class Journal:
    """Frame records on the disk, in the order they were made; a context manager.

    Opening keeps the first `length` bytes of what is there and drops the rest, which a killed process may have left
    in the middle of a line. Raises BlockingIOError if another process has it open (not on Windows), and ValueError if
    it is shorter.
    """

    def __init__(self, path: str | Path, *, length: int = 0) -> None:
        self.path = Path(path)
        self.path.touch()
        self._file = open(path, "r+b")  # noqa: SIM115 - closed by __exit__
        try:
            _lock(self._file.fileno())
            if os.fstat(self._file.fileno()).st_size < length:
                raise ValueError(f"{self.path.name} is shorter than {length} bytes")
        except (OSError, ValueError):
            self._file.close()
            raise
        self._file.truncate(length)
        self._file.seek(length)

    def append(self, record: FrameRecord) -> None:
        """Add a record; it is safe on the disk after the next `sync`."""
        self._file.write(record.to_line().encode() + b"\n")

    def sync(self) -> int:
        """Flush to the disk and return the length in bytes, to open the journal with later."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def records(self) -> Iterator[FrameRecord]:
        """Yield one record a frame, frames ascending, those of several passes joined. Keeps 16 bytes a line."""
        self._file.flush()
        places = array("q")
        with open(self.path, "rb") as lines:
            offset = 0
            for line in lines:
                places.extend((int(line[len(b'{"frame": ') : line.index(b",")]), offset))
                offset += len(line)
            table = np.frombuffer(places, np.int64).reshape(-1, 2)
            current: FrameRecord | None = None
            for offset in table[np.argsort(table[:, 0], kind="stable"), 1]:
                lines.seek(offset)
                record = FrameRecord.from_json(json.loads(lines.readline()))
                if current is not None and current.frame == record.frame:
                    current = current.joined(record)
                    continue
                if current is not None:
                    yield current
                current = record
            if current is not None:
                yield current

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _lock(file: int) -> None:
    """Lock a file descriptor until it is closed or its process ends; raises BlockingIOError if another one has it."""
    try:
        import fcntl
    except ImportError:  # Windows
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
