"""Who has a project open: one writer at a time, told apart by a lock that the operating system drops with its process.

The lock lies in `PROJECT.lock` beside the project. What the file says (who, since when) is only for the message; what
counts is the lock on it, so a killed process leaves nothing that a person would have to clean up.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import sys
from datetime import datetime, timezone
from pathlib import Path

from ..errors import ProjectError


class ProjectLock:
    """The right to write to a project; held from creation to `release`.

    Raises ProjectError, naming process, host, user and time, if another process (or another `ProjectLock` in this one)
    holds it.
    """

    def __init__(self, project: Path) -> None:
        self.path = project.with_name(project.name + ".lock")
        self._file = self._acquire(project)
        about = {"pid": os.getpid(), "host": socket.gethostname(), "user": _user(), "since": _now()}
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, json.dumps(about).encode(), 0)

    def _acquire(self, project: Path) -> int:
        while True:
            try:
                file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise ProjectError(
                    f"{project} cannot be opened for writing ({error.strerror} for {self.path.name}); "
                    "its folder must exist and be writable"
                ) from None
            if not _try_lock(file):
                holder = _read(file)
                os.close(file)
                raise ProjectError(
                    f"{project} is open in {holder}; close it there first, or read it with `vidseg project info`"
                )
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self.path).st_ino == os.fstat(file).st_ino:
                    return file
            os.close(file)  # the last owner removed the file between our open and our lock: take the new one

    def release(self) -> None:
        """Give the project back; a second call does nothing."""
        if self._file >= 0:
            with contextlib.suppress(OSError):
                self.path.unlink()
            os.close(self._file)
            self._file = -1


def _try_lock(file: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, 1 << 20, os.SEEK_SET)  # a byte far behind the text, which others must be able to read
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(file: int) -> str:
    try:
        about = json.loads(os.pread(file, 4096, 0))
        return f"process {about['pid']} on {about['host']} (user {about['user']}, since {about['since']})"
    except (ValueError, KeyError, TypeError, OSError):
        return "another process"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "unknown"


def _now() -> str:
    return datetime.now(timezone.utc).astimezone().strftime("%Y-%m-%d %H:%M:%S")
