"""Clips of a whole batch at once, warped and blended by torch: for GPUs that would wait for CPU workers.

Stills and video frames stay in the device's memory (`gpu_atlas`), the choices are made on the CPU (`gpu_plan`), and the
drawing here goes layer by layer over all clips and frames together. The decision to know: pixels are fetched by index
from one long row instead of with `grid_sample`, which would want all pictures padded to one size and in floats; a
cut-out's colour is averaged over its own pixels only, and those at its edge are dropped, since they hold something of
its old surroundings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vidseg.train.clip import IGNORE, Skip, min_area_px
from vidseg.train.gpu_atlas import BARE, FINE, Pages, build
from vidseg.train.gpu_look import apply_look, random_looks
from vidseg.train.gpu_plan import HOLE, Plan, make_plan
from vidseg.train.send import send
from vidseg.train.sources.pseudo_video import Recipe
from vidseg.train.sources.stills import Stills
from vidseg.train.sources.video_folders import VideoFolders


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """B clips on one device: what `clip.stack` gives as arrays, as tensors.

    Attributes:
        images: (B, T, H, W, 3) uint8 RGB.
        masks: (B, T, O, H, W) bool, visible pixels.
        valid: (B, T, O) bool, annotated; False on all frames of objects that do not exist.
        ignore: (B, T, H, W) bool.
        exists: (B, O) bool; existing objects come first and are visible on frame 0.
    """

    images: Tensor
    masks: Tensor
    valid: Tensor
    ignore: Tensor
    exists: Tensor


class GpuClips:
    """Pseudo-videos and real clips from a device's memory.

    Args:
        stills, videos: where the pictures come from; decoded once, here.
        short_side: pictures are kept at this size; 1.0 to 1.5 times the clips' short side.
        video_share: share of clips of real video.
        weights: shares of the stills among the pseudo-videos, and then of the videos among the real ones; without them
            every picture counts alike.
        recipe: what the pseudo-videos are like; its motion blur is not done here.
        device: where the pictures are kept and the clips drawn.
        pixels_at_once: clips are drawn in groups of about so many pixels, to bound the memory used on the way.

    Raises:
        DataError: nothing usable is found.
    """

    def __init__(
        self,
        stills: Sequence[Stills] = (),
        videos: Sequence[VideoFolders] = (),
        *,
        short_side: int,
        video_share: float = 0.3,
        weights: Sequence[float] | None = None,
        recipe: Recipe | None = None,
        device: torch.device | str = "cuda",
        pixels_at_once: int = 32_000_000,
    ) -> None:
        self.sources: tuple[Stills | VideoFolders, ...] = (*stills, *videos)
        self.pages, self.contents = build(stills, videos, short_side=short_side, device=device, weights=weights)
        self.video_share, self.recipe = video_share, recipe or Recipe()
        self.device = torch.device(device)
        self.pixels_at_once = pixels_at_once

    def report(self) -> tuple[Skip, ...]:
        """What was left out when the pictures were read."""
        return tuple(skip for source in self.sources for skip in source.report())

    @torch.no_grad()
    def batch(self, number: int, *, seed: int, batch: int, frames: int, size: tuple[int, int], objects: int) -> Batch:
        """Batch `number`: the same for the same arguments (on one kind of device)."""
        rng = np.random.default_rng([seed, number])
        plan = make_plan(
            rng,
            self.contents,
            self.recipe,
            batch=batch,
            frames=frames,
            size=size,
            objects=objects,
            video_share=self.video_share,
        )
        noise = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        looks = random_looks(rng, batch, frames)
        group = max(1, self.pixels_at_once // (frames * size[0] * size[1]))
        images, labels = [], []
        for start in range(0, batch, group):
            rows = slice(start, min(start + group, batch))
            picture, label = draw(self.pages, _part(plan, rows), size=size)
            images.append(apply_look(picture, looks.rows(rows), noise))
            labels.append(label)
        return _checked(torch.cat(images), torch.cat(labels), objects, min_area_px(size))

    def batches(
        self, *, seed: int, batch: int, frames: int, size: tuple[int, int], objects: int, start: int = 0
    ) -> Iterator[Batch]:
        """Batches `start`, `start` + 1, ... without end."""
        while True:
            yield self.batch(start, seed=seed, batch=batch, frames=frames, size=size, objects=objects)
            start += 1


def _part(plan: Plan, rows: slice) -> Plan:
    return Plan(**{field.name: getattr(plan, field.name)[rows] for field in fields(Plan)})


def _checked(images: Tensor, labels: Tensor, objects: int, min_px: int) -> Batch:
    """Masks of the labels; objects that cannot be seen on frame 0 are dropped, clips without any repeat another one."""
    numbers = torch.arange(1, objects + 1, device=labels.device, dtype=labels.dtype)
    area_px = (labels[:, :1] == numbers[:, None, None, None].transpose(0, 1)).sum(dim=(2, 3))
    exists = area_px >= min_px
    some = exists.any(dim=1)
    rows = torch.arange(len(labels), device=labels.device)
    rows = torch.where(some, rows, some.int().argmax())
    images, labels, exists = images[rows], labels[rows], exists[rows]
    order = exists.int().argsort(dim=1, descending=True, stable=True)
    exists = exists.gather(1, order)
    masks = labels[:, :, None] == numbers[order][:, None, :, None, None]
    masks &= exists[:, None, :, None, None]
    valid = exists[:, None].expand(-1, labels.shape[1], -1).clone()
    return Batch(images, masks, valid, labels == IGNORE, exists)


def draw(pages: Pages, plan: Plan, *, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(B, T, H, W, 3) float 0..255 images and (B, T, H, W) uint8 labels of `plan`."""
    device = pages.pixels.device
    everything = np.arange(len(plan.used))
    where = _coordinates(plan, everything, 0, size, device)
    image, labels = _background(pages, plan, where, device)
    for layer in range(1, plan.used.shape[1]):
        rows = np.flatnonzero(plan.used[:, layer])
        if len(rows):
            _lay(pages, plan, rows, layer, image, labels)
    return image, labels


