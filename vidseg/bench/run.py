"""Cases -> measurements -> a table and JSON.

A measurement is the median over frames in the steady state. Where several implementations are compared they take turns
frame by frame in one process, so that whatever else the machine does falls on all of them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vidseg.bench.machine import describe_machine, matrix_rate, peak_memory, reset_peak_memory, synchronise
from vidseg.bench.peers import PEERS
from vidseg.bench.stages import watched
from vidseg.bench.subjects import FIRST, Subject, VidsegSubject, build_model, spread_clicks
from vidseg.errors import ConfigError
from vidseg.model import PRESETS, Sam2Config
from vidseg.scene import make_scene
from vidseg.types import Frame
from vidseg.video import Video, open_video
from vidseg.weights import choose_dtype

REST = "everything else"
STAGES = ("image encoder", "memory attention", "mask decoder", "memory encoder", REST)
"""What a frame's time is divided into; the rest is resizing, memory tokens and masks at full size."""

_SCENE_SIZE = (540, 960)


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: a preset, a number of objects, the input's side in pixels, a number format.

    `peer` compares with another implementation (a key of `PEERS`) that computes in `peer_dtype`.
    """

    model: str
    objects: int = 1
    image_size: int | None = None
    dtype: str = "auto"
    peer: str | None = None
    peer_dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One implementation in one case. All times are medians, in seconds.

    Attributes:
        name: "vidseg" or the peer's name; dtype: what it computed in.
        frame: a whole frame, without decoding the video.
        processor: processor time of a frame, summed over threads. Where it is far below `frame` with one thread,
            something else was using the machine.
        stages: time by stage of `STAGES`; they need not sum to `frame` exactly, being medians.
        gflop: products by stage, in 10^9 floating-point operations.
        bound: by stage, the least time at this machine's matrix rate.
    """

    name: str
    dtype: str
    frame: float
    processor: float
    stages: dict[str, float]
    gflop: dict[str, float]
    bound: dict[str, float]


def bench(
    cases: Sequence[Case], *, source: str | None = None, frames: int = 5, device: torch.device | None = None
) -> Iterator[dict[str, Any]]:
    """Measure cases one after another; yield first the machine, then a JSON-able dict for every case.

    Args:
        cases: what to measure.
        source: a video of which the first frames are used; a generated scene by default.
        frames: timed frames a case, after one that is not timed.
        device: the CPU by default.

    Raises:
        ConfigError: a case that cannot be, or no frames; VidsegError: a peer that is not installed.
    """
    if frames < 1:
        raise ConfigError(f"cannot time {frames} frames; expected at least 1")
    device = device or torch.device("cpu")
    configs = [_config(case) for case in cases]
    dtypes = [choose_dtype(case.dtype, config, device) for case, config in zip(cases, configs, strict=True)]
    needed = {*dtypes, *(choose_dtype(case.peer_dtype, PRESETS["tiny-test"], device) for case in cases if case.peer)}
    rates = {dtype: matrix_rate(dtype, device) for dtype in needed}
    gflops = {_short(dtype): round(rate / 1e9, 1) for dtype, rate in rates.items()}
    yield {"machine": describe_machine(device), "matrix_gflop_per_second": gflops}
    for case, config, dtype in zip(cases, configs, dtypes, strict=True):
        yield _run_case(case, config, dtype, rates=rates, source=source, frames=frames, device=device)


