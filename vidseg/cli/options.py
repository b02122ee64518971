"""Options that several verbs share: which model, and where it runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidseg.adaptation import DEFAULT, Adaptation

if TYPE_CHECKING:
    from vidseg.model import Sam2


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options that choose the model and where it runs."""
    model = parser.add_argument_group("model")
    model.add_argument(
        "--model", default="nano", metavar="NAME", help="a name from `vidseg models` or a file (default: nano)"
    )
    model.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights to use in place of the named model's")
    model.add_argument("--image-size", type=int, metavar="N", help="longer side of the model's input, a multiple of 32")
    model.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    model.add_argument("--dtype", default="auto", help="auto, float32, bfloat16, float16 (default: auto)")


def add_adapt_argument(parser: Any, *, told: str) -> None:
    """Declare `--adapt [STEPS]`; `told` says what is learned from."""
    parser.add_argument(
        "--adapt",
        type=_steps,
        nargs="?",
        const=DEFAULT.steps,
        default=0,
        metavar="STEPS",
        help=f"first let a copy of the model learn how the objects look from {told}: better masks, for about a second "
        f"a step on two cores (without a number: {DEFAULT.steps} steps)",
    )


def adaptation(args: argparse.Namespace) -> Adaptation | None:
    """What `--adapt` asks for; None where it was not given."""
    return Adaptation(steps=args.adapt) if args.adapt else None


def _steps(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of steps; give one from 1, or put --adapt where an option or nothing follows"
        )
    return int(text)


def load(args: argparse.Namespace) -> Sam2:
    """Load the model that the options of `add_model_arguments` choose."""
    from vidseg.weights import load_model

    return load_model(
        args.model, device=args.device, dtype=args.dtype, checkpoint=args.checkpoint, image_size=args.image_size
    )
