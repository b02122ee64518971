"""The folder of an evaluation: settings, masks and scores of finished sequences, so that a run can go on later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vidseg.errors import ConfigError
from vidseg.evaluate.protocols import Task
from vidseg.evaluate.results import SequenceResult
from vidseg.masks import palette
from vidseg.masks.files import replacing


@dataclass(frozen=True)
class Output:
    """A folder with `settings.json`, `masks/SEQUENCE/*.png` and `scores/SEQUENCE.json`.

    `keeps_masks` is false where the masks that are scored lie in a folder already; those may change, so they are scored
    again every time.
    """

    folder: Path
    keeps_masks: bool = True

    def claim(self, settings: Mapping[str, Any]) -> None:
        """Note the settings, or check that they are those of the results already here.

        Raises ConfigError if the folder holds the results of other settings.
        """
        path, settings = self.folder / "settings.json", json.loads(json.dumps(settings))
        if path.exists() and any(self.folder.glob("scores/*.json")):  # a mistaken start that finished nothing may go
            before = json.loads(path.read_text(encoding="utf-8"))
            changed = [key for key in sorted({*before, *settings}) if before.get(key) != settings.get(key)]
            if changed:
                key = changed[0]
                raise ConfigError(
                    f"{self.folder} holds results of other settings ({key} was {before.get(key)!r}, now "
                    f"{settings.get(key)!r}); give another --out, or delete the folder"
                )
            return
        with replacing(path) as file:
            file.write(json.dumps(settings, indent=2) + "\n")

    def masks_of(self, name: str) -> Path:
        """Where the masks of a sequence are written."""
        return self.folder / "masks" / name

    def finished(self, name: str) -> SequenceResult | None:
        """The kept result of a sequence, or None if it has to be computed."""
        if not self.keeps_masks:
            return None
        path = self.folder / "scores" / f"{name}.json"
        return SequenceResult.from_json(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def finish(self, result: SequenceResult) -> None:
        """Keep the scores of a sequence, after which it counts as finished."""
        with replacing(self.folder / "scores" / f"{result.name}.json") as file:
            file.write(json.dumps(result.to_json()) + "\n")

    def write(self, task: Task, frame: int, masks: np.ndarray) -> None:
        """Write the (O, H, W) masks of a frame: one index PNG, or one PNG an object where objects may overlap."""
        if not self.keeps_masks:
            return
        place, name = self.masks_of(task.video.name), f"{task.video.stem(frame)}.png"
        if task.protocol.overlapping:
            for object_id, mask in zip(task.objects, masks, strict=True):
                palette.write_index(place / task.name(object_id) / name, mask.astype(np.uint8))
        else:
            palette.write_index(place / name, palette.merge(masks, task.objects))
