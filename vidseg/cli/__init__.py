"""The `vidseg` command: one file a verb, each parses, calls one library function and prints.

Here live the parser and the translation of exceptions into one line and an exit code: 0 done, 1 failed, 2 wrong usage,
130 interrupted. To add a verb, add its name to `VERBS` and a module `vidseg/cli/<verb>.py` with a docstring (its help),
`add_arguments(parser)` and `run(args) -> int | None`. Verb modules import heavy packages inside `run`, so that
`vidseg --help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import warnings
from collections.abc import Sequence
from typing import NoReturn

from vidseg import __version__
from vidseg.errors import VidsegError
from vidseg.heap import keep_few_programs, share_heaps

__all__ = ["VERBS", "UsageError", "build_parser", "main"]

VERBS: tuple[str, ...] = (
    "track",
    "image",
    "eval",
    "models",
    "bench",
    "train",
    "distil",
    "annotate",
    "project",
    "export",
    "import_",
)
"""The verbs in the order of `vidseg --help`. A trailing underscore keeps a module name off a Python keyword."""


class UsageError(VidsegError):
    """Options that do not fit together or lack something; exit code 2."""


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"vidseg: {' '.join(message.split())} (see: {self.prog} --help)\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command, with one sub-parser a verb."""
    parser = _Parser(
        prog="vidseg", description="Click an object in one frame and its mask follows it through the video."
    )
    parser.add_argument("--version", action="version", version=f"vidseg {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    verbs = parser.add_subparsers(title="verbs", dest="verb", metavar="VERB", required=True)
    for name in VERBS:
        module = importlib.import_module(f"vidseg.cli.{name}")
        doc = (module.__doc__ or "").strip()
        verb = verbs.add_parser(
            name.rstrip("_"),
            help=doc.splitlines()[0] if doc else None,
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(verb)
        verb.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )
        verb.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return the exit code."""
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    share_heaps()
    keep_few_programs()
    try:
        with warnings.catch_warnings():
            if not args.debug:
                warnings.showwarning = _say
            code = args.run(args) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the reader of a pipe (head, less) has left: not an error, but stdout is gone for good
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if args.debug:
            raise
        print(f"vidseg: {_sentence(error)}", file=sys.stderr)
        return _exit_code(error)


def _say(message: Warning | str, *where: object, **more: object) -> None:
    """Show a warning as a line of ours, without the place in the code."""
    print(f"vidseg: {' '.join(str(message).split())}", file=sys.stderr)


def _exit_code(error: BaseException) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 130
    return 2 if isinstance(error, UsageError) else 1


def _sentence(error: BaseException) -> str:
    """One line for any exception: our own messages as they are, the rest with what is known of them."""
    if isinstance(error, KeyboardInterrupt):
        return str(error) or "interrupted"
    if isinstance(error, VidsegError):
        text = str(error)
    elif isinstance(error, OSError):
        text = (
            f"{error.filename}: {error.strerror}" if error.filename and error.strerror else error.strerror or str(error)
        )
    else:
        text = f"internal error: {type(error).__name__}: {error} (add --debug to see where)"
    return " ".join(text.split())
