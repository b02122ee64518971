"""Segment what is clicked in one picture.

Coordinates are pixels of the picture, (0, 0) is its top-left corner. One click can mean a part, the whole or more:
three candidates are written, the most likely first.

  vidseg image photo.jpg --click 320,180
  vidseg image photo.jpg --click 320,180 --negative-click 300,90 --out results

Results: mask-1.png, mask-2.png, mask-3.png (0 and 255), overlay.png, masks.json.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path

from vidseg.cli.options import add_model_arguments, load
from vidseg.types import Box, Click


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg image`."""
    parser.add_argument("picture", metavar="PICTURE", type=Path, help="a JPEG, PNG, WebP ... file")
    prompts = parser.add_argument_group("prompts")
    for flag, on, text in (("--click", True, "a point on the object"), ("--negative-click", False, "one that is not")):
        prompts.add_argument(
            flag,
            dest="clicks",
            action="append",
            default=[],
            metavar="X,Y",
            type=partial(_click, on=on),
            help=f"{text}; can be repeated",
        )
    prompts.add_argument("--box", metavar="X1,Y1,X2,Y2", type=_box, help="a rectangle around the object")
    add_model_arguments(parser)
    result = parser.add_argument_group("results")
    result.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the results (default: PICTURE-masks beside it)"
    )
    result.add_argument("--json", action="store_true", help="print the candidates as JSON")
    result.add_argument("--quiet", action="store_true", help="print nothing but errors")


def run(args: argparse.Namespace) -> int:
    """Segment what the options ask for, and print the candidates."""
    from vidseg.cli import UsageError
    from vidseg.image_files import segment_picture

    if not args.clicks and args.box is None:
        raise UsageError("nothing to segment: give at least one --click or a --box, such as --click 320,180")
    folder = args.out or args.picture.with_name(f"{args.picture.stem}-masks")
    found = segment_picture(load(args), args.picture, clicks=args.clicks, box=args.box, folder=folder)
    if args.json:
        print(json.dumps([asdict(candidate) for candidate in found], indent=1))
    elif not args.quiet:
        for candidate in found:
            print(f"{candidate.file}  predicted IoU {candidate.iou:.2f}  {candidate.area_px} pixels")
        print(f"results in {folder}")
    return 0


def _click(text: str, *, on: bool) -> Click:
    x, y = _numbers(text, 2, form="X,Y")
    return Click(x, y, on)


def _box(text: str) -> Box:
    return Box(*_numbers(text, 4, form="X1,Y1,X2,Y2"))


def _numbers(text: str, count: int, *, form: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}; expected {count} numbers in pixels")
    return numbers