def _on(device: torch.device, array: np.ndarray, *, dtype: torch.dtype = torch.float32) -> Tensor:
    return send(array, device, dtype)


def _coordinates(
    plan: Plan, rows: np.ndarray, layer: int, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """x and y (N, T, H, W) in the source of layer `layer` at every pixel of the clips `rows`."""
    inverse = _on(device, plan.inverse[rows, layer])[..., None, None]
    x = torch.arange(size[1], device=device, dtype=torch.float32)
    y = torch.arange(size[0], device=device, dtype=torch.float32)[:, None]
    across = inverse[:, :, 0, 0] * x + inverse[:, :, 0, 1] * y + inverse[:, :, 0, 2]
    down = inverse[:, :, 1, 0] * x + inverse[:, :, 1, 1] * y + inverse[:, :, 1, 2]
    if not plan.amplitude[rows, layer].any():
        return across, down
    amplitude = _on(device, plan.amplitude[rows, layer])[:, None, :, :, None, None]
    wave = _on(device, plan.wave[rows, layer])[:, None, :, :, None, None]
    phase = _on(device, plan.phase[rows, layer])[..., None, None]
    bent_across, bent_down = across.clone(), down.clone()
    for j in range(plan.phase.shape[-1]):
        swing = torch.sin(across * wave[:, :, j, 0] + down * wave[:, :, j, 1] + phase[:, :, j])
        bent_across.addcmul_(swing, amplitude[:, :, j, 0].expand_as(swing))
        bent_down.addcmul_(swing, amplitude[:, :, j, 1].expand_as(swing))
    return bent_across, bent_down


@dataclass(frozen=True, slots=True, eq=False)
class _Places:
    """Offset, height and width of one picture a clip and frame, each (N, T, 1, 1)."""

    offset: Tensor
    height: Tensor
    width: Tensor


def _places(pages: Pages, level: Tensor | int, entry: Tensor) -> _Places:
    return _Places(*(table[level, entry][..., None, None] for table in (pages.offset, pages.height, pages.width)))


def _fetch(pages: Pages, place: _Places, x: Tensor, y: Tensor) -> Tensor:
    """(N, T, H, W, 4) uint8 at whole coordinates (float tensors) inside the pictures."""
    index = place.offset + y.long() * place.width + x.long()
    return pages.pixels[index][..., None].view(torch.uint8)


def _taps(x: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """The four pixels about (x, y) and their weights."""
    left, top = x.floor(), y.floor()
    right_share, low_share = x - left, y - top
    for down, row_share in ((0, 1 - low_share), (1, low_share)):
        for right, column_share in ((0, 1 - right_share), (1, right_share)):
            yield left + right, top + down, row_share * column_share


def _mirror(x: Tensor, length: Tensor) -> Tensor:
    """Coordinates folded back at 0 and `length` - 1, as in `cv2.BORDER_REFLECT_101`."""
    last = (length - 1).clamp(min=1).float()
    folded = torch.remainder(x, 2 * last)
    return torch.minimum(torch.where(folded > last, 2 * last - folded, folded), (length - 1).float())


def _background(pages: Pages, plan: Plan, where: tuple[Tensor, Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
    entry = _on(device, plan.entry[:, 0], dtype=torch.long)
    level = _on(device, plan.level[:, 0], dtype=torch.long)[:, None]
    place = _places(pages, level, entry)
    x, y = where
    image = torch.zeros((*x.shape, 3), device=device)
    for at_x, at_y, weight in _taps(x, y):
        pixel = _fetch(pages, place, _mirror(at_x, place.width), _mirror(at_y, place.height))
        image.addcmul_(pixel[..., :3].float(), weight[..., None])
    near_x, near_y = x.round(), y.round()
    inside = (near_x >= 0) & (near_y >= 0) & (near_x < place.width) & (near_y < place.height)
    seen = _fetch(pages, place, _mirror(near_x, place.width), _mirror(near_y, place.height))[..., 3]
    table = _on(device, plan.table, dtype=torch.uint8)
    clip = torch.arange(len(table), device=device)[:, None, None, None]
    labels = table[clip, seen.long()]
    labels = torch.where(inside, labels, _on(device, plan.beyond, dtype=torch.uint8)[:, None, None, None])
    rows = np.flatnonzero((plan.table == HOLE).any(axis=1))
    if len(rows):
        _fill_holes(pages, plan, rows, (x, y), image, labels)
    return image, labels


def _fill_holes(
    pages: Pages, plan: Plan, rows: np.ndarray, where: tuple[Tensor, Tensor], image: Tensor, labels: Tensor
) -> None:
    """Show the picture without its objects where one has been taken out, and a little around; in place."""
    device = image.device
    picked = _on(device, rows, dtype=torch.long)
    entry = _on(device, plan.entry[rows, 0], dtype=torch.long)
    place = _places(pages, BARE, entry)
    # A quarter-size pixel x' covers 4x' + 1.5 of the full size, 2x' + 0.5 of the half size.
    factor = torch.where(_on(device, plan.level[rows, 0], dtype=torch.long) == FINE, 4.0, 2.0)[:, None, None, None]
    x, y = ((part[picked] + 0.5) / factor - 0.5 for part in where)
    bare = torch.zeros((*x.shape, 3), device=device)
    for at_x, at_y, weight in _taps(x, y):
        pixel = _fetch(pages, place, _mirror(at_x, place.width), _mirror(at_y, place.height))
        bare.addcmul_(pixel[..., :3].float(), weight[..., None])
    hole = (labels[picked] == HOLE).float()
    shape = hole.shape
    wide = F.max_pool2d(hole.flatten(0, 1)[:, None], 5, 1, 2)
    soft = F.avg_pool2d(wide, 3, 1, 1).view(shape)[..., None]
    image[picked] = torch.lerp(image[picked], bare, soft)
    labels.masked_fill_(labels == HOLE, 0)


def _lay(pages: Pages, plan: Plan, rows: np.ndarray, layer: int, image: Tensor, labels: Tensor) -> None:
    """Blend one cut-out a clip over `image` (B, T, H, W, 3) and `labels` of the clips `rows`; in place."""
    device = image.device
    size = (labels.shape[2], labels.shape[3])
    picked = _on(device, rows, dtype=torch.long)
    colour, alpha = _cut_out(pages, plan, rows, layer, size, device)
    below = image[picked]
    if plan.shadow[rows, layer].any():
        below = below * (1 - _shadow(plan, rows, layer, alpha))[..., None]
    if (plan.tint[rows, layer] != np.eye(3)).any():
        colour = torch.einsum("nthwc,ndc->nthwd", colour, _on(device, plan.tint[rows, layer]))
    image[picked] = torch.lerp(below, colour, alpha[..., None])
    number = _on(device, plan.number[rows, layer], dtype=torch.uint8)[:, None, None, None]
    labels[picked] = torch.where(alpha > 0.5, number, labels[picked])


def _cut_out(
    pages: Pages, plan: Plan, rows: np.ndarray, layer: int, size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """(N, T, H, W, 3) colours and (N, T, H, W) opacity 0..1 of one cut-out a clip."""
    entry = _on(device, plan.entry[rows, layer], dtype=torch.long)
    level = _on(device, plan.level[rows, layer], dtype=torch.long)[:, None]
    place = _places(pages, level, entry)
    label = _on(device, plan.label[rows, layer], dtype=torch.uint8)[:, None, None, None]
    x, y = _coordinates(plan, rows, layer, size, device)
    colour = torch.zeros((*x.shape, 3), device=device)
    alpha = torch.zeros_like(x)
    for at_x, at_y, weight in _taps(x, y):
        inside = (at_x >= 0) & (at_y >= 0) & (at_x < place.width) & (at_y < place.height)
        pixel = _fetch(pages, place, torch.where(inside, at_x, 0.0), torch.where(inside, at_y, 0.0))
        share = weight * ((pixel[..., 3] == label) & inside)
        colour.addcmul_(pixel[..., :3].float(), share[..., None])
        alpha += share
    colour /= alpha.clamp(min=1e-3)[..., None]
    colour, alpha = _without_rim(colour, alpha)
    return colour, alpha * _on(device, plan.present[rows, layer])[..., None, None]


def _without_rim(colour: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """A cut-out less its outermost pixels, which hold background, with a soft edge of its colours further in.

    `colour` (N, T, H, W, 3), `alpha` (N, T, H, W). One that would lose more than half of itself keeps its size.
    """
    whole = (alpha.flatten(0, 1)[:, None] > 0.5).float()
    solid = -F.max_pool2d(-whole, 3, 1, 1)
    thin = solid.sum(dim=(1, 2, 3), keepdim=True) * 2 < whole.sum(dim=(1, 2, 3), keepdim=True)
    solid = torch.where(thin, whole, solid)
    flat = colour.flatten(0, 1).permute(0, 3, 1, 2)
    spread = F.avg_pool2d(flat * solid, 5, 1, 2) / F.avg_pool2d(solid, 5, 1, 2).clamp(min=1e-3)
    flat = torch.where(solid > 0, flat, spread)
    soft = (solid + F.avg_pool2d(solid, 3, 1, 1)) / 2  # above one half where it is solid
    return flat.permute(0, 2, 3, 1).view(colour.shape), soft.view(alpha.shape)


def _shadow(plan: Plan, rows: np.ndarray, layer: int, alpha: Tensor) -> Tensor:
    """(N, T, H, W) darkness 0..1: the blurred opacity, shifted."""
    clips, frames, height, width = alpha.shape
    coarse = F.avg_pool2d(alpha.flatten(0, 1)[:, None], 4, ceil_mode=True)
    coarse = F.avg_pool2d(coarse, 3, 1, 1)
    shift = _on(alpha.device, plan.shadow_shift[rows, layer] / [width, height]) * -2
    theta = torch.eye(2, 3, device=alpha.device).repeat(clips, 1, 1)
    theta[:, :, 2] = shift
    theta = theta.repeat_interleave(frames, dim=0)
    grid = F.affine_grid(theta, [clips * frames, 1, height, width], align_corners=False)
    soft = F.grid_sample(coarse, grid, align_corners=False).view(alpha.shape)
    return soft * _on(alpha.device, plan.shadow[rows, layer])[:, None, None, None]
