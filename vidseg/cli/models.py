"""List the models that can be used by name, and download their weights.

vidseg models                        what there is, and what is on this machine
vidseg models download sam2.1-tiny   fetch weights (again: an interrupted download continues)
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `vidseg models`."""
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION")
    download = actions.add_parser("download", help="fetch the weights of models into the cache")
    download.add_argument("names", nargs="+", metavar="NAME", help="a model's name, as `vidseg models` lists it")
    download.add_argument("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> None:
    """List the models, or download those named."""
    if args.action == "download":
        _download(args.names, quiet=args.quiet)
    elif args.json:
        print(json.dumps(list_models(), indent=2))
    else:
        print(_table(list_models()))


def list_models() -> list[dict[str, Any]]:
    """Describe every model with a name.

    Each is a dict of name, parameters, size_bytes (None if unknown), source, licence and path: its file on this
    machine, None where it has to be downloaded.
    """
    from vidseg.downloads import find_cached
    from vidseg.registry import RELEASES, SHIPPED

    rows = [_shipped(name) for name in SHIPPED]
    for release in RELEASES.values():
        path = find_cached(release)
        row = {
            "name": release.name,
            "parameters": release.parameters,
            "size_bytes": release.size_bytes,
            "source": release.url,
            "licence": release.licence,
            "path": str(path) if path else None,
        }
        rows.append(row)
    return rows


def _shipped(name: str) -> dict[str, Any]:
    from safetensors import safe_open

    from vidseg.registry import SHIPPED_LICENCE, shipped_path

    path = shipped_path(name)
    source = "comes with vidseg"
    row = {
        "name": name,
        "parameters": None,
        "size_bytes": None,
        "source": source,
        "licence": SHIPPED_LICENCE,
        "path": None,
    }
    if not path.is_file():
        return {**row, "source": f"{source}, but is missing from this copy"}
    with safe_open(path, framework="np") as file:
        parameters = sum(math.prod(file.get_slice(key).get_shape()) for key in file.keys())  # noqa: SIM118
    return {**row, "parameters": parameters, "size_bytes": path.stat().st_size, "path": str(path)}


def _table(rows: list[dict[str, Any]]) -> str:
    heads = ("model", "parameters", "size", "licence", "source", "on this machine")
    lines = [heads]
    for row in rows:
        parameters = f"{row['parameters'] / 1e6:.1f} M" if row["parameters"] else "?"
        size = f"{row['size_bytes'] / 1e6:.0f} MB" if row["size_bytes"] else "?"
        lines.append((row["name"], parameters, size, row["licence"], row["source"], row["path"] or "-"))
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _download(names: list[str], *, quiet: bool) -> None:
    from vidseg.downloads import download
    from vidseg.registry import SHIPPED, find_release

    releases = [find_release(name) for name in names if name not in SHIPPED]  # an unknown name stops all, first
    for release in releases:
        with _Bar(release.file_name, shown=not quiet and sys.stderr.isatty()) as bar:
            path = download(release, progress=bar.show)
        print(path)


class _Bar:
    """A progress bar on stderr."""

    def __init__(self, title: str, *, shown: bool) -> None:
        from tqdm import tqdm

        self.bar = tqdm(desc=title, unit="B", unit_scale=True, unit_divisor=1000, disable=not shown)

    def __enter__(self) -> _Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def show(self, done: int, total: int | None) -> None:
        """Move to `done` of `total` bytes."""
        self.bar.total = total
        self.bar.update(done - self.bar.n)