def _run_case(
    case: Case,
    config: Sam2Config,
    dtype: torch.dtype,
    *,
    rates: dict[torch.dtype, float],
    source: str | None,
    frames: int,
    device: torch.device,
) -> dict[str, Any]:
    """Build what the case needs, let it follow `frames` frames, and describe the result."""
    reset_peak_memory(device)
    stream = _frames(source, case.objects)
    _, first = next(stream)
    clicks = spread_clicks(case.objects, first.image.shape[:2])
    model = build_model(config, device)
    subjects: list[tuple[Subject, torch.dtype]] = []
    if case.peer is not None:
        peer_dtype = choose_dtype(case.peer_dtype, config, device)
        subjects.append((PEERS[case.peer](model, first, clicks, dtype=peer_dtype), peer_dtype))
    subjects.insert(0, (VidsegSubject(model.to(dtype), first, clicks), dtype))
    clocks = [_Clock(subject, device) for subject, _ in subjects]
    decoding, agreement = [], _Agreement()
    for index in range(FIRST, FIRST + 1 + frames):
        seconds, frame = next(stream)
        decoding.append(seconds)
        warm_up = index == FIRST
        agreement.add([clock.follow(replace(frame, index=index), counting=warm_up) for clock in clocks])
    described: dict[str, Any] = {
        "case": {**asdict(case), "image_size": config.image_size, "dtype": _short(dtype)},
        "frames": frames,
        "picture": list(first.image.shape[:2]),
        "decode_video": statistics.median(decoding[1:]),
        "results": [
            asdict(clock.measurement(_short(dtype), rates[dtype]))
            for clock, (_, dtype) in zip(clocks, subjects, strict=True)
        ],
    }
    if case.peer is None:  # with a peer in the same process the peak would be both's
        return described | {"peak_memory_bytes": peak_memory(device)}
    return described | {
        "ratio_to_peer": _ratio(clocks[0].frames, clocks[1].frames),
        "processor_ratio_to_peer": _ratio(clocks[0].processor, clocks[1].processor),
        **agreement.describe(),
    }


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over frames of the ratio in turns next to each other."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


class _Clock:
    """Times a subject frame by frame."""

    def __init__(self, subject: Subject, device: torch.device) -> None:
        self.subject, self.device = subject, device
        self.frames: list[float] = []
        self.processor: list[float] = []
        self.stages: list[dict[str, float]] = []
        self.flops: dict[str, int] = {}

    def follow(self, frame: Frame, *, counting: bool) -> Tensor:
        """Let the subject follow a frame; counting FLOPs, it is not timed."""
        with watched(self.subject.parts, self.device, counting=counting) as stages:
            start, worked = time.perf_counter(), time.process_time()
            logits = self.subject.follow(frame)
            synchronise(self.device)
            seconds, worked = time.perf_counter() - start, time.process_time() - worked
        if counting:
            self.flops = dict(stages.flops)
        else:
            self.frames.append(seconds)
            self.processor.append(worked)
            self.stages.append({**stages.seconds, REST: seconds - sum(stages.seconds.values())})
        return logits.cpu()

    def measurement(self, dtype: str, rate: float) -> Measurement:
        """Return the medians so far, beside their bounds at `rate` FLOP a second."""
        flops = {stage: self.flops.get(stage, 0) for stage in STAGES}
        return Measurement(
            name=self.subject.name,
            dtype=dtype,
            frame=statistics.median(self.frames),
            processor=statistics.median(self.processor),
            stages={stage: statistics.median(frame[stage] for frame in self.stages) for stage in STAGES},
            gflop={stage: count / 1e9 for stage, count in flops.items()},
            bound={stage: count / rate for stage, count in flops.items()},
        )


class _Agreement:
    """How far two implementations' logits are apart, over all frames and objects."""

    def __init__(self) -> None:
        self.difference = 0.0
        self.ious: list[float] = []

    def add(self, logits: Sequence[Tensor]) -> None:
        """Take one frame's logits (N, h, w) of each; with one implementation there is nothing to compare."""
        if len(logits) < 2:
            return
        ours, theirs = logits
        self.difference = max(self.difference, float((ours - theirs).abs().max()))
        both, either = ((ours > 0) & (theirs > 0)).sum((1, 2)), ((ours > 0) | (theirs > 0)).sum((1, 2))
        self.ious += [float(b / e) if e else 1.0 for b, e in zip(both, either, strict=True)]

    def describe(self) -> dict[str, float]:
        """Return the largest difference and the lowest IoU."""
        return {"largest_logit_difference": self.difference, "lowest_mask_iou": min(self.ious)}


