"""Prompts as people write them: on the command line, and in JSON files. Text -> `Prompt`, and back to JSON.

Here is only what can be said without the video; whether a prompt fits the frames is checked where they are known.
The JSON form, which `tracks.json` repeats, so that a finished run's prompts can be used again:

    {"prompts": [{"object": 1, "frame": 0, "clicks": [[320, 180], [300, 90, false]], "box": [280, 60, 400, 330]},
                 {"object": 2, "frame": 0, "mask": "dog.png"}]}

`frame` is the 0-based frame number, `object` an id that defaults to 1. A click is [x, y] or [x, y, on] in pixels of the
original picture, `on` false for "not this"; a box is [x1, y1, x2, y2]; a mask is a picture's path (relative to the JSON
file) or a COCO RLE. Prompts for the same object and frame belong together.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vidseg.errors import MaskFormatError, PromptError
from vidseg.masks import palette, rle
from vidseg.types import Box, Click, Prompt

__all__ = ["from_json", "merge_prompts", "parse_box", "parse_click", "parse_mask", "read_prompts", "to_json"]

_KEYS = ("object", "frame", "clicks", "box", "mask")


def parse_click(text: str, *, on: bool = True) -> Prompt:
    """Return the prompt of `F:X,Y[@ID]`: a click at (X, Y) of frame F for object ID (1 if not given).

    Raises PromptError if the text has another form.
    """
    frame, place, object = _parts(text, form="F:X,Y[@ID]", example="0:320,180@2")
    x, y = _numbers(place, 2, text=text, form="F:X,Y[@ID]", example="0:320,180@2")
    return Prompt(object, frame, clicks=(Click(x, y, on),))


def parse_box(text: str) -> Prompt:
    """Return the prompt of `F:X1,Y1,X2,Y2[@ID]`. Raises PromptError if the text has another form."""
    form, example = "F:X1,Y1,X2,Y2[@ID]", "0:280,60,400,330@2"
    frame, place, object = _parts(text, form=form, example=example)
    return Prompt(object, frame, box=Box(*_numbers(place, 4, text=text, form=form, example=example)))


def parse_mask(text: str) -> list[Prompt]:
    """Return the prompts of `F:PATH[@ID]`, one an object.

    Without ID the picture is an index mask: a pixel's value is the id of its object (a picture of 0 and 255 only holds
    one object, with id 1). With ID it is the mask of that one object.

    Raises:
        PromptError: the text has another form, or the mask holds no object.
        MaskFormatError: the picture cannot be read.
    """
    frame, path, object = _parts(text, form="F:PATH[@ID]", example="0:first.png", no_id=0)
    if object:
        return [Prompt(object, frame, mask=_read_mask(path, object))]
    masks = palette.split(palette.read_index(path))
    if list(masks) == [255]:
        masks = {1: masks[255]}
    if not masks:
        raise PromptError(f"the mask {path} holds no object: every pixel is 0; expected object ids 1-255")
    return [Prompt(id, frame, mask=mask) for id, mask in masks.items()]


def read_prompts(path: str | Path) -> list[Prompt]:
    """Read the prompts of a JSON file (the form is at the top of this module).

    Raises:
        PromptError: no such file, not JSON, or not of that form; the message names the place.
        MaskFormatError: a mask named there cannot be read.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PromptError(f"cannot read the prompts {path}: {error.strerror}; give the path of a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise PromptError(
            f"the prompts {path} are not JSON ({error}); see `vidseg track --help` for the form"
        ) from None
    if isinstance(content, dict):
        content = content.get("prompts")
    if not isinstance(content, list):
        raise PromptError(
            f'the prompts {path} have no list "prompts"; expected {{"prompts": [{{"frame": 0, ...}}, ...]}}'
        )
    return from_json(content, name=str(path), folder=path.parent)


def from_json(entries: list[Any], *, name: str = "prompts", folder: str | Path = ".") -> list[Prompt]:
    """Return the prompts of a decoded JSON list; `name` is used in messages, mask paths are relative to `folder`.

    Raises PromptError or MaskFormatError, as `read_prompts` does.
    """
    return [_from_entry(entry, place=f"{name}: prompts[{n}]", folder=Path(folder)) for n, entry in enumerate(entries)]


def to_json(prompts: Iterable[Prompt]) -> list[dict[str, Any]]:
    """Return what `from_json` reads, masks as RLE. Clicks on the object are [x, y], others [x, y, false]."""
    entries = []
    for prompt in prompts:
        entry: dict[str, Any] = {"object": prompt.object, "frame": prompt.frame}
        if prompt.clicks:
            entry["clicks"] = [[c.x, c.y] if c.on else [c.x, c.y, False] for c in prompt.clicks]
        if prompt.box is not None:
            entry["box"] = list(prompt.box)
        if prompt.mask is not None:
            entry["mask"] = rle.encode(prompt.mask)
        entries.append(entry)
    return entries


