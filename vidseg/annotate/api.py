"""What may come from the page: every message and query is checked here before anything else sees it. Pure functions.

A gesture's fields are named and typed in `FIELDS`; what is missing, unknown, of another type or out of range is refused
with one line that names it. Whether an object or a frame exists is asked later, where the project is known (`guards`).
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import MaskFormatError
from ..masks import rle
from .exports import EXPORTS
from .refused import Refused
from .rows import STATES

MAX_MESSAGE = 1 << 20
"""Bytes of the longest WebSocket message."""
MAX_NUMBER = 2**31 - 1
MAX_NAME = 100
MAX_PAGE = 16 << 10
MAX_BRUSH, MAX_POLYGON, MAX_LIST = 5000, 2000, 10_000
_REACH = 1e6  # pixels: beyond any video, but still safe in OpenCV's fixed-point coordinates

Check = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Request:
    """A checked message: the page's own number for it, the gesture and its fields."""

    id: int
    do: str
    fields: Mapping[str, Any]


def parse(text: str | bytes) -> Request:
    """Return the request in a WebSocket message.

    Raises Refused("bad_request"); its `extra["id"]` is the message's id where that can be told.
    """
    try:
        message = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused("bad_request", "a message is not valid JSON") from None
    if not isinstance(message, dict):
        raise Refused("bad_request", "a message is not a JSON object with id and do")
    number, name = message.pop("id", None), message.pop("do", None)
    if not _is_int(number) or not 0 < number <= 2**53:
        raise Refused("bad_request", "a message has no id, a whole number above 0")
    try:
        return Request(number, name, check(name, message))
    except Refused as refusal:
        refusal.extra["id"] = number
        raise


