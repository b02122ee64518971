"""Numbers of a run on disk: CSV tables that grow line by line and can be cut back to where a run resumes."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from pathlib import Path


def append_row(path: Path, row: Mapping[str, float | int | str]) -> None:
    """Add one line to the table `path`; the first one brings the head."""
    new = not path.exists() or path.stat().st_size == 0
    with open(path, "a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()})


def read_rows(path: Path) -> list[dict[str, float]]:
    """Every line of a table as numbers; none where the file is missing. A last line cut short is left out."""
    if not path.exists():
        return []
    rows = []
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            try:
                rows.append({key: float(value) for key, value in row.items()})
            except (TypeError, ValueError):
                continue
    return rows


def cut_after(path: Path, step: int) -> None:
    """Drop the lines whose `step` is above `step`: a resumed run writes them again."""
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.reader(file)
        head = next(reader, None)
        lines = [line for line in reader if head and len(line) == len(head)]
    if head is None:
        return
    column = head.index("step")
    part = path.with_name(path.name + ".part")
    with open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(line for line in lines if int(float(line[column])) <= step)
    os.replace(part, path)
