"""Read masks of other tools, or boxes of detectors as prompts, into an annotation project.

  vidseg import dance.vidseg --format davis --from DAVIS/Annotations/dance
  vidseg import street.vidseg --format mot --from det/det.txt --video 2

Masks become objects of their own; boxes become prompts, answered when the project is propagated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

FORMATS = ("davis", "coco", "coco-video", "sav", "mot", "yolo", "coco-boxes")
"""What can be read: those of `annotate.imports.IMPORTS`, here so that --help need not load them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg import`."""
    parser.add_argument("project", type=Path, metavar="PROJECT", help="the project file")
    parser.add_argument("--format", required=True, choices=FORMATS, metavar="F", help=", ".join(FORMATS))
    parser.add_argument(
        "--from", required=True, type=Path, dest="source", metavar="PATH", help="file or folder to read"
    )
    parser.add_argument("--video", type=int, metavar="ID", help="the video they belong to (default: the only one)")


def run(args: argparse.Namespace) -> None:
    """Import and print what came in."""
    from vidseg.annotate import Project
    from vidseg.annotate.imports import import_file
    from vidseg.cli import UsageError

    with Project.open(args.project) as project:
        videos = project.videos()
        if args.video is None and len(videos) != 1:
            raise UsageError(f"{args.project} has {len(videos)} videos; say which with --video ID")
        video = videos[0].id if args.video is None else args.video
        made, found, _ = import_file(project, video, args.format, args.source)
        print(f"{len(made)} objects, {found['masks']} masks, {found['prompts']} prompts imported")
        for line in found["report"]:
            print(f"  {line}")
