"""Distillation: a model with a narrower trunk learns to see as another one does, from pictures alone.

The student begins as the teacher with some channels left out, and learns the teacher's feature maps (FitNets, arXiv
1412.6550, of the last layer). What comes after the features (memory, prompts, masks) is taken over as it is. So no
masks are needed, and most of what the teacher knows is there within minutes.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import OneCycleLR

from vidseg.errors import ConfigError, DataError
from vidseg.model.sam2 import Sam2
from vidseg.picture import normalise
from vidseg.train import checkpoint
from vidseg.train.keeper import Report
from vidseg.train.metrics import append_row, cut_after
from vidseg.train.model_step import precision
from vidseg.weights import save_model, weights_digest

SIZES = ((224, 384), (224, 384), (256, 448), (320, 320), (384, 224))
"""(h, w) of the inputs, drawn at random: wide ones more often."""
_SUFFIXES = (".jpg", ".jpeg", ".webp")  # PNGs beside them are masks
_SAVE_MINUTES = 3.0


@dataclass(frozen=True, slots=True)
class DistilConfig:
    """How a student learns: `width` channels of its trunk's first stage, `steps` batches of `batch` pictures, AdamW at
    the `rate` that falls along a cosine, pictures drawn from `seed`.
    """

    width: int = 32
    steps: int = 12000
    batch: int = 4
    rate: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.batch < 1 or not self.rate > 0:
            raise ConfigError(
                f"steps {self.steps}, batch {self.batch} and rate {self.rate:g}: nothing is learned so; give "
                "one or more of the first two, and a rate above 0"
            )


def narrowed(teacher: Sam2, width: int, *, name: str) -> Sam2:
    """Return a model `name` like `teacher` whose trunk is `width` channels wide, with what fits of its weights.

    Both are in float32. Channels are left out at even distances, the same ones everywhere; what is summed of fewer is
    scaled up.

    Raises:
        ConfigError: `width` is not below the teacher's, or not a multiple of its heads.
    """
    trunk = teacher.config.trunk
    if not 0 < width < trunk.embed_dim or width % trunk.num_heads:
        heads = f" and a multiple of {trunk.num_heads}" if trunk.num_heads > 1 else ""
        raise ConfigError(f"a width of {width} is not possible; give one below the teacher's {trunk.embed_dim}{heads}")
    student = Sam2(replace(teacher.config, name=name, trunk=replace(trunk, embed_dim=width))).to(teacher.device)
    shapes = {key: weight.shape for key, weight in student.state_dict().items()}
    known = teacher.state_dict()
    student.load_state_dict({key: _narrow(known[key], shape) for key, shape in shapes.items()})
    return student


def _narrow(weight: Tensor, shape: torch.Size) -> Tensor:
    for axis, (old, new) in enumerate(zip(weight.shape, shape, strict=True)):
        weight = weight.index_select(axis, torch.arange(new, device=weight.device) * old // new)
        if axis == 1 and len(weight) > 1:  # the inputs of a product
            weight = weight * (old / new) ** 0.5
    return weight


def pictures(folders: Sequence[Path]) -> list[Path]:
    """Return all JPEG and WebP files in `folders` and below, in order.

    Raises:
        DataError: there are none.
    """
    found = sorted(path for folder in folders for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise DataError(f"{', '.join(map(str, folders))}: no JPEG or WebP file there; give folders of pictures")
    return found


def draw(path: Path, size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a part (h, w, 3) uint8 of a picture, at random larger or smaller, mirrored, upside down, in other colours.

    Raises:
        DataError: the file cannot be read.
    """
    image = cv2.imread(str(path))
    if image is None:
        raise DataError(f"{path} cannot be read as a picture, and is left out")
    image = image[:, :, :: rng.choice((-1, -1, -1, 1))]
    scale = max(size[0] / image.shape[0], size[1] / image.shape[1]) * rng.uniform(1.01, 2)
    image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (rng.integers(0, have - want + 1) for have, want in zip(image.shape, size, strict=False))
    image = image[top : top + size[0], left : left + size[1]]
    image = np.clip(image * rng.uniform(0.6, 1.4) + rng.uniform(-30, 30), 0, 255).astype(np.uint8)
    return image[:: rng.choice((1, 1, 1, -1)), :: rng.choice((1, -1))]


def _draw_any(
    paths: Sequence[Path], size: tuple[int, int], rng: np.random.Generator, unfit: dict[Path, str]
) -> np.ndarray:
    """Draw a part of any of the pictures; those that cannot be read go to `unfit`, with the reason."""
    while len(unfit) < len(paths):
        path = paths[int(rng.integers(len(paths)))]
        try:
            return draw(path, size, rng)
        except DataError as error:
            unfit[path] = str(error)
    raise DataError(f"none of {len(paths)} pictures can be read, such as {paths[0]}; give others")


