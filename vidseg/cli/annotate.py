"""Annotate videos in the browser: click objects, follow them, correct, review and export their masks.

  vidseg annotate clip.mp4
  vidseg annotate day1/*.mp4 --project day1.vidseg
  vidseg annotate day1.vidseg --no-browser --port 8765

All work is in one project file (by default beside the first video, named after it) and is saved with every click.
The page is served on this machine only, unless --host says otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from vidseg.cli.options import add_model_arguments, load

if TYPE_CHECKING:
    from vidseg.annotate.model import ModelSegmenter

SUFFIX = ".vidseg"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg annotate`."""
    parser.add_argument(
        "videos",
        nargs="+",
        metavar="VIDEO",
        help="video files, folders or 'globs' of pictures, or a project to go on with",
    )
    parser.add_argument(
        "--project",
        type=Path,
        metavar="FILE",
        help="the project file (default: beside the first video, named after it)",
    )
    server = parser.add_argument_group("server")
    server.add_argument("--no-browser", action="store_true", help="print the address and open no browser")
    server.add_argument("--port", type=int, default=0, metavar="N", help="port to serve on (default: a free one)")
    server.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to serve on; 0.0.0.0 lets other machines in (default: this one only)",
    )
    add_model_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve the page until interrupted."""
    from vidseg.annotate import open_session
    from vidseg.annotate.server import bind, check_installed, serve
    from vidseg.cli import UsageError

    check_installed()
    if not 0 <= args.port <= 65535:
        raise UsageError(f"port {args.port} is out of range; expected 1 to 65535, or 0 for a free one")
    project, videos = places(args.videos, args.project)
    listener = bind(args.host, args.port)
    with listener, open_session(project, videos=videos, load=partial(_segmenter, args)) as session:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        session.prepare()
        if args.host not in ("127.0.0.1", "localhost", "::1"):
            print(
                f"vidseg: serving on {args.host}: whoever can reach this machine and knows the address below, token "
                "included, can see the videos and change the project; traffic is not encrypted",
                file=sys.stderr,
            )
        with contextlib.suppress(KeyboardInterrupt):  # the usual end of a day's work
            ready = partial(_announce, project, host=args.host, browser=not args.no_browser)
            serve(session, listener, host=args.host, ready=ready)
    return 0


def places(names: list[str], project: Path | None) -> tuple[Path, list[str]]:
    """Return the project file and the videos that a command line names.

    Raises UsageError if it names two projects.
    """
    from vidseg.cli import UsageError

    projects = [Path(name) for name in names if name.endswith(SUFFIX)]
    videos = [name for name in names if not name.endswith(SUFFIX)]
    if project is not None:
        projects.append(project)
    if len(set(projects)) > 1:
        raise UsageError(f"two projects were named ({projects[0]} and {projects[1]}); open one at a time")
    if projects:
        return projects[0], videos
    first = Path(videos[0])
    name = first.parent.name if any(mark in first.name for mark in "*?[") else first.stem
    folder = first.parent.parent if any(mark in first.name for mark in "*?[") else first.parent
    return folder / f"{name or 'project'}{SUFFIX}", videos


def _segmenter(args: argparse.Namespace) -> ModelSegmenter:
    from vidseg.annotate.model import ModelSegmenter

    return ModelSegmenter(load(args), name=str(args.checkpoint or args.model))


def _own_address() -> str:
    """The address that other machines know this one by: that of the way out, or its name where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation; a datagram socket sends nothing to connect
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])


def _announce(project: Path, address: str, *, host: str, browser: bool) -> None:
    print(f"annotating {project} at {address}")
    if host in ("0.0.0.0", "::"):
        print(f"from other machines: {address.replace('127.0.0.1', _own_address())}")
    print("stop with Ctrl-C; everything is saved as you go", flush=True)
    if browser:
        webbrowser.open(address)
