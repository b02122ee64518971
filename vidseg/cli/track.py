"""Follow prompted objects through a video and write their masks."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg track`."""
    parser.add_argument("source", metavar="SOURCE", help="video file, folder or glob of pictures, camera, URL or -")


def run(args: argparse.Namespace) -> int:
    """Track what the options ask for."""
    raise NotImplementedError
