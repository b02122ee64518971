"""The memory bank of an object, and which part of the past a frame sees.

A bank is a value: remembering returns a new one. It is of bounded size whatever the length of the video. All time is
read from frame numbers, never from the order in a list, so gaps, reversal and corrections need no special case.

Tensors have a leading axis n: 1 for one object's own bank, N for objects that share their history (as in training).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vidseg.model import MemoryTokens
from vidseg.model.positions import constants, sine_grid

if TYPE_CHECKING:
    from vidseg.model import Sam2


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept.

    Attributes:
        prompted: memories of frames the user vouched for (SAM 2 keeps all; here the number is bounded).
        recent: feature maps of the last frames; at most `num_maskmem - 1`, the time codes there are.
        pointers: object pointers of the last frames. Ages are divided by it, as SAM 2 does on any clip of 16 frames
            or more (on shorter ones it divides by the number of frames minus one).
    """

    prompted: int = 4
    recent: int = 6
    pointers: int = 15


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What is kept of one frame: `features` (n, Cm, h, w) and `pointer` (n, C)."""

    frame: int
    features: Tensor
    pointer: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Pointer:
    """An object pointer (n, C) and its frame."""

    frame: int
    pointer: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class MemoryBank:
    """Three windows on the past: prompted frames, the last frames' features, the last frames' pointers."""

    prompted: tuple[Memory, ...] = ()
    recent: tuple[Memory, ...] = ()
    pointers: tuple[Pointer, ...] = ()

    def remember(self, memory: Memory, *, prompted: bool, limits: Limits) -> MemoryBank:
        """Return a bank that also holds `memory`; this one is left as it was.

        Prompted memories are what the user vouched for: the first (it defines the object) and the newest
        `limits.prompted - 1` are kept; a second prompt on a frame replaces the first. The rest is a window: the last
        `limits.recent` feature maps and, being 500 times smaller, the last `limits.pointers` pointers.
        Source: SAM 2 (arXiv 2408.00714), section 4, "Memory bank".
        """
        kept = tuple(m for m in self.recent if m.frame != memory.frame)
        pointers = tuple(p for p in self.pointers if p.frame != memory.frame)
        if prompted:
            vouched = _replaced(self.prompted, memory)
            if len(vouched) > limits.prompted:
                vouched = vouched[:1] + vouched[len(vouched) - limits.prompted + 1 :]
            return MemoryBank(vouched, kept, pointers)
        recent = (*kept, memory)[-limits.recent :] if limits.recent else ()
        pointers = (*pointers, Pointer(memory.frame, memory.pointer))[-limits.pointers :] if limits.pointers else ()
        return MemoryBank(self.prompted, recent, pointers)

    def prompted_only(self) -> MemoryBank:
        """Return a bank without what tracking added: where a new sweep over the video starts."""
        return MemoryBank(self.prompted)


def _replaced(memories: tuple[Memory, ...], memory: Memory) -> tuple[Memory, ...]:
    if any(m.frame == memory.frame for m in memories):
        return tuple(memory if m.frame == memory.frame else m for m in memories)
    return (*memories, memory)


def join(banks: Sequence[MemoryBank]) -> MemoryBank:
    """Stack banks with the same `layout` along n; frame numbers are taken from the first."""
    if len(banks) == 1:
        return banks[0]

    def stack(parts: Sequence[Memory]) -> Memory:
        features = torch.cat([m.features for m in parts])
        return Memory(parts[0].frame, features, torch.cat([m.pointer for m in parts]))

    return MemoryBank(
        tuple(stack(parts) for parts in zip(*(b.prompted for b in banks), strict=True)),
        tuple(stack(parts) for parts in zip(*(b.recent for b in banks), strict=True)),
        tuple(
            Pointer(parts[0].frame, torch.cat([p.pointer for p in parts]))
            for parts in zip(*(b.pointers for b in banks), strict=True)
        ),
    )


def seen(bank: MemoryBank, frame: int, *, limits: Limits, reverse: bool = False) -> MemoryBank:
    """Return the part of a bank that `frame` attends to.

    Features of the last `limits.recent` frames and pointers of the last `limits.pointers` count by their age in the
    direction of travel. Prompted memories count in the past and in the future, their pointers in the past only; the
    frame's own earlier answer is never evidence for its new one.
    """
    sign = -1 if reverse else 1

    def age(other: int) -> int:
        return sign * (frame - other)

    prompted = tuple(m for m in bank.prompted if m.frame != frame)
    recent = tuple(m for m in bank.recent if 1 <= age(m.frame) <= limits.recent)
    vouched = tuple(Pointer(m.frame, m.pointer) for m in prompted if age(m.frame) > 0)
    pointers = tuple(p for p in bank.pointers if 1 <= age(p.frame) <= limits.pointers)
    return MemoryBank(prompted, recent, vouched + pointers)


def layout(bank: MemoryBank) -> tuple[int | tuple[int, ...], ...]:
    """Return what must agree for objects to share a batch: how much they see, and when it was."""
    return (
        len(bank.prompted),
        tuple(m.frame for m in bank.recent),
        tuple(p.frame for p in bank.pointers),
    )


def memory_tokens(
    model: Sam2, bank: MemoryBank, frame: int, *, limits: Limits, reverse: bool = False
) -> MemoryTokens | None:
    """Return the tokens `frame` attends to, or None where the bank shows it nothing."""
    visible = seen(bank, frame, limits=limits, reverse=reverse)
    return tokens_of(model, visible, frame, limits=limits, reverse=reverse)


def tokens_of(
    model: Sam2, visible: MemoryBank, frame: int, *, limits: Limits, reverse: bool = False
) -> MemoryTokens | None:
    """Return the tokens of what `seen` (and `join`) gave, or None where that is nothing.

    Prompted memories carry the last row of the learned time codes, a memory of age a the row a - 1. A pointer is cut
    into tokens of the memory's width.
    """
    if not visible.prompted and not visible.recent:
        return None
    sign = -1 if reverse else 1
    maps = [(m, model.config.num_maskmem - 1) for m in visible.prompted]
    maps += [(m, sign * (frame - m.frame) - 1) for m in visible.recent]
    tokens, position = [], []
    for memory, row in maps:
        _, c, h, w = memory.features.shape
        grid = sine_grid(h, w, c, device=memory.features.device, dtype=model.dtype).flatten(1).T
        tokens.append(memory.features.flatten(2).transpose(1, 2).to(model.dtype))
        position.append((grid + model.maskmem_tpos_enc[row, 0])[None].expand_as(tokens[-1]))
    count = 0
    if visible.pointers:
        split = model.config.d_model // model.config.memory_dim
        ages = tuple(sign * (frame - p.frame) / limits.pointers for p in visible.pointers)
        times = model.pointer_times(constants(ages, device=model.device)).repeat_interleave(split, dim=0)
        pointers = torch.stack([p.pointer for p in visible.pointers], dim=1)
        tokens.append(pointers.unflatten(2, (split, -1)).flatten(1, 2).to(model.dtype))
        position.append(times[None].expand_as(tokens[-1]))
        count = tokens[-1].shape[1]
    return MemoryTokens(torch.cat(tokens, dim=1), torch.cat(position, dim=1), count)
