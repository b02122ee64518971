"""Follow prompted objects through a video and write their masks.

F is a 0-based frame number, coordinates are pixels of the original picture with (0, 0) in its top-left corner, ID is
the object's number (default 1); prompts with one ID on one frame belong together.

  vidseg track clip.mp4 --click 0:320,180
  vidseg track clip.mp4 --box 0:280,60,400,330@1 --click 0:90,200@2 --negative-click 40:95,150@2
  vidseg track frames/ --mask 0:first.png --both-ways --out results
  vidseg track clip.mp4 --box 0:280,60,400,330 --adapt     learn the object first, for a minute or two: better masks

Results: masks/00000.png ... (index PNGs: a pixel's value is the ID), tracks.json, overlay.mp4; after --adapt also
adapted.safetensors, which --checkpoint takes for more clips of the same objects.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidseg.cli.options import adaptation, add_adapt_argument, add_model_arguments, load
from vidseg.errors import PromptError

if TYPE_CHECKING:
    from vidseg.learner import Step
    from vidseg.run import Summary
    from vidseg.types import Prompt
    from vidseg.video import Video


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg track`."""
    parser.add_argument(
        "source", metavar="SOURCE", help="a video file, a folder or 'glob' of pictures, a camera number, a URL, or -"
    )
    add_prompt_arguments(parser)
    add_model_arguments(parser)
    what = parser.add_argument_group("what is tracked")
    what.add_argument("--start", type=int, default=0, metavar="F", help="first frame of the range (default: 0)")
    what.add_argument("--end", type=int, metavar="F", help="end of the range, not included (default: the video's end)")
    ways = what.add_mutually_exclusive_group()
    ways.add_argument("--reverse", action="store_true", help="from the last prompted frame back to the start")
    ways.add_argument("--both-ways", action="store_true", help="from the prompted frames to both ends")
    add_adapt_argument(what, told="the prompted frames")
    result = parser.add_argument_group("results")
    result.add_argument(
        "--out", type=Path, metavar="DIR", help="folder for the results (default: SOURCE-tracks beside it)"
    )
    result.add_argument("--no-overlay", action="store_true", help="do not write overlay.mp4")
    result.add_argument("--resume", action="store_true", help="continue an interrupted run of the same command")
    result.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run in DIR")
    result.add_argument("--json", action="store_true", help="print the summary as JSON")
    result.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_prompt_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say what to track; all can be repeated."""
    prompts = parser.add_argument_group("prompts (each can be repeated)")
    for flag, form, on, text in (
        ("--click", "F:X,Y[@ID]", True, "a point on the object"),
        ("--negative-click", "F:X,Y[@ID]", False, "a point that is not on it"),
        ("--box", "F:X1,Y1,X2,Y2[@ID]", None, "a rectangle around the object"),
    ):
        prompts.add_argument(
            flag, dest="prompts", action="append", default=[], metavar=form, type=partial(_typed, on=on), help=text
        )
    prompts.add_argument(
        "--mask",
        action="append",
        default=[],
        metavar="F:PATH[@ID]",
        help="an index PNG (pixel value = ID; 0 and 255 alone: object 1), or with @ID the mask of that object",
    )
    prompts.add_argument(
        "--prompts",
        dest="prompt_files",
        action="append",
        default=[],
        type=Path,
        metavar="FILE.json",
        help='{"prompts": [{"frame": 0, "object": 1, "clicks": [[x, y], [x, y, false]], "box": [x1, y1, x2, y2], '
        '"mask": path or COCO RLE}]}; an earlier tracks.json will do',
    )


def read_all_prompts(args: argparse.Namespace) -> tuple[Prompt, ...]:
    """Return the prompts of the options of `add_prompt_arguments`, one for each frame and object."""
    from vidseg.prompts import merge_prompts, parse_mask, read_prompts

    prompts = list(args.prompts)
    for text in args.mask:
        prompts += parse_mask(text)
    for path in args.prompt_files:
        prompts += read_prompts(path)
    return merge_prompts(prompts)


def run(args: argparse.Namespace) -> int:
    """Track what the options ask for, and print what was done."""
    from vidseg.cli import UsageError
    from vidseg.job import Job, check_job
    from vidseg.run import run_job
    from vidseg.video import open_video

    if args.resume and args.overwrite:
        raise UsageError("--resume and --overwrite exclude each other: continue the earlier run, or replace it")
    prompts = read_all_prompts(args)
    if not prompts:
        raise UsageError(
            "nothing to track: give at least one --click, --box, --mask or --prompts, such as --click 0:320,180"
        )
    with open_video(args.source) as video:
        job = Job(
            folder=args.out or default_folder(args.source, video),
            prompts=prompts,
            start=args.start,
            stop=args.end,
            direction="reverse" if args.reverse else "both" if args.both_ways else "forward",
            overlay=not args.no_overlay,
            adaptation=adaptation(args),
        )
        check_job(job, video)  # before the model is loaded, which may take a while
        with closing(_Bar(shown=sys.stderr.isatty() and not args.quiet)) as bar:
            summary = run_job(
                load(args),
                video,
                job,
                resume=args.resume,
                overwrite=args.overwrite,
                progress=bar.update,
                notice=bar.say if not args.quiet else None,
                adapting=bar.adapting,
            )
    if not args.quiet:
        print(json.dumps(asdict(summary), indent=1) if args.json else describe(summary))
    return 0


def default_folder(source: str, video: Video) -> Path:
    """Return where results go by default: SOURCE-tracks beside a file or folder, else in the current folder."""
    if video.path is not None and video.path.exists():
        path = video.path.absolute()
        return path.with_name(f"{path.stem if path.is_file() else path.name}-tracks")
    name = re.sub(r"\W+", "-", source).strip("-") or "stream"
    return Path(f"{name}-tracks")


def describe(summary: Summary) -> str:
    """Return the summary as the lines that a person reads."""
    rates = summary.frames_per_second
    stages = ", ".join(
        f"{stage} {rates[stage]:.1f}" for stage in ("decode", "model", "masks", "overlay") if stage in rates
    )
    what = f"{_count(summary.frames, 'frame')}, {_count(summary.objects, 'object')}"
    speed = f"{summary.seconds:.1f} s: {rates['total']:.1f} frames a second"
    lines = [f"{what}, {speed}" + (f" (each stage alone: {stages})" if stages else "")]
    if summary.skipped:
        lines.append(f"{_count(summary.skipped, 'frame')} could not be decoded, and left blank; tracks.json says why")
    if summary.peak_memory_mb is not None:
        lines.append(f"peak memory {summary.peak_memory_mb:.0f} MB")
    return "\n".join([*lines, f"results in {summary.folder}"])


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _typed(text: str, *, on: bool | None) -> Prompt:
    """Parse a click (`on` says which kind) or a box (`on` is None) for argparse."""
    from vidseg.prompts import parse_box, parse_click

    try:
        return parse_box(text) if on is None else parse_click(text, on=on)
    except PromptError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


class _Bar:
    """A progress bar on stderr, or nothing where that is no terminal."""

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None
        self._write: Callable[[str], object] = partial(print, file=sys.stderr)

    def update(self, done: int, total: int | None) -> None:
        """Show that `done` of `total` frames are finished."""
        if self._shown and self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=total, initial=done - 1, unit="frame", dynamic_ncols=True)
            self._write = partial(tqdm.write, file=sys.stderr)
        if self._bar is not None:
            self._bar.update(done - self._bar.n)

    def adapting(self, step: Step) -> None:
        """Show how far the adaptation is."""
        if not self._shown:
            return
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(total=step.steps, unit="step", desc="adapting", dynamic_ncols=True)
        self._bar.update(step.number - self._bar.n)
        if step.number == step.steps:
            self._bar.close()
            self._bar = None

    def say(self, message: str) -> None:
        """Print a line without disturbing the bar."""
        self._write(f"vidseg: {message}")

    def close(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.close()
