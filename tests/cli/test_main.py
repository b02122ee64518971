"""The frame of the command: help, versions, exit codes, one line for every error."""

import argparse
import errno
import subprocess
import sys
import warnings

import pytest

import vidseg.cli as cli
from vidseg import __version__
from vidseg.errors import VideoError


def failing(error, monkeypatch):
    """Make the command have one verb, `fail`, which raises `error`."""

    def run(args):
        raise error

    parser = argparse.ArgumentParser()
    parser.add_argument("--debug", action="store_true")
    parser.set_defaults(run=run)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)


def test_version_is_printed(capsys):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"vidseg {__version__}\n"


def test_help_lists_every_verb_with_what_it_does(capsys):
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name in cli.VERBS:
        (line,) = [line for line in lines if line.split()[:1] == [name.rstrip("_")]]
        assert len(line.split()) >= 4


@pytest.mark.parametrize("argv", [[], ["nothing"], ["track"], ["--nonsense"]])
def test_wrong_usage_is_one_line_and_exit_code_2(argv, capsys):
    assert cli.main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("vidseg: ") and err.count("\n") == 1 and "--help)" in err


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (VideoError("no such\nvideo"), 1, "vidseg: no such video"),
        (cli.UsageError("this or that"), 2, "vidseg: this or that"),
        (KeyboardInterrupt(), 130, "vidseg: interrupted"),
        (KeyboardInterrupt("interrupted after 3 frames"), 130, "vidseg: interrupted after 3 frames"),
        (OSError(errno.ENOSPC, "No space left on device", "a.png"), 1, "vidseg: a.png: No space left on device"),
        (OSError("odd"), 1, "vidseg: odd"),
        (ValueError("oh"), 1, "vidseg: internal error: ValueError: oh (add --debug to see where)"),
    ],
)
def test_every_error_is_one_line_with_an_exit_code(error, code, line, monkeypatch, capsys):
    failing(error, monkeypatch)
    assert cli.main([]) == code
    assert capsys.readouterr() == ("", line + "\n")


def test_a_warning_is_one_line_too(monkeypatch, capsys):
    def run(args):
        warnings.simplefilter("always")
        warnings.warn("expect\nto wait", stacklevel=1)

    parser = argparse.ArgumentParser()
    parser.set_defaults(run=run, debug=False)
    monkeypatch.setattr(cli, "build_parser", lambda: parser)
    assert cli.main([]) == 0
    assert capsys.readouterr().err == "vidseg: expect to wait\n"


def test_debug_shows_the_traceback(monkeypatch):
    failing(ValueError("oh"), monkeypatch)
    with pytest.raises(ValueError, match="oh"):
        cli.main(["--debug"])


@pytest.mark.parametrize("argv", [["--debug", "track", "x.mp4"], ["track", "x.mp4", "--debug"]])
def test_debug_may_stand_before_or_after_the_verb(argv):
    assert cli.build_parser().parse_args(argv).debug is True


def test_a_closed_pipe_is_not_an_error_to_talk_about():
    """`vidseg ... | head` must not end in a traceback."""
    program = (
        "import sys, vidseg.cli as cli, argparse\n"
        "parser = argparse.ArgumentParser(); parser.add_argument('--debug')\n"
        "parser.set_defaults(run=lambda args: print('x' * 100000))\n"
        "cli.build_parser = lambda: parser\n"
        "sys.exit(cli.main([]))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_the_module_can_be_run():
    done = subprocess.run([sys.executable, "-m", "vidseg", "--version"], capture_output=True, text=True)
    assert done.stdout.startswith("vidseg ") and done.returncode == 0