def difference(student: Sam2, teacher: Sam2, images: Tensor) -> Tensor:
    """Return how far the student's feature maps of (B, 3, h, w) images are from the teacher's, as a share of the
    variance of those; the mean over the maps.
    """
    with torch.no_grad():
        wanted = [one.float() for one in teacher.image_encoder(images.to(teacher.dtype))["backbone_fpn"]]
    with precision(teacher.device, None if teacher.dtype == torch.float32 else torch.bfloat16):
        found = student.image_encoder(images)["backbone_fpn"]
    shares = [(f.float() - w).square().mean() / w.var() for f, w in zip(found, wanted, strict=True)]
    return torch.stack(shares).mean()


def distil(
    teacher: Sam2,
    paths: Sequence[Path],
    config: DistilConfig,
    folder: Path,
    *,
    dtype: torch.dtype = torch.float32,
    stop: Callable[[], bool] = lambda: False,
    log_every: int = 50,
) -> Iterator[Report]:
    """Teach a student and keep it in `folder`; yield a report after each step.

    The `teacher` is one in float32; both compute in `dtype`, float32 or bfloat16.

    The folder gets `last.safetensors` (for `load_model`; the student's name is the folder's), `metrics.csv` and a
    checkpoint, every three minutes and at the end; where there is a checkpoint, the run goes on from it, and comes to
    the same weights.

    Pictures that cannot be read are left out; the report's news name each once.

    Raises:
        ConfigError: the folder holds a run with another config or teacher, or the student cannot be made.
        DataError: none of the pictures can be read.
    """
    student, rng = narrowed(teacher, config.width, name=folder.name), np.random.default_rng(config.seed)
    run = {"config": asdict(config), "teacher": weights_digest(teacher)}
    seen = copy.deepcopy(teacher).to(dtype)
    optimiser = torch.optim.AdamW(student.image_encoder.parameters(), config.rate, betas=(0.9, 0.98), weight_decay=0.02)
    schedule = OneCycleLR(optimiser, config.rate, total_steps=max(config.steps, 2), pct_start=0.02)
    folder.mkdir(parents=True, exist_ok=True)
    done, table = 0, folder / "metrics.csv"
    if (state := checkpoint.load(folder)) is not None:
        done = _restore(state, run, student, optimiser, schedule, rng, folder)
        cut_after(table, done)

    def save(step: int) -> None:
        kept = {"model": student.state_dict(), "optimiser": optimiser.state_dict()}
        checkpoint.save(folder, {**run, **kept, "step": step, "random": json.dumps(rng.bit_generator.state)})
        save_model(student, folder / "last.safetensors", dtype=torch.float16)

    losses, saved, unfit = [], time.monotonic(), dict[Path, str]()
    for step in range(done + 1, config.steps + 1):
        size = SIZES[int(rng.integers(len(SIZES)))]
        known = len(unfit)
        batch = np.stack([_draw_any(paths, size, rng, unfit) for _ in range(config.batch)])
        loss = difference(student, seen, normalise(torch.from_numpy(batch).permute(0, 3, 1, 2).to(teacher.device)))
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(student.image_encoder.parameters(), 1.0)
        optimiser.step()
        rate = float(schedule.get_last_lr()[0])
        if step < config.steps:
            schedule.step()
        losses.append(loss.detach())
        metrics = None
        if step % log_every == 0 or step == config.steps:
            metrics = {"step": step, "difference": torch.stack(losses).mean().item(), "rate": rate}
            append_row(table, metrics)
            losses = []
        stopping = stop()
        if stopping or step == config.steps or time.monotonic() - saved > 60 * _SAVE_MINUTES:
            save(step)
            saved = time.monotonic()
        yield Report(step, metrics, "; ".join(list(unfit.values())[known:]))
        if stopping:
            return


def _restore(
    state: dict[str, Any],
    run: dict[str, Any],
    student: Sam2,
    optimiser: torch.optim.AdamW,
    schedule: OneCycleLR,
    rng: np.random.Generator,
    folder: Path,
) -> int:
    """Go on from a checkpoint's state, if it is of this very `run`; return how many steps were done."""
    if any(state.get(key) != value for key, value in run.items()):
        raise ConfigError(
            f"the run in {folder} had another config or teacher; repeat its command to go on, or give another --out"
        )
    student.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    schedule.last_epoch = state["step"]
    rng.bit_generator.state = json.loads(state["random"])
    return int(state["step"])
