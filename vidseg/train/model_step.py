"""One batch of clips through the model: prompted on the first frame, followed by memory, corrected now and then.

Tensors and a model in, loss sums out; no optimiser, no file. All frames of all clips are encoded together, then the
objects of all clips go through the frames as one batch of N rows. Gradients run through every memory back to the first
frame. The decision to know: each clip has one kind of prompt and a correction comes to all rows of a batch at once, so
that a bank of memories stays one batch of tensors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint

from vidseg.memory import Memory, MemoryBank, memory_tokens
from vidseg.model.positions import constants, cubic_weights, rotary_table, sine_grid
from vidseg.model.roi import levelled
from vidseg.model.sam2 import Decoded, ImageFeatures, Sam2, fed_back
from vidseg.tracker import limits_of
from vidseg.train import user
from vidseg.train.losses import LossConfig, Sums, Target, frame_sums, no_sums
from vidseg.train.near import near_cells
from vidseg.train.send import send
from vidseg.train.user import KINDS, PromptConfig
from vidseg.window import OUTSIDE

_GOLDEN = (5**0.5 - 1) / 2
_STORED, _FORGET = 10.0, 0.25  # logits of a mask that was stored; share of first results not fed back
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's pixels in 0..1, as SAM 2's images are normalised."""


class Correction(NamedTuple):
    """One frame of a batch is corrected by a number of clicks, one after another."""

    frame: int
    clicks: int


class Batch(NamedTuple):
    """Clips as tensors on the training device, with the objects that take part as rows.

    images (B,T,3,H,W) uint8; masks (N,T,H,W) bool; known (N,T) bool, annotated there; ignore (B,T,H,W) bool;
    clip (N,) int64, the clip each row belongs to; kinds: for each of `KINDS`, the rows prompted so, int64; correction:
    what is corrected, if anything; uniform (N,T,`user.DRAWS`) numbers in [0, 1).
    """

    images: Tensor
    masks: Tensor
    known: Tensor
    ignore: Tensor
    clip: Tensor
    kinds: tuple[Tensor, ...]
    correction: Correction | None
    uniform: Tensor


class FrameResult(NamedTuple):
    """What came out for one frame: logits (N,h,w) of the chosen masks, score (N,), and the prompt's points if any."""

    logits: Tensor
    score: Tensor
    points: user.Points | None


@dataclass(frozen=True)
class StepConfig:
    """How a batch is computed; the model's numbers do not depend on `chunk` and `checkpointing`.

    Attributes:
        chunk: frames encoded at a time (0: all at once).
        checkpointing: recompute the image encoder's activations in the backward pass, to save memory.
        memory: off leaves every frame without a past, to see what the memory is worth.
        regions: look for objects around their last place, as a tracker does on a CPU (`vidseg.train.near`).
    """

    chunk: int = 0
    checkpointing: bool = False
    memory: bool = True
    regions: bool = False


def forget_positions() -> None:
    """Drop the tables that are kept between frames: those made while pretending (`footprint`) are no real ones."""
    constants.cache_clear()
    cubic_weights.cache_clear()
    sine_grid.cache_clear()
    rotary_table.cache_clear()


@contextmanager
def precision(device: torch.device, dtype: torch.dtype | None) -> Iterator[None]:
    """Compute in `dtype` inside (autocast), or in the weights' own precision for None.

    On a CPU attention is then taken as plain products: with native bfloat16 the backward pass of torch's fused kernel
    took four times as long as in float32, and half of a whole step.
    """
    if dtype is None:
        yield
        return
    if device.type != "cpu":
        with torch.autocast(device.type, dtype=dtype):
            yield
        return
    with torch.autocast("cpu", dtype=dtype), _plain_attention():
        yield


@contextmanager
def _plain_attention() -> Iterator[None]:
    before = torch.backends.cuda.fp16_bf16_reduction_math_sdp_allowed()  # steers the CPU's plain attention too
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(True)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(before)


