"""Measure a model, a baseline or a folder of masks on labelled video: J, F and their mean.

FOLDER holds JPEGImages and Annotations (DAVIS, MOSE, YouTube-VOS, SA-V), SA-V's masklet files, or folders of PNGs.

  vidseg eval DAVIS --out runs/nano                          the shipped model, first masks given
  vidseg eval DAVIS --prompt click --out runs/nano-click     one click at the centre of each object
  vidseg eval DAVIS --adapt --out runs/nano-adapted          the model learns from each first mask before it follows
  vidseg eval DAVIS --interactive 5 --prompt click --out runs/nano-5
  vidseg eval DAVIS --baseline flow --out runs/flow          the floor: the first mask, carried by optical flow
  vidseg eval DAVIS --masks other/results --out runs/other   masks that another program wrote

Results: masks/, results.json (per cent), table.md, plot.png, worst.jpg. Run again, it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidseg.cli.options import adaptation, add_adapt_argument, add_model_arguments, load

if TYPE_CHECKING:
    import numpy as np

    from vidseg.evaluate import Dataset, Results
    from vidseg.evaluate.methods import Method
    from vidseg.evaluate.protocols import Protocol, Task
    from vidseg.types import Prompt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg eval`."""
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="labelled video")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    what = parser.add_argument_group("what is measured")
    what.add_argument(
        "--prompt",
        choices=("mask", "box", "click", "clicks3"),
        default="mask",
        help="what is given of every object on its first frame (default: mask)",
    )
    what.add_argument(
        "--sequences", default="", metavar="A,B", help="names, or a file with one a line (default: all sequences)"
    )
    what.add_argument(
        "--protocol",
        choices=("auto", "davis2016", "davis2017", "youtubevos", "sav", "all"),
        default="auto",
        help="which objects and frames count (default: by the folder's layout)",
    )
    what.add_argument(
        "--interactive", type=int, default=0, metavar="N", help="correct the worst mask N times by a simulated click"
    )
    add_adapt_argument(what, told="the prompted frames of each video")
    what.add_argument("--seed", type=int, default=0, help="for the choice between equally good clicks (default: 0)")
    instead = parser.add_argument_group("in place of a model").add_mutually_exclusive_group()
    instead.add_argument("--masks", type=Path, metavar="DIR", help="score DIR/SEQUENCE/FRAME.png")
    instead.add_argument(
        "--baseline", choices=("copy", "flow"), help="copy the first mask, or carry it by optical flow"
    )
    add_model_arguments(parser)
    parser.add_argument(
        "--policy",
        default="",
        metavar="KEY=N,...",
        help="how many prompted frames, recent frames and pointers a frame sees, such as recent=1,prompted=2 "
        "(default: what the model was made for)",
    )


def run(args: argparse.Namespace) -> None:
    """Measure what the options ask for, write the report and print the table."""
    from tqdm import tqdm

    from vidseg.evaluate import Results, each, open_dataset, report
    from vidseg.evaluate.output import Output
    from vidseg.evaluate.protocols import find_protocol

    _check(args)
    dataset = open_dataset(args.folder)
    protocol = find_protocol(args.protocol, dataset)
    dataset = dataset.select(_names(args.sequences))
    for line in dataset.skipped:
        print(f"vidseg: skipped {line}", file=sys.stderr)
    output = Output(args.out, keeps_masks=args.masks is None)
    settings = _settings(args, dataset, protocol)
    output.claim(settings)
    found = []
    rounds = each(
        _method(args),
        dataset,
        prompt=args.prompt,
        protocol=protocol.name,
        seed=args.seed,
        corrections=args.interactive,
        output=output,
    )
    for result in tqdm(rounds, total=len(dataset.videos), unit="video", disable=not sys.stderr.isatty()):
        found.append(result)
    unscored = tuple(
        f"{one.name}: no frame to score, labels only where the prompts are" for one in found if one.unscored
    )
    for line in unscored:
        print(f"vidseg: not scored: {line}", file=sys.stderr)
    absent = tuple(line for video in dataset.videos for line in video.absent())
    for line in absent:
        print(f"vidseg: skipped {line}", file=sys.stderr)
    results = Results(tuple(found), settings, dataset.skipped + unscored + absent)
    _write(args, results, dataset, protocol)
    print(report.table(results))


