"""What an evaluation found: scores by object, sequence and set, and their JSON. Values, nothing is computed from masks.

Per-frame scores are kept in 0..1; everything that is summed up is in per cent, as benchmarks print it. The set's value
is the mean over all objects of all sequences (DAVIS-2016, with one object a sequence, averages sequences), a
sequence's the mean over its objects.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vidseg.evaluate.metrics import Statistics, statistics


@dataclass(frozen=True, slots=True)
class ObjectResult:
    """Scores of one object: `j[k]` and `f[k]`, 0..1, belong to the frame with index `frames[k]`."""

    name: str
    frames: tuple[int, ...]
    j: tuple[float, ...]
    f: tuple[float, ...]

    @property
    def statistics(self) -> tuple[Statistics, Statistics]:
        """Mean, recall and decay of J and of F, 0..1; nan if no frame was scored."""
        return statistics(np.array(self.j)), statistics(np.array(self.f))


@dataclass(frozen=True, slots=True)
class SequenceResult:
    """Scores of one sequence.

    Attributes:
        name: the sequence.
        objects: one entry an object, in the order of their ids.
        frames: frames answered; seconds: what the method took for them, reading pictures included; None if not timed.
        curve: in the interactive mode J&F in per cent after 0, 1, 2 ... corrections; otherwise empty.
    """

    name: str
    objects: tuple[ObjectResult, ...]
    frames: int
    seconds: float | None = None
    curve: tuple[float, ...] = ()

    @property
    def unscored(self) -> bool:
        """Whether no frame of any object was scored; benchmarks publish such sequences with hidden labels."""
        return not any(one.frames for one in self.objects)

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values; `from_json` reads it back."""
        objects = [{"name": o.name, "frames": o.frames, "j": o.j, "f": o.f} for o in self.objects]
        return {
            "name": self.name, "objects": objects, "frames": self.frames, "seconds": self.seconds, "curve": self.curve
        }  # fmt: skip

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> SequenceResult:
        """The result that `to_json` described."""
        objects = tuple(
            ObjectResult(o["name"], tuple(o["frames"]), tuple(o["j"]), tuple(o["f"])) for o in content["objects"]
        )
        return SequenceResult(
            content["name"], objects, content["frames"], content["seconds"], tuple(content["curve"])
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Summary:
    """Means over objects, in per cent; nan where nothing was scored."""

    j: float
    f: float
    j_recall: float
    f_recall: float
    j_decay: float
    f_decay: float

    @property
    def j_and_f(self) -> float:
        """The mean of J and F."""
        return (self.j + self.f) / 2

    def to_json(self) -> dict[str, float | None]:
        """Rounded to a ten-thousandth of a per cent; None for nan."""
        names = ("j_and_f", "j", "f", "j_recall", "f_recall", "j_decay", "f_decay")
        return {name: _finite(getattr(self, name)) for name in names}


@dataclass(frozen=True)
class Results:
    """What was found on a whole set, and the settings it was found with.

    Attributes:
        sequences: in the order they were asked for.
        settings: what was run, as plain values (data, layout, protocol, method, prompt, ...).
        skipped: a line for each thing in the data set that could not be used.
    """

    sequences: tuple[SequenceResult, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    skipped: tuple[str, ...] = ()

    @property
    def summary(self) -> Summary:
        """Means over all objects of all sequences."""
        return summarise([o for sequence in self.sequences for o in sequence.objects])

    @property
    def j_and_f(self) -> float:
        """Mean of J and F over the set, per cent."""
        return self.summary.j_and_f

    @property
    def j(self) -> float:
        """Mean region similarity over the set, per cent."""
        return self.summary.j

    @property
    def f(self) -> float:
        """Mean boundary accuracy over the set, per cent."""
        return self.summary.f

    @property
    def curve(self) -> tuple[float, ...]:
        """J&F in per cent after 0, 1, 2 ... corrections: the mean over all objects; empty if not interactive."""
        found = [(one.curve, sum(bool(o.frames) for o in one.objects)) for one in self.sequences if one.curve]
        found = [(curve, objects) for curve, objects in found if objects]
        if not found:
            return ()
        longest = max(len(curve) for curve, _ in found)  # a sequence without errors left stops early: its last stays
        padded = [[*curve, *[curve[-1]] * (longest - len(curve))] for curve, _ in found]
        return tuple(np.average(padded, axis=0, weights=[objects for _, objects in found]).tolist())

    def to_json(self) -> dict[str, Any]:
        """The content of results.json, all scores in per cent."""
        content: dict[str, Any] = {**self.summary.to_json(), "speed": _speed(self.sequences)}
        content |= {"sequences": {sequence.name: _sequence_json(sequence) for sequence in self.sequences}}
        if self.curve:
            content["curve"] = [_finite(value) for value in self.curve]
        return content | {"settings": dict(self.settings), "skipped": list(self.skipped)}


def summarise(objects: Sequence[ObjectResult]) -> Summary:
    """Return the mean over objects, in per cent; objects without a scored frame do not count."""
    found = [one.statistics for one in objects if one.frames]
    if not found:
        return Summary(*[math.nan] * 6)
    rows = [[j.mean, f.mean, j.recall, f.recall, j.decay, f.decay] for j, f in found]
    return Summary(*(100 * np.mean(rows, axis=0)).tolist())


def _sequence_json(sequence: SequenceResult) -> dict[str, Any]:
    content: dict[str, Any] = summarise(sequence.objects).to_json()
    content |= {"objects": {one.name: summarise([one]).to_json() for one in sequence.objects}}
    if sequence.curve:
        content["curve"] = [_finite(value) for value in sequence.curve]
    return content | {"frames": sequence.frames} | _speed([sequence])


def _speed(sequences: Sequence[SequenceResult]) -> dict[str, float | None]:
    """Seconds and frames a second of the sequences that were timed."""
    timed = [(one.frames, one.seconds) for one in sequences if one.seconds]
    seconds = sum(spent for _, spent in timed)
    if not seconds:
        return {"seconds": None, "frames_per_second": None}
    rate = sum(frames for frames, _ in timed) / seconds
    return {"seconds": round(seconds, 3), "frames_per_second": round(rate, 2)}


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else round(value, 4)
