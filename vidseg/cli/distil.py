"""Teach a narrower, faster model to see as another one does, from folders of pictures; no masks are needed.

  vidseg distil photos/ --out runs/narrow                        a trunk of 32 channels that sees as nano does
  vidseg track video.mp4 --click 0:120,80 --model runs/narrow/last.safetensors

The same command again goes on where the run was; Ctrl-C leaves a good checkpoint. `vidseg train` goes on from the
file that it leaves, with masks (init_from).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vidseg distil`."""
    from vidseg.cli.options import add_model_arguments

    parser.add_argument("pictures", nargs="+", type=Path, metavar="FOLDER", help="JPEG and WebP files, at any depth")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="the run's folder; names the model, too")
    parser.add_argument(
        "--width", type=int, default=32, metavar="N", help="channels of the trunk's first stage (default: 32)"
    )
    parser.add_argument("--steps", type=int, default=12000, metavar="N", help="batches (default: 12000)")
    parser.add_argument("--batch", type=int, default=4, metavar="N", help="pictures a batch (default: 4)")
    parser.add_argument("--rate", type=float, default=1e-3, metavar="R", help="learning rate (default: 0.001)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="draws the pictures (default: 0)")
    parser.add_argument("--minutes", type=float, metavar="N", help="stop with a checkpoint after so long")
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> None:
    """Distil, with a line now and then."""
    from vidseg.cli.options import load
    from vidseg.cli.stopper import stopper
    from vidseg.train.distil import DistilConfig, distil, pictures
    from vidseg.weights import choose_dtype

    config = DistilConfig(args.width, args.steps, args.batch, args.rate, args.seed)
    paths = pictures(args.pictures)
    asked, args.dtype = args.dtype, "float32"  # files in half precision hold more digits than bfloat16
    teacher = load(args)
    dtype = choose_dtype(asked, teacher.config, teacher.device)
    with stopper(args.minutes) as stop:
        for report in distil(teacher, paths, config, args.out, dtype=dtype, stop=stop):
            if report.news:
                print(report.news, file=sys.stderr, flush=True)
            if report.metrics:
                line = f"step {report.step}/{args.steps}  differs by {report.metrics['difference']:.4f} of the variance"
                print(line, file=sys.stderr, flush=True)
    print(args.out / "last.safetensors")