def check(name: Any, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a gesture, checked and in the types that the session takes; raises Refused."""
    if not isinstance(name, str) or name not in FIELDS:
        raise Refused("bad_request", f"there is no gesture {str(name)[:40]!r}")
    return _checked(name, fields, FIELDS[name])


def _checked(name: str, fields: Mapping[str, Any], known: Mapping[str, tuple[Check, bool]]) -> dict[str, Any]:
    for field in fields:
        if field not in known:
            raise Refused("bad_request", f"{name} has no field {field[:40]!r}; it takes {', '.join(known) or 'none'}")
    found = {}
    for field, (test, required) in known.items():
        if field in fields:
            try:
                found[field] = test(fields[field])
            except ValueError as error:
                raise Refused("bad_request", f"{name}: {field} {error}") from None
        elif required:
            raise Refused("bad_request", f"{name}: {field} is missing")
    return found


def query(values: Mapping[str, str], known: Mapping[str, tuple[Check, bool]]) -> dict[str, Any]:
    """Return the checked values of an address's query; whole numbers are written in digits; raises Refused."""
    found = {}
    for field, (test, required) in known.items():
        if field in values:
            text = values[field]
            try:
                found[field] = test(int(text) if re.fullmatch(r"-?[0-9]{1,10}", text) else text)
            except ValueError as error:
                raise Refused("bad_request", f"{field} {error}") from None
        elif required:
            raise Refused("bad_request", f"{field} is missing")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def whole(low: int = 0, high: int = MAX_NUMBER) -> Check:
    """A check for whole numbers from `low` to `high`."""

    def test(value: Any) -> int:
        if not _is_int(value) or not low <= value <= high:
            raise ValueError(f"is not a whole number from {low} to {high}")
        return int(value)

    return test


def number(low: float, high: float) -> Check:
    """A check for finite numbers from `low` to `high`."""

    def test(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError("is not a number")
        if not (low <= value <= high and math.isfinite(value)):
            raise ValueError(f"is not from {low:g} to {high:g}")
        return float(value)

    return test


def one_of(*values: str) -> Check:
    """A check for one of some words."""

    def test(value: Any) -> str:
        if not isinstance(value, str) or value not in values:
            raise ValueError(f"is not one of {', '.join(values)}")
        return value

    return test


def flag(value: Any) -> bool:
    """A check for true or false."""
    if not isinstance(value, bool):
        raise ValueError("is not true or false")
    return value


def text(low: int, high: int) -> Check:
    """A check for one line of text with `low` to `high` characters; spaces around it are dropped."""

    def test(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("is not text")
        line = unicodedata.normalize("NFC", value.strip())
        if not low <= len(line) <= high:
            raise ValueError(f"does not have {low} to {high} characters")
        if any(unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp") for letter in line):
            raise ValueError("has control characters")
        return line

    return test


def colour(value: Any) -> str:
    """A check for colours, "#rrggbb"."""
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError("is not a colour such as #e69f00")
    return value.lower()


def list_of(test: Check, low: int, high: int) -> Check:
    """A check for lists of `low` to `high` values."""

    def whole_list(value: Any) -> list[Any]:
        if not isinstance(value, list) or not low <= len(value) <= high:
            raise ValueError(f"is not a list of {low} to {high} values")
        return [test(one) for one in value]

    return whole_list


def optional(test: Check) -> Check:
    """A check that also takes null."""
    return lambda value: None if value is None else test(value)


def box(value: Any) -> list[float]:
    """A check for boxes, [x1, y1, x2, y2] with an area."""
    x1, y1, x2, y2 = list_of(_COORDINATE, 4, 4)(value)
    if not (x1 < x2 and y1 < y2):
        raise ValueError("has no area; expected [x1, y1, x2, y2] with x1 < x2 and y1 < y2")
    return [x1, y1, x2, y2]


def mask(value: Any) -> rle.Rle:
    """A check for run-length masks; brings them to the canonical form."""
    if not isinstance(value, dict) or set(value) != {"size", "counts"} or not isinstance(value["counts"], str):
        raise ValueError('is not a mask {"size": [height, width], "counts": "..."}')
    try:
        return rle.normalise(value)
    except MaskFormatError as error:
        raise ValueError(f"is not a mask: {error}") from None


def settings(value: Any) -> dict[str, Any]:
    """A check for settings."""
    if not isinstance(value, dict) or not value:
        raise ValueError("is not an object with settings")
    found = {}
    for key, one in value.items():
        if key not in SETTINGS:
            raise ValueError(f"has no {key[:40]!r}; known are {', '.join(SETTINGS)}")
        try:
            found[key] = SETTINGS[key](one)
        except ValueError as error:
            raise ValueError(f"{key} {error}") from None
    return found


def _page(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or len(json.dumps(value)) > MAX_PAGE:
        raise ValueError(f"is not an object of at most {MAX_PAGE} characters")
    return value


_COORDINATE = number(0.0, _REACH)
_POINT = list_of(number(-_REACH, _REACH), 2, 2)
_ID = whole(1, 65535)
_FRAME = whole()
_OBJECTS = optional(list_of(_ID, 1, MAX_LIST))
_KEYS: Check = lambda value: value if value == "all" else list_of(text(1, 20), 1, MAX_LIST)(value)  # noqa: E731

SETTINGS: dict[str, Check] = {
    "combine": one_of("nearer", "confident"),
    "agreement": flag,
    "repropagate": one_of("auto", "off"),
    "exclusive": flag,
    "closer": flag,
    "hover": flag,
    "opacity": number(0, 1),
    "brush_radius": number(0.5, 500),
    "brightness": number(0.2, 5),
    "page": _page,
}

_VIDEO: dict[str, tuple[Check, bool]] = {"video": (whole(1), True)}
_OVERWRITE: dict[str, tuple[Check, bool]] = {"overwrite": (flag, False)}
_PLACE: dict[str, tuple[Check, bool]] = {**_VIDEO, "object": (_ID, True), "frame": (_FRAME, True), **_OVERWRITE}
_SPAN: dict[str, tuple[Check, bool]] = {"start": (_FRAME, True), "stop": (whole(1), True)}
_CLASS = text(0, MAX_NAME)
_LOOKS: dict[str, tuple[Check, bool]] = {
    "name": (text(1, MAX_NAME), False),
    "class": (_CLASS, False),
    "colour": (colour, False),
}
_GRID: dict[str, tuple[Check, bool]] = {
    "points": (whole(4, 32), False),
    "min_iou": (number(0, 1), False),
    "min_stability": (number(0, 1), False),
    "min_area": (number(0, 1), False),
    "max_overlap": (number(0, 1), False),
}
_STILL: dict[str, tuple[Check, bool]] = {**_VIDEO, "frame": (_FRAME, True)}

FIELDS: dict[str, dict[str, tuple[Check, bool]]] = {
    "object.add": {**_VIDEO, **_LOOKS},
    "object.update": {
        **_VIDEO,
        "object": (_ID, True),
        **_LOOKS,
        "hidden": (flag, False),
        "locked": (flag, False),
        "position": (whole(0, 65535), False),
    },
    "object.delete": {**_VIDEO, "object": (_ID, True), **_OVERWRITE},
    "object.merge": {**_VIDEO, "into": (_ID, True), "from": (_ID, True), **_OVERWRITE},
    "object.split": _PLACE,
    "object.swap": {**_VIDEO, "a": (_ID, True), "b": (_ID, True), **_SPAN, **_OVERWRITE},
    "prompt.click": {**_PLACE, "x": (_COORDINATE, True), "y": (_COORDINATE, True), "on": (flag, True)},
    "prompt.box": {**_PLACE, "box": (box, True)},
    "prompt.brush": {
        **_PLACE,
        "mode": (one_of("add", "erase"), True),
        "radius": (number(0.5, 500), True),
        "points": (list_of(_POINT, 1, MAX_BRUSH), True),
    },
    "prompt.polygon": {
        **_PLACE,
        "mode": (one_of("add", "erase", "replace"), True),
        "points": (list_of(_POINT, 3, MAX_POLYGON), True),
    },
    "prompt.mask": {**_PLACE, "rle": (mask, True)},
    "prompt.candidate": {**_PLACE, "index": (whole(0, 2), True)},
    "prompt.remove": {**_VIDEO, "prompt": (whole(1, 2**53), True), **_OVERWRITE},
    "prompt.clear": {**_VIDEO, "object": (_ID, True), **_SPAN, "masks": (flag, False), **_OVERWRITE},
    "hover": {
        **_STILL,
        "x": (_COORDINATE, True),
        "y": (_COORDINATE, True),
        "object": (optional(_ID), False),
        "on": (flag, False),
    },
    "frame.prepare": _STILL,
    "undo": {},
    "redo": {},
    "propagate.start": {
        **_STILL,
        "objects": (_OBJECTS, True),
        "direction": (one_of("forward", "backward", "both"), True),
        "reach": (one_of("all", "next_prompt", "range"), True),
        "start": (_FRAME, False),
        "stop": (whole(1), False),
        **_OVERWRITE,
    },
    "propagate.pause": {"job": (whole(1), True)},
    "propagate.resume": {"job": (whole(1), True)},
    "propagate.cancel": {"job": (whole(1), True)},
    "review.set": {**_VIDEO, "objects": (_OBJECTS, True), **_SPAN, "state": (one_of(*STATES), True)},
    "review.next": {
        **_VIDEO,
        "object": (optional(_ID), False),
        "frame": (optional(_FRAME), False),
        "anywhere": (flag, False),
    },
    "proposals.make": {**_STILL, **_GRID},
    "proposals.accept": {**_STILL, "keys": (_KEYS, True), "class": (_CLASS, False)},
    "proposals.dismiss": {**_STILL, "keys": (_KEYS, True)},
    "automatic.start": {**_STILL, **_GRID, "class": (_CLASS, False)},
    "model.learn": {"steps": (whole(1, 2000), False)},
    "model.stop": {},
    "model.forget": {},
    "settings.set": {"settings": (settings, True)},
    "ping": {},
}
"""Every gesture: its fields, each with its check and whether it must be given."""

_EXPORT: dict[str, tuple[Check, bool]] = {
    "format": (text(1, 20), True),
    "videos": (list_of(whole(1), 1, MAX_LIST), False),
    "states": (list_of(one_of(*STATES), 1, len(STATES)), False),
    "polygons": (flag, False),
    "tolerance": (number(0, 100), False),
}


def check_export(body: bytes) -> dict[str, Any]:
    """Return the checked fields of a request to export; raises Refused."""
    try:
        asked = json.loads(body, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise Refused("bad_request", "the request is not valid JSON") from None
    if not isinstance(asked, dict):
        raise Refused("bad_request", "the request is not a JSON object with format")
    found = _checked("export", asked, _EXPORT)
    if found["format"] not in EXPORTS:
        raise Refused("bad_request", f"format {found['format']!r} is not known; expected one of {', '.join(EXPORTS)}")
    return found
