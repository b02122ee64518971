"""Train or fine-tune a model as a config says.

A run lives in a folder and goes on where it was when the same command is given again; Ctrl-C leaves a good checkpoint.
With torchrun several processes train as one: torchrun --nproc-per-node 2 -m vidseg train CONFIG --out DIR
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `vidseg train`."""
    parser.add_argument("config", metavar="CONFIG", help="a YAML file; configs/train has examples")
    parser.add_argument("--out", metavar="DIR", help="the run's folder (default: runs/ and the config's name)")
    parser.add_argument("--set", metavar="KEY=VALUE", action="append", default=[], help="change a setting; repeatable")
    parser.add_argument("--data-root", metavar="DIR", help="where the sources' paths begin")
    parser.add_argument("--minutes", type=float, metavar="N", help="stop with a checkpoint after so long")
    parser.add_argument("--fresh", action="store_true", help="refuse to continue a run that is there already")
    parser.add_argument("--plot", action="store_true", help="draw the curves of the run so far; do not train")
    parser.add_argument("--footprint", action="store_true", help="print the memory each stage needs; do not train")
    parser.add_argument("--preview", action="store_true", help="draw contact sheets of clips and prompts; do not train")
    parser.add_argument("--check", action="store_true", help="read all data once and list what is unfit; do not train")
    parser.add_argument("--pack-state", metavar="DIR", help="write the run's checkpoint in pieces below 16 MiB to DIR")
    parser.add_argument("--unpack-state", metavar="DIR", help="start the run's folder from such pieces")
    parser.add_argument("--quiet", action="store_true", help="no progress, only errors")


def run(args: argparse.Namespace) -> None:
    """Train, preview, pack or unpack."""
    from vidseg.config import read_config
    from vidseg.train.config import TrainConfig

    changes = list(args.set) + ([f"data_root={args.data_root}"] if args.data_root else [])
    config = read_config(args.config, TrainConfig, changes=changes)
    folder = Path(args.out) if args.out else Path("runs") / Path(args.config).stem
    if args.unpack_state:
        _unpack(folder, Path(args.unpack_state))
    if args.pack_state:
        _pack(folder, Path(args.pack_state))
    elif args.preview:
        _preview(config, folder)
    elif args.check:
        _check(config)
    elif args.footprint:
        _footprint(config)
    elif args.plot:
        _plot(folder)
    else:
        _train(config, folder, args)


def _train(config: Any, folder: Path, args: argparse.Namespace) -> None:
    from vidseg.cli.stopper import stopper
    from vidseg.train.loop import train

    bar = None
    with stopper(args.minutes) as stop:
        for report in train(config, folder, stop=stop, resume=not args.fresh):
            if args.quiet:
                continue
            if bar is None and sys.stderr.isatty():
                from tqdm import tqdm

                bar = tqdm(total=config.steps, initial=report.step, unit="step", file=sys.stderr)
            if bar is not None:
                bar.update(report.step - bar.n)
            lines = [_line(report.metrics, config.steps)] if report.metrics and bar is None else []
            lines += [report.news] if report.news else []
            if bar is not None and report.metrics:
                bar.set_postfix_str(f"loss {report.metrics['loss']:.3f} J {100 * report.metrics['overlap']:.1f}")
            for line in lines:
                (bar.write(line, file=sys.stderr) if bar is not None else print(line, file=sys.stderr, flush=True))
    if bar is not None:
        bar.close()


def _line(metrics: dict[str, float], steps: int) -> str:
    return (
        f"step {metrics['step']:.0f}/{steps}  loss {metrics['loss']:.3f}  focal {metrics['focal']:.4f}  "
        f"dice {metrics['dice']:.3f}  J {100 * metrics['overlap']:.1f}  rate {metrics['rate']:.2e}  "
        f"{metrics['clips_per_second']:.2f} clips/s"
    )


def _preview(config: Any, folder: Path) -> None:
    from vidseg.train.sheets import draw_sheets

    for path in draw_sheets(config, folder):
        print(path)


def _check(config: Any) -> None:
    """Print a path and a reason for each thing that would be skipped, and how many there are."""
    from vidseg.train.data import check_sources

    skips = check_sources(config)
    for skip in skips:
        print(f"{skip.path}: {skip.reason}")
    print(f"{len(skips)} items cannot be used and are skipped" if skips else "all data can be used", file=sys.stderr)


def _footprint(config: Any) -> None:
    from vidseg.train.footprint import footprint

    for name, stage in config.parts.items():
        shape = (
            f"{stage.batch} clips of {stage.frames} frames, {stage.size[1]}x{stage.size[0]}, {stage.objects} objects"
        )
        for half in (False, True):
            need = footprint(config, stage, half=half)
            kind = "bfloat16" if half else "float32"
            parts = f"{need.state / 2**30:.2f} weights and optimiser + {need.activations / 2**30:.2f} activations"
            print(f"stage {name} ({shape}), {kind}: {need.gib:.2f} GiB = {parts}")


def _plot(folder: Path) -> None:
    from vidseg.train.plot import draw_curves

    print(draw_curves(folder))


def _pack(folder: Path, target: Path) -> None:
    from vidseg.errors import ConfigError
    from vidseg.train import checkpoint

    state = checkpoint.load(folder)
    if state is None:
        raise ConfigError(f"{folder} holds no checkpoint to pack; give the run's folder with --out")
    for path in checkpoint.pack(state, target):
        print(path)


def _unpack(folder: Path, pieces: Path) -> None:
    from vidseg.errors import ConfigError
    from vidseg.train import checkpoint

    if (folder / checkpoint.NAME).exists():
        raise ConfigError(f"{folder} holds a checkpoint already; give --out a new folder to unpack into")
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(folder, checkpoint.unpack(pieces))
