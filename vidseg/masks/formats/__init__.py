"""The formats of other tools: a module each, with `write(annotations, out, **options) -> Report` and mostly `read`.

To add one: write its module and add its line to FORMATS.
"""

from __future__ import annotations

from types import ModuleType

from ...errors import MaskFormatError
from . import (
    coco,
    coco_video,
    cvat,
    davis,
    label_studio,
    mots,
    npz,
    sav,
    table,
    yolo_seg,
    yolo_track,
    youtube_vos,
)

FORMATS: dict[str, ModuleType] = {
    "davis": davis,
    "youtube-vos": youtube_vos,
    "coco": coco,
    "coco-video": coco_video,
    "yolo-seg": yolo_seg,
    "yolo-track": yolo_track,
    "mots": mots,
    "cvat": cvat,
    "label-studio": label_studio,
    "sav": sav,
    "npz": npz,
    "csv": table,
}
"""name -> module; all of them write, those of READABLE read too."""

READABLE: tuple[str, ...] = tuple(name for name, module in FORMATS.items() if hasattr(module, "read"))


def find(name: str, *, reading: bool = False) -> ModuleType:
    """Return the module of a format.

    Raises MaskFormatError, listing the formats there are, if the name is unknown or cannot be read.
    """
    known = READABLE if reading else tuple(FORMATS)
    if name not in known:
        raise MaskFormatError(
            f"format {name!r} cannot be {'read' if reading else 'written'}; expected one of {', '.join(known)}"
        )
    return FORMATS[name]