def make_batch(
    clips: Mapping[str, np.ndarray] | Mapping[str, Tensor],
    prompts: PromptConfig,
    *,
    seed: int,
    number: int,
    first: int = 0,
    device: torch.device | str = "cpu",
    alike: bool = False,
) -> Batch:
    """Bring clips to `device` and draw what the simulated user will do.

    Args:
        clips: images (B,T,H,W,3), masks (B,T,O,H,W), valid (B,T,O), ignore (B,T,H,W), exists (B,O): arrays as
            `clip.stack` gives them, or tensors on the device. Of arrays the objects that exist become rows; of tensors
            all B * O do, so that a GPU need not be asked and shapes stay the same.
        prompts: the mixture of prompts.
        seed, number: of the run and of this batch; the draws depend on them and on each clip's place alone.
        first: place of the first clip in the whole batch, where several processes share one.
        device: where the tensors go.
        alike: every batch has the same kinds of prompts in the same places, so that all its shapes are the same.
    """
    exists = clips["exists"]
    count, objects = exists.shape
    there = exists if isinstance(exists, np.ndarray) else np.ones((count, objects), dtype=bool)
    clip, slot = np.nonzero(there)
    draws = _draw(prompts, seed, number, range(first, first + count), clips["images"].shape[1], objects, alike)

    def put(values: np.ndarray | Tensor) -> Tensor:
        return send(values, device)

    def rows(values: np.ndarray | Tensor) -> Tensor:
        """(B,T,O,...) -> (N,T,...) of the rows."""
        if isinstance(values, Tensor):
            return values.transpose(1, 2).flatten(0, 1)
        return put(values.swapaxes(1, 2)[clip, slot])

    kinds = draws.kinds[clip]
    return Batch(
        images=put(clips["images"]).permute(0, 1, 4, 2, 3),
        masks=rows(clips["masks"]),
        known=rows(clips["valid"]),
        ignore=put(clips["ignore"]),
        clip=put(clip),
        kinds=tuple(put(np.flatnonzero(kinds == i)) for i in range(len(KINDS))),
        correction=draws.correction,
        uniform=put(draws.uniform[clip, slot]),
    )


class _Draws(NamedTuple):
    """Chance of a batch: kinds (B,), what to correct, and uniform (B,O,T,`user.DRAWS`) numbers."""

    kinds: np.ndarray
    correction: Correction | None
    uniform: np.ndarray


def _draw(
    prompts: PromptConfig, seed: int, number: int, places: range, frames: int, objects: int, alike: bool = False
) -> _Draws:
    together = np.random.default_rng([seed, number, 2**31]).random(4)
    correction = None
    if together[0] < prompts.correct:
        correction = Correction(int(together[1] * frames), 1 + int(together[3] * prompts.clicks))
    own = [np.random.default_rng([seed, number, place, 2**31 + 1]) for place in places]
    # Steps of the golden ratio spread the kinds evenly: every batch has nearly the same number of each, so a GPU sees
    # few different shapes.
    kinds = user.choose_kinds(prompts, ((0 if alike else together[2]) + _GOLDEN * np.array(places)) % 1)
    uniform = np.stack([rng.random((objects, frames, user.DRAWS), dtype=np.float32) for rng in own])
    return _Draws(kinds, correction, uniform)


def run_batch(
    model: Sam2, batch: Batch, losses: LossConfig, prompts: PromptConfig, config: StepConfig = StepConfig()
) -> tuple[Sums, list[FrameResult]]:
    """Follow the rows of `batch` through their clips.

    Returns:
        the loss sums over all rows and frames, and what came out for each of the T frames (detached).
    """
    batch = fit_input(model, batch)
    features = encode_frames(model, batch.images, config)
    frames = batch.images.shape[1]
    bank, total, results = MemoryBank(), no_sums(batch.images.device), []
    trace: list[Tensor] = []
    for t in range(frames):
        frame = features.take(batch.clip * frames + t)
        near = near_cells(trace, frame.vision.shape[-2:]) if config.regions else None
        if t == 0:
            decoded, sums, points = first_frame(model, frame, batch, losses, prompts)
        else:
            decoded, conditioned, sums = followed_frame(model, frame, bank, t, batch, losses, near)
            points = None
            if _corrects(batch, t):
                decoded, again, points = corrected_frame(model, frame, conditioned, decoded, t, batch, losses)
                sums = sums.plus(again)
        total = total.plus(sums)
        results.append(FrameResult(decoded.logits.detach().float(), decoded.score.detach().float(), points))
        told = t == 0 or _corrects(batch, t)
        trace = [] if told else trace
        trace.append(decoded.logits.detach())
        if t + 1 < frames and config.memory:
            memory = remembered(model, frame, decoded, t, binarise=told, near=None if told else near)
            bank = bank.remember(memory, prompted=told, limits=limits_of(model))
    return total, results