def _check(args: argparse.Namespace) -> None:
    from vidseg.cli import UsageError

    if args.interactive < 0:
        raise UsageError(f"--interactive {args.interactive} is below 0; give the number of corrections")
    if args.interactive and (args.masks or args.baseline):
        raise UsageError("--interactive corrects a model; leave --masks and --baseline out")
    if args.policy and (args.masks or args.baseline):
        raise UsageError("--policy is about a model's memory; leave --masks and --baseline out")
    _policy(args.policy)
    if adaptation(args) and (args.masks or args.baseline):
        raise UsageError("--adapt is about a model; leave --masks and --baseline out")
    if args.baseline and args.prompt != "mask":
        raise UsageError(f"--baseline {args.baseline} starts from the first mask; leave --prompt {args.prompt} out")


def _policy(text: str) -> dict[str, int]:
    """The memory limits of "recent=1,prompted=2"."""
    from vidseg.cli import UsageError

    limits = {}
    for part in filter(None, text.split(",")):
        key, _, number = (word.strip() for word in part.partition("="))
        least = {"prompted": 1, "recent": 0, "pointers": 0}.get(key)
        if least is None or not number.isdigit() or int(number) < least:
            raise UsageError(
                f"--policy {part.strip()!r} is not possible; expected prompted=N (from 1), recent=N or pointers=N"
            )
        limits[key] = int(number)
    return limits


def _names(text: str) -> tuple[str, ...]:
    """The sequences: "A,B", or the lines of a file such as DAVIS's ImageSets/2017/val.txt."""
    if text and Path(text).is_file():
        text = ",".join(Path(text).read_text(encoding="utf-8").split())
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _settings(args: argparse.Namespace, dataset: Dataset, protocol: Protocol) -> dict[str, Any]:
    """All that the numbers depend on, but not which sequences: those can be added later."""
    from importlib.metadata import version

    settings: dict[str, Any] = {"data": str(args.folder.resolve()), "layout": dataset.layout, "protocol": protocol.name}
    settings |= {"vidseg": version("vidseg")}
    if args.masks:
        return settings | {"masks": str(args.masks.resolve())}
    if args.baseline:
        return settings | {"baseline": args.baseline}
    settings |= {"prompt": args.prompt, "seed": args.seed, "interactive": args.interactive, "model": args.model}
    settings |= {"image_size": args.image_size, "device": args.device, "dtype": args.dtype, "policy": args.policy}
    if args.adapt:
        settings["adapt"] = args.adapt
    path = args.checkpoint or (Path(args.model) if Path(args.model).is_file() else None)
    if path and path.is_file():
        state = path.stat()
        settings["checkpoint"] = {"path": str(path.resolve()), "bytes": state.st_size, "changed": state.st_mtime}
    return settings


@dataclass
class _LoadedWhenNeeded:
    """The model of the options as a method; a run that only reads finished sequences loads none."""

    args: argparse.Namespace
    method: Method | None = None

    def follow(self, task: Task, prompts: Sequence[Prompt]) -> Iterator[tuple[int, np.ndarray]]:
        from vidseg.evaluate.methods import Tracker

        if self.method is None:
            from vidseg.tracker import limits_of

            model = load(self.args)
            limits = replace(limits_of(model), **_policy(self.args.policy))
            self.method = Tracker(model, self.args.interactive > 0, limits, adaptation(self.args))
        return self.method.follow(task, prompts)


def _method(args: argparse.Namespace) -> Method:
    from vidseg.evaluate.methods import Copy, Flow, SavedMasks

    if args.masks:
        return SavedMasks(args.masks)
    if args.baseline:
        return Copy() if args.baseline == "copy" else Flow()
    return _LoadedWhenNeeded(args)


def _write(args: argparse.Namespace, results: Results, dataset: Dataset, protocol: Protocol) -> None:
    """The report: results.json, table.md, worst.jpg and, where matplotlib is installed, plot.png."""
    import cv2

    from vidseg.errors import VidsegError
    from vidseg.evaluate import report
    from vidseg.masks.files import replacing

    content = {**results.to_json(), "command": _command(args)}
    for name, text in (("results.json", json.dumps(content, indent=2)), ("table.md", report.table(results))):
        with replacing(args.out / name) as file:
            file.write(text + "\n")
    sheet = report.sheet(results, dataset, protocol, masks=args.masks or args.out / "masks")
    if sheet is not None:
        coded = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1]
        with replacing(args.out / "worst.jpg", binary=True) as picture:
            picture.write(coded.tobytes())
    try:
        report.plot(results, args.out / "plot.png")
    except VidsegError as error:
        print(f"vidseg: no plot: {error}", file=sys.stderr)


def _command(args: argparse.Namespace) -> str:
    """The command as it was given, options in a fixed order and those at their defaults left out."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = ["vidseg", "eval", str(args.folder)]
    for action in parser._actions:
        value = getattr(args, action.dest, None)
        if action.option_strings and value is not None and value != action.default:
            words += [action.option_strings[-1], str(value)]
    return shlex.join(words)
