"""Measure how fast models run on this machine, stage by stage.

Weights are random: time does not depend on them, and nothing is downloaded. Every time stands beside its lower bound,
the counted products at this machine's own matrix rate, so that figures from different machines can be compared.

  vidseg bench                                             nano, one object, a generated clip
  vidseg bench clip.mp4 --model sam2.1-tiny --objects 1,4 --dtype float32,bfloat16
  vidseg bench --model sam2.1-tiny --peer transformers     side by side with another implementation

Options that take several values measure every combination; give them separated by commas.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg bench`."""
    parser.add_argument("source", nargs="?", metavar="SOURCE", help="a video (default: a generated clip of 960x540)")
    parser.add_argument("--model", type=_names, default=["nano"], metavar="NAMES", help="presets (default: nano)")
    parser.add_argument("--objects", type=_numbers, default=[1], metavar="NUMBERS", help="objects (default: 1)")
    parser.add_argument(
        "--image-size", type=_numbers, default=[None], metavar="PIXELS", help="input sides (default: the model's own)"
    )
    parser.add_argument(
        "--dtype", type=_names, default=["auto"], metavar="NAMES", help="auto, float32, bfloat16, float16"
    )
    parser.add_argument("--frames", type=int, default=5, metavar="N", help="timed frames a case (default: 5)")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads (default: torch's choice)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: cpu)")
    parser.add_argument("--peer", choices=["sam2", "transformers"], help="run this implementation in turns with vidseg")
    parser.add_argument(
        "--peer-dtype", default="float32", metavar="NAME", help="what the peer computes in (default: float32)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the JSON to a file")


def run(args: argparse.Namespace) -> None:
    """Measure every combination and print it as soon as it is known."""
    import torch

    from vidseg.bench import Case, bench, table
    from vidseg.processor import choose_device

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    cases = [
        Case(model, objects, size, dtype, args.peer, args.peer_dtype)
        for model, size, dtype, objects in itertools.product(args.model, args.image_size, args.dtype, args.objects)
    ]
    measured = []
    for item in bench(cases, source=args.source, frames=args.frames, device=choose_device(args.device)):
        measured.append(item)
        if not args.json:
            print(table(item), end="\n\n", flush=True)
        elif len(measured) <= len(cases):
            print(f"vidseg bench: {len(measured)} of {len(cases)}", file=sys.stderr)
    text = json.dumps({**measured[0], "cases": measured[1:]}, indent=2)
    if args.json:
        print(text)
    if args.out is not None:
        part = args.out.with_name(args.out.name + ".part")
        part.write_text(text + "\n", encoding="utf-8")
        part.replace(args.out)


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty name; separate names by single commas")
    return names


def _numbers(text: str) -> list[int]:
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers, such as 1,4") from None
