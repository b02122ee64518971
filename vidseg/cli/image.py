"""Segment what is clicked in one picture."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg image`."""
    parser.add_argument("picture", metavar="PICTURE", help="the picture")


def run(args: argparse.Namespace) -> int:
    """Segment what the options ask for."""
    raise NotImplementedError