def _corrects(batch: Batch, t: int) -> bool:
    return batch.correction is not None and batch.correction.frame == t


def fit_input(model: Sam2, batch: Batch) -> Batch:
    """`batch` at the size the model takes: itself where the model keeps aspect ratios (any multiple of 32 will do),
    or resized to its square with images averaged and masks by nearest pixel.
    """
    if not model.config.square:
        return batch
    have = tuple(batch.images.shape[-2:])
    size = model.config.input_size((have[0], have[1]))
    if size == have:
        return batch
    images = F.interpolate(batch.images.flatten(0, 1).float(), size=size, mode="bilinear", antialias=True)
    images = images.round().clamp(0, 255).to(torch.uint8).unflatten(0, batch.images.shape[:2])
    masks = F.interpolate(batch.masks.to(torch.uint8), size=size, mode="nearest").bool()
    ignore = F.interpolate(batch.ignore.to(torch.uint8), size=size, mode="nearest").bool()
    return batch._replace(images=images, masks=masks, ignore=ignore)


def normalise(images: Tensor) -> Tensor:
    """(B,3,H,W) uint8 -> float32 with ImageNet's mean and deviation, `channels_last`."""
    mean, std = (constants(numbers, device=images.device).view(1, 3, 1, 1) for numbers in (MEAN, STD))
    return ((images.float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)


def encode_frames(model: Sam2, images: Tensor, config: StepConfig) -> ImageFeatures:
    """Features of all frames, (B*T, ...): clip 0's frames first."""
    # The backward pass is not inside `precision`; what it computes again must take the same kind of attention.
    plain = images.device.type == "cpu" and torch.is_autocast_enabled("cpu")
    again = _plain_attention if plain else nullcontext
    flat = images.flatten(0, 1)
    chunk = config.chunk or len(flat)
    parts = []
    for start in range(0, len(flat), chunk):
        pixels = normalise(flat[start : start + chunk])
        if config.checkpointing and torch.is_grad_enabled():
            parts.append(
                checkpoint(model.encode_image, pixels, use_reentrant=False, context_fn=lambda: (nullcontext(), again()))
            )
        else:
            parts.append(model.encode_image(pixels))
    if len(parts) == 1:
        return parts[0]
    finer = tuple(torch.cat(maps) for maps in zip(*(part.high_res for part in parts), strict=True))
    return ImageFeatures(
        torch.cat([part.vision for part in parts]), torch.cat([part.position for part in parts]), (finer[0], finer[1])
    )


def first_frame(
    model: Sam2, frame: ImageFeatures, batch: Batch, losses: LossConfig, prompts: PromptConfig
) -> tuple[Decoded, Sums, user.Points]:
    """Prompt every row on frame 0 in its own way.

    A row given as a mask has that mask as its result and nothing to learn from; the others are decoded from the plain
    features, a click into three candidates and a box into one mask, and corrected where the batch says so.

    Returns:
        the result in the order of the rows, the losses of the box and click rows, and the points.
    """
    masks, uniform = batch.masks[:, 0], batch.uniform[:, 0]
    rows_of = dict(zip(KINDS, batch.kinds, strict=True))
    order, parts, points_of, total = [], [], [], no_sums(masks.device)
    for kind, rows in rows_of.items():
        if not len(rows):
            continue
        chosen, numbers, here = masks[rows], uniform[rows], frame.take(rows)
        if kind in ("mask", "sloppy"):
            given = chosen if kind == "mask" else user.sloppy(chosen, numbers)
            decoded = model.decode_mask(here.vision, here.high_res, given[:, None].float())
            points = _no_points(len(rows), masks.device)
        else:
            if kind == "box":
                points = user.box(chosen, numbers, jitter=prompts.jitter)
            else:
                points = user.click(chosen, numbers)
            plain = model.attend(here.vision, here.position, None)
            decoded = model.decode(
                plain, here.high_res, points=points.points, labels=points.labels, multimask=kind == "click"
            )
            target = target_of(model, batch, 0, losses, rows)
            total = total.plus(judged(decoded, target, losses, spread=losses.spread_click))
            if _corrects(batch, 0):
                decoded, again, points = _corrected(
                    model, plain, here.high_res, decoded, points, batch, 0, losses, rows=rows, forget=True
                )
                total = total.plus(again)
            decoded = _told(decoded, chosen, numbers[:, user.DRAWS - 1] < prompts.truth)
        order.append(rows)
        parts.append(decoded)
        points_of.append(points)
    back = torch.cat(order).argsort()
    most = max(points.labels.shape[1] for points in points_of)
    padded = [_padded(points, most) for points in points_of]
    joined = user.Points(*(torch.cat(column)[back] for column in zip(*padded, strict=True)))
    return _joined(parts, back), total, joined


def followed_frame(
    model: Sam2,
    frame: ImageFeatures,
    bank: MemoryBank,
    t: int,
    batch: Batch,
    losses: LossConfig,
    near: Tensor | None = None,
) -> tuple[Decoded, Tensor, Sums]:
    """Find every row on frame `t` from its memories alone, in the cells `near` (N,h,w) if there are any; also returns
    the features that saw them (N,C,h,w).
    """
    tokens = memory_tokens(model, bank, t, limits=limits_of(model))
    conditioned = model.attend(frame.vision, frame.position, tokens, near=near)
    decoded = model.decode(conditioned, frame.high_res, multimask=model.config.track_candidates)
    sums = judged(decoded, target_of(model, batch, t, losses), losses, spread=losses.spread)
    if near is not None:
        inside = near.repeat_interleave(4, dim=1).repeat_interleave(4, dim=2)
        decoded = decoded._replace(logits=torch.where(inside, decoded.logits, OUTSIDE))
    return decoded, conditioned, sums


def corrected_frame(
    model: Sam2, frame: ImageFeatures, conditioned: Tensor, before: Decoded, t: int, batch: Batch, losses: LossConfig
) -> tuple[Decoded, Sums, user.Points]:
    """Correct frame `t`: half of the rows on the features that saw the memories, and half on plain ones, where the mask
    alone says what is meant.
    """
    plain = model.attend(frame.vision, frame.position, None)
    alone = batch.uniform[:, t, user.ALONE] < 0.5
    features = torch.where(alone[:, None, None, None], plain, conditioned)
    return _corrected(
        model, features, frame.high_res, before, _no_points(len(alone), alone.device, 0), batch, t, losses
    )


def _corrected(
    model: Sam2,
    features: Tensor,
    high_res: tuple[Tensor, Tensor],
    before: Decoded,
    said: user.Points,
    batch: Batch,
    t: int,
    losses: LossConfig,
    *,
    rows: Tensor | None = None,
    forget: bool = False,
) -> tuple[Decoded, Sums, user.Points]:
    """Decode frame `t` again and again, each time with one more click where the last result is most wrong.

    The last result is the mask prompt: for half of the rows its logits, for half as sure everywhere as a mask that was
    stored; with `forget`, where the points say all, for some rows nothing.

    Returns:
        the last result, the losses of all, and all points: those `said` before and the clicks.
    """
    assert batch.correction is not None
    masks, known, clip, uniform = batch.masks[:, t], batch.known[:, t], batch.clip, batch.uniform[:, t]
    if rows is not None:
        masks, known, clip, uniform = masks[rows], known[rows], clip[rows], uniform[rows]
    counts = ~batch.ignore[:, t].index_select(0, clip)
    target, total = target_of(model, batch, t, losses, rows), no_sums(masks.device)
    stored = uniform[:, user.STORED, None, None] < 0.5
    kept = (uniform[:, user.FORGOTTEN, None, None] >= _FORGET) if forget else torch.ones_like(stored)
    for _ in range(batch.correction.clicks):
        logits = before.logits.detach()
        click = user.correction(_resized(logits, masks.shape[-2:]) > 0, masks, counts)
        click = user.Points(click.points, click.labels.masked_fill(~known[:, None], user.PAD))
        said = user.Points(*(torch.cat(pair, dim=1) for pair in zip(said, click, strict=True)))
        sure = torch.where(logits > 0, _STORED, -_STORED)[:, None]
        guess = torch.where(stored[:, None], sure, fed_back(logits)) * kept[:, None]
        before = model.decode(
            features,
            high_res,
            points=said.points,
            labels=said.labels,
            mask=guess,
            multimask=rows is None and model.config.track_candidates,
        )
        total = total.plus(judged(before, target, losses, spread=losses.spread))
    return before, total, said


def remembered(
    model: Sam2, frame: ImageFeatures, decoded: Decoded, t: int, *, binarise: bool, near: Tensor | None = None
) -> Memory:
    """What frame `t` leaves behind for the frames after it; of the cells `near` (N,h,w), if there are any."""
    features = model.encode_memory(frame.vision, decoded.logits, decoded.score, binarise=binarise)
    features = features if near is None else levelled(features, near)
    return Memory(t, features, decoded.pointer)


def target_of(model: Sam2, batch: Batch, t: int, losses: LossConfig, rows: Tensor | None = None) -> Target:
    """What frame `t` should give for all rows, or for `rows`; masks averaged over the decoder's cells."""
    masks, known, clip = batch.masks[:, t], batch.known[:, t], batch.clip
    if rows is not None:
        masks, known, clip = masks[rows], known[rows], clip[rows]
    counts = (~batch.ignore[:, t]).float()[:, None]
    mask = masks.float()[:, None]
    if not losses.full_size:
        cell = model.config.stride // 4
        counts, mask = F.avg_pool2d(counts, cell), F.avg_pool2d(mask, cell)
    present = known & masks.flatten(1).any(dim=1)
    return Target(mask[:, 0], counts[:, 0].index_select(0, clip), known.float(), present.float())


def judged(decoded: Decoded, target: Target, losses: LossConfig, *, spread: float) -> Sums:
    """Losses of `decoded`, at the size of `target`."""
    candidates = decoded.candidates
    if candidates.shape[-2:] != target.mask.shape[-2:]:
        candidates = F.interpolate(candidates, size=target.mask.shape[-2:], mode="bilinear", align_corners=False)
    return frame_sums(candidates, decoded.iou, decoded.score, target, losses, spread=spread)


def _resized(logits: Tensor, size: Sequence[int]) -> Tensor:
    """(N,h,w) -> (N,H,W), bilinear."""
    return F.interpolate(logits[:, None], size=tuple(size), mode="bilinear", align_corners=False)[:, 0]


def _told(decoded: Decoded, masks: Tensor, rows: Tensor) -> Decoded:
    """`decoded` with the true `masks` (N,H,W) as the result of the rows where `rows` (N,) is true."""
    size = decoded.logits.shape[-2:]
    logits = F.interpolate((20.0 * masks - 10.0)[:, None], size=size, mode="bilinear", antialias=True)[:, 0]
    present = masks.flatten(1).any(dim=1)
    return decoded._replace(
        logits=torch.where(rows[:, None, None], logits, decoded.logits),
        score=torch.where(rows, torch.where(present, 10.0, -10.0).to(decoded.score.dtype), decoded.score),
    )


def _no_points(count: int, device: torch.device, points: int = 1) -> user.Points:
    labels = torch.full((count, points), user.PAD, dtype=torch.int32, device=device)
    return user.Points(torch.zeros(count, points, 2, device=device), labels)


def _padded(points: user.Points, most: int) -> user.Points:
    """Padded to `most` points a row, so that rows prompted differently can be stacked."""
    padding = _no_points(len(points.labels), points.labels.device, most - points.labels.shape[1])
    return user.Points(*(torch.cat(pair, dim=1) for pair in zip(points, padding, strict=True)))


def _joined(parts: Sequence[Decoded], back: Tensor) -> Decoded:
    """Results of several groups of rows as one, rows put in the order `back`; the candidates, of which groups have
    different numbers, are left behind.
    """
    if len(parts) == 1:
        return Decoded(*(column[back] for column in parts[0]))
    kept = {name: torch.cat([getattr(part, name) for part in parts])[back] for name in ("logits", "pointer", "score")}
    return parts[0]._replace(**kept)