def _frames(source: str | None, objects: int) -> Iterator[tuple[float, Frame]]:
    """Yield frames without end, each with the seconds that decoding (or drawing) it took."""
    while True:
        start = time.perf_counter()
        for frame in _open(source, objects):
            yield time.perf_counter() - start, frame
            start = time.perf_counter()


def _open(source: str | None, objects: int) -> Iterator[Frame]:
    if source is None:
        scene = make_scene(size=_SCENE_SIZE, objects=objects)
        yield from (scene.draw(index)[0] for index in range(1000))
        return
    video: Video
    with open_video(source) as video:
        yield from video


def _config(case: Case) -> Sam2Config:
    if case.model not in PRESETS:
        raise ConfigError(f"unknown model {case.model!r}; expected one of {', '.join(PRESETS)}")
    if case.objects < 1:
        raise ConfigError(f"cannot follow {case.objects} objects; expected at least 1")
    if case.peer is not None and case.peer not in PEERS:
        raise ConfigError(f"unknown peer {case.peer!r}; expected one of {', '.join(PEERS)}")
    config = PRESETS[case.model]
    return config if case.image_size is None else replace(config, image_size=case.image_size)


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def table(described: dict[str, Any]) -> str:
    """Return one item of `bench` as text: the machine, or a case with a line a stage."""
    if "machine" in described:
        return _machine_text(described)
    case = described["case"]
    plural = "s" if case["objects"] > 1 else ""
    lines = [f"{case['model']} at {case['image_size']} px, {case['objects']} object{plural}"]
    for result in described["results"]:
        lines += ["", *_result_lines(result)]
    h, w = described["picture"]
    lines += ["", f"  decoding a frame of {w}x{h}: {described['decode_video']:.4f} s (runs ahead in a thread)"]
    if "peak_memory_bytes" in described:
        lines.append(f"  peak memory: {described['peak_memory_bytes'] / 1e9:.2f} GB")
    if "ratio_to_peer" in described:
        ours, peer = described["results"]
        lines.append(
            f"  {ours['name']} {ours['dtype']} / {peer['name']} {peer['dtype']}: "
            f"{described['ratio_to_peer']:.3f} of the time, "
            f"{described['processor_ratio_to_peer']:.3f} of the processor time; "
            f"logits differ by at most {described['largest_logit_difference']:.2g}, "
            f"masks agree to IoU {described['lowest_mask_iou']:.4f}"
        )
    return "\n".join(lines)


def _machine_text(described: dict[str, Any]) -> str:
    machine, rates = described["machine"], described["matrix_gflop_per_second"]
    products = ", ".join(f"{rate:g} GFLOP/s in {dtype}" for dtype, rate in rates.items())
    named = machine["processor"] if machine["device"] == "cpu" else machine["device"]
    return f"{named}, {machine['threads']} threads, torch {machine['torch']}; matrix products at {products}"


def _result_lines(result: dict[str, Any]) -> list[str]:
    head = f"{result['name']} {result['dtype']}"
    lines = [f"  {head:<24}{'seconds':>9}{'share':>8}{'GFLOP':>9}{'bound s':>9}{'of peak':>9}"]
    whole = {
        "frame": (result["frame"], sum(result["gflop"].values()), sum(result["bound"].values())),
        **{s: (result["stages"][s], result["gflop"][s], result["bound"][s]) for s in STAGES},
    }
    for stage, (seconds, gflop, bound) in whole.items():
        work = f"{gflop:>9.1f}{bound:>9.3f}{bound / seconds:>9.0%}" if gflop else ""
        lines.append(f"    {stage:<22}{seconds:>9.3f}{seconds / result['frame']:>8.0%}{work}")
    lines.insert(2, f"    {'  processor time':<22}{result['processor']:>9.3f}")
    return lines
