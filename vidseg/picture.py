"""Between pictures and the network: resize and normalise on the way in, scale prompts, masks back to full size."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from vidseg.types import Prompt

if TYPE_CHECKING:
    from vidseg.model import Sam2

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


class PromptTensors(NamedTuple):
    """A prompt for one object on the network's scale: points (1, P, 2), labels (1, P), or a mask (1, 1, h, w)."""

    points: Tensor | None
    labels: Tensor | None
    mask: Tensor | None


def prepare(model: Sam2, image: np.ndarray, *, like: tuple[int, int] | None = None) -> Tensor:
    """Return the normalised (1, 3, h, w) input for an (H, W, 3) uint8 RGB picture, its shape that of one of size `like`
    (H, W) where that is given.

    Antialiased bicubic, rounded to 8 bits; bytes are uploaded, and normalised on the device. SAM 2's own loader uses
    Pillow, whose rounding differs from torch's by one grey level here and there; to give SAM 2's numbers its square
    inputs use Pillow too (measured on one core, 854x480 to 512x288: Pillow 3.4 ms, torch 0.8 ms).
    """
    h, w = model.config.input_size(like or (image.shape[0], image.shape[1]))
    if model.config.square:
        image = np.array(Image.fromarray(image).resize((w, h)))
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
    if pixels.shape[-2:] != (h, w):
        pixels = F.interpolate(pixels, size=(h, w), mode="bicubic", antialias=True, align_corners=False)
    return normalise(pixels.to(model.device, non_blocking=True))


def normalise(pixels: Tensor) -> Tensor:
    """Map (B, 3, h, w) uint8 RGB to float32 with the ImageNet mean and deviation, as SAM 2 was trained."""
    mean = torch.tensor(_MEAN, device=pixels.device)[:, None, None]
    std = torch.tensor(_STD, device=pixels.device)[:, None, None]
    return (pixels.float() / 255 - mean) / std


def prompt_tensors(
    model: Sam2, prompt: Prompt, size: tuple[int, int], *, like: tuple[int, int] | None = None
) -> PromptTensors:
    """Scale a prompt on a picture of `size` (H, W) to the network's input; a box becomes two labelled points.

    `like` is as in `prepare`.
    """
    h, w = model.config.input_size(like or size)
    if prompt.mask is not None:
        mask = torch.from_numpy(prompt.mask.astype(np.float32))[None, None]
        if mask.shape[-2:] != (h, w):
            mask = F.interpolate(mask, size=(h, w), mode="bilinear", antialias=True, align_corners=False)
        return PromptTensors(None, None, (mask >= 0.5).to(model.device, torch.float32))
    places = [] if prompt.box is None else [(*prompt.box[:2], 2), (*prompt.box[2:], 3)]
    places += [(c.x, c.y, int(c.on)) for c in prompt.clicks]
    table = torch.tensor(places, dtype=torch.float32, device=model.device)
    scale = torch.tensor((w / size[1], h / size[0]), device=model.device)
    return PromptTensors(table[None, :, :2] * scale, table[None, :, 2].long(), None)


def full_size(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring low-resolution logits (N, h, w) to (N, H, W), bilinearly, in float32.

    On a CPU it is OpenCV that does it, several times as fast on the one thread that writes masks; values differ by some
    hundred-thousandths of the largest.
    """
    if not logits.shape[0]:
        return logits.new_zeros(0, *size)
    if logits.device.type != "cpu" or logits.requires_grad:
        return F.interpolate(logits[None].float(), size=size, mode="bilinear", align_corners=False)[0]
    full = np.empty((len(logits), *size), np.float32)
    for small, large in zip(logits.float().contiguous().numpy(), full, strict=True):
        cv2.resize(small, size[::-1], dst=large, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(full)
