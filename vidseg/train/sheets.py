"""What a config would train on, drawn before it does: clips of every source and stage, with their first prompts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from vidseg.train import user
from vidseg.train.clip import Clip, Skip, stack
from vidseg.train.config import StageConfig, TrainConfig
from vidseg.train.data import build_source, fixed_clips, gpu_source
from vidseg.train.keeper import write_skipped
from vidseg.train.model_step import Batch, make_batch
from vidseg.train.preview import sheet
from vidseg.train.user import KINDS, PromptConfig
from vidseg.types import Box, Click, Prompt

_CLIPS = 12


def draw_sheets(config: TrainConfig, folder: str | Path, *, clips: int = _CLIPS) -> Iterator[Path]:
    """Draw one JPEG a source and kind of batch into `folder`/preview and yield the paths; a source, not the mixture.

    With `clips_on_gpu` the clips are those that are made there (by the CPU where there is no GPU). What was found unfit
    on the way (missing masks, broken pictures) is listed beside the sheets in `skipped.txt`.
    """
    target = Path(folder) / "preview"
    target.mkdir(parents=True, exist_ok=True)
    skipped: dict[str, Skip] = {}
    for place, source_config in enumerate(config.sources):
        alone = replace(config, sources=(source_config,))
        source = None if config.clips_on_gpu else build_source(alone.sources, config.data_root)
        for name, stage in config.parts.items():
            if source is None:
                made, skips = _clips_of_gpu(alone, stage, clips)
            else:
                made = fixed_clips(
                    source, clips, seed=config.seed, frames=stage.frames, size=stage.size, objects=stage.objects
                )
                skips = source.report()
            path = target / f"source-{place + 1}-{source_config.kind}-stage-{name}.jpg"
            image = draw_sheet(made, stage.prompts or config.prompts, seed=config.seed)
            cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])
            yield path
            skipped |= {skip.path: skip for skip in skips}
    yield write_skipped(tuple(skipped.values()), target)


def draw_sheet(clips: Sequence[Clip], prompts: PromptConfig, *, seed: int) -> np.ndarray:
    """(H, W, 3) uint8 sheet of `clips` with a prompt on each object of their first frames."""
    batch = make_batch(stack(clips), prompts, seed=seed, number=0)
    return sheet(clips, prompts=first_prompts(clips, batch, prompts))


def _clips_of_gpu(config: TrainConfig, stage: StageConfig, count: int) -> tuple[list[Clip], tuple[Skip, ...]]:
    """`count` clips as they are made on the GPU, and what was left out."""
    source = gpu_source(config, stage, torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    shape = {"batch": count, "frames": stage.frames, "objects": stage.objects}
    batch = source.batch(0, seed=config.seed, size=stage.size, **shape)
    images, masks, valid, ignore, exists = (
        part.cpu().numpy() for part in (batch.images, batch.masks, batch.valid, batch.ignore, batch.exists)
    )
    rows = zip(images, masks, valid, ignore, exists.sum(axis=1), strict=True)
    name = f"{config.sources[0].kind}, made on the {source.device.type}"
    return [Clip(image, mask[:, :n], known[:, :n], void, name) for image, mask, known, void, n in rows], source.report()


def first_prompts(clips: Sequence[Clip], batch: Batch, config: PromptConfig) -> list[list[Prompt]]:
    """The prompts that the rows of `batch` get on frame 0, for each of `clips`; ids count from 1."""
    shown: list[list[Prompt]] = [[] for _ in clips]
    masks, uniform, owner = batch.masks[:, 0], batch.uniform[:, 0], batch.clip.tolist()
    slots = [owner[:row].count(clip) for row, clip in enumerate(owner)]
    for kind, rows in zip(KINDS, batch.kinds, strict=True):
        if not len(rows):
            continue
        chosen, numbers = masks[rows], uniform[rows]
        for i, row in enumerate(rows.tolist()):
            prompt = _prompt(kind, slots[row] + 1, chosen[i : i + 1], numbers[i : i + 1], config)
            shown[owner[row]].append(prompt)
    return shown


def _prompt(kind: str, number: int, mask: torch.Tensor, uniform: torch.Tensor, config: PromptConfig) -> Prompt:
    if kind == "box":
        x1, y1, x2, y2 = user.box(mask, uniform, jitter=config.jitter).points.flatten().tolist()
        return Prompt(number, 0, box=Box(x1, y1, x2, y2))
    if kind == "click":
        x, y = user.click(mask, uniform).points.flatten().tolist()
        return Prompt(number, 0, clicks=(Click(x, y),))
    given = mask if kind == "mask" else user.sloppy(mask, uniform)
    return Prompt(number, 0, mask=given[0].numpy())
