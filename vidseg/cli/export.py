"""Write the masks of an annotation project in the format that a training code or another tool reads.

  vidseg export dance.vidseg --format davis --out masks/

What the format cannot hold (overlaps, holes, identities ...) is said at the end.
"""

from __future__ import annotations

import argparse
from pathlib import Path

FORMATS = (
    "davis", "youtube-vos", "coco", "coco-video", "yolo-seg", "yolo-track", "mots", "cvat", "label-studio", "sav",
    "npz", "csv", "overlay",
)  # fmt: skip
"""What can be written: those of `annotate.exports.EXPORTS`, here so that --help need not load them."""
STATES = ("unreviewed", "accepted", "rejected")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg export`."""
    parser.add_argument("project", type=Path, metavar="PROJECT", help="the project file")
    add_export_arguments(parser)


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what to write and where."""
    parser.add_argument("--format", required=True, choices=FORMATS, metavar="F", help=", ".join(FORMATS))
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder to write to")
    parser.add_argument("--video", type=int, action="append", metavar="ID", help="only this video (can be repeated)")
    parser.add_argument(
        "--state",
        action="append",
        choices=STATES,
        help="only masks in this state (can be repeated; default: unreviewed and accepted)",
    )
    parser.add_argument("--polygons", action="store_true", help="polygons in place of run lengths (coco)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="PX",
        help="simplify polygons by up to PX pixels (default: exact)",
    )


def run(args: argparse.Namespace) -> None:
    """Export and print the report."""
    from vidseg.annotate import Project
    from vidseg.annotate.exports import export

    with Project.open(args.project, readonly=True) as project:
        states = tuple(args.state) if args.state else ("unreviewed", "accepted")
        options = {"polygons": args.polygons, "tolerance": args.tolerance}
        print("\n".join(export(project, args.format, args.out, videos=args.video, states=states, **options)))
