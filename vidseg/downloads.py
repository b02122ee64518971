"""Fetch released weights once, and find them again: the cache, the Hugging Face hub's cache, resumable downloads.

Files are downloaded to `<name>.part`, checked against the registry's size and SHA-256 sum, and only then renamed: what
has its final name is whole. Standard library only.

Cache folder: `$VIDSEG_CACHE`; else `$HF_HOME/vidseg`, beside the hub's own folder; else `$XDG_CACHE_HOME/vidseg`; else
`~/.cache/vidseg`. The hub's cache is only read.
"""

from __future__ import annotations

import hashlib
import http
import http.client
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from vidseg.errors import WeightsError
from vidseg.registry import Release

__all__ = ["cache_folder", "download", "find_cached"]

_CHUNK_BYTES = 1 << 20
_TIMEOUT_SECONDS = 30.0
_ATTEMPTS = 4
_PAUSE_SECONDS = 1.0

Progress = Callable[[int, "int | None"], None]
"""Called with the bytes on disk so far and the size of the whole file (None if unknown)."""


def cache_folder() -> Path:
    """Return the folder for downloaded weights; it need not exist. The module docstring has the rule."""
    if own := os.environ.get("VIDSEG_CACHE"):
        return Path(own).expanduser()
    if hub := os.environ.get("HF_HOME"):
        return Path(hub).expanduser() / "vidseg"
    return _user_cache() / "vidseg"


def find_cached(release: Release) -> Path | None:
    """Return the release's file on this machine, or None: our own cache first, then the Hugging Face hub's.

    A file of another length than the registry's is not taken. In the hub's cache both Meta's `.pt` and the hub's own
    `model.safetensors` will do.
    """
    places = [cache_folder() / release.file_name]
    for snapshot in _hub_snapshots(release.hub_repo):
        places += [snapshot / release.file_name, snapshot / "model.safetensors"]
    return next((path for path in places if _is_whole(path, release)), None)


def download(release: Release, *, progress: Progress | None = None) -> Path:
    """Fetch a release into the cache unless it is on this machine, check it, and return its path.

    An interrupted download is continued by the next call, and a connection that breaks is taken up again a few times
    by itself.

    Raises:
        WeightsError: the server cannot be reached (says which file to put into which folder), the file is not the one
            the registry knows, or it cannot be written.
    """
    if here := find_cached(release):
        return here
    target = cache_folder() / release.file_name
    part = target.with_name(target.name + ".part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_space(release, part)
        resumed = part.exists()
        _fetch(release, part, progress)
        if resumed and _sha256(part) != release.sha256:  # what an earlier run left may be of another file: start over
            part.unlink()
            _fetch(release, part, progress)
        _verify(release, part)
        os.replace(part, target)
    except OSError as error:
        raise WeightsError(
            f"cannot write {target}: {error.strerror or error}; make room or set VIDSEG_CACHE to another folder"
        ) from error
    return target


class _ConnectionBrokenError(Exception):
    """The network failed, as opposed to the disk: worth another try."""


def _fetch(release: Release, part: Path, progress: Progress | None) -> None:
    """Bring `part` to its full length, continuing after broken connections as long as each brings something."""
    reason = "the connection broke off"
    for attempt in range(_ATTEMPTS):
        time.sleep(_PAUSE_SECONDS if attempt else 0)
        before = _length(part)
        try:
            if _fetch_once(release, part, progress):
                return
        except _ConnectionBrokenError as error:
            reason = str(error)
        if _length(part) == before:
            break
    if done := _length(part):
        raise WeightsError(
            f"download of {release.file_name} stopped after {done:,} bytes ({reason}); run it again to continue"
        )
    raise _unreachable(release, reason)


def _fetch_once(release: Release, part: Path, progress: Progress | None) -> bool:
    """Ask for what `part` lacks and append it; True when the file has the length the server announced."""
    start = _length(part)
    response = _open(release, start)
    if response is None:
        return True
    with response, part.open("ab") as file:
        if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # the server sends the whole file
            file.truncate(0)
            start = 0
        announced = response.headers.get("Content-Length")
        total = start + int(announced) if announced else release.size_bytes
        done = start
        while chunk := _read(response):
            file.write(chunk)
            done += len(chunk)
            if progress is not None:
                progress(done, total)
    return total is None or done >= total


def _open(release: Release, start: int) -> http.client.HTTPResponse | None:
    """Request the file from byte `start` on; None if it has no such byte, which the check will judge."""
    request = urllib.request.Request(release.url, headers={"User-Agent": f"vidseg/{version('vidseg')}"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        return urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise _unreachable(release, f"HTTP {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionBrokenError(getattr(error, "reason", error)) from error


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionBrokenError(error) from error


def _verify(release: Release, part: Path) -> None:
    """Refuse a file that is not the registry's, and remove it, so that the next run starts clean."""
    length = _length(part)
    if release.size_bytes is not None and length != release.size_bytes:
        problem = f"has {length:,} bytes, expected {release.size_bytes:,}"
    elif (found := _sha256(part)) != release.sha256:
        problem = f"has SHA-256 {found[:12]}…, expected {release.sha256[:12]}…"
    else:
        return
    part.unlink()
    raise WeightsError(
        f"what {release.url} sent {problem}: not the released file; try again, or from another network if it persists"
    )


def _check_space(release: Release, part: Path) -> None:
    if release.size_bytes is None:
        return
    missing = release.size_bytes - _length(part)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise WeightsError(
            f"{release.file_name} needs {missing:,} more bytes but {part.parent} has {free:,} free; "
            "make room or set VIDSEG_CACHE to another folder"
        )


def _unreachable(release: Release, reason: object) -> WeightsError:
    return WeightsError(
        f"cannot download {release.name} ({reason}); fetch {release.url} on another machine "
        f"and put it at {cache_folder() / release.file_name}"
    )


def _hub_snapshots(repo: str) -> list[Path]:
    """The snapshot folders of a repository in the Hugging Face hub's cache, the current revision first."""
    folder = _hub_cache() / f"models--{repo.replace('/', '--')}"
    try:
        snapshots = sorted(
            (folder / "snapshots").iterdir(), key=lambda snapshot: snapshot.stat().st_mtime, reverse=True
        )
    except OSError:
        return []
    try:
        current = (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return snapshots
    return sorted(snapshots, key=lambda snapshot: snapshot.name != current)


def _hub_cache() -> Path:
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := os.environ.get(variable):
            return Path(folder).expanduser()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser() if home else _user_cache() / "huggingface") / "hub"


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()


def _is_whole(path: Path, release: Release) -> bool:
    if not path.is_file():
        return False
    return path.suffix != ".pt" or release.size_bytes in (None, path.stat().st_size)


def _length(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