def merge_prompts(prompts: Iterable[Prompt]) -> tuple[Prompt, ...]:
    """Return one prompt for each (frame, object), in that order: clicks together, repeated ones once.

    Raises PromptError if one object has two boxes or two masks on one frame.
    """
    merged: dict[tuple[int, int], Prompt] = {}
    for prompt in prompts:
        key = (prompt.frame, prompt.object)
        before = merged.get(key, Prompt(prompt.object, prompt.frame))
        where = f"object {prompt.object} on frame {prompt.frame}"
        clicks = tuple(dict.fromkeys(before.clicks + prompt.clicks))
        box = _one(before.box, prompt.box, f"two boxes for {where}; give one box an object and frame, or another id")
        mask = _one(
            before.mask, prompt.mask, f"two masks for {where}; give one mask an object and frame, or another id"
        )
        merged[key] = Prompt(prompt.object, prompt.frame, clicks, box, mask)
    return tuple(merged[key] for key in sorted(merged))


def _one(first: Any, second: Any, message: str) -> Any:
    if first is not None and second is not None:
        raise PromptError(message)
    return second if first is None else first


def _parts(text: str, *, form: str, example: str, no_id: int = 1) -> tuple[int, str, int]:
    """Split `F:REST[@ID]` into (F, REST, ID)."""
    frame, colon, rest = text.partition(":")
    body, at, id = rest.rpartition("@")
    if not at or not id.isascii() or not id.isdigit():
        body, id = rest, str(no_id)
    if not colon or not body or not frame.strip().removeprefix("-").isdecimal():
        raise PromptError(f"{text!r} is not {form}; expected a frame number, a colon and the rest, such as {example}")
    if body is not rest and int(id) < 1:
        raise PromptError(f"{text!r} names the object {id}; object ids start at 1")
    return int(frame), body, int(id)


def _numbers(place: str, count: int, *, text: str, form: str, example: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in place.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise PromptError(f"{text!r} is not {form}; expected {count} numbers in pixels, such as {example}")
    return numbers


def _read_mask(path: str | Path, object: int) -> np.ndarray:
    """The (H, W) bool mask of one object in any picture.

    Where the picture is an index mask of several objects, the pixels of the object's id; otherwise all that are at
    least half as bright as the brightest, so that soft edges are cut in the middle.
    """
    try:
        with Image.open(path) as image:
            picture = np.array(image if image.mode == "P" else image.convert("L"))
    except FileNotFoundError:
        raise MaskFormatError(f"{path} does not exist; expected the picture of a mask") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise MaskFormatError(f"{path} cannot be read as a picture ({error}); expected the picture of a mask") from None
    values = np.unique(picture)
    if values[-1] == 0:
        raise PromptError(f"the mask {path} is empty: every pixel is 0; mark the object with another value")
    if image.mode == "P" and np.count_nonzero(values) > 1:
        if object not in values:
            ids = ", ".join(str(value) for value in values if value)
            raise PromptError(f"the mask {path} holds the objects {ids} but no object {object}; give one of their ids")
        return picture == object
    return picture >= max(1, (int(values[-1]) + 1) // 2)


def _from_entry(entry: Any, *, place: str, folder: Path) -> Prompt:
    if not isinstance(entry, Mapping):
        raise PromptError(f'{place} is {entry!r}; expected an object such as {{"frame": 0, "clicks": [[320, 180]]}}')
    for key in entry:
        if key not in _KEYS:
            close = difflib.get_close_matches(str(key), _KEYS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"expected {', '.join(_KEYS)}"
            raise PromptError(f"{place} has the unknown key {key!r}; {hint}")
    object, frame = (_whole(entry.get(key, other), f"{place}.{key}") for key, other in (("object", 1), ("frame", None)))
    clicks = _each(entry.get("clicks"), place=f"{place}.clicks", read=_click)
    box = None if entry.get("box") is None else Box(*_floats(entry["box"], (4,), place=f"{place}.box"))
    mask = None if entry.get("mask") is None else _mask(entry["mask"], object, place=f"{place}.mask", folder=folder)
    if not clicks and box is None and mask is None:
        raise PromptError(f"{place} says nothing of its object; expected clicks, a box or a mask")
    return Prompt(object, frame, clicks, box, mask)


def _whole(value: Any, place: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise PromptError(f"{place} is {value!r}; expected a whole number")
    return value


def _each(values: Any, *, place: str, read: Callable[..., Click]) -> tuple[Click, ...]:
    if values is None:
        return ()
    if not isinstance(values, list):
        raise PromptError(f"{place} is {values!r}; expected a list of [x, y] or [x, y, on]")
    return tuple(read(value, place=f"{place}[{n}]") for n, value in enumerate(values))


def _click(value: Any, *, place: str) -> Click:
    x, y, *on = _floats(value, (2, 3), place=place)
    return Click(x, y, bool(on[0]) if on else True)


def _floats(value: Any, lengths: tuple[int, ...], *, place: str) -> list[float]:
    fits = isinstance(value, list) and len(value) in lengths and all(isinstance(n, (int, float)) for n in value)
    if not fits:
        raise PromptError(f"{place} is {value!r}; expected a list of {' or '.join(map(str, lengths))} numbers")
    return [float(n) for n in value]


def _mask(value: Any, object: int, *, place: str, folder: Path) -> np.ndarray:
    if isinstance(value, str):
        return _read_mask(folder / value, object)
    if not isinstance(value, Mapping):
        raise PromptError(f"{place} is {value!r}; expected the path of a picture or a COCO RLE")
    try:
        return rle.decode(value)
    except MaskFormatError as error:
        raise PromptError(f"{place}: {error}") from None
